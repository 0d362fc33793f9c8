/* SPDX-License-Identifier: Apache-2.0
 *
 * The index cache: what is in it is not fetched again; whatever happens to it, what a repository
 * knows is what its store says.
 */
#include "tests/harness/event_log.h"
#include "tests/harness/index_maker.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/file.h"
#include "shared/base/fnv.h"
#include "shared/base/random.h"
#include "shared/repository/recovery.h"

/* BLOBS: with the one of the repository's making. */
enum { PER_BLOB = 5000, PUT_BLOBS = 4, BLOBS = PUT_BLOBS + 1, PATH_BYTES = 512 };

static struct xb_store *base, *store;
static struct event_log event_log;
static struct hooks hooks;
static char folder[PATH_BYTES];
static uint64_t cache_bytes_max;

static struct xb_repository *open_cached(void)
{
    struct xb_repository *repository = NULL;
    const struct xb_repository_open_options options = {.cache_folder = folder,
                                                       .cache_bytes_max = cache_bytes_max};
    PROBE_OK(xb_repository_open_with(xb_store_ref(store), probe_keys(base), &options, &repository,
                                     &err));
    return repository;
}

static void put_more(uint64_t from, uint64_t count)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = probe_open(base);
    const struct index_maker maker = {.repository = repository, .seed = 7, .per_blob = PER_BLOB};
    PROBE_OK(index_maker_put(&maker, from, count, &err));
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/xebec-cache-test.XXXXXX");
    assert_non_null(mkdtemp(folder));
    base = probe_repository_store();
    event_log.count = 0;
    cache_bytes_max = 0;
    hooks = (struct hooks){.after = event_record, .context = &event_log};
    store = hook_store_open(xb_store_ref(base), &hooks);
    assert_non_null(store);
    put_more(0, PER_BLOB * PUT_BLOBS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[PATH_BYTES + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
    xb_store_free(store);
    xb_store_free(base);
    return 0;
}

/* ---- what a repository knows ---- */

static int add_content(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    uint64_t *sum = context;
    char id[XB_CONTENT_ID_TEXT_BYTES];
    char line[400];
    (void)err;
    xb_content_id_format(&info->id, id);
    snprintf(line, sizeof line, "%016llx %s %llu %d %u %u %u %llu %s", (unsigned long long)*sum, id,
             (unsigned long long)info->timestamp_s, info->deleted, info->plain_bytes,
             info->packed_bytes, info->compression, (unsigned long long)info->pack_offset,
             info->pack);
    *sum = xb_fnv1a(line);
    return 0;
}

static uint64_t knowledge(struct xb_repository *repository)
{
    uint64_t sum = 0;
    PROBE_OK(xb_content_list(repository, -1, add_content, &sum, &err));
    return sum;
}

static uint64_t truth(void)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = probe_open(base);
    return knowledge(repository);
}

static int fetched(void)
{
    return event_count(&event_log, HOOK_GET, "x");
}

/* Opens with the cache, and it knows all. Returns how many index blobs were fetched. */
static int check_open(void)
{
    event_log.count = 0;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_cached();
    assert_true(knowledge(repository) == truth());
    return fetched();
}

/* ---- its files ---- */

struct files {
    char paths[32][PATH_BYTES + 300];
    size_t count;
};

static struct files cache_files(const char *kind)
{
    struct files files = {.count = 0};
    DIR *top = opendir(folder);
    assert_non_null(top);
    for (struct dirent *outer = readdir(top); outer; outer = readdir(top)) {
        char path[PATH_BYTES + 40];
        if (outer->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "%s/%.32s", folder, outer->d_name);
        DIR *inner = opendir(path);
        for (struct dirent *file = inner ? readdir(inner) : NULL; file; file = readdir(inner)) {
            if (strncmp(file->d_name, kind, strlen(kind)) == 0 && file->d_name[0] != '.') {
                assert_true(files.count < 32);
                snprintf(files.paths[files.count++], sizeof files.paths[0], "%s/%.200s", path,
                         file->d_name);
            }
        }
        if (inner) {
            closedir(inner);
        }
    }
    closedir(top);
    return files;
}

static struct xb_buf slurp(const char *path)
{
    struct xb_buf data = XB_BUF_INIT(64 << 20);
    PROBE_OK(xb_file_read(path, &data, &err));
    return data;
}

static void spew(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    PROBE_OK(xb_file_write_all(fd, data, len, path, &err));
    close(fd);
}

/* ---- tests ---- */

/* What was merged once is not fetched again; what is new is all that is fetched. */
static void nothing_is_fetched_twice(void **state)
{
    (void)state;
    assert_int_equal(check_open(), BLOBS);
    assert_int_equal(cache_files("base-").count, 1);
    assert_int_equal(check_open(), 0);
    assert_int_equal(event_count(&event_log, HOOK_LIST, ""), 1); /* one listing */
    put_more(PER_BLOB * PUT_BLOBS, 300);
    assert_int_equal(check_open(), 1);
    assert_int_equal(cache_files("over-").count, 1);
    assert_int_equal(check_open(), 0);
    put_more(PER_BLOB * PUT_BLOBS + 300, 300);
    assert_int_equal(check_open(), 1);
    assert_int_equal(cache_files("over-").count, 1);
    assert_int_equal(cache_files("base-").count, 1);
    /* So much that it does not stay apart. */
    put_more(PER_BLOB * PUT_BLOBS + 600, PER_BLOB * 4);
    assert_int_equal(check_open(), 4);
    assert_int_equal(cache_files("over-").count, 0);
    assert_int_equal(cache_files("base-").count, 1);
    assert_int_equal(check_open(), 0);
}

/* A writer's own contents are in the cache when it has flushed them. */
static void a_flush_is_kept(void **state)
{
    (void)state;
    {
        XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_cached();
        (void)probe_write(repository, 0, "one");
        (void)probe_write(repository, 'k', "two");
        probe_flush(repository);
        (void)probe_write(repository, 0, "three");
        probe_flush(repository);
        assert_true(knowledge(repository) == truth());
    }
    assert_int_equal(check_open(), 0);
}

/* Blobs that do not count any more, and deletions that come into force. */
static void compaction_and_watermark(void **state)
{
    (void)state;
    assert_int_equal(check_open(), BLOBS);
    struct probe_names names = probe_list(base, "xn0_");
    PROBE_OK(xb_store_delete(base, names.names[1], &err));
    probe_names_free(&names);
    assert_int_equal(check_open(), BLOBS - 1); /* what it said is forgotten */
    assert_int_equal(check_open(), 0);
    struct xb_content_write_result gone;
    {
        XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_cached();
        gone = probe_write(repository, 0, "short-lived");
        probe_flush(repository);
        PROBE_OK(xb_content_delete(repository, &gone.id, &err));
        probe_flush(repository);
    }
    assert_int_equal(check_open(), 0);
    probe_put(base, "xw9999999999", "deletion-watermark");
    assert_int_equal(check_open(), 0); /* merged anew from what is known */
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_cached();
    struct xb_content_info info;
    PROBE_REFUSED(xb_content_stat(repository, &gone.id, &info, &err), XB_ERR_NOT_FOUND, NULL);
}

static size_t damage_step(size_t len, size_t at)
{
    return at < 64 || at + 2000 > len ? 31 : 40009;
}

/* One bit wrong anywhere, in either file: it is noticed, and everything is fetched again. */
static void flipped_bits(void **state)
{
    (void)state;
    static const char *const kinds[] = {"base-", "over-"};
    assert_int_equal(check_open(), BLOBS);
    put_more(PER_BLOB * PUT_BLOBS, 300);
    assert_int_equal(check_open(), 1);
    uint64_t want = truth();
    struct files good[2] = {cache_files(kinds[0]), cache_files(kinds[1])};
    struct xb_buf bytes[2] = {slurp(good[0].paths[0]), slurp(good[1].paths[0])};
    for (size_t k = 0; k < 2; k++) {
        for (size_t at = 0; at < bytes[k].len; at += damage_step(bytes[k].len, at)) {
            spew(good[0].paths[0], bytes[0].data, bytes[0].len);
            spew(good[1].paths[0], bytes[1].data, bytes[1].len);
            bytes[k].data[at] = (char)(bytes[k].data[at] ^ (1 << at % 8));
            spew(good[k].paths[0], bytes[k].data, bytes[k].len);
            bytes[k].data[at] = (char)(bytes[k].data[at] ^ (1 << at % 8));
            event_log.count = 0;
            XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_cached();
            assert_int_equal(fetched(), k == 0 ? BLOBS + 1 : 1);
            assert_true(knowledge(repository) == want);
            struct files left = cache_files("");
            for (size_t i = 0; i < left.count; i++) {
                assert_int_equal(unlink(left.paths[i]), 0);
            }
        }
    }
    xb_buf_free(&bytes[0]);
    xb_buf_free(&bytes[1]);
}

/* Cut short, too long, other bytes altogether, nothing, a link, a folder, a pipe. */
static void other_things_in_its_place(void **state)
{
    (void)state;
    assert_int_equal(check_open(), BLOBS);
    struct files files = cache_files("base-");
    struct xb_buf bytes = slurp(files.paths[0]);
    const char *path = files.paths[0];
    char noise[5000];
    xb_random_bytes(noise, sizeof noise);
    for (size_t len = 0; len < bytes.len; len += bytes.len / 7 + 1) {
        spew(path, bytes.data, len);
        assert_int_equal(check_open(), BLOBS);
        assert_int_equal(unlink(cache_files("base-").paths[0]), 0);
    }
    PROBE_OK(xb_buf_append(&bytes, noise, 100, &err));
    spew(path, bytes.data, bytes.len);
    assert_int_equal(check_open(), BLOBS);
    bytes.len -= 100;
    for (size_t len = 0; len < sizeof noise; len += 1237) {
        assert_int_equal(unlink(cache_files("base-").paths[0]), 0);
        spew(path, noise, len);
        assert_int_equal(check_open(), BLOBS);
    }
    char elsewhere[PATH_BYTES + 300];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", folder);
    spew(elsewhere, bytes.data, bytes.len);
    assert_int_equal(unlink(cache_files("base-").paths[0]), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_int_equal(check_open(), BLOBS); /* good bytes, but behind a link */
    for (int what = 0; what < 2; what++) {
        struct files all = cache_files("base-");
        for (size_t i = 0; i < all.count; i++) {
            (void)unlink(all.paths[i]);
        }
        assert_int_equal(what ? mkfifo(path, 0600) : mkdir(path, 0700), 0);
        assert_int_equal(check_open(), BLOBS);
        (void)rmdir(path);
    }
    xb_buf_free(&bytes);
}

/* What others can write to is not believed: a file's owner and mode, and the folders'. */
static void only_our_own(void **state)
{
    (void)state;
    char mine[PATH_BYTES + 40];
    assert_int_equal(check_open(), BLOBS);
    struct files files = cache_files("base-");
    assert_int_equal(chmod(files.paths[0], 0644), 0);
    assert_int_equal(check_open(), BLOBS);
    files = cache_files("base-");
    if (geteuid() == 0) {
        assert_int_equal(check_open(), 0);
        assert_int_equal(chown(files.paths[0], 1, 1), 0);
        assert_int_equal(check_open(), BLOBS);
        assert_int_equal(chown(folder, 1, 1), 0);
        assert_int_equal(check_open(), BLOBS);
        assert_int_equal(check_open(), BLOBS);
        assert_int_equal(chown(folder, 0, 0), 0);
    }
    assert_int_equal(check_open(), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(check_open(), BLOBS);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(check_open(), 0);
    files = cache_files("base-");
    snprintf(mine, sizeof mine, "%.*s", (int)(strrchr(files.paths[0], '/') - files.paths[0]),
             files.paths[0]);
    assert_int_equal(chmod(mine, 0755), 0);
    assert_int_equal(check_open(), BLOBS);
    /* A link in the folder's place. */
    char moved[PATH_BYTES + 60];
    snprintf(moved, sizeof moved, "%s-moved", mine);
    assert_int_equal(chmod(mine, 0700), 0);
    assert_int_equal(rename(mine, moved), 0);
    assert_int_equal(symlink(moved, mine), 0);
    assert_int_equal(check_open(), BLOBS);
}

/* Another repository's key does not fit its files. */
static void only_this_repository(void **state)
{
    (void)state;
    assert_int_equal(check_open(), BLOBS);
    struct files files = cache_files("base-");
    struct xb_buf bytes = slurp(files.paths[0]);
    struct xb_store *other = probe_create(&(struct xb_repository_create_options){
        .hash = "BLAKE2B-256-128", .encryption = "AES256-GCM-HMAC-SHA256"});
    struct xb_store *kept_base = base, *kept_store = store;
    base = other;
    store = hook_store_open(xb_store_ref(other), &hooks);
    put_more(0, 100);
    assert_int_equal(check_open(), 2);
    struct files both = cache_files("base-");
    assert_int_equal(both.count, 2);
    const char *theirs = both.paths[strcmp(both.paths[0], files.paths[0]) == 0];
    spew(theirs, bytes.data, bytes.len);
    assert_int_equal(check_open(), 2);
    xb_buf_free(&bytes);
    xb_store_free(store);
    xb_store_free(base);
    base = kept_base;
    store = kept_store;
}

/* Deleted while it is in use: who uses it goes on, and it is made again. */
static void deleted_in_use(void **state)
{
    (void)state;
    {
        assert_int_equal(check_open(), BLOBS);
        XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_cached();
        char command[PATH_BYTES + 20];
        snprintf(command, sizeof command, "rm -rf '%s'", folder);
        assert_int_equal(system(command), 0);
        assert_true(knowledge(repository) == truth());
        (void)probe_write(repository, 0, "new");
        probe_flush(repository);
        put_more(PER_BLOB * PUT_BLOBS, PER_BLOB * 4);
        PROBE_OK(xb_repository_refresh(repository, &err));
        assert_true(knowledge(repository) == truth());
    }
    assert_int_equal(check_open(), BLOBS + 4 + 1);
    assert_int_equal(check_open(), 0);
}

/* Opens in a process of its own; the exit status says whether it knows all. */
static pid_t open_apart(uint64_t want)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct xb_repository *repository = open_cached();
        _exit(knowledge(repository) == want ? 0 : 1);
    }
    return pid;
}

static void several_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        pid_t pids[4];
        uint64_t want = truth();
        for (size_t i = 0; i < 4; i++) {
            pids[i] = open_apart(want);
        }
        for (size_t i = 0; i < 4; i++) {
            int status = -1;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
        }
        assert_int_equal(check_open(), 0);
        put_more(PER_BLOB * (uint64_t)(PUT_BLOBS + round), PER_BLOB);
    }
}

static void killed_while_building(void **state)
{
    (void)state;
    uint64_t want = truth();
    for (int round = 0; round < 30; round++) {
        int status = 0;
        pid_t pid = open_apart(want);
        usleep((useconds_t)(round * 1500));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(check_open() == 0 || fetched() == BLOBS);
        assert_int_equal(cache_files("tmp-").count, 0);
        if (round % 3 == 0) {
            struct files all = cache_files("");
            for (size_t i = 0; i < all.count; i++) {
                assert_int_equal(unlink(all.paths[i]), 0);
            }
        }
    }
}

/* The folder has less room than the index takes: everything works without. */
static void a_full_disk(void **state)
{
    (void)state;
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char options[40];
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
            _exit(77);
        }
        for (int kib = 64; kib <= 4096; kib *= 2) {
            snprintf(options, sizeof options, "size=%dk,mode=0700", kib);
            if (mount("tmpfs", folder, "tmpfs", 0, options) < 0) {
                _exit(77);
            }
            struct xb_repository *repository = open_cached();
            if (knowledge(repository) != truth()) {
                _exit(1);
            }
            (void)probe_write(repository, 0, "new");
            probe_flush(repository);
            xb_repository_free(repository);
            if (umount(folder) < 0) {
                _exit(2); /* something of it is still open */
            }
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(status, 0);
}

/* No more than the limit, and whose turn is longest ago goes first; nothing that is not ours. */
static void the_limit(void **state)
{
    (void)state;
    char stranger[PATH_BYTES + 20], old[PATH_BYTES + 60], file[PATH_BYTES + 100];
    assert_int_equal(check_open(), BLOBS);
    struct files first = cache_files("base-");
    struct stat st;
    assert_int_equal(stat(first.paths[0], &st), 0);
    snprintf(stranger, sizeof stranger, "%s/documents", folder);
    assert_int_equal(mkdir(stranger, 0700), 0);
    snprintf(file, sizeof file, "%s/base-of-my-work", stranger);
    spew(file, "mine", 4);
    snprintf(old, sizeof old, "%s/%032d", folder, 1);
    assert_int_equal(mkdir(old, 0700), 0);
    char theirs[PATH_BYTES + 120];
    snprintf(theirs, sizeof theirs, "%s/base-1", old);
    spew(theirs, "old", 3);
    const struct timespec times[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, old, times, 0), 0);
    cache_bytes_max = (uint64_t)st.st_size + 4096; /* room for all */
    put_more(PER_BLOB * PUT_BLOBS, 10);
    assert_int_equal(check_open(), 1);
    assert_int_equal(access(theirs, F_OK), 0);
    cache_bytes_max = (uint64_t)st.st_size;
    put_more(PER_BLOB * PUT_BLOBS + 10, 10);
    assert_int_equal(check_open(), 1);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(file, F_OK), 0);
    /* A base that is larger than the limit is not kept. */
    cache_bytes_max = 1000;
    assert_int_equal(unlink(first.paths[0]), 0);
    assert_int_equal(check_open(), BLOBS + 2);
    assert_int_equal(check_open(), BLOBS + 2);
}

/* A blob that is too large for memory goes through a file, with the same outcome. */
static void a_large_blob(void **state)
{
    (void)state;
    enum { FIRST = 100000, COUNT = 60000 };
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    const struct index_maker maker = {.repository = other, .seed = 9, .per_blob = COUNT};
    struct probe_names before = probe_list(base, "xn0_");
    PROBE_OK(index_maker_put(&maker, FIRST, COUNT, &err));
    event_log.count = 0;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_cached();
    assert_true(fetched() > BLOBS + 3); /* it came in pieces */
    for (uint64_t i = FIRST; i < FIRST + COUNT; i += 97) {
        struct xb_index_entry want;
        struct xb_content_info info;
        index_maker_entry(&maker, i, &want);
        PROBE_OK(xb_content_stat(repository, &want.id, &info, &err));
        assert_int_equal(info.packed_bytes, want.packed_bytes);
        assert_int_equal(info.pack_offset, want.offset);
    }
    /* A bit of it is wrong: it is damage, by its name, and can be put up with. */
    struct probe_names after = probe_list(base, "xn0_");
    size_t at = 0;
    for (size_t i = 0; i < after.count; i++) {
        bool known = false;
        for (size_t k = 0; k < before.count; k++) {
            known = known || strcmp(after.names[i], before.names[k]) == 0;
        }
        at = known ? at : i;
    }
    struct xb_buf bytes = XB_BUF_INIT(XB_STORE_GET_BYTES_MAX);
    PROBE_OK(xb_store_get(base, after.names[at], 0, XB_STORE_TO_END, &bytes, &err));
    bytes.data[bytes.len / 2] ^= 4;
    PROBE_OK(xb_store_put(base, after.names[at], bytes.data, bytes.len, NULL, &err));
    struct xb_repository *damaged = NULL;
    PROBE_REFUSED(
        xb_repository_open_with(xb_store_ref(store), probe_keys(base), NULL, &damaged, &err),
        XB_ERR_CORRUPT, after.names[at]);
    const struct xb_repository_open_options options = {
        .read_only = true, .tolerate_damage = true, .cache_folder = folder};
    uint64_t losses = 0;
    PROBE_OK(
        xb_repository_open_with(xb_store_ref(store), probe_keys(base), &options, &damaged, &err));
    PROBE_OK(xb_repository_losses(damaged, NULL, NULL, &losses, &err));
    assert_int_equal(losses, 1);
    xb_repository_free(damaged);
    xb_buf_free(&bytes);
    probe_names_free(&before);
    probe_names_free(&after);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_fetched_twice),
        TEST(a_flush_is_kept),
        TEST(compaction_and_watermark),
        TEST(flipped_bits),
        TEST(other_things_in_its_place),
        TEST(only_our_own),
        TEST(only_this_repository),
        TEST(deleted_in_use),
        TEST(several_at_once),
        TEST(killed_while_building),
        TEST(a_full_disk),
        TEST(the_limit),
        TEST(a_large_blob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
