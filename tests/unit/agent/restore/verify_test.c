/* SPDX-License-Identifier: Apache-2.0
 *
 * Verification names every file that damage hits and nothing else, whoever changes the repository
 * meanwhile, and ends with an error where it cannot know.
 */
#include "tests/harness/restore_probe.h"

#include "agent/restore/verify.h"
#include "shared/repository/recovery.h"
#include "shared/store/fault/fault.h"

static struct xb_verify_result run(struct xb_repository *on, const struct xb_snapshot *snapshot,
                                   unsigned percent)
{
    struct xb_verify_result result;
    const struct xb_verify_options options = {.data_percent = percent, .threads = 3};
    PROBE_OK(xb_verify_run(on, snapshot, &options, &result, &err));
    return result;
}

static void is_sound(struct xb_repository *on, const struct xb_snapshot *snapshot, unsigned percent)
{
    struct xb_verify_result result = run(on, snapshot, percent);
    for (size_t i = 0; i < result.message_count; i++) {
        print_error("%s: %s\n", result.messages[i].path, result.messages[i].text);
    }
    assert_int_equal(result.damaged, 0);
    xb_verify_result_free(&result);
}

/* Whether exactly these paths were named in the snapshot ("" ends the list). */
static void names(const struct xb_verify_result *result, const char *snapshot,
                  const char *const *paths)
{
    size_t wanted = 0, got = 0;
    for (; paths[wanted][0]; wanted++) {
        bool found = false;
        for (size_t i = 0; i < result->message_count; i++) {
            found |= strcmp(result->messages[i].snapshot, snapshot) == 0 &&
                     strcmp(result->messages[i].path, paths[wanted]) == 0;
        }
        if (!found) {
            fail_msg("%s is not named", paths[wanted]);
        }
    }
    for (size_t i = 0; i < result->message_count; i++) {
        got += strcmp(result->messages[i].snapshot, snapshot) == 0;
    }
    assert_int_equal(got, wanted);
}

static struct xb_content_info where(const char *data)
{
    struct xb_content_id id;
    struct xb_content_info info;
    PROBE_OK(xb_content_identify(repository, 0, data, strlen(data), &id, &err));
    PROBE_OK(xb_content_stat(repository, &id, &info, &err));
    return info;
}

static void flip(const char *blob, uint64_t at)
{
    struct xb_buf bytes = XB_BUF_INIT(1 << 24);
    PROBE_OK(xb_store_get(store, blob, 0, XB_STORE_TO_END, &bytes, &err));
    at = at < bytes.len ? at : bytes.len - 1;
    bytes.data[at] ^= 1;
    PROBE_OK(xb_store_put(store, blob, bytes.data, bytes.len, NULL, &err));
    xb_buf_free(&bytes);
}

/* root/{same, other, d/{same2, fine}}: d is the same in every snapshot. */
static struct xb_snapshot *publish(const char *own)
{
    struct folder inner = new_folder();
    add(&inner, "same2", XB_ENTRY_FILE, "the same bytes");
    add(&inner, "fine", XB_ENTRY_FILE, "fine");
    struct folder folder = new_folder();
    add(&folder, "same", XB_ENTRY_FILE, "the same bytes");
    add(&folder, "own", XB_ENTRY_FILE, own);
    add_entry(&folder, end_folder(&inner, "d"));
    struct xb_snapshot *snapshot = end_snapshot(&folder);
    PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
    return snapshot;
}

/* One damaged content hits every file that holds it, in every snapshot. */
static void every_file_is_named(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = publish("one");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = publish("two");
    static const char *const hit[] = {"same", "d/same2", ""};
    static const char *const none[] = {""};
    is_sound(repository, NULL, 100);
    struct xb_content_info info = where("the same bytes");
    flip(info.pack, info.pack_offset + 20);
    is_sound(repository, NULL, 0);
    struct xb_verify_result result = run(repository, NULL, 100);
    assert_int_equal(result.damaged, 4);
    assert_int_equal(result.dirs, 3); /* d is looked at once */
    names(&result, first->id, hit);
    names(&result, second->id, hit);
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(&info.id, text);
    for (size_t i = 0; i < result.message_count; i++) {
        assert_string_equal(result.messages[i].content, text);
        assert_string_equal(result.messages[i].object, text);
        assert_string_equal(result.messages[i].pack, info.pack);
    }
    xb_verify_result_free(&result);
    result = run(repository, second, 100);
    names(&result, second->id, hit);
    names(&result, first->id, none);
    xb_verify_result_free(&result);
}

/* A damaged folder is named; what is below it cannot be known. */
static void a_folder_is_named(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = publish("one");
    struct xb_entry entry;
    struct xb_content_id id;
    struct xb_content_info info;
    static const char *const hit[] = {"d", ""};
    PROBE_OK(xb_snapshot_find_path(repository, snapshot, "d", &entry, &err));
    PROBE_OK(xb_content_id_parse(entry.object.text, strlen(entry.object.text), &id, &err));
    PROBE_OK(xb_content_stat(repository, &id, &info, &err));
    xb_entry_free(&entry);
    flip(info.pack, info.pack_offset + 40);
    for (unsigned percent = 0; percent <= 100; percent += 100) {
        struct xb_verify_result result = run(repository, NULL, percent);
        names(&result, snapshot->id, hit);
        xb_verify_result_free(&result);
    }
}

/* A percentage reads about as much, turns that follow one another read all, and the same turn the
 * same. */
static void turns_read_everything(void **state)
{
    (void)state;
    enum { FILES = 400 };
    struct folder folder = new_folder();
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "file %d", i);
        add(&folder, name, XB_ENTRY_FILE, name);
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&folder);
    static const unsigned percents[] = {10, 30, 100};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        uint64_t sum = 0, turns = (100 + percents[i] - 1) / percents[i];
        for (uint64_t turn = 0; turn < turns; turn++) {
            struct xb_verify_result result, again;
            const struct xb_verify_options options = {.data_percent = percents[i], .turn = turn};
            PROBE_OK(xb_verify_run(repository, snapshot, &options, &result, &err));
            PROBE_OK(xb_verify_run(repository, snapshot, &options, &again, &err));
            assert_int_equal(result.contents, FILES + 1);
            assert_int_equal(result.contents_read, again.contents_read);
            assert_int_equal(result.bytes_read, again.bytes_read);
            assert_in_range(result.contents_read, FILES * percents[i] / 200,
                            FILES * percents[i] / 50);
            sum += result.contents_read;
        }
        assert_true(100 % percents[i] ? sum > FILES + 1 : sum == FILES + 1);
    }
}

/* What maintenance does: the content goes into a new pack, and the old one away. */
static void move_away(const struct xb_content_info *info, const char *data)
{
    struct xb_repository *other = probe_open(store);
    struct xb_content_write_result written;
    PROBE_OK(xb_content_delete(other, &info->id, &err));
    probe_flush(other);
    PROBE_OK(xb_content_write(other, 0, data, strlen(data), XB_COMPRESSION_NONE, &written, &err));
    probe_flush(other);
    xb_repository_free(other);
    PROBE_OK(xb_store_delete(store, info->pack, &err));
}

static struct xb_content_info moving;

static void move_after_listing(struct hooks *hooks, enum hook_call call, const char *name,
                               struct xb_store *inner)
{
    (void)inner;
    if (call == HOOK_LIST && strcmp(name, "q") == 0 && !hooks->context) {
        hooks->context = &moving;
        move_away(&moving, "moved");
    }
}

/* A pack that went between the index and the look is no damage: the content is elsewhere by now. */
static void moved_is_no_damage(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct folder folder = new_folder();
        add(&folder, "file", XB_ENTRY_FILE, "moved");
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = end_snapshot(&folder);
        struct hooks hooks = {.after = late ? move_after_listing : NULL};
        struct xb_store *hooked = hook_store_open(xb_store_ref(store), &hooks);
        struct xb_repository *old = probe_open(hooked);
        moving = where("moved");
        if (!late) {
            move_away(&moving, "moved");
        }
        PROBE_OK(late ? 0 : (usleep(1100000), 0)); /* a view this young is not looked at again */
        is_sound(old, snapshot, late ? 100 : 0);
        assert_true(!late || hooks.context);
        is_sound(old, snapshot, 100);
        xb_repository_free(old);
        xb_store_free(hooked);
        xb_repository_free(repository);
        repository = probe_open(store);
    }
}

/* A snapshot that is newer than the index in hand. */
static void newer_than_the_view(void **state)
{
    (void)state;
    struct xb_repository *old = probe_open(store);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = publish("one");
    struct xb_verify_result result = run(old, snapshot, 100);
    assert_int_equal(result.damaged, 0);
    assert_int_equal(result.files, 4);
    assert_int_equal(result.contents_read, 5);
    xb_verify_result_free(&result);
    xb_repository_free(old);
}

static struct xb_repository *open_anyhow(void)
{
    struct xb_repository *opened = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(PROBE_PASSWORD);
    const struct xb_repository_open_options options = {.read_only = true, .tolerate_damage = true};
    PROBE_OK(xb_repository_open(xb_store_ref(store), password, &options, &opened, &err));
    return opened;
}

/* The index blob of the session that wrote a pack. */
static void index_of(const char *pack, char out[200])
{
    struct probe_names all = probe_list(store, "xn");
    out[0] = '\0';
    for (size_t i = 0; i < all.count; i++) {
        if (strstr(all.names[i], strchr(pack, '-'))) {
            snprintf(out, 200, "%s", all.names[i]);
        }
    }
    probe_names_free(&all);
    assert_true(out[0]);
}

/* An index that cannot be read is named, and the rest verified without it. */
static void damaged_index(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *first = publish("one");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *second = publish("two");
    char index[200];
    static const char *const hit[] = {"same", "d", ""};
    index_of(where("the same bytes").pack, index);
    flip(index, 50);
    struct xb_repository *refused = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = probe_password(PROBE_PASSWORD);
    PROBE_REFUSED(xb_repository_open(xb_store_ref(store), password, NULL, &refused, &err),
                  XB_ERR_CORRUPT, index);
    struct xb_repository *left = open_anyhow();
    struct xb_verify_result result = run(left, NULL, 100);
    size_t told = 0;
    for (size_t i = 0; i < result.message_count; i++) {
        told += strcmp(result.messages[i].index, index) == 0;
    }
    assert_int_equal(told, 1);
    names(&result, second->id, hit);
    assert_int_equal(result.damaged, 1 + 2 + 1); /* of the first one even the root is gone */
    assert_true(result.warned >= 1);             /* the packs that nothing names any more */
    xb_verify_result_free(&result);
    xb_repository_free(left);
}

static int count_orphan(void *context, const struct xb_orphan *orphan, struct xb_error *err)
{
    (void)err;
    assert_null(orphan->why);
    *(uint64_t *)context += orphan->contents;
    return 0;
}

/* Packs without an index are warned about, unless a session writes them. */
static void lost_index(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = publish("one");
    struct xb_content_info info = where("one");
    char index[200], marker[200];
    index_of(info.pack, index);
    PROBE_OK(xb_store_delete(store, index, &err));
    struct xb_repository *left = probe_open(store);
    struct xb_verify_result result = run(left, NULL, 0);
    bool told = false;
    for (size_t i = 0; i < result.warning_count; i++) {
        told |= strcmp(result.warnings[i].blob, info.pack) == 0 &&
                strstr(result.warnings[i].text, "no index names");
    }
    assert_true(told);
    assert_int_equal(result.damaged, 1); /* the root */
    assert_int_equal(result.warned, 2);  /* of data, and of folders with the manifest */
    xb_verify_result_free(&result);
    snprintf(marker, sizeof marker, "s00112233445566778899aabbccddeeff%s", strchr(info.pack, '-'));
    probe_put(store, marker, "a marker");
    result = run(left, NULL, 0);
    assert_int_equal(result.warned, 0);
    xb_verify_result_free(&result);
    /* Once the session is over, its contents can be brought back. */
    uint64_t contents = 0;
    PROBE_OK(xb_repository_orphans(left, true, count_orphan, &contents, &err));
    assert_int_equal(contents, 0);
    PROBE_OK(xb_store_delete(store, marker, &err));
    PROBE_OK(xb_repository_orphans(left, false, count_orphan, &contents, &err));
    assert_int_equal(contents, 5);
    PROBE_OK(xb_repository_orphans(left, true, count_orphan, &contents, &err));
    assert_int_equal(contents, 10);
    PROBE_OK(xb_repository_flush(left, &err));
    is_sound(left, NULL, 100);
    PROBE_OK(xb_repository_orphans(left, false, count_orphan, &contents, &err));
    assert_int_equal(contents, 10);
    xb_repository_free(left);
    left = probe_open(store);
    is_sound(left, snapshot, 100);
    xb_repository_free(left);
}

/* The end of a pack is looked at with all of the data, and is no file's damage. */
static void damaged_ends(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = publish("one");
    const struct xb_content_info info = where("one");
    flip(info.pack, UINT64_MAX);
    struct xb_verify_result result = run(repository, NULL, 100);
    assert_int_equal(result.damaged, 0);
    assert_int_equal(result.warned, 1);
    assert_string_equal(result.warnings[0].blob, info.pack);
    xb_verify_result_free(&result);
    result = run(repository, NULL, 50);
    assert_int_equal(result.warned, 0);
    xb_verify_result_free(&result);
}

/* A wrong byte on the wire is read again; a store that fails is an error and no damage. */
static void wires_and_stores(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = publish("one");
    struct xb_store *faulty = NULL;
    struct xb_fault *fault = NULL;
    PROBE_OK(xb_store_fault_open(xb_store_ref(store), &faulty, &fault, &err));
    struct xb_repository *through = probe_open(faulty);
    size_t failed = 0;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        struct xb_fault_rule rule = {
            .call = XB_FAULT_GET, .effect = XB_FAULT_FLIP, .nth = nth, .amount = 999};
        PROBE_OK(xb_fault_add(fault, &rule, &err));
        is_sound(through, snapshot, 100);
        xb_fault_clear(fault);
        rule = (struct xb_fault_rule){
            .call = XB_FAULT_GET, .effect = XB_FAULT_FAIL, .nth = nth, .kind = XB_ERR_RETRY};
        PROBE_OK(xb_fault_add(fault, &rule, &err));
        struct xb_verify_result result = {.files = 0};
        const struct xb_verify_options options = {.data_percent = 100};
        struct xb_error why = XB_ERROR_INIT;
        if (xb_verify_run(through, snapshot, &options, &result, &why) < 0) {
            assert_int_equal(why.kind, XB_ERR_RETRY);
            failed++;
        } else {
            assert_int_equal(result.damaged, 0);
        }
        xb_verify_result_free(&result);
        xb_fault_clear(fault);
    }
    assert_true(failed >= 3);
    xb_repository_free(through);
    xb_store_free(faulty);
}

static void count_ticks(void *context, const struct xb_verify_progress *progress)
{
    assert_true(progress->bytes_total == 0 || progress->bytes_done <= progress->bytes_total);
    ++*(unsigned *)context;
}

/* Threads change nothing but the time; progress is told. */
static void any_number_of_threads(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = publish("one");
    struct xb_content_info info = where("fine");
    flip(info.pack, info.pack_offset + 15);
    for (unsigned threads = 1; threads <= 9; threads += 4) {
        unsigned ticks = 0;
        struct xb_verify_result result;
        static const char *const hit[] = {"d/fine", ""};
        const struct xb_verify_options options = {.data_percent = 100,
                                                  .threads = threads,
                                                  .progress = count_ticks,
                                                  .progress_context = &ticks};
        PROBE_OK(xb_verify_run(repository, snapshot, &options, &result, &err));
        names(&result, snapshot->id, hit);
        assert_int_equal(result.contents, 5);
        assert_int_equal(result.contents_read, 5);
        assert_true(ticks > 0);
        xb_verify_result_free(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_file_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(turns_read_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(moved_is_no_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_than_the_view, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_index, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_index, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(wires_and_stores, setup, teardown),
        cmocka_unit_test_setup_teardown(any_number_of_threads, setup, teardown),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
