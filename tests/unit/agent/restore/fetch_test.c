/* SPDX-License-Identifier: Apache-2.0
 *
 * How a restore reads: few requests for many files, a chunk once for all who need it, several
 * workers for one file; and what it does when a read brings nothing, or something wrong.
 */
#include "tests/harness/restore_probe.h"

#include "agent/restore/plan.h"
#include "shared/store/fault/fault.h"

enum { SMALL_FILES = 5000, CHUNKS = 64, CHUNK_BYTES = 1000 };

/* ---- counting reads ---- */

struct counted {
    size_t gets, active, active_max;
};

static void count_before(struct hooks *hooks, enum hook_call call, const char *name,
                         struct xb_store *inner)
{
    struct counted *counted = hooks->context;
    (void)inner;
    if (call == HOOK_GET && name[0] == 'p') {
        counted->gets++;
        counted->active++;
        counted->active_max =
            counted->active > counted->active_max ? counted->active : counted->active_max;
    }
}

static void count_after(struct hooks *hooks, enum hook_call call, const char *name,
                        struct xb_store *inner)
{
    struct counted *counted = hooks->context;
    (void)inner;
    if (call == HOOK_GET && name[0] == 'p') {
        counted->active--;
    }
}

/* Restores with a client that opens the repository through `inner` (taken over). */
static struct xb_restore_result counted_restore(struct xb_store *inner,
                                                const struct xb_snapshot *snapshot,
                                                unsigned threads, struct counted *ret)
{
    *ret = (struct counted){.gets = 0};
    struct hooks hooks = {.before = count_before, .after = count_after, .context = ret};
    struct xb_store *hooked = hook_store_open(inner, &hooks);
    const struct xb_restore_options options = {.target_fd = tree.fd, .threads = threads};
    struct xb_restore_result result;
    reopen(hooked);
    PROBE_OK(xb_restore_run(repository, snapshot, &options, &result, &err));
    reopen(store);
    xb_store_free(hooked);
    return result;
}

static void clean(struct xb_restore_result *result)
{
    for (size_t i = 0; i < result->message_count; i++) {
        print_error("%s: %s\n", result->messages[i].path, result->messages[i].text);
    }
    assert_int_equal(result->failed, 0);
    xb_restore_result_free(result);
}

/* ---- samples ---- */

static void small_text(size_t i, char out[64])
{
    snprintf(out, 64, "the text of file %zu, unlike all others", i);
}

static struct xb_snapshot *small_files(size_t count)
{
    struct folder root = new_folder();
    char name[32];
    char text[64];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%zu", i);
        small_text(i, text);
        add(&root, name, XB_ENTRY_FILE, text);
    }
    return end_snapshot(&root);
}

static void small_files_are_right(size_t count)
{
    char name[32];
    char text[64];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%zu", i);
        small_text(i, text);
        tree_holds(&tree, name, text);
    }
}

static char chunk_byte(size_t chunk, size_t at)
{
    return (char)('a' + (chunk * 7 + at * at) % 23);
}

/* Contents of CHUNK_BYTES each. */
static void make_chunks(struct xb_content_info infos[CHUNKS], size_t bytes)
{
    char *data = malloc(bytes);
    assert_non_null(data);
    for (size_t i = 0; i < CHUNKS; i++) {
        struct xb_content_write_result result;
        for (size_t k = 0; k < bytes; k++) {
            data[k] = chunk_byte(i, k);
        }
        snprintf(data, 16, "%zu", i);
        PROBE_OK(xb_content_write(repository, 0, data, bytes, XB_COMPRESSION_NONE, &result, &err));
        infos[i] = (struct xb_content_info){.id = result.id, .plain_bytes = (uint32_t)bytes};
    }
    probe_flush(repository);
    free(data);
}

static void is_made_of(const char *name, const size_t *order, size_t count, size_t bytes)
{
    size_t len = 0;
    char *data = tree_read(&tree, name, &len);
    assert_int_equal(len, count * bytes);
    for (size_t i = 0; i < count; i++) {
        char number[16];
        size_t chunk = order ? order[i] : i;
        snprintf(number, sizeof number, "%zu", chunk);
        assert_string_equal(data + i * bytes, number);
        assert_int_equal(data[i * bytes + bytes - 1], chunk_byte(chunk, bytes - 1));
        assert_int_equal(data[i * bytes + 700], chunk_byte(chunk, 700));
    }
    free(data);
}

/* ---- few reads ---- */

static void many_small_files_need_few_reads(void **state)
{
    (void)state;
    struct counted counted;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = small_files(SMALL_FILES);
    struct xb_restore_result result = counted_restore(xb_store_ref(store), snapshot, 2, &counted);
    assert_int_equal(result.files, SMALL_FILES);
    assert_true(counted.gets <= 6);
    assert_int_equal(result.reads, counted.gets);
    clean(&result);
    small_files_are_right(SMALL_FILES);
}

/* More than two windows hold, so that every place of the ring is used twice. */
static void windows_follow_one_another(void **state)
{
    (void)state;
    enum { FILES = 33000 };
    struct counted counted;
    struct xb_restore_result result;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = small_files(FILES);
    result = counted_restore(xb_store_ref(store), snapshot, 3, &counted);
    assert_int_equal(result.files, FILES);
    assert_true(counted.gets <= 60);
    clean(&result);
    small_files_are_right(FILES);
}

static void a_shared_chunk_is_read_once(void **state)
{
    (void)state;
    enum { COPIES = 500 };
    struct xb_content_info infos[CHUNKS];
    size_t order[COPIES];
    struct counted counted;
    struct folder root = new_folder();
    make_chunks(infos, CHUNK_BYTES);
    for (size_t i = 0; i < COPIES; i++) {
        order[i] = i % 2; /* two chunks, again and again */
    }
    add_entry(&root, make_long_entry("long", infos, order, COPIES));
    for (int i = 0; i < 100; i++) {
        char name[20];
        snprintf(name, sizeof name, "copy %d", i);
        add_entry(&root, make_long_entry(name, infos, order, 1 + (size_t)i % 2));
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_restore_result result = counted_restore(xb_store_ref(store), snapshot, 4, &counted);
    assert_int_equal(counted.gets, 1);
    assert_true(result.bytes_read < 3 * CHUNK_BYTES);
    clean(&result);
    is_made_of("long", order, COPIES, CHUNK_BYTES);
    is_made_of("copy 98", order, 1, CHUNK_BYTES);
    is_made_of("copy 99", order, 2, CHUNK_BYTES);
}

/* More chunks than a window holds, nested tables, and a second restore that finds it all right. */
static void a_long_file_comes_back(void **state)
{
    (void)state;
    enum { PIECES = 20000 };
    struct xb_content_info infos[CHUNKS];
    static size_t order[2 * PIECES];
    struct counted counted;
    struct folder root = new_folder();
    make_chunks(infos, CHUNK_BYTES);
    for (size_t i = 0; i < PIECES; i++) {
        order[i] = i * i % CHUNKS;
        order[PIECES + i] = order[i];
    }
    struct xb_entry entry = make_long_entry("long", infos, order, PIECES);
    /* Twice the same table, one level up. */
    char text[400];
    snprintf(text, sizeof text,
             "{\"stream\":\"kopia:indirect\",\"entries\":[{\"l\":%llu,\"o\":\"%s\"},"
             "{\"s\":%llu,\"l\":%llu,\"o\":\"%s\"}]}\n",
             (unsigned long long)entry.size, entry.object.text, (unsigned long long)entry.size,
             (unsigned long long)entry.size, entry.object.text);
    struct xb_content_write_result outer = probe_write(repository, 'x', text);
    entry.object.text[0] = 'I';
    xb_content_id_format(&outer.id, entry.object.text + 1);
    entry.size *= 2;
    add_entry(&root, entry);
    add(&root, "small", XB_ENTRY_FILE, "small");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_restore_result result = counted_restore(xb_store_ref(store), snapshot, 3, &counted);
    assert_true(counted.gets <= 12);
    clean(&result);
    is_made_of("long", order, 2 * PIECES, CHUNK_BYTES);
    tree_holds(&tree, "small", "small");
    /* Right already: nothing is read. */
    ino_t inode = tree_stat(&tree, "long").st_ino;
    result = counted_restore(xb_store_ref(store), snapshot, 3, &counted);
    assert_int_equal(counted.gets, 0);
    assert_int_equal(result.files_unchanged, 2);
    assert_int_equal(tree_stat(&tree, "long").st_ino, inode);
    clean(&result);
    /* One byte near its end is not. */
    int fd = openat(tree.fd, "long", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "!", 1, (off_t)(2 * PIECES - 3) * CHUNK_BYTES + 700), 1);
    close(fd);
    result = counted_restore(xb_store_ref(store), snapshot, 3, &counted);
    assert_int_equal(counted.gets, 1);
    assert_int_equal(result.files_unchanged, 1);
    assert_int_equal(result.bytes_kept, result.bytes - CHUNK_BYTES);
    assert_true(tree_stat(&tree, "long").st_ino != inode);
    clean(&result);
    is_made_of("long", order, 2 * PIECES, CHUNK_BYTES);
}

static struct xb_store *faulty(struct xb_fault **ret)
{
    struct xb_store *made = NULL;
    PROBE_OK(xb_store_fault_open(xb_store_ref(store), &made, ret, &err));
    return made;
}

static void break_packs(struct xb_fault *fault, enum xb_fault_effect effect, uint64_t nth,
                        uint64_t amount)
{
    const struct xb_fault_rule rule = {.call = XB_FAULT_GET,
                                       .effect = effect,
                                       .nth = nth,
                                       .name_prefix = "p",
                                       .kind = XB_ERR_RETRY,
                                       .amount = amount};
    PROBE_OK(xb_fault_add(fault, &rule, &err));
}

static void one_file_keeps_all_workers_busy(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20, THREADS = 4 };
    struct xb_content_info infos[CHUNKS];
    struct counted counted;
    struct xb_fault *fault = NULL;
    struct folder root = new_folder();
    make_chunks(infos, BYTES);
    add_entry(&root, make_long_entry("huge", infos, NULL, CHUNKS));
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_store *slow = faulty(&fault);
    break_packs(fault, XB_FAULT_DELAY, 0, 50);
    struct xb_restore_result result = counted_restore(slow, snapshot, THREADS, &counted);
    const unsigned ranges = CHUNKS * (BYTES / 1024) / (XB_PLAN_RANGE_BYTES_MAX / 1024);
    assert_in_range(counted.gets, ranges, 2 * ranges);
    assert_int_equal(counted.active_max, THREADS);
    clean(&result);
    is_made_of("huge", NULL, CHUNKS, BYTES);
}

/* ---- reads that bring something else ---- */

static void bytes_that_came_wrong_are_read_again(void **state)
{
    (void)state;
    struct counted counted;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = small_files(300);
    static const enum xb_fault_effect effects[] = {XB_FAULT_FLIP, XB_FAULT_CUT};
    for (size_t i = 0; i < 2; i++) {
        struct xb_fault *fault = NULL;
        struct xb_store *wrong = faulty(&fault);
        break_packs(fault, effects[i], 1, 10001);
        struct xb_restore_result result = counted_restore(wrong, snapshot, 2, &counted);
        /* A cut answer is read again content by content; of an altered one only the content. */
        assert_true(i == 1 || counted.gets == 2);
        clean(&result);
        small_files_are_right(300);
        tree_free(&tree);
        tree = tree_new();
    }
}

static void damage_hits_only_what_it_hits(void **state)
{
    (void)state;
    struct counted counted;
    struct folder root = new_folder();
    add(&root, "before", XB_ENTRY_FILE, "before the damage");
    add(&root, "hit", XB_ENTRY_FILE, "this one is hit");
    add(&root, "after", XB_ENTRY_FILE, "after the damage");
    add(&root, "hit, too", XB_ENTRY_FILE, "this one is hit");
    struct xb_content_info info;
    struct xb_content_id id;
    PROBE_OK(xb_content_identify(repository, 0, "this one is hit", 15, &id, &err));
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    PROBE_OK(xb_content_locate(repository, &id, &info, &err));
    XB_CLEANUP(xb_buf_free) struct xb_buf pack = XB_BUF_INIT(1 << 20);
    PROBE_OK(xb_store_get(store, info.pack, 0, XB_STORE_TO_END, &pack, &err));
    pack.data[info.pack_offset + 20] ^= 4;
    PROBE_OK(xb_store_put(store, info.pack, pack.data, pack.len, NULL, &err));
    tree_file(&tree, "hit", "an older state");
    struct xb_restore_result result = counted_restore(xb_store_ref(store), snapshot, 2, &counted);
    assert_int_equal(result.failed, 2);
    assert_true(result.damaged);
    assert_int_equal(result.files, 2);
    says(&result, "hit", info.pack);
    says(&result, "hit, too", "content ");
    tree_holds(&tree, "before", "before the damage");
    tree_holds(&tree, "after", "after the damage");
    /* What was there is not lost for something that cannot be had. */
    tree_holds(&tree, "hit", "an older state");
    assert_false(tree_has(&tree, "hit, too"));
    xb_restore_result_free(&result);
    /* Nor is anything lost of a pack's beginning when its end is. */
    PROBE_OK(xb_store_put(store, info.pack, pack.data, info.pack_offset, NULL, &err));
    result = counted_restore(xb_store_ref(store), snapshot, 2, &counted);
    assert_true(result.failed >= 2);
    tree_holds(&tree, "before", "before the damage");
    xb_restore_result_free(&result);
}

/* The disk cannot read some sector among the contents of many files: only who needs it loses
 * something. Nor does a folder that lies beside one in a bad sector. */
static void a_bad_sector_hits_only_what_it_hits(void **state)
{
    (void)state;
    static const char *const packs[] = {"p", "q"};
    struct counted counted;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = small_files(50);
    for (size_t i = 0; i < 2; i++) {
        struct xb_fault *fault = NULL;
        struct xb_store *failing = faulty(&fault);
        const struct xb_fault_rule first_read = {.call = XB_FAULT_GET,
                                                 .effect = XB_FAULT_FAIL,
                                                 .nth = 1,
                                                 .name_prefix = packs[i],
                                                 .kind = XB_ERR_IO};
        PROBE_OK(xb_fault_add(fault, &first_read, &err));
        struct xb_restore_result result = counted_restore(failing, snapshot, 2, &counted);
        clean(&result);
        small_files_are_right(50);
        tree_free(&tree);
        tree = tree_new();
    }
}

/* No connection is no damage. */
static void a_store_that_does_not_answer(void **state)
{
    (void)state;
    struct counted counted;
    struct xb_fault *fault = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = small_files(50);
    struct xb_store *silent = faulty(&fault);
    break_packs(fault, XB_FAULT_FAIL, 0, 0);
    struct xb_restore_result result = counted_restore(silent, snapshot, 2, &counted);
    assert_int_equal(result.failed, 50);
    assert_int_equal(result.message_count, 50);
    assert_false(result.damaged);
    assert_int_equal(counted.gets, 1);
    assert_false(tree_has(&tree, "0"));
    xb_restore_result_free(&result);
}

/* Maintenance has written everything into another pack and removed the first one, after this client
 * had read its index. */
static void packs_that_moved_are_found(void **state)
{
    (void)state;
    struct counted counted = {.gets = 0};
    struct hooks hooks = {.before = count_before, .after = count_after, .context = &counted};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = small_files(1000);
    struct xb_content_info info;
    struct xb_content_id id;
    char text[64];
    struct xb_store *hooked = hook_store_open(xb_store_ref(store), &hooks);
    struct xb_repository *maintenance = repository;
    repository = probe_open(hooked);
    for (size_t i = 0; i < 1000; i++) {
        small_text(i, text);
        PROBE_OK(xb_content_identify(maintenance, 0, text, strlen(text), &id, &err));
        PROBE_OK(xb_content_stat(maintenance, &id, &info, &err));
        PROBE_OK(xb_content_delete(maintenance, &id, &err));
    }
    for (size_t i = 0; i < 1000; i++) {
        small_text(i, text);
        assert_false(probe_write(maintenance, 0, text).existed);
    }
    probe_flush(maintenance);
    PROBE_OK(xb_store_delete(store, info.pack, &err));
    const struct timespec second = {.tv_sec = 1, .tv_nsec = 50000000};
    nanosleep(&second, NULL);
    struct xb_restore_result result;
    const struct xb_restore_options options = {.target_fd = tree.fd};
    PROBE_OK(xb_restore_run(repository, snapshot, &options, &result, &err));
    assert_true(counted.gets <= 4); /* not one for each */
    clean(&result);
    small_files_are_right(1000);
    xb_repository_free(maintenance);
    reopen(store);
    xb_store_free(hooked);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_small_files_need_few_reads), TEST(windows_follow_one_another),
        TEST(a_shared_chunk_is_read_once),     TEST(a_long_file_comes_back),
        TEST(one_file_keeps_all_workers_busy), TEST(bytes_that_came_wrong_are_read_again),
        TEST(damage_hits_only_what_it_hits),   TEST(a_store_that_does_not_answer),
        TEST(packs_that_moved_are_found),      TEST(a_bad_sector_hits_only_what_it_hits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
