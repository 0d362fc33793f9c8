/* SPDX-License-Identifier: Apache-2.0
 *
 * What a new repository gets: what is fast here, the first in line where it hardly matters; and
 * what its policy says about compressing.
 */
#include "tests/harness/repository_probe.h"

#include "shared/crypto/hash.h"
#include "shared/repository/choice.h"
#include "shared/repository/policy.h"
#include "shared/repository/snapshot.h"

static const char *best(double a, double b, double c)
{
    const struct xb_choice_candidate candidates[XB_CHOICE_CANDIDATES] = {
        {"a", a}, {"b", b}, {c > 0 ? "c" : NULL, c}};
    return xb_choice_best(candidates);
}

static void the_first_unless_another_is_clearly_faster(void **state)
{
    (void)state;
    assert_string_equal(best(4.4, 1.8, 0.9), "a");
    assert_string_equal(best(1.0, 1.2, 1.24), "a");
    assert_string_equal(best(1.0, 1.3, 0.9), "b");
    assert_string_equal(best(1.0, 1.3, 1.5), "b");
    assert_string_equal(best(1.0, 1.3, 1.7), "c");
    assert_string_equal(best(0, 0.1, 0), "b");
    assert_null(best(0, 0, 0));
}

/* Names that can be used, measured ones; and a text for people that names all of them. */
static void a_choice_holds(void **state)
{
    (void)state;
    struct xb_choice choice;
    char text[XB_CHOICE_TEXT_BYTES];
    PROBE_OK(xb_choice_make(&choice, &err));
    assert_true(xb_hash_available(choice.hash));
    assert_string_equal(choice.hashes[0].name, "BLAKE3-256-128");
    assert_int_equal(choice.hashes[0].gb_per_s > 0, xb_hash_available("BLAKE3-256-128"));
    assert_true(choice.hashes[1].gb_per_s > 0 && choice.hashes[2].gb_per_s > 0);
    assert_true(choice.encryptions[0].gb_per_s > 0 && choice.encryptions[1].gb_per_s > 0);
    assert_null(choice.encryptions[2].name);
    xb_choice_format(choice.hashes, text);
    for (size_t i = 0; i < XB_CHOICE_CANDIDATES; i++) {
        assert_non_null(strstr(text, choice.hashes[i].name));
    }
    assert_int_equal(strstr(text, "not in this build") != NULL, choice.hashes[0].gb_per_s == 0);

    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    struct xb_store *store = probe_create(NULL);
    struct xb_repository_info info;
    repository = probe_open(store);
    PROBE_OK(xb_repository_info(repository, &info, &err));
    assert_true(xb_hash_available(info.hash));
    assert_string_equal(info.splitter, choice.splitter);
    xb_store_free(store);
}

static enum xb_compression compression_of(struct xb_repository *repository)
{
    enum xb_compression compression = XB_COMPRESSION_NONE;
    PROBE_OK(xb_policy_compression(repository, &compression, &err));
    return compression;
}

static void put_policy(struct xb_repository *repository, const char *scope, const char *data)
{
    char text[3][12] = {"type", "policy", "policyType"};
    char value[16];
    char id[XB_MANIFEST_ID_TEXT_BYTES];
    snprintf(value, sizeof value, "%s", scope);
    const struct xb_label labels[2] = {{text[0], text[1]}, {text[2], value}};
    PROBE_OK(xb_manifest_put(repository, labels, 2, data, id, &err));
    probe_flush(repository);
}

/* No policy, as in Velero's repositories: raw. Ours says zstd-fastest. The newest global one
 * counts, and no other. */
static void the_policy_decides_about_compression(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        enum xb_compression want;
    } policies[] = {
        {"{\"compression\":{\"compressorName\":\"zstd\"}}", XB_COMPRESSION_ZSTD},
        {"{\"compression\":{\"compressorName\":\"none\"}}", XB_COMPRESSION_NONE},
        {"{\"compression\":{\"compressorName\":\"s2-default\"}}", XB_COMPRESSION_ZSTD_FASTEST},
        {"{\"compression\":{}}", XB_COMPRESSION_NONE},
        {"{\"files\":{}}", XB_COMPRESSION_NONE},
    };
    struct xb_store *store = probe_repository_store();
    struct xb_repository *repository = probe_open(store);
    assert_int_equal(compression_of(repository), XB_COMPRESSION_NONE);
    PROBE_OK(xb_policy_put_compression(repository, &err));
    probe_flush(repository);
    assert_int_equal(compression_of(repository), XB_COMPRESSION_ZSTD_FASTEST);
    put_policy(repository, "path", policies[1].data);
    assert_int_equal(compression_of(repository), XB_COMPRESSION_ZSTD_FASTEST);
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        put_policy(repository, "global", policies[i].data);
        assert_int_equal(compression_of(repository), policies[i].want);
    }
    enum xb_compression compression = XB_COMPRESSION_NONE;
    put_policy(repository, "global", "{\"compression\":{\"compressorName\":7}}");
    PROBE_REFUSED(xb_policy_compression(repository, &compression, &err), XB_ERR_CORRUPT, "policy");
    xb_repository_free(repository);
    xb_store_free(store);

    const struct xb_repository_create_options ours = {.compress = true};
    store = probe_create(&ours);
    repository = probe_open(store);
    assert_int_equal(compression_of(repository), XB_COMPRESSION_ZSTD_FASTEST);
    xb_repository_free(repository);
    xb_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_unless_another_is_clearly_faster),
        cmocka_unit_test(a_choice_holds),
        cmocka_unit_test(the_policy_decides_about_compression),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
