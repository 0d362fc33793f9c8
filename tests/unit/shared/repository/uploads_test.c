/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs on their way: every writer uploads the one that it filled while the others go on; what the
 * end of a pack tells; and how large one may become.
 */
#include "tests/harness/repository_probe.h"

#include <pthread.h>

#include "shared/store/fault/fault.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/hook_store.h"
#include "tests/harness/pack_probe.h"

enum { THREADS = 4, WRITES = 5, CONTENT_BYTES = 2000, PACK_BYTES = 1000, SLOW_MS = 100 };

static struct xb_store *base;
static struct xb_fault *fault;
static struct xb_store *faulty; /* on base */
static struct xb_store *store;  /* hooks on faulty */
static struct hooks hooks;
static struct xb_repository *repository;

/* How many packs are being committed, and were at the most. */
struct gauge {
    int now, most, begun, at_index;
};
static struct gauge gauge;

static void commit_begins(struct hooks *self, enum hook_call call, const char *name,
                          struct xb_store *inner)
{
    (void)self;
    (void)inner;
    if (call == HOOK_PUT && strncmp(name, "xn", 2) == 0 && gauge.now > gauge.at_index) {
        gauge.at_index = gauge.now;
    }
    if (call == HOOK_COMMIT) {
        gauge.begun++;
        gauge.now++;
        gauge.most = gauge.now > gauge.most ? gauge.now : gauge.most;
    }
}

static void commit_ends(struct hooks *self, enum hook_call call, const char *name,
                        struct xb_store *inner)
{
    (void)self;
    (void)name;
    (void)inner;
    gauge.now -= call == HOOK_COMMIT;
}

static int setup(void **state)
{
    (void)state;
    gauge = (struct gauge){.now = 0};
    hooks = (struct hooks){.before = commit_begins, .after = commit_ends};
    base = probe_repository_store();
    PROBE_OK(xb_store_fault_open(xb_store_ref(base), &faulty, &fault, &err));
    store = hook_store_open(xb_store_ref(faulty), &hooks);
    repository = probe_open(store);
    repository->format.pack_bytes_max = PACK_BYTES;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(store);
    xb_store_free(faulty);
    xb_store_free(base);
    return 0;
}

/* ---- at the same time ---- */

struct writer {
    pthread_t thread;
    int number, failed;
    struct xb_error first;
    struct xb_content_id ids[WRITES];
};

static void fill(char data[CONTENT_BYTES], int writer, int i)
{
    memset(data, 'x', CONTENT_BYTES);
    (void)snprintf(data, 40, "%d of %d", i, writer);
}

static void *write_packs(void *context)
{
    struct writer *writer = context;
    for (int i = 0; i < WRITES; i++) {
        char data[CONTENT_BYTES];
        struct xb_error err = XB_ERROR_INIT;
        struct xb_content_write_result result;
        fill(data, writer->number, i);
        if (xb_content_write(repository, 0, data, sizeof data, XB_COMPRESSION_NONE, &result, &err) <
            0) {
            writer->first = writer->failed++ ? writer->first : err;
        } else {
            writer->ids[i] = result.id;
        }
    }
    return NULL;
}

static void run(struct writer writers[THREADS])
{
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_packs, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(writers[i].thread, NULL);
    }
}

static void full_packs_are_uploaded_at_the_same_time(void **state)
{
    (void)state;
    struct writer writers[THREADS];
    const struct xb_fault_rule slow = {XB_FAULT_COMMIT, XB_FAULT_DELAY, 0, "p",
                                       XB_ERR_NONE,     SLOW_MS};
    PROBE_OK(xb_fault_add(fault, &slow, &err));
    run(writers);
    assert_int_equal(gauge.begun, THREADS * WRITES);
    assert_true(gauge.most >= 2);
    assert_true(gauge.most <= THREADS); /* never more than there are writers */
    assert_int_equal(probe_count(base, "p"), THREADS * WRITES);
    probe_flush(repository);
    assert_int_equal(gauge.now, 0);
    assert_int_equal(probe_count(base, "xn"), 2);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    for (int w = 0; w < THREADS; w++) {
        for (int i = 0; i < WRITES; i++) {
            char data[CONTENT_BYTES];
            XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(CONTENT_BYTES);
            fill(data, w, i);
            assert_int_equal(writers[w].failed, 0);
            PROBE_OK(xb_content_read(other, &writers[w].ids[i], true, &out, &err));
            assert_memory_equal(out.data, data, CONTENT_BYTES);
        }
    }
}

/* A flush that comes while others upload waits for them: it indexes nothing that is on its way. */
static void *flush_meanwhile(void *context)
{
    struct xb_error err = XB_ERROR_INIT;
    (void)context;
    for (int i = 0; i < 10; i++) {
        if (xb_repository_flush(repository, &err) < 0) {
            print_error("%s\n", err.text);
            abort();
        }
    }
    return NULL;
}

static void a_flush_waits_for_uploads(void **state)
{
    (void)state;
    struct writer writers[THREADS];
    pthread_t flusher;
    const struct xb_fault_rule slow = {XB_FAULT_COMMIT, XB_FAULT_DELAY, 0, "p", XB_ERR_NONE, 10};
    PROBE_OK(xb_fault_add(fault, &slow, &err));
    assert_int_equal(pthread_create(&flusher, NULL, flush_meanwhile, NULL), 0);
    run(writers);
    pthread_join(flusher, NULL);
    probe_flush(repository);
    assert_int_equal(gauge.at_index, 0);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    for (int w = 0; w < THREADS; w++) {
        for (int i = 0; i < WRITES; i++) {
            XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(CONTENT_BYTES);
            PROBE_OK(xb_content_read(other, &writers[w].ids[i], true, &out, &err));
        }
    }
}

/* The upload of one writer fails: everybody is told of the first cause, and nothing is committed.
 */
static void a_lost_pack_ends_it_for_all(void **state)
{
    (void)state;
    struct writer writers[THREADS];
    int failed = 0;
    const struct xb_fault_rule lost = {XB_FAULT_COMMIT, XB_FAULT_FAIL, 3, "p", XB_ERR_IO, 0};
    PROBE_OK(xb_fault_add(fault, &lost, &err));
    run(writers);
    for (int i = 0; i < THREADS; i++) {
        failed += writers[i].failed;
        assert_true(writers[i].failed == 0 || strstr(writers[i].first.text, "made to fail"));
    }
    assert_true(failed > 0);
    assert_true(xb_repository_failed(repository));
    PROBE_REFUSED(xb_repository_flush(repository, &err), XB_ERR_IO, "writing pack p");
    assert_int_equal(probe_count(base, "xn"), 1);
}

/* All of them see that a flush is due: one does it, and the others have waited for it. */
static void one_flush_for_all_who_find_it_due(void **state)
{
    (void)state;
    struct writer writers[THREADS];
    struct fake_clock ticks;
    fake_clock_init(&ticks);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *unused = repository;
    repository = probe_open_at(store, &ticks.clock);
    (void)probe_write(repository, 'k', "a small content, for which no pack is full");
    fake_clock_advance(&ticks, 600);
    hooks.mtime_shift_ns = 600 * XB_NS_PER_S;
    run(writers);
    assert_int_equal(probe_count(base, "xn"), 2);
    assert_int_equal(probe_count(base, "q"), 2); /* the repository's own, and this */
}

/* ---- the end of a pack ---- */

struct local {
    struct xb_index_entry entries[20];
    size_t count;
    struct xb_names packs;
};

static int add_entry(void *context, const struct xb_index_entry *entry, struct xb_error *err)
{
    struct local *local = context;
    (void)err;
    assert_true(local->count < 20);
    local->entries[local->count++] = *entry;
    return 0;
}

/* Reads the index that lies in a pack. */
static struct local read_local(const char *pack)
{
    struct local local = {.count = 0};
    struct xb_pack_tail tail;
    XB_CLEANUP(xb_buf_free) struct xb_buf all = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(100000);
    PROBE_OK(xb_store_get(base, pack, 0, XB_STORE_TO_END, &all, &err));
    PROBE_OK(xb_pack_tail_parse(all.data, all.len, &tail, &err));
    PROBE_OK(xb_unseal(repository->sealer, tail.iv, tail.iv_len, all.data + tail.index_offset,
                       tail.index_len, &plain, &err));
    PROBE_OK(xb_index_decode(plain.data, plain.len, 16, &local.packs, add_entry, &local, &err));
    return local;
}

static const struct xb_index_entry *find_local(const struct local *local,
                                               const struct xb_content_id *id)
{
    for (size_t i = 0; i < local->count; i++) {
        if (xb_content_id_compare(&local->entries[i].id, id) == 0) {
            return &local->entries[i];
        }
    }
    return NULL;
}

static struct xb_content_info info_of(const struct xb_content_id *id)
{
    struct xb_content_info info;
    PROBE_OK(xb_content_stat(repository, id, &info, &err));
    return info;
}

static void it_tells_of_pending_deletions(void **state)
{
    (void)state;
    struct xb_content_write_result folder = probe_write(repository, 'k', "an old folder");
    struct xb_content_write_result file = probe_write(repository, 0, "an old file");
    probe_flush(repository);
    struct xb_content_info old = info_of(&folder.id);
    PROBE_OK(xb_content_delete(repository, &folder.id, &err));
    PROBE_OK(xb_content_delete(repository, &file.id, &err));
    struct xb_content_write_result fresh = probe_write(repository, 'k', "a new folder");
    struct xb_content_write_result brief = probe_write(repository, 'k', "a folder for a moment");
    struct xb_content_write_result twice = probe_write(repository, 'k', "deleted and back");
    PROBE_OK(xb_content_delete(repository, &brief.id, &err));
    PROBE_OK(xb_content_delete(repository, &twice.id, &err));
    (void)probe_write(repository, 'k', "deleted and back");
    probe_flush(repository);
    struct xb_content_info now = info_of(&fresh.id);
    struct local local = read_local(now.pack);
    assert_int_equal(local.count, 4); /* nothing of the file: that is another kind of pack */
    const struct xb_index_entry *entry = find_local(&local, &folder.id);
    assert_true(entry && entry->deleted);
    assert_string_equal(xb_names_at(&local.packs, entry->pack), old.pack);
    assert_int_equal(entry->offset, old.pack_offset);
    assert_int_equal(entry->timestamp_s, info_of(&folder.id).timestamp_s);
    entry = find_local(&local, &fresh.id);
    assert_true(entry && !entry->deleted);
    assert_string_equal(xb_names_at(&local.packs, entry->pack), now.pack);
    entry = find_local(&local, &brief.id);
    assert_true(entry && entry->deleted);
    entry = find_local(&local, &twice.id);
    assert_true(entry && !entry->deleted);
    assert_int_equal(entry->timestamp_s, info_of(&twice.id).timestamp_s);
    assert_int_equal(entry->offset, info_of(&twice.id).pack_offset);
    xb_names_free(&local.packs);
    /* The index blob tells of all of them. */
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    struct xb_content_info seen;
    PROBE_OK(xb_content_stat(other, &file.id, &seen, &err));
    assert_true(seen.deleted);
    /* A deletion is told of once. */
    struct xb_content_write_result next = probe_write(repository, 'k', "the next folder");
    probe_flush(repository);
    local = read_local(info_of(&next.id).pack);
    assert_int_equal(local.count, 1);
    xb_names_free(&local.packs);
}

/* ---- limits ---- */

/* Takes everything and keeps nothing: packs of a gigabyte without the memory for them. */
static int null_begin(struct xb_store *self, const char *name,
                      const struct xb_store_put_options *options, struct xb_store_upload **ret,
                      struct xb_error *err)
{
    (void)self;
    (void)name;
    (void)options;
    *ret = calloc(1, sizeof **ret);
    return *ret ? 0 : xb_error_no_memory(err, "an upload");
}

static int null_write(struct xb_store_upload *upload, const void *data, size_t len,
                      struct xb_error *err)
{
    (void)upload;
    (void)data;
    (void)len;
    (void)err;
    return 0;
}

static int null_commit(struct xb_store_upload *upload, struct xb_error *err)
{
    (void)upload;
    (void)err;
    return 0;
}

static void null_upload_free(struct xb_store_upload *upload)
{
    free(upload);
}

static void null_close(struct xb_store *self)
{
    free(self);
}

static void no_offset_or_length_beyond_the_format(void **state)
{
    (void)state;
    static const struct xb_store_driver driver = {.begin = null_begin,
                                                  .write = null_write,
                                                  .commit = null_commit,
                                                  .upload_free = null_upload_free,
                                                  .close = null_close};
    struct xb_store *sink = calloc(1, sizeof *sink);
    struct xb_pack *pack = NULL;
    struct xb_index_entry entry = {.id = {.len = 16}};
    PROBE_OK(xb_store_setup(sink, &driver, false, "nowhere", &err));
    PROBE_OK(xb_pack_new(sink, 'p', "s0123456789abcdef147", &pack, &err));
    PROBE_REFUSED(probe_pack_append(pack, "x", 1U << 28, &entry, &err), XB_ERR_BUG, "too large");
    uint64_t len = XB_PACK_PREAMBLE_BYTES;
    while (len < (uint64_t)1 << 30) {
        PROBE_OK(probe_pack_append(pack, "x", (1U << 28) - 1, &entry, &err));
        assert_int_equal(entry.offset, len);
        assert_int_equal(entry.packed_bytes, (1 << 28) - 1);
        assert_true(entry.offset < 1 << 30);
        len += entry.packed_bytes;
        entry.id.hash[0]++;
    }
    PROBE_REFUSED(probe_pack_append(pack, "x", 1, &entry, &err), XB_ERR_BUG, "too large");
    PROBE_OK(xb_pack_close(pack, repository->sealer, &err));
    xb_pack_free(pack);
    xb_store_free(sink);
}

/* Readers of version 1 take for granted that nothing is compressed. */
static void nothing_is_compressed_beside_indexes_of_version_1(void **state)
{
    (void)state;
    char text[CONTENT_BYTES + 1];
    memset(text, 'x', CONTENT_BYTES);
    text[CONTENT_BYTES] = '\0';
    for (unsigned version = 1; version <= 2; version++) {
        struct xb_content_write_result result;
        repository->format.index_version = version;
        text[0] = (char)('0' + version);
        PROBE_OK(xb_content_write(repository, 0, text, CONTENT_BYTES, XB_COMPRESSION_ZSTD_FASTEST,
                                  &result, &err));
        probe_flush(repository);
        assert_int_equal(info_of(&result.id).compression,
                         version == 1 ? 0 : XB_COMPRESSION_ZSTD_FASTEST);
        probe_holds(repository, &result.id, text);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(full_packs_are_uploaded_at_the_same_time),
        TEST(a_flush_waits_for_uploads),
        TEST(a_lost_pack_ends_it_for_all),
        TEST(one_flush_for_all_who_find_it_due),
        TEST(it_tells_of_pending_deletions),
        TEST(no_offset_or_length_beyond_the_format),
        TEST(nothing_is_compressed_beside_indexes_of_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
