/* SPDX-License-Identifier: Apache-2.0
 *
 * Restoring over what is there: what is right stays, what is not is never a mixture, what is not
 * the snapshot's is told and left alone; and a dry run says all of it and does none.
 */
#include "tests/harness/restore_probe.h"

#include <sys/file.h>

#include "shared/store/fault/fault.h"

enum { PIECES = 12, PIECE_BYTES = 50000 };

static struct xb_restore_result run(const struct xb_snapshot *snapshot,
                                    const struct xb_restore_options *wanted)
{
    struct xb_restore_options options = wanted ? *wanted : (struct xb_restore_options){0};
    struct xb_restore_result result;
    options.target_fd = options.dry_run && options.target_fd < 0 ? -1 : tree.fd;
    PROBE_OK(xb_restore_run(repository, snapshot, &options, &result, &err));
    for (size_t i = 0; i < result.message_count; i++) {
        print_error("%s: %s\n", result.messages[i].path, result.messages[i].text);
    }
    return result;
}

static void clean(struct xb_restore_result *result)
{
    assert_int_equal(result->failed, 0);
    xb_restore_result_free(result);
}

/* root: big (PIECES contents), small, empty, link, d/{leaf} */
static struct xb_snapshot *sample(struct xb_content_info infos[PIECES])
{
    struct folder root = new_folder();
    struct folder d = new_folder();
    char *data = malloc(PIECE_BYTES);
    assert_non_null(data);
    for (size_t i = 0; i < PIECES; i++) {
        struct xb_content_write_result result;
        memset(data, 'a' + (int)i, PIECE_BYTES);
        PROBE_OK(
            xb_content_write(repository, 0, data, PIECE_BYTES, XB_COMPRESSION_NONE, &result, &err));
        infos[i] = (struct xb_content_info){.id = result.id, .plain_bytes = PIECE_BYTES};
    }
    free(data);
    add(&d, "leaf", XB_ENTRY_FILE, "green");
    add_entry(&root, end_folder(&d, "d"));
    add_entry(&root, make_long_entry("big", infos, NULL, PIECES));
    add(&root, "small", XB_ENTRY_FILE, "hello");
    add(&root, "empty", XB_ENTRY_FILE, "");
    add(&root, "link", XB_ENTRY_SYMLINK, "small");
    return end_snapshot(&root);
}

static void big_is_right(void)
{
    size_t len = 0;
    char *data = tree_read(&tree, "big", &len);
    assert_int_equal(len, PIECES * PIECE_BYTES);
    for (size_t i = 0; i < len; i++) {
        if (data[i] != (char)('a' + i / PIECE_BYTES)) {
            fail_msg("byte %zu is %d", i, data[i]);
        }
    }
    free(data);
}

static void poke(const char *name, off_t at, const char *text)
{
    int fd = openat(tree.fd, name, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
    close(fd);
}

/* ---- what stays ---- */

static void what_is_right_stays(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    struct xb_restore_result result = run(snapshot, NULL);
    assert_int_equal(result.created, 6);
    assert_int_equal(result.files_unchanged + result.bytes_kept, 0);
    clean(&result);
    ino_t big = tree_stat(&tree, "big").st_ino;
    ino_t small = tree_stat(&tree, "small").st_ino;
    ino_t link = tree_stat(&tree, "link").st_ino;
    /* Attributes are made right, whatever they are. */
    assert_int_equal(fchmodat(tree.fd, "small", 0777, 0), 0);
    tree_set_time(&tree, "big", 5, 5);
    result = run(snapshot, NULL);
    assert_int_equal(result.files, 4);
    assert_int_equal(result.files_unchanged, 4);
    assert_int_equal(result.bytes_kept, result.bytes);
    assert_int_equal(result.kept, 7); /* the root, too */
    assert_int_equal(result.created + result.replaced, 0);
    assert_int_equal(result.reads, 0);
    clean(&result);
    assert_int_equal(tree_stat(&tree, "big").st_ino, big);
    assert_int_equal(tree_stat(&tree, "small").st_ino, small);
    assert_int_equal(tree_stat(&tree, "link").st_ino, link);
    assert_int_equal(tree_stat(&tree, "small").st_mode, S_IFREG | 0640);
    assert_int_equal(mtime_of("big"), 1600000000000000001);
    assert_int_equal(mtime_of("."), 1500000000000000000);
    /* Unless everything is to be written anew. */
    result = run(snapshot, &(struct xb_restore_options){.full = true});
    assert_int_equal(result.files_unchanged + result.bytes_kept, 0);
    assert_int_equal(result.replaced, 4);
    assert_true(tree_stat(&tree, "big").st_ino != big);
    clean(&result);
    big_is_right();
}

/* Size and time are as they were, the bytes are not. */
static void only_bytes_count(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    struct xb_restore_result result = run(snapshot, NULL);
    clean(&result);
    poke("small", 1, "E");
    tree_set_time(&tree, "small", 1600000000, 1);
    result = run(snapshot, NULL);
    assert_int_equal(result.files_unchanged, 3);
    assert_int_equal(result.replaced, 1);
    clean(&result);
    tree_holds(&tree, "small", "hello");
}

static void only_what_differs_is_fetched(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    struct xb_restore_result result = run(snapshot, NULL);
    clean(&result);
    poke("big", 3 * PIECE_BYTES + 7, "?");
    poke("big", 9 * PIECE_BYTES, "?");
    result = run(snapshot, NULL);
    assert_int_equal(result.files_unchanged, 3);
    assert_int_equal(result.bytes_kept, result.bytes - 2 * PIECE_BYTES);
    assert_true(result.reads > 0 && result.reads <= 2);
    clean(&result);
    big_is_right();
    assert_int_equal(mtime_of("big"), 1600000000000000001);
    /* Of one that has another length, too: a log that has grown, a file that was cut. */
    assert_int_equal(truncate(probe_at("big"), 5 * PIECE_BYTES + 1), 0);
    result = run(snapshot, NULL);
    assert_int_equal(result.bytes_kept, 10 + 5 * PIECE_BYTES);
    clean(&result);
    big_is_right();
    poke("big", PIECES * PIECE_BYTES, "and more");
    result = run(snapshot, NULL);
    assert_int_equal(result.bytes_kept, result.bytes);
    assert_int_equal(result.files_unchanged, 3);
    assert_int_equal(result.reads, 0);
    clean(&result);
    big_is_right();
}

/* ---- what must not stay ---- */

static void files_with_other_names_are_left_to_them(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    tree_file(&outside, "small", "hello");
    assert_int_equal(fchmodat(outside.fd, "small", 0604, 0), 0);
    assert_int_equal(linkat(outside.fd, "small", tree.fd, "small", 0), 0);
    struct xb_restore_result result = run(snapshot, NULL);
    clean(&result);
    assert_int_equal(tree_stat(&outside, "small").st_mode & 07777, 0604);
    assert_int_equal(tree_stat(&outside, "small").st_nlink, 1);
    assert_int_equal(tree_stat(&tree, "small").st_mode & 07777, 0640);
}

static void other_attributes_go(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    char value[8];
    if (fsetxattr(outside.fd, "user.try", "", 0, 0) < 0) {
        skip(); /* the file system has none */
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    struct xb_restore_result result = run(snapshot, NULL);
    clean(&result);
    assert_int_equal(setxattr(probe_at("small"), "user.left", "1", 1, 0), 0);
    assert_int_equal(setxattr(probe_at("d"), "user.left", "1", 1, 0), 0);
    result = run(snapshot, NULL);
    assert_int_equal(result.files_unchanged, 4);
    clean(&result);
    assert_true(getxattr(probe_at("small"), "user.left", value, sizeof value) < 0);
    assert_true(getxattr(probe_at("d"), "user.left", value, sizeof value) < 0);
}

static void holes_are_given_back(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    struct folder root = new_folder();
    char *data = calloc(1, BYTES);
    struct xb_content_write_result content;
    assert_non_null(data);
    memcpy(data + BYTES / 2, "data", 4);
    PROBE_OK(xb_content_write(repository, 0, data, BYTES, XB_COMPRESSION_ZSTD, &content, &err));
    struct xb_entry entry = make_entry("sparse", XB_ENTRY_FILE, "");
    entry.size = BYTES;
    xb_content_id_format(&content.id, entry.object.text);
    entry.holes = calloc(1, sizeof *entry.holes);
    assert_non_null(entry.holes);
    entry.hole_count = 1;
    entry.holes[0] = (struct xb_hole){0, BYTES / 2};
    add_entry(&root, entry);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    tree_write(&tree, "sparse", data, BYTES);
    ino_t inode = tree_stat(&tree, "sparse").st_ino;
    assert_true(tree_stat(&tree, "sparse").st_blocks * 512 >= BYTES);
    struct xb_restore_result result = run(snapshot, NULL);
    assert_int_equal(result.files_unchanged, 1);
    clean(&result);
    assert_int_equal(tree_stat(&tree, "sparse").st_ino, inode);
    assert_true(tree_stat(&tree, "sparse").st_blocks * 512 <= BYTES / 2 + 8192);
    assert_int_equal(mtime_of("sparse"), 1600000000000000001);
    size_t len = 0;
    char *back = tree_read(&tree, "sparse", &len);
    assert_int_equal(len, BYTES);
    assert_memory_equal(back, data, BYTES);
    free(back);
    free(data);
}

/* Names of one file: one inode stays one, and each gets what the snapshot says. */
static void hard_links_stay(void **state)
{
    (void)state;
    struct folder root = new_folder();
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        struct xb_entry entry = make_entry(names[i], XB_ENTRY_FILE, "shared");
        entry.link = strdup("7:7");
        add_entry(&root, entry);
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_restore_result result = run(snapshot, NULL);
    clean(&result);
    ino_t inode = tree_stat(&tree, "a").st_ino;
    result = run(snapshot, NULL);
    assert_int_equal(result.files_unchanged, 1);
    assert_int_equal(result.hard_links, 2);
    assert_int_equal(result.kept, 4);
    clean(&result);
    assert_int_equal(tree_stat(&tree, "c").st_ino, inode);
    /* Wrong bytes under all names. */
    poke("b", 0, "S");
    result = run(snapshot, NULL);
    assert_int_equal(result.replaced, 3);
    clean(&result);
    for (size_t i = 0; i < 3; i++) {
        tree_holds(&tree, names[i], "shared");
        assert_int_equal(tree_stat(&tree, names[i]).st_nlink, 3);
    }
}

/* The first of several names cannot be made: the next one is the first then, and no name is linked
 * to what stood there before. */
static void a_lost_first_name_is_no_example(void **state)
{
    (void)state;
    struct folder root = new_folder();
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        struct xb_entry entry = make_entry(names[i], XB_ENTRY_FILE, "shared");
        entry.link = strdup("7:7");
        if (i == 0) {
            snprintf(entry.object.text, XB_OBJECT_ID_TEXT_BYTES, "%032d", 5);
        }
        add_entry(&root, entry);
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    tree_file(&tree, "a", "an older state");
    struct xb_restore_result result = run(snapshot, NULL);
    assert_int_equal(result.failed, 1);
    assert_int_equal(result.files, 1);
    assert_int_equal(result.hard_links, 1);
    tree_holds(&tree, "a", "an older state");
    tree_holds(&tree, "b", "shared");
    assert_int_equal(tree_stat(&tree, "b").st_ino, tree_stat(&tree, "c").st_ino);
    xb_restore_result_free(&result);
}

/* ---- never a mixture ---- */

static atomic_bool cancel_now;

static void cancel_at_last_pack(struct hooks *hooks, enum hook_call call, const char *name,
                                struct xb_store *inner)
{
    size_t *gets = hooks->context;
    (void)inner;
    if (call == HOOK_GET && name[0] == 'p' && ++*gets == 3) {
        atomic_store(&cancel_now, true);
    }
}

static void an_interrupted_restore_leaves_the_old_file(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    size_t gets = 0;
    repository->format.pack_bytes_max = 1; /* each piece is a read of its own */
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    struct hooks hooks = {.before = cancel_at_last_pack, .context = &gets};
    struct xb_store *hooked = hook_store_open(xb_store_ref(store), &hooks);
    struct xb_restore_result result;
    char *old = calloc(1, PIECES * PIECE_BYTES + 1);
    assert_non_null(old);
    memset(old, 'z', PIECES * PIECE_BYTES);
    tree_file(&tree, "big", old);
    reopen(hooked);
    atomic_store(&cancel_now, false);
    const struct xb_restore_options options = {
        .target_fd = tree.fd, .cancel = &cancel_now, .threads = 1};
    PROBE_REFUSED(xb_restore_run(repository, snapshot, &options, &result, &err), XB_ERR_CANCELLED,
                  NULL);
    tree_holds(&tree, "big", old);
    DIR *dir = fdopendir(openat(tree.fd, ".", O_RDONLY | O_CLOEXEC));
    for (const struct dirent *item = NULL; (item = readdir(dir));) {
        assert_null(strstr(item->d_name, "xebec"));
    }
    closedir(dir);
    free(old);
    reopen(store);
    xb_store_free(hooked);
}

static void what_a_killed_restore_left_goes(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    static const char *const others[] = {".xebec-restore-0123456789abcdef-",
                                         ".xebec-restore-0123456789abcde-7",
                                         ".xebec-restore-0123456789abcdef-7x", ".xebec-restore-"};
    tree_file(&tree, ".xebec-restore-0123456789abcdef-17", "half of a file");
    tree_folder(&tree, "d", 0700);
    tree_file(&tree, "d/.xebec-restore-ffffffffffffffff-0", "half of a file");
    for (size_t i = 0; i < 4; i++) {
        tree_file(&tree, others[i], "somebody else's");
    }
    tree_folder(&tree, ".xebec-restore-0123456789abcdef-8", 0700);
    struct xb_restore_result result = run(snapshot, NULL);
    assert_int_equal(result.extra, 5);
    clean(&result);
    assert_false(tree_has(&tree, ".xebec-restore-0123456789abcdef-17"));
    assert_false(tree_has(&tree, "d/.xebec-restore-ffffffffffffffff-0"));
    for (size_t i = 0; i < 4; i++) {
        tree_holds(&tree, others[i], "somebody else's");
    }
}

static void one_restore_at_a_time(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    struct xb_restore_result result;
    const struct xb_restore_options options = {.target_fd = tree.fd};
    int fd = open(tree.path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    PROBE_REFUSED(xb_restore_run(repository, snapshot, &options, &result, &err), XB_ERR_CONFLICT,
                  "another restore");
    assert_false(tree_has(&tree, "small"));
    result = run(snapshot, &(struct xb_restore_options){.dry_run = true});
    clean(&result);
    close(fd);
    result = run(snapshot, NULL);
    clean(&result);
}

/* ---- what is not the snapshot's, and dry runs ---- */

struct told {
    char text[4096];
};

static void tell(void *context, const struct xb_restore_event *event)
{
    static const char letters[] = "crkSFX";
    struct told *told = context;
    size_t used = strlen(told->text);
    snprintf(told->text + used, sizeof told->text - used, "%c:%s\n", letters[event->action],
             event->path);
}

static void tells(const struct told *told, const char *line)
{
    char whole[200];
    snprintf(whole, sizeof whole, "%s\n", line);
    if (!strstr(told->text, whole)) {
        fail_msg("'%s' is not in:\n%s", line, told->text);
    }
}

static void what_else_is_there_is_told(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    struct told told = {""};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    tree_file(&tree, "mine", "mine");
    tree_folder(&tree, "yours", 0700);
    tree_file(&tree, "yours/inside", "inside");
    tree_folder(&tree, "d", 0700);
    for (int i = 0; i < 20; i++) {
        char name[20];
        snprintf(name, sizeof name, "d/%d", i);
        tree_file(&tree, name, "x");
    }
    struct xb_restore_result result =
        run(snapshot, &(struct xb_restore_options){.event = tell, .event_context = &told});
    assert_int_equal(result.extra, 22);
    assert_int_equal(result.extra_name_count, XB_RESTORE_EXTRA_NAMES_MAX);
    tells(&told, "X:mine");
    tells(&told, "X:yours");
    tells(&told, "X:d/19");
    assert_null(strstr(told.text, "inside"));
    clean(&result);
    tree_holds(&tree, "mine", "mine");
    tree_holds(&tree, "yours/inside", "inside");
    /* A part of a snapshot that is a file says nothing about the folder. */
    result = run(snapshot, &(struct xb_restore_options){.path = "small"});
    assert_int_equal(result.extra, 0);
    clean(&result);
}

static void a_dry_run_writes_nothing(void **state)
{
    (void)state;
    struct xb_content_info infos[PIECES];
    struct told told = {""};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = sample(infos);
    /* Without even a target. */
    struct xb_restore_options options = {
        .dry_run = true, .target_fd = -1, .event = tell, .event_context = &told};
    struct xb_restore_result result = run(snapshot, &options);
    assert_int_equal(result.created, 7);
    assert_int_equal(result.reads + result.kept + result.replaced, 0);
    assert_int_equal(result.bytes, 10 + PIECES * PIECE_BYTES);
    tells(&told, "c:d/leaf");
    tells(&told, "c:link");
    clean(&result);
    /* With one that has some of it. */
    options.target_fd = 0;
    told.text[0] = '\0';
    struct xb_restore_result real = run(snapshot, NULL);
    clean(&real);
    poke("big", 5 * PIECE_BYTES, "?");
    poke("small", 0, "?");
    assert_int_equal(unlinkat(tree.fd, "d/leaf", 0), 0);
    assert_int_equal(unlinkat(tree.fd, "d", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(tree.fd, "empty", 0), 0);
    tree_folder(&tree, "empty", 0700);
    tree_file(&tree, "mine", "mine");
    tree_file(&tree, ".xebec-restore-0123456789abcdef-17", "half of a file");
    tree_set_time(&tree, ".", 7, 7);
    struct stat before = tree_stat(&tree, "big");
    result = run(snapshot, &options);
    assert_int_equal(result.failed, 1);
    assert_false(result.damaged);
    assert_int_equal(result.reads, 0);
    assert_int_equal(result.bytes_kept, (PIECES - 1) * PIECE_BYTES);
    tells(&told, "r:big");
    tells(&told, "r:small");
    tells(&told, "c:d/leaf");
    tells(&told, "k:link");
    tells(&told, "c:d");
    tells(&told, "k:");
    tells(&told, "F:empty");
    tells(&told, "X:mine");
    tells(&told, "X:.xebec-restore-0123456789abcdef-17");
    xb_restore_result_free(&result);
    struct stat after = tree_stat(&tree, "big");
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    assert_int_equal(mtime_of("."), 7000000007);
    assert_false(tree_has(&tree, "d"));
}

/* A dry run ends as the restore would. */
static void a_dry_run_finds_what_is_lost(void **state)
{
    (void)state;
    struct folder root = new_folder();
    struct xb_entry entry = make_entry("lost", XB_ENTRY_FILE, "x");
    snprintf(entry.object.text, XB_OBJECT_ID_TEXT_BYTES, "%032d", 5);
    add_entry(&root, entry);
    add(&root, "good", XB_ENTRY_FILE, "good");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&root);
    struct xb_restore_result result = run(snapshot, &(struct xb_restore_options){.dry_run = true});
    assert_int_equal(result.failed, 1);
    assert_true(result.damaged);
    assert_int_equal(result.created, 1);
    says(&result, "lost", "00000000000000000000000000000005");
    xb_restore_result_free(&result);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_right_stays),
        TEST(only_bytes_count),
        TEST(only_what_differs_is_fetched),
        TEST(files_with_other_names_are_left_to_them),
        TEST(other_attributes_go),
        TEST(holes_are_given_back),
        TEST(hard_links_stay),
        TEST(a_lost_first_name_is_no_example),
        TEST(an_interrupted_restore_leaves_the_old_file),
        TEST(what_a_killed_restore_left_goes),
        TEST(one_restore_at_a_time),
        TEST(what_else_is_there_is_told),
        TEST(a_dry_run_writes_nothing),
        TEST(a_dry_run_finds_what_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
