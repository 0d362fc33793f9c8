/* SPDX-License-Identifier: Apache-2.0
 *
 * The owner changes a repository while it is in use: another password, or a promise to lock its
 * blobs in the store.
 */
#include "shared/base/clock.h"
#include "shared/crypto/aead.h"
#include "shared/repository/state.h"

#include "tests/harness/opened_repository.h"

/* Puts a kopia.blobcfg of that plain text. */
static void put_config(const struct xb_format_keys *keys, const char *config)
{
    unsigned char sealed[200];
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
    const struct xb_aead_data associated = {keys->associated->data, keys->associated->len};
    const struct xb_aead_data plain = {config, strlen(config)};
    PROBE_OK(xb_aead_new("AES-256-GCM", &aead, &err));
    PROBE_OK(xb_aead_seal(aead, keys->key->data, NULL, &associated, &plain, sealed, &err));
    PROBE_OK(xb_store_put(store, "kopia.blobcfg", sealed, plain.len + XB_AEAD_OVERHEAD_BYTES, NULL,
                          &err));
}

/* Seals kopia.repository and kopia.blobcfg under another password, as kopia does. */
static void change_password(const char *password_text)
{
    struct xb_format_outer outer;
    struct xb_format_keys keys;
    struct xb_format format;
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf changed = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(password_text);
    PROBE_OK(xb_store_get(store, "kopia.repository", 0, XB_STORE_TO_END, &text, &err));
    PROBE_OK(xb_format_outer_parse(text.data, text.len, &outer, &err));
    PROBE_OK(xb_format_open(&outer, probe_keys(store), xb_clock_wall_ns(), &format, &err));
    PROBE_OK(xb_format_keys_derive(&outer, password, &keys, &err));
    PROBE_OK(xb_format_encode(&format, &outer, &keys, &changed, &err));
    PROBE_OK(xb_store_put(store, "kopia.repository", changed.data, changed.len, NULL, &err));
    put_config(&keys, "{}");
    xb_format_free(&format);
    xb_format_keys_free(&keys);
    xb_format_outer_free(&outer);
}

/* A session that is open goes on when the password changes: the keys of contents stay. Who opens it
 * needs the new one. */
static void the_password_may_change_meanwhile(void **state)
{
    (void)state;
    struct xb_content_write_result before = probe_write(repository, 0, "before");
    probe_flush(repository);
    change_password("another");
    struct xb_content_write_result after = probe_write(repository, 0, "after");
    repository->format_checked_ns -= XB_FORMAT_AGE_NS_MAX;
    probe_flush(repository);
    repository->format_checked_ns -= XB_FORMAT_AGE_NS_MAX;
    PROBE_OK(xb_repository_renew(repository, &err));

    XB_CLEANUP(xb_secret_freep) struct xb_secret *old = probe_password(PROBE_PASSWORD);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *new = probe_password("another");
    XB_CLEANUP(xb_repository_freep) struct xb_repository *again = NULL;
    PROBE_REFUSED(xb_repository_open(xb_store_ref(store), old, NULL, &again, &err), XB_ERR_DENIED,
                  "wrong password");
    PROBE_OK(xb_repository_open(xb_store_ref(store), new, NULL, &again, &err));
    probe_holds(again, &before.id, "before");
    probe_holds(again, &after.id, "after");
}

static void refused(enum xb_error_kind kind, const char *word)
{
    struct xb_repository *again = NULL;
    PROBE_REFUSED(
        xb_repository_open_with(xb_store_ref(store), probe_keys(store), NULL, &again, &err), kind,
        word);
    assert_null(again);
}

static void opens(bool read_only)
{
    const struct xb_repository_open_options options = {.read_only = read_only};
    struct xb_repository *again = NULL;
    PROBE_OK(
        xb_repository_open_with(xb_store_ref(store), probe_keys(store), &options, &again, &err));
    xb_repository_free(again);
}

/* Blobs that are to be locked in the store are not written without a lock; reading is free. */
static void a_promise_of_object_lock_is_not_broken(void **state)
{
    (void)state;
    const struct xb_format_keys *keys = probe_keys(store);
    put_config(keys, "{\"retentionMode\":\"COMPLIANCE\",\"retentionPeriod\":86400000000000}");
    refused(XB_ERR_INVALID, "COMPLIANCE, for 24 hours");
    put_config(keys, "{\"retentionMode\":\"GOVERNANCE\",\"retentionPeriod\":2592000000000000}");
    refused(XB_ERR_INVALID, "GOVERNANCE, for 720 hours");
    opens(true);
    /* Promised while a session is open: no further commit. */
    size_t indexes = probe_count(store, "x");
    (void)probe_write(repository, 0, "text");
    repository->format_checked_ns -= XB_FORMAT_AGE_NS_MAX;
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_INVALID, "set-parameters");
    assert_int_equal(probe_count(store, "x"), indexes);
}

/* Without a mode or a period nothing is promised, and without the blob neither. One that cannot be
 * understood may promise anything. */
static void no_promise_and_none_that_can_be_read(void **state)
{
    (void)state;
    static const char *const none[] = {"{}", "{\"retentionMode\":\"\",\"retentionPeriod\":0}",
                                       "{\"retentionPeriod\":86400000000000}"};
    for (size_t i = 0; i < 3; i++) {
        put_config(probe_keys(store), none[i]);
        opens(false);
    }
    put_config(probe_keys(store), "{\"retentionMode\":1}");
    refused(XB_ERR_CORRUPT, "kopia.blobcfg");
    PROBE_OK(xb_store_put(store, "kopia.blobcfg", "short", 5, NULL, &err));
    refused(XB_ERR_CORRUPT, "kopia.blobcfg");
    opens(true);
    PROBE_OK(xb_store_delete(store, "kopia.blobcfg", &err));
    opens(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_password_may_change_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(a_promise_of_object_lock_is_not_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(no_promise_and_none_that_can_be_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
