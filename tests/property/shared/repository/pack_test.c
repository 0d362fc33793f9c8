/* SPDX-License-Identifier: Apache-2.0
 *
 * Random packs: their end says where their index lies, which opens and lists what was put in; an
 * end that is cut, or has a flipped bit, is refused.
 */
#include "tests/harness/repository_probe.h"

#include "shared/repository/pack.h"
#include "tests/harness/pack_probe.h"
#include "tests/harness/property.h"

enum { ROUNDS = 40, CONTENTS_MAX = 20, CONTENT_BYTES_MAX = 9000 };

struct found {
    const struct xb_index_entry *wanted;
    size_t count;
};

static int find(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct found *found = context;
    (void)err;
    for (size_t i = 0; i < CONTENTS_MAX; i++) {
        const struct xb_index_entry *want = &found->wanted[i];
        if (want->format_version && xb_content_id_compare(&want->id, &entry->id) == 0) {
            assert_int_equal(entry->offset, want->offset);
            assert_int_equal(entry->packed_bytes, want->packed_bytes);
            found->count++;
        }
    }
    return 0;
}

static void tail_is_refused_when_spoilt(struct property *source, struct xb_buf *blob)
{
    struct xb_pack_tail tail;
    size_t bytes = (size_t)(unsigned char)blob->data[blob->len - 1] + 1;
    char *start = blob->data + blob->len - bytes;
    for (size_t cut = 1; cut < bytes; cut++) {
        PROBE_REFUSED(xb_pack_tail_parse(start + cut, bytes - cut, &tail, &err), XB_ERR_CORRUPT,
                      NULL);
        PROBE_REFUSED(xb_pack_tail_parse(start, bytes - cut, &tail, &err), XB_ERR_CORRUPT, NULL);
    }
    for (int i = 0; i < 100; i++) {
        size_t bit = property_below(source, 8 * bytes);
        start[bit / 8] = (char)(start[bit / 8] ^ (1 << bit % 8));
        PROBE_REFUSED(xb_pack_tail_parse(blob->data, blob->len, &tail, &err), XB_ERR_CORRUPT, NULL);
        start[bit / 8] = (char)(start[bit / 8] ^ (1 << bit % 8));
    }
}

static void fill_pack(struct property *source, const struct xb_sealer *sealer, struct xb_pack *pack,
                      struct xb_index_entry entries[CONTENTS_MAX], size_t count)
{
    unsigned char plain[CONTENT_BYTES_MAX];
    for (size_t i = 0; i < count; i++) {
        XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(2 * CONTENT_BYTES_MAX);
        size_t len = property_below(source, sizeof plain + 1);
        for (size_t k = 0; k < len; k++) {
            plain[k] = (unsigned char)(property_next(source) >> 56);
        }
        entries[i] = (struct xb_index_entry){
            .format_version = 3, .timestamp_s = 1700000000, .plain_bytes = (uint32_t)len};
        PROBE_OK(xb_sealer_content_id(sealer, 0, plain, len, &entries[i].id, &err));
        assert_int_equal(probe_seal_content(sealer, &entries[i].id, plain, len, &sealed), 0);
        PROBE_OK(probe_pack_append(pack, sealed.data, (uint32_t)sealed.len, &entries[i], &err));
    }
}

static void packs_say_what_is_in_them(void **state)
{
    (void)state;
    struct property source = property_begin("pack");
    XB_CLEANUP(xb_store_freep) struct xb_store *made = probe_repository_store();
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = probe_open(made);
    const struct xb_sealer *sealer = repository->sealer;
    for (int round = 0; round < ROUNDS; round++) {
        XB_CLEANUP(xb_store_freep) struct xb_store *store = probe_empty_store();
        XB_CLEANUP(xb_pack_freep) struct xb_pack *pack = NULL;
        XB_CLEANUP(xb_buf_free) struct xb_buf blob = XB_BUF_INIT(1 << 20);
        XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(1 << 20);
        struct xb_index_entry entries[CONTENTS_MAX] = {{.format_version = 0}};
        struct found found = {.wanted = entries};
        struct xb_names names = {.count = 0};
        struct xb_pack_tail tail;
        size_t count = 1 + property_below(&source, CONTENTS_MAX);
        PROBE_OK(xb_pack_new(store, 'p', "s0123456789abcdef147", &pack, &err));
        fill_pack(&source, sealer, pack, entries, count);
        PROBE_OK(xb_pack_close(pack, sealer, &err));
        PROBE_OK(xb_store_get(store, xb_pack_name(pack), 0, XB_STORE_TO_END, &blob, &err));
        PROBE_OK(xb_pack_tail_parse(blob.data, blob.len, &tail, &err));
        assert_true(tail.index_offset + tail.index_len < blob.len);
        PROBE_OK(xb_unseal(sealer, tail.iv, tail.iv_len, blob.data + tail.index_offset,
                           (size_t)tail.index_len, &plain, &err));
        PROBE_OK(xb_index_decode(plain.data, plain.len, xb_sealer_hash_bytes(sealer), &names, find,
                                 &found, &err));
        assert_int_equal(found.count, count);
        xb_names_free(&names);
        tail_is_refused_when_spoilt(&source, &blob);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(packs_say_what_is_in_them)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
