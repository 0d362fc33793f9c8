/* SPDX-License-Identifier: Apache-2.0
 *
 * Making and opening repositories, and their contents: stored once, found by everyone after a
 * flush, refused when they are not what their name says.
 */
#include "shared/base/clock.h"
#include "shared/codec/json.h"
#include "shared/repository/state.h"
#include "tests/harness/format_probe.h"
#include "tests/harness/hook_store.h"
#include "tests/harness/opened_repository.h"

static int open_with(const char *text, struct xb_repository **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(text);
    return xb_repository_open(xb_store_ref(store), password, NULL, ret, err);
}

static int create_with(struct xb_store *in, const struct xb_repository_create_options *options,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(PROBE_PASSWORD);
    return xb_repository_create(xb_store_ref(in), password, options, err);
}

static void load(struct xb_store *from, const char *name, struct xb_buf *out)
{
    PROBE_OK(xb_store_get(from, name, 0, XB_STORE_TO_END, out, &err));
}

/* ---- create ---- */

static void create_makes_veleros_blobs(void **state)
{
    (void)state;
    const struct xb_repository_create_options options = {.velero_marker = true};
    XB_CLEANUP(xb_store_freep) struct xb_store *made = probe_create(&options);
    assert_int_equal(probe_count(made, ""), 4);
    assert_int_equal(probe_count(made, "kopia.repository"), 1);
    assert_int_equal(probe_count(made, "q"), 1);
    assert_int_equal(probe_count(made, "xn0_"), 1);
    XB_CLEANUP(xb_buf_free) struct xb_buf outer = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf marker = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    char want[200];
    load(made, "kopia.repository", &outer);
    load(made, "udmrepo.Repository", &marker);
    PROBE_OK(xb_json_parse(outer.data, outer.len, &json, &err));
    snprintf(want, sizeof want, "{\"uniqueID\":\"%s\"}", xb_json_str(json, "uniqueID", "?"));
    assert_string_equal(marker.data, want);
}

static void create_twice_is_a_conflict(void **state)
{
    (void)state;
    XB_CLEANUP(xb_store_freep) struct xb_store *made = probe_repository_store();
    XB_CLEANUP(xb_buf_free) struct xb_buf before = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf after = XB_BUF_INIT(100000);
    load(made, "kopia.repository", &before);
    PROBE_REFUSED(create_with(made, NULL, &err), XB_ERR_CONFLICT, "repository already");
    load(made, "kopia.repository", &after);
    assert_string_equal(before.data, after.data);
    static const char *const others[] = {"kopia.blobcfg", "readme.txt", "pabc"};
    for (size_t i = 0; i < 3; i++) {
        XB_CLEANUP(xb_store_freep) struct xb_store *used = probe_empty_store();
        probe_put(used, others[i], "x");
        PROBE_REFUSED(create_with(used, NULL, &err), XB_ERR_CONFLICT, others[i]);
        assert_int_equal(probe_count(used, ""), 1);
    }
}

/* A creation that was killed right after its format blob is ended by the next one; then it is a
 * repository like any other. */
static void create_ends_what_was_cut_off(void **state)
{
    (void)state;
    XB_CLEANUP(xb_store_freep) struct xb_store *whole = probe_repository_store();
    XB_CLEANUP(xb_store_freep) struct xb_store *cut = probe_empty_store();
    XB_CLEANUP(xb_buf_free) struct xb_buf format = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf again = XB_BUF_INIT(100000);
    const struct xb_repository_create_options velero = {.velero_marker = true};
    load(whole, "kopia.repository", &format);
    probe_put(cut, "kopia.repository", format.data);
    PROBE_OK(create_with(cut, &velero, &err));
    load(cut, "kopia.repository", &again);
    assert_string_equal(format.data, again.data);
    assert_int_equal(probe_count(cut, "xn0_"), 1);
    assert_int_equal(probe_count(cut, "udmrepo.Repository"), 1);
    PROBE_REFUSED(create_with(cut, &velero, &err), XB_ERR_CONFLICT, "repository already");
    assert_int_equal(probe_count(cut, "xn0_"), 1);
    /* One that an older Velero made lacks only the marker. */
    PROBE_OK(xb_store_delete(cut, "udmrepo.Repository", &err));
    PROBE_OK(create_with(cut, &velero, &err));
    assert_int_equal(probe_count(cut, "xn0_"), 1);
    assert_int_equal(probe_count(cut, "udmrepo.Repository"), 1);
}

/* Somebody else's put between our look and ours: their repository stays. */
static void race_in(struct hooks *hooks, enum hook_call call, const char *name,
                    struct xb_store *inner)
{
    if (call == HOOK_PUT && strcmp(name, hooks->context) == 0) {
        probe_put(inner, name, "theirs");
    }
}

static void create_does_not_overwrite(void **state)
{
    (void)state;
    static char format[] = "kopia.repository";
    struct hooks hooks = {.before = race_in, .context = format};
    XB_CLEANUP(xb_store_freep)
    struct xb_store *shared = hook_store_open(probe_empty_store(), &hooks);
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(100000);
    PROBE_REFUSED(create_with(shared, NULL, &err), XB_ERR_CONFLICT, format);
    load(shared, format, &text);
    assert_string_equal(text.data, "theirs");
}

static void unknown_algorithms_are_refused_first(void **state)
{
    (void)state;
    const struct xb_repository_create_options all[] = {
        {.hash = "MD5"}, {.encryption = "ROT13-HMAC"}, {.hash = ""}};
    static const char *const words[] = {"MD5", "ROT13-HMAC", NULL};
    for (size_t i = 0; i < 3; i++) {
        XB_CLEANUP(xb_store_freep) struct xb_store *empty = probe_empty_store();
        PROBE_REFUSED(create_with(empty, &all[i], &err), XB_ERR_INVALID, words[i]);
        assert_int_equal(probe_count(empty, ""), 0);
    }
}

static void other_algorithms_work(void **state)
{
    (void)state;
    const struct xb_repository_create_options all[] = {
        {.hash = "HMAC-SHA256",
         .encryption = "CHACHA20-POLY1305-HMAC-SHA256",
         .splitter = "FIXED-1M",
         .owner = "root@there"},
        {.hash = "HMAC-SHA224"}};
    for (size_t i = 0; i < 2; i++) {
        XB_CLEANUP(xb_store_freep) struct xb_store *made = probe_create(&all[i]);
        XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(made);
        struct xb_content_write_result a = probe_write(one, 0, "hello");
        struct xb_content_write_result b = probe_write(one, 'k', "hello");
        probe_flush(one);
        XB_CLEANUP(xb_repository_freep) struct xb_repository *two = probe_open(made);
        probe_holds(two, &a.id, "hello");
        probe_holds(two, &b.id, "hello");
        assert_int_equal(a.id.len, i ? 28 : 32);
    }
}

/* ---- open ---- */

static void open_refuses(void **state)
{
    (void)state;
    struct xb_repository *opened = NULL;
    PROBE_REFUSED(open_with("static-passw0rD", &opened, &err), XB_ERR_DENIED, "password");
    PROBE_REFUSED(open_with("", &opened, &err), XB_ERR_DENIED, "password");
    PROBE_OK(xb_store_delete(store, "kopia.repository", &err));
    PROBE_REFUSED(open_with(PROBE_PASSWORD, &opened, &err), XB_ERR_NOT_FOUND, "no repository");
    probe_put(store, "kopia.repository", "{}");
    PROBE_REFUSED(open_with(PROBE_PASSWORD, &opened, &err), XB_ERR_CORRUPT, "kopia.repository");
    assert_null(opened);
}

static void formats_we_cannot_serve_are_named(void **state)
{
    static const struct {
        const char *from, *to, *words;
        enum xb_error_kind kind;
    } cases[] = {
        {"\"version\":3", "\"version\":7", "version 7", XB_ERR_INVALID},
        {"\"version\":3", "\"version\":1", "version 1", XB_ERR_INVALID},
        {"\"version\"", FORMAT_PROBE_LOCK "\"version\"", "carol", XB_ERR_RETRY},
        {"\"version\"", "\"requiredFeatures\":[{\"feature\":\"warp\"}],\"version\"", "'warp'",
         XB_ERR_INVALID},
        {"\"version\"", "\"ecc\":\"REED-SOLOMON-CRC32\",\"eccOverheadPercent\":1,\"version\"",
         "REED-SOLOMON-CRC32", XB_ERR_INVALID},
        {"BLAKE2B-256-128", "BLAKE9", "BLAKE9", XB_ERR_INVALID},
        {"AES256-GCM-HMAC-SHA256", "DES", "DES", XB_ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_repository *opened = NULL;
        (void)setup(state);
        format_probe_change(store, cases[i].from, cases[i].to);
        PROBE_REFUSED(open_with(PROBE_PASSWORD, &opened, &err), cases[i].kind, cases[i].words);
        assert_null(opened);
        (void)teardown(state);
    }
}

/* A long write session looks at the format again, and stops when it may not go on. */
static void the_format_is_read_again(void **state)
{
    (void)state;
    (void)probe_write(repository, 0, "before");
    format_probe_change(store, "\"maxPackSize\":20971520", "\"maxPackSize\":10485760");
    probe_flush(repository);
    assert_int_equal(repository->format.pack_bytes_max, 20971520); /* looked at a moment ago */
    (void)probe_write(repository, 0, "later");
    repository->format_checked_ns -= XB_FORMAT_AGE_NS_MAX;
    probe_flush(repository);
    assert_int_equal(repository->format.pack_bytes_max, 10485760);

    size_t indexes = probe_count(store, "x");
    (void)probe_write(repository, 0, "too late");
    format_probe_change(store, "\"version\"", FORMAT_PROBE_LOCK "\"version\"");
    repository->format_checked_ns -= XB_FORMAT_AGE_NS_MAX;
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_RETRY, "carol");
    assert_int_equal(probe_count(store, "x"), indexes);
    format_probe_change(store, FORMAT_PROBE_LOCK, "");
    probe_flush(repository);
    assert_int_equal(probe_count(store, "x"), indexes + 1);

    /* Another repository in the same place. */
    XB_CLEANUP(xb_store_freep) struct xb_store *other = probe_create(NULL);
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(100000);
    load(other, "kopia.repository", &text);
    PROBE_OK(xb_store_put(store, "kopia.repository", text.data, text.len, NULL, &err));
    (void)probe_write(repository, 0, "never");
    repository->format_checked_ns -= XB_FORMAT_AGE_NS_MAX;
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_CONFLICT, "replaced");
    assert_int_equal(probe_count(store, "x"), indexes + 1);
}

static void read_only_is_read_only(void **state)
{
    (void)state;
    struct xb_content_write_result written = probe_write(repository, 0, "abc");
    probe_flush(repository);
    size_t blobs = probe_count(store, "");
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(PROBE_PASSWORD);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *reader = NULL;
    const struct xb_repository_open_options options = {.read_only = true};
    struct xb_content_write_result result;
    PROBE_OK(xb_repository_open(xb_store_ref(store), password, &options, &reader, &err));
    probe_holds(reader, &written.id, "abc");
    PROBE_REFUSED(xb_content_write(reader, 0, "x", 1, XB_COMPRESSION_NONE, &result, &err),
                  XB_ERR_DENIED, "reading only");
    PROBE_REFUSED(xb_content_delete(reader, &written.id, &err), XB_ERR_DENIED, "reading only");
    PROBE_REFUSED(xb_repository_flush(reader, &err), XB_ERR_DENIED, "reading only");
    assert_int_equal(probe_count(store, ""), blobs);
}

static void foreign_blobs_are_no_matter(void **state)
{
    (void)state;
    static const char *const names[] = {
        "unotes",        "zebra",    "x",         "xyz",    "xn",      "xn_abc-s1-c1",
        "xq0_abc-s1-c1", "n000-old", "_log_2026", "README", "xs0_abc", "xw",
        "xwabc",         "xe",       "xe9x",      "qx",     "p"};
    struct xb_content_write_result written = probe_write(repository, 0, "abc");
    probe_flush(repository);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        probe_put(store, names[i], "not one of kopia's");
    }
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    probe_holds(other, &written.id, "abc");
    struct xb_content_write_result more = probe_write(other, 0, "def");
    probe_flush(other);
    PROBE_OK(xb_repository_refresh(repository, &err));
    probe_holds(repository, &more.id, "def");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct xb_store_item item;
        PROBE_OK(xb_store_stat(store, names[i], &item, &err));
    }
    /* But one that says to be of the index and is not, is. */
    probe_put(store, "xn0_00112233445566778899aabbccddeeff-s0123456789abcdef147-c1", "junk");
    PROBE_REFUSED(xb_repository_refresh(repository, &err), XB_ERR_CORRUPT, NULL);
}

static void clocks_must_agree(void **state)
{
    (void)state;
    static const int64_t shifts_s[] = {299, -299, 302, -302, 86400, -86400};
    for (size_t i = 0; i < 6; i++) {
        struct hooks hooks = {.mtime_shift_ns = shifts_s[i] * XB_NS_PER_S};
        XB_CLEANUP(xb_store_freep)
        struct xb_store *shifted = hook_store_open(probe_repository_store(), &hooks);
        XB_CLEANUP(xb_repository_freep) struct xb_repository *one = probe_open(shifted);
        struct xb_content_write_result result;
        if (i < 2) {
            (void)probe_write(one, 0, "abc");
            probe_flush(one);
            continue;
        }
        PROBE_REFUSED(xb_content_write(one, 0, "abc", 3, XB_COMPRESSION_NONE, &result, &err),
                      XB_ERR_INVALID, "clock");
        assert_true(xb_repository_failed(one));
        PROBE_REFUSED(xb_repository_flush(one, &err), XB_ERR_INVALID, "clock");
        assert_int_equal(probe_count(shifted, "s"), 0);
        assert_int_equal(probe_count(shifted, "p"), 0);
        assert_int_equal(probe_count(shifted, "x"), 1);
    }
}

/* ---- contents ---- */

static void contents_are_stored_once(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_write_result b = probe_write(repository, 0, "abc");
    struct xb_content_write_result c = probe_write(repository, 'k', "abc");
    assert_false(a.existed);
    assert_true(b.existed);
    assert_false(c.existed);
    assert_int_equal(a.packed_bytes, 3 + XB_SEAL_OVERHEAD_BYTES);
    assert_int_equal(b.packed_bytes, 0);
    assert_int_equal(xb_content_id_compare(&a.id, &b.id), 0);
    assert_int_not_equal(xb_content_id_compare(&a.id, &c.id), 0);
    probe_flush(repository);
    assert_int_equal(probe_count(store, "p"), 1);
    assert_int_equal(probe_count(store, "q"), 2);
    assert_true(probe_write(repository, 0, "abc").existed);
    assert_true(probe_write(repository, 'k', "abc").existed);
    probe_flush(repository); /* nothing new: nothing is written */
    assert_int_equal(probe_count(store, "p"), 1);
    assert_int_equal(probe_count(store, "x"), 2);
    probe_holds(repository, &a.id, "abc");
    probe_holds(repository, &c.id, "abc");
    assert_true(xb_content_reuse(repository, &a.id));
    a.id.hash[3] ^= 1;
    assert_false(xb_content_reuse(repository, &a.id));
}

static void two_handles_see_each_other(void **state)
{
    (void)state;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    struct xb_content_write_result a = probe_write(repository, 0, "mine");
    struct xb_content_write_result b = probe_write(other, 0, "yours");
    struct xb_content_write_result both = probe_write(repository, 0, "both");
    assert_false(probe_write(other, 0, "both").existed);
    struct xb_content_info info;
    PROBE_REFUSED(xb_content_stat(other, &a.id, &info, &err), XB_ERR_NOT_FOUND, NULL);
    probe_flush(repository);
    probe_flush(other);
    PROBE_OK(xb_repository_refresh(repository, &err));
    probe_holds(other, &a.id, "mine");
    probe_holds(repository, &b.id, "yours");
    probe_holds(repository, &both.id, "both");
    probe_holds(other, &both.id, "both");
    assert_true(probe_write(other, 0, "mine").existed);
    assert_true(probe_write(repository, 0, "yours").existed);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *third = probe_open(store);
    probe_holds(third, &a.id, "mine");
    probe_holds(third, &b.id, "yours");
}

static void make_old(struct xb_repository *one)
{
    pthread_mutex_lock(&one->lock);
    one->table_listed_ns -= XB_TABLE_AGE_NS_MAX + XB_NS_PER_S;
    pthread_mutex_unlock(&one->lock);
}

/* A view that is 15 minutes old decides nothing any more. */
static void an_old_view_is_renewed(void **state)
{
    (void)state;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    struct xb_content_write_result a = probe_write(repository, 0, "mine");
    probe_flush(repository);
    assert_false(probe_write(other, 0, "mine").existed);
    struct xb_content_write_result b = probe_write(repository, 0, "more");
    probe_flush(repository);
    make_old(other);
    assert_true(probe_write(other, 0, "more").existed);
    struct xb_content_write_result c = probe_write(repository, 0, "last");
    probe_flush(repository);
    make_old(other);
    probe_holds(other, &c.id, "last"); /* not known there: looked for once more */
    probe_flush(other);
    probe_holds(other, &a.id, "mine");
    probe_holds(other, &b.id, "more");
}

static void missing_contents_are_damage(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 'k', "abc");
    struct xb_buf out = XB_BUF_INIT(1000);
    char text[XB_CONTENT_ID_TEXT_BYTES];
    a.id.hash[0] ^= 1;
    xb_content_id_format(&a.id, text);
    PROBE_OK(xb_buf_append(&out, "keep", 4, &err));
    PROBE_REFUSED(xb_content_read(repository, &a.id, false, &out, &err), XB_ERR_CORRUPT, text);
    assert_string_equal(out.data, "keep");
    struct xb_content_info info;
    PROBE_REFUSED(xb_content_stat(repository, &a.id, &info, &err), XB_ERR_NOT_FOUND, text);
    PROBE_REFUSED(xb_content_delete(repository, &a.id, &err), XB_ERR_NOT_FOUND, text);
    xb_buf_free(&out);
}

static void damaged_packs_are_named(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "some bytes of a file");
    struct xb_content_info info;
    struct xb_buf out = XB_BUF_INIT(1000);
    XB_CLEANUP(xb_buf_free) struct xb_buf pack = XB_BUF_INIT(100000);
    probe_flush(repository);
    PROBE_OK(xb_content_stat(repository, &a.id, &info, &err));
    load(store, info.pack, &pack);
    for (size_t i = 0; i < a.packed_bytes; i += 5) {
        pack.data[info.pack_offset + i] ^= 1;
        PROBE_OK(xb_store_put(store, info.pack, pack.data, pack.len, NULL, &err));
        PROBE_REFUSED(xb_content_read(repository, &a.id, false, &out, &err), XB_ERR_CORRUPT,
                      info.pack);
        assert_int_equal(out.len, 0);
        pack.data[info.pack_offset + i] ^= 1;
    }
    PROBE_OK(xb_store_put(store, info.pack, pack.data, info.pack_offset + 10, NULL, &err));
    PROBE_REFUSED(xb_content_read(repository, &a.id, false, &out, &err), XB_ERR_CORRUPT, info.pack);
    PROBE_OK(xb_store_delete(store, info.pack, &err));
    PROBE_REFUSED(xb_content_read(repository, &a.id, false, &out, &err), XB_ERR_CORRUPT, info.pack);
    PROBE_OK(xb_store_put(store, info.pack, pack.data, pack.len, NULL, &err));
    probe_holds(repository, &a.id, "some bytes of a file");
    xb_buf_free(&out);
}

static void compression(void **state)
{
    (void)state;
    static const enum xb_compression kinds[] = {XB_COMPRESSION_ZSTD, XB_COMPRESSION_ZSTD_FASTEST};
    char text[5000];
    for (size_t i = 0; i < 2; i++) {
        struct xb_content_write_result result;
        struct xb_content_info info;
        memset(text, 'a' + (int)i, sizeof text - 1);
        text[sizeof text - 1] = '\0';
        PROBE_OK(xb_content_write(repository, 'k', text, sizeof text - 1, kinds[i], &result, &err));
        assert_true(result.packed_bytes < 500);
        /* What does not become smaller is stored as it is. */
        struct xb_content_write_result small;
        PROBE_OK(xb_content_write(repository, 'k', i ? "x" : "y", 1, kinds[i], &small, &err));
        probe_flush(repository);
        PROBE_OK(xb_content_stat(repository, &result.id, &info, &err));
        assert_int_equal(info.compression, kinds[i]);
        assert_int_equal(info.plain_bytes, sizeof text - 1);
        assert_int_equal(info.packed_bytes, result.packed_bytes);
        probe_holds(repository, &result.id, text);
        PROBE_OK(xb_content_stat(repository, &small.id, &info, &err));
        assert_int_equal(info.compression, 0);
        probe_holds(repository, &small.id, i ? "x" : "y");
    }
}

static void full_packs_are_closed(void **state)
{
    (void)state;
    enum { BYTES = 300000, COUNT = 10 };
    repository->format.pack_bytes_max = 1 << 20;
    char *data = malloc(BYTES);
    struct xb_content_id ids[COUNT];
    assert_non_null(data);
    for (int i = 0; i < COUNT; i++) {
        struct xb_content_write_result result;
        memset(data, i, BYTES);
        PROBE_OK(xb_content_write(repository, 0, data, BYTES, XB_COMPRESSION_NONE, &result, &err));
        ids[i] = result.id;
        assert_int_equal(probe_count(store, "p"), (size_t)(i + 1) / 4);
    }
    /* What lies in a closed pack can be read already. */
    struct xb_buf out = XB_BUF_INIT(BYTES);
    PROBE_OK(xb_content_read(repository, &ids[0], true, &out, &err));
    assert_int_equal(out.len, BYTES);
    probe_flush(repository);
    assert_int_equal(probe_count(store, "p"), 3);
    assert_int_equal(probe_count(store, "x"), 2); /* one index for all of them */
    for (int i = 0; i < COUNT; i++) {
        xb_buf_clear(&out);
        PROBE_OK(xb_content_read(repository, &ids[i], true, &out, &err));
        assert_int_equal(out.data[BYTES / 2], i);
    }
    xb_buf_free(&out);
    free(data);
}

static void not_every_content_is_possible(void **state)
{
    (void)state;
    static const char prefixes[] = {'a', 'f', '{', '0', 'K', -1};
    struct xb_content_write_result result;
    for (size_t i = 0; i < sizeof prefixes; i++) {
        PROBE_REFUSED(
            xb_content_write(repository, prefixes[i], "x", 1, XB_COMPRESSION_NONE, &result, &err),
            XB_ERR_BUG, NULL);
    }
    PROBE_REFUSED(xb_content_write(repository, 0, "x", (size_t)XB_CONTENT_BYTES_MAX + 1,
                                   XB_COMPRESSION_NONE, &result, &err),
                  XB_ERR_BUG, NULL);
    assert_false(xb_repository_failed(repository));
    (void)probe_write(repository, 'g', "x");
    (void)probe_write(repository, 'z', "");
    probe_flush(repository);
}

struct seen {
    char text[4096];
    size_t stop_at, count;
};

static int see(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    struct seen *seen = context;
    char id[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(&info->id, id);
    if (seen->count) { /* in order */
        assert_true(strlen(id) % 2 > strlen(seen->text) % 2 || strcmp(seen->text, id) < 0);
    }
    memcpy(seen->text, id, sizeof id);
    return ++seen->count == seen->stop_at ? xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "stop")
                                          : 0;
}

static size_t list_count(int prefix)
{
    struct seen seen = {.count = 0};
    PROBE_OK(xb_content_list(repository, prefix, see, &seen, &err));
    return seen.count;
}

static int sum_packs(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    (void)err;
    *(uint64_t *)context += item->size;
    return 0;
}

static void listing_and_numbers(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        char text[20];
        snprintf(text, sizeof text, "%d", i);
        struct xb_content_write_result result = probe_write(repository, i % 2 ? 'k' : 0, text);
        if (i == 7) {
            PROBE_OK(xb_content_delete(repository, &result.id, &err));
        }
    }
    probe_flush(repository);
    assert_int_equal(list_count(0), 10);
    assert_int_equal(list_count('k'), 10);
    assert_int_equal(list_count('m'), 1);
    assert_int_equal(list_count('l'), 0);
    assert_int_equal(list_count(-1), 21);
    struct seen seen = {.stop_at = 3};
    PROBE_REFUSED(xb_content_list(repository, -1, see, &seen, &err), XB_ERR_CANCELLED, "stop");
    assert_int_equal(seen.count, 3);
    struct xb_repository_info info;
    PROBE_OK(xb_repository_info(repository, &info, &err));
    assert_int_equal(info.contents, 20);
    assert_int_equal(info.deleted_contents, 1);
    assert_int_equal(info.packs, 3);
    assert_int_equal(info.index_blobs, 2);
    assert_int_equal(info.write_epoch, 0);
    assert_int_equal(info.format_version, 3);
    assert_string_equal(info.hash, "BLAKE2B-256-128");
    assert_string_equal(info.splitter, "DYNAMIC-128K-BUZHASH");
    assert_string_equal(xb_repository_splitter(repository), "DYNAMIC-128K-BUZHASH");
    assert_int_equal(strlen(info.unique_id_hex), 64);
    assert_int_equal(info.packed_bytes - info.plain_bytes, 20 * XB_SEAL_OVERHEAD_BYTES);
    uint64_t bytes = 0;
    PROBE_OK(xb_repository_list_packs(repository, sum_packs, &bytes, &err));
    assert_true(bytes > info.packed_bytes);
}

/* ---- deleted contents ---- */

/* Still readable, never reused, and written again they are younger. */
static void deleted_contents_are_written_again(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_info written;
    struct xb_content_info deleted;
    struct xb_content_info again;
    probe_flush(repository);
    PROBE_OK(xb_content_stat(repository, &a.id, &written, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    PROBE_OK(xb_content_delete(other, &a.id, &err));
    PROBE_OK(xb_content_delete(other, &a.id, &err)); /* once more changes nothing */
    probe_flush(other);
    PROBE_OK(xb_repository_refresh(repository, &err));
    PROBE_OK(xb_content_stat(repository, &a.id, &deleted, &err));
    assert_true(deleted.deleted);
    assert_true(deleted.timestamp_s > written.timestamp_s);
    assert_string_equal(deleted.pack, written.pack);
    assert_int_equal(deleted.pack_offset, written.pack_offset);
    probe_holds(repository, &a.id, "abc");
    assert_false(xb_content_reuse(repository, &a.id));
    struct xb_content_write_result b = probe_write(repository, 0, "abc");
    assert_false(b.existed);
    probe_flush(repository);
    PROBE_OK(xb_content_stat(repository, &a.id, &again, &err));
    assert_false(again.deleted);
    assert_true(again.timestamp_s > deleted.timestamp_s);
    assert_string_not_equal(again.pack, written.pack);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *third = probe_open(store);
    PROBE_OK(xb_store_delete(store, written.pack, &err));
    probe_holds(third, &a.id, "abc");
}

/* Deletions of one session, of contents of the same session. */
static void deleted_before_the_flush(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_info info;
    PROBE_OK(xb_content_delete(repository, &a.id, &err));
    assert_false(xb_content_reuse(repository, &a.id));
    struct xb_content_write_result b = probe_write(repository, 0, "abc");
    assert_false(b.existed);
    struct xb_content_write_result c = probe_write(repository, 0, "gone");
    PROBE_OK(xb_content_delete(repository, &c.id, &err));
    probe_flush(repository);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    probe_holds(other, &a.id, "abc");
    PROBE_OK(xb_content_stat(other, &a.id, &info, &err));
    assert_false(info.deleted);
    PROBE_OK(xb_content_stat(other, &c.id, &info, &err));
    assert_true(info.deleted);
}

static void below_the_watermark_is_nothing(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_write_result b = probe_write(repository, 0, "def");
    struct xb_content_info info;
    char mark[40];
    probe_flush(repository);
    PROBE_OK(xb_content_delete(repository, &a.id, &err));
    probe_flush(repository);
    PROBE_OK(xb_content_stat(repository, &a.id, &info, &err));
    snprintf(mark, sizeof mark, "xw%llu", (unsigned long long)info.timestamp_s);
    probe_put(store, mark, "deletion-watermark");
    PROBE_OK(xb_repository_refresh(repository, &err));
    PROBE_REFUSED(xb_content_stat(repository, &a.id, &info, &err), XB_ERR_NOT_FOUND, NULL);
    probe_holds(repository, &b.id, "def");
    assert_false(probe_write(repository, 0, "abc").existed);
    assert_true(probe_write(repository, 0, "def").existed);
}

/* Maintenance has moved a content into another pack and removed the first. */
static void moved_contents_are_found(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    struct xb_content_info info;
    probe_flush(repository);
    PROBE_OK(xb_content_stat(repository, &a.id, &info, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    PROBE_OK(xb_content_delete(other, &a.id, &err));
    (void)probe_write(other, 0, "abc");
    probe_flush(other);
    PROBE_OK(xb_store_delete(store, info.pack, &err));
    make_old(repository);
    probe_holds(repository, &a.id, "abc");
}

/* ---- layout, age, threads ---- */

static void layouts(void **state)
{
    (void)state;
    struct xb_store *flat = NULL;
    struct xb_store *folders = NULL;
    PROBE_OK(xb_repository_layout(xb_store_ref(store), false, &flat, &err));
    assert_ptr_equal(flat, store);
    xb_store_free(flat);
    XB_CLEANUP(xb_store_freep) struct xb_store *empty = probe_empty_store();
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(PROBE_PASSWORD);
    PROBE_OK(xb_repository_layout(xb_store_ref(empty), true, &folders, &err));
    PROBE_OK(xb_repository_create(folders, password, NULL, &err));
    assert_int_equal(probe_count(empty, ".shards"), 1);
    assert_int_equal(probe_count(empty, "kopia.repository.f"), 1);
    PROBE_OK(xb_repository_layout(xb_store_ref(empty), false, &folders, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *opened = NULL;
    PROBE_OK(xb_repository_open(folders, password, NULL, &opened, &err));
    struct xb_content_write_result a = probe_write(opened, 0, "abc");
    probe_flush(opened);
    probe_holds(opened, &a.id, "abc");
}

static void flushes_become_due(void **state)
{
    (void)state;
    assert_false(xb_repository_flush_due(repository, XB_FLUSH_AGE_NS_MAX));
    (void)probe_write(repository, 0, "abc");
    assert_false(xb_repository_flush_due(repository, XB_FLUSH_AGE_NS_MAX));
    repository->first_pending_ns -= XB_FLUSH_AGE_NS_MAX + 1;
    assert_true(xb_repository_flush_due(repository, XB_FLUSH_AGE_NS_MAX));
    probe_flush(repository);
    assert_false(xb_repository_flush_due(repository, XB_FLUSH_AGE_NS_MAX));
}

enum { THREADS = 4, ROUNDS = 60 };

struct thread {
    pthread_t thread;
    int number;
    struct xb_content_id ids[ROUNDS];
    bool ok;
};

static void *work(void *context)
{
    struct thread *own = context;
    struct xb_error err = XB_ERROR_INIT;
    own->ok = true;
    for (int i = 0; i < ROUNDS && own->ok; i++) {
        char text[40];
        struct xb_content_write_result result;
        /* Half of them are everyone's. */
        snprintf(text, sizeof text, "%d of %d", i, i % 2 ? own->number : -1);
        own->ok = xb_content_write(repository, i % 4 ? 0 : 'k', text, strlen(text),
                                   XB_COMPRESSION_ZSTD, &result, &err) == 0;
        own->ids[i] = result.id;
        if (own->ok && i % 20 == 19) {
            own->ok = i % 40 == 19 ? xb_repository_flush(repository, &err) == 0
                                   : xb_repository_refresh(repository, &err) == 0;
        }
        if (own->ok && i == 25) {
            struct xb_buf out = XB_BUF_INIT(1000);
            own->ok = xb_content_read(repository, &own->ids[3], true, &out, &err) == 0;
            xb_buf_free(&out);
        }
        (void)xb_content_reuse(repository, &own->ids[i / 2]);
    }
    if (!own->ok) {
        print_error("thread %d: %s\n", own->number, err.text);
    }
    return NULL;
}

static void threads_share_a_handle(void **state)
{
    (void)state;
    static struct thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i].number = i;
        assert_int_equal(pthread_create(&threads[i].thread, NULL, work, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        assert_true(threads[i].ok);
    }
    probe_flush(repository);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    for (int i = 0; i < THREADS; i++) {
        for (int k = 0; k < ROUNDS; k++) {
            char text[40];
            snprintf(text, sizeof text, "%d of %d", k, k % 2 ? i : -1);
            probe_holds(other, &threads[i].ids[k], text);
        }
    }
    assert_int_equal(probe_count(store, "s"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_makes_veleros_blobs),
        cmocka_unit_test(create_twice_is_a_conflict),
        cmocka_unit_test(create_ends_what_was_cut_off),
        cmocka_unit_test(create_does_not_overwrite),
        cmocka_unit_test(unknown_algorithms_are_refused_first),
        cmocka_unit_test(other_algorithms_work),
        TEST(open_refuses),
        cmocka_unit_test(formats_we_cannot_serve_are_named),
        TEST(the_format_is_read_again),
        TEST(read_only_is_read_only),
        TEST(foreign_blobs_are_no_matter),
        cmocka_unit_test(clocks_must_agree),
        TEST(contents_are_stored_once),
        TEST(two_handles_see_each_other),
        TEST(an_old_view_is_renewed),
        TEST(missing_contents_are_damage),
        TEST(damaged_packs_are_named),
        TEST(compression),
        TEST(full_packs_are_closed),
        TEST(not_every_content_is_possible),
        TEST(listing_and_numbers),
        TEST(deleted_contents_are_written_again),
        TEST(deleted_before_the_flush),
        TEST(below_the_watermark_is_nothing),
        TEST(moved_contents_are_found),
        TEST(layouts),
        TEST(flushes_become_due),
        TEST(threads_share_a_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
