/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots: kopia's record to the letter; nothing is published that could not be read again; what
 * cannot be read is named, not left out.
 */
#include "shared/codec/text.h"
#include "shared/repository/snapshot.h"

#include "tests/harness/opened_repository.h"

/* A record of Velero's. */
static const char veleros[] =
    "{\"id\":\"\",\"source\":{\"host\":\"default\",\"userName\":\"default\",\"path\":"
    "\"snapshot-pod-volume/kopia/tiny/web-0/d\"},\"description\":\"Kopia Uploader\",\"startTime\":"
    "\"2026-11-23T01:02:13.783575473Z\",\"endTime\":\"2026-11-23T01:02:14.051592904Z\",\"stats\":{"
    "\"totalSize\":70650082,\"excludedTotalSize\":0,\"fileCount\":319,\"cachedFiles\":0,"
    "\"nonCachedFiles\":319,\"dirCount\":14,\"excludedFileCount\":0,\"excludedDirCount\":0,"
    "\"ignoredErrorCount\":0,\"errorCount\":0},\"rootEntry\":{\"name\":"
    "\"b85c99f8-29b0-4869-a802-acd9241126e0\",\"type\":\"d\",\"mode\":\"0777\",\"mtime\":"
    "\"2026-11-23T01:02:03.609934852Z\",\"obj\":\"kb5d4c94b16ac02d824f8ad101995ec6f\",\"summ\":{"
    "\"size\":70650082,\"files\":319,\"symlinks\":2,\"dirs\":14,\"maxTime\":"
    "\"2026-11-23T01:02:03.608439734Z\",\"numFailed\":0}},\"tags\":{\"snapshot-requester\":"
    "\"snapshot-pod-volume\",\"snapshot-uploader\":\"kopia\"},\"pins\":[\"velero-pin\"]}";

/* veleros with the first `from` replaced. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(veleros, from);
    assert_non_null(at);
    char *text = NULL;
    assert_true(asprintf(&text, "%.*s%s%s", (int)(at - veleros), veleros, to, at + strlen(from)) >
                0);
    return text;
}

static struct xb_snapshot *decoded(const char *text)
{
    struct xb_snapshot *snapshot = NULL;
    PROBE_OK(xb_snapshot_decode("abc", text, strlen(text), &snapshot, &err));
    return snapshot;
}

/* A snapshot of a folder that is in the repository. */
static struct xb_snapshot *make(const char *path, int64_t start_ns)
{
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
    struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    assert_non_null(snapshot);
    snapshot->host = strdup("default");
    snapshot->user = strdup("default");
    snapshot->path = strdup(path);
    snapshot->description = strdup("");
    snapshot->start_ns = start_ns;
    snapshot->end_ns = start_ns + 1;
    snapshot->root.name = strdup("d");
    snapshot->root.type = XB_ENTRY_DIRECTORY;
    PROBE_OK(xb_directory_builder_new(&builder, &err));
    PROBE_OK(xb_directory_builder_write(builder, repository, 1, &snapshot->root.object,
                                        &snapshot->root.summary, &err));
    return snapshot;
}

static void tag(struct xb_snapshot *snapshot, const char *key, const char *value)
{
    snapshot->tags = reallocarray(snapshot->tags, snapshot->tag_count + 1, sizeof *snapshot->tags);
    assert_non_null(snapshot->tags);
    snapshot->tags[snapshot->tag_count++] = (struct xb_label){strdup(key), strdup(value)};
}

static size_t listed(struct xb_repository *from, const struct xb_snapshot_filter *filter)
{
    struct xb_snapshot_list list;
    PROBE_OK(xb_snapshot_list(from, filter, &list, &err));
    size_t count = list.count;
    assert_int_equal(list.unreadable_count, 0);
    xb_snapshot_list_free(&list);
    return count;
}

/* ---- the record ---- */

static void veleros_record(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = decoded(veleros);
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(100000);
    int64_t start = 0;
    PROBE_OK(xb_time_parse("2026-11-23T01:02:13.783575473Z", &start, &err));
    assert_string_equal(snapshot->id, "abc");
    assert_string_equal(snapshot->path, "snapshot-pod-volume/kopia/tiny/web-0/d");
    assert_int_equal(snapshot->start_ns, start);
    assert_null(snapshot->incomplete);
    assert_int_equal(snapshot->stats.files, 319);
    assert_int_equal(snapshot->root.mode, 0777);
    assert_int_equal(snapshot->root.summary->dirs, 14);
    assert_int_equal(snapshot->tag_count, 2);
    assert_int_equal(snapshot->pin_count, 1);
    assert_string_equal(snapshot->pins[0], "velero-pin");
    PROBE_OK(xb_snapshot_encode(snapshot, &text, &err));
    assert_string_equal(text.data, veleros);
}

static void variants_are_read(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {",\"tags\":", ",\"x-mine\":{\"a\":[null]},\"tags\":"},
        {"\"pins\":[\"velero-pin\"]", "\"pins\":null"},
        {"\"pins\":[\"velero-pin\"]", "\"pins\":[]"},
        {"\"description\":\"Kopia Uploader\",", ""},
        {"\"id\":\"\",", ""},
        {"\"ignoredErrorCount\":0,", ""},
        {"\"rootEntry\":", "\"incomplete\":\"\",\"storageStats\":{\"newData\":{}},\"rootEntry\":"},
        {"\"type\":\"d\"", "\"type\":\"f\""},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        XB_CLEANUP(xb_freep) char *text = changed(changes[i][0], changes[i][1]);
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = decoded(text);
        assert_null(snapshot->incomplete);
    }
    XB_CLEANUP(xb_freep)
    char *text = changed("\"rootEntry\":", "\"incomplete\":\"checkpoint\",\"rootEntry\":");
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = decoded(text);
    XB_CLEANUP(xb_buf_free) struct xb_buf again = XB_BUF_INIT(100000);
    assert_string_equal(snapshot->incomplete, "checkpoint");
    PROBE_OK(xb_snapshot_encode(snapshot, &again, &err));
    assert_string_equal(again.data, text);
}

static void wrong_records_are_refused(void **state)
{
    (void)state;
    static const char *const changes[][3] = {
        {"\"host\":\"default\"", "\"host\":\"\"", "source.host"},
        {"\"host\":\"default\",", "", "source.host"},
        {"\"userName\":\"default\"", "\"userName\":7", "source.userName"},
        {"\"path\":\"snapshot-pod-volume/kopia/tiny/web-0/d\"", "\"path\":null", "source.path"},
        {"\"description\":\"Kopia Uploader\"", "\"description\":{}", "description"},
        {"\"startTime\":\"2026-11-23T01:02:13.783575473Z\"", "\"startTime\":\"2026-11-23\"",
         "startTime"},
        {"\"startTime\":\"2026-11-23T01:02:13.783575473Z\"", "\"startTime\":1", "startTime"},
        {"\"endTime\":\"2026-11-23T01:02:14.051592904Z\",", "", "endTime"},
        {"\"rootEntry\"", "\"root\"", "rootEntry"},
        {"\"rootEntry\":", "\"incomplete\":1,\"rootEntry\":", "incomplete"},
        {"\"mode\":\"0777\"", "\"mode\":\"rwx\"", "mode"},
        {"\"type\":\"d\"", "\"type\":\"z\"", "'z'"},
        {"\"obj\":\"kb5d4c94b16ac02d824f8ad101995ec6f\"", "\"obj\":\"\"", "object"},
        {"\"obj\":\"kb5d4c94b16ac02d824f8ad101995ec6f\",", "", "obj"},
        {"\"name\":\"b85c99f8-29b0-4869-a802-acd9241126e0\"", "\"name\":\"..\"", "name"},
        {"\"mtime\":\"2026-11-23T01:02:03.609934852Z\"", "\"mtime\":\"now\"", "mtime"},
        {"\"pins\":[\"velero-pin\"]", "\"pins\":[1]", "pin"},
        {"\"pins\":[\"velero-pin\"]", "\"pins\":{}", "pins"},
        {"\"snapshot-uploader\":\"kopia\"", "\"snapshot-uploader\":1", "snapshot-uploader"},
        {"\"tags\":{", "\"tags\":[],\"t\":{", "tags"},
        {"{\"id\"", "[{\"id\"", NULL},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        XB_CLEANUP(xb_freep) char *text = changed(changes[i][0], changes[i][1]);
        struct xb_snapshot *snapshot = NULL;
        PROBE_REFUSED(xb_snapshot_decode("0a1b", text, strlen(text), &snapshot, &err),
                      XB_ERR_CORRUPT, changes[i][2]);
        PROBE_REFUSED(xb_snapshot_decode("0a1b", text, strlen(text), &snapshot, &err),
                      XB_ERR_CORRUPT, "snapshot 0a1b");
        assert_null(snapshot);
    }
}

/* ---- publishing ---- */

static void publish_and_load(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = make("a/b", 5);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *again = NULL;
    tag(snapshot, "snapshot-requester", "me");
    PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
    assert_int_equal(strspn(snapshot->id, "0123456789abcdef"), 32);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    PROBE_OK(xb_snapshot_load(other, snapshot->id, &again, &err));
    assert_string_equal(again->id, snapshot->id);
    assert_string_equal(again->path, "a/b");
    assert_int_equal(again->start_ns, 5);
    assert_string_equal(again->root.object.text, snapshot->root.object.text);
    assert_int_equal(again->tag_count, 1);
    /* The labels that kopia looks for. */
    char texts[8][30] = {"type",     "snapshot", "hostname", "default",
                         "username", "default",  "path",     "a/b"};
    struct xb_label labels[5];
    for (size_t i = 0; i < 4; i++) {
        labels[i] = (struct xb_label){texts[2 * i], texts[2 * i + 1]};
    }
    labels[4] = snapshot->tags[0];
    struct xb_manifest *list = NULL;
    size_t count = 0;
    PROBE_OK(xb_manifest_find(other, labels, 5, &list, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(list[0].label_count, 5);
    xb_manifest_list_free(list, count);
    assert_int_equal(probe_count(store, "s"), 0); /* no session is left open */
}

static void a_file_may_be_the_root(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = make("a", 5);
    struct xb_content_write_result result = probe_write(repository, 0, "block device");
    snapshot->root.type = XB_ENTRY_FILE;
    snapshot->root.size = 12;
    xb_content_id_format(&result.id, snapshot->root.object.text);
    PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
    assert_int_equal(listed(repository, NULL), 1);
}

static void not_published(struct xb_snapshot *snapshot, enum xb_error_kind kind, const char *words)
{
    PROBE_REFUSED(xb_snapshot_publish(repository, snapshot, &err), kind, words);
    assert_string_equal(snapshot->id, "");
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    assert_int_equal(listed(other, NULL), 0);
    /* What was refused is not carried along by the next flush either. */
    probe_flush(repository);
    PROBE_OK(xb_repository_refresh(other, &err));
    assert_int_equal(listed(other, NULL), 0);
}

/* kopia deletes the data behind a manifest that it cannot parse: such a one must never be. */
static void nothing_unreadable_is_published(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = make("a", 5);
        struct xb_content_write_result result;
        switch (i) {
        case 0:
            snapshot->host[0] = '\0';
            not_published(snapshot, XB_ERR_CORRUPT, "source.host");
            break;
        case 1:
            snapshot->path[0] = '\0';
            not_published(snapshot, XB_ERR_CORRUPT, "source.path");
            break;
        case 2: /* no object id at all */
            snapshot->root.object.text[0] = '\0';
            not_published(snapshot, XB_ERR_CORRUPT, NULL);
            break;
        case 3: /* a folder that is not in the repository */
            snprintf(snapshot->root.object.text, XB_OBJECT_ID_TEXT_BYTES,
                     "k71ac110e67ead91e44463745ea55695d");
            not_published(snapshot, XB_ERR_CORRUPT, "k71ac110e67ead91e44463745ea55695d");
            break;
        case 4: /* a file whose bytes are not in it */
            snapshot->root.type = XB_ENTRY_FILE;
            snprintf(snapshot->root.object.text, XB_OBJECT_ID_TEXT_BYTES,
                     "71ac110e67ead91e44463745ea55695d");
            not_published(snapshot, XB_ERR_CORRUPT, "71ac110e67ead91e44463745ea55695d");
            break;
        case 5: /* a folder that is none */
            result = probe_write(repository, 'k', "{\"stream\":\"kopia:directory\",\"entries\":7}");
            xb_content_id_format(&result.id, snapshot->root.object.text);
            not_published(snapshot, XB_ERR_CORRUPT, "directory");
            break;
        default:
            free(snapshot->root.name);
            snapshot->root.name = strdup("a/b");
            not_published(snapshot, XB_ERR_BUG, "name");
            break;
        }
    }
}

/* Tags stand among the labels by which snapshots are found. */
static void tags_that_hide_are_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"type", "hostname", "username", "path", "twice"};
    for (size_t i = 0; i < 5; i++) {
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = make("a", 5);
        tag(snapshot, "twice", "1");
        tag(snapshot, keys[i], "policy");
        not_published(snapshot, XB_ERR_INVALID, keys[i]);
    }
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = make("a", 5);
    for (int i = 0; i < XB_MANIFEST_LABELS_MAX; i++) {
        char key[20];
        snprintf(key, sizeof key, "tag%d", i);
        tag(snapshot, key, "");
    }
    not_published(snapshot, XB_ERR_INVALID, "too many");
}

/* ---- listing ---- */

static void put_manifest(const char *data)
{
    char texts[2][10] = {"type", "snapshot"};
    const struct xb_label label = {texts[0], texts[1]};
    char id[XB_MANIFEST_ID_TEXT_BYTES];
    PROBE_OK(xb_manifest_put(repository, &label, 1, data, id, &err));
    probe_flush(repository);
}

static void filters_and_order(void **state)
{
    (void)state;
    static const int64_t starts[] = {30, 10, 20, 40};
    for (size_t i = 0; i < 4; i++) {
        XB_CLEANUP(xb_snapshot_freep)
        struct xb_snapshot *snapshot = make(i == 1 ? "other" : "same", starts[i]);
        tag(snapshot, "number", i % 2 ? "odd" : "even");
        snapshot->incomplete = i == 3 ? strdup("checkpoint") : NULL;
        PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
    }
    struct xb_snapshot_list list;
    PROBE_OK(xb_snapshot_list(repository, NULL, &list, &err));
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(list.items[i]->start_ns, 10 * (int64_t)(i + 1));
    }
    xb_snapshot_list_free(&list);
    char texts[3][10] = {"number", "even", "odd"};
    const struct xb_label even = {texts[0], texts[1]};
    const struct xb_label odd = {texts[0], texts[2]};
    assert_int_equal(listed(repository, &(struct xb_snapshot_filter){.path = "same"}), 3);
    assert_int_equal(listed(repository, &(struct xb_snapshot_filter){.path = "sam"}), 0);
    assert_int_equal(listed(repository, &(struct xb_snapshot_filter){.host = "default"}), 4);
    assert_int_equal(listed(repository, &(struct xb_snapshot_filter){.user = "root"}), 0);
    assert_int_equal(
        listed(repository, &(struct xb_snapshot_filter){.tags = &even, .tag_count = 1}), 2);
    assert_int_equal(
        listed(repository,
               &(struct xb_snapshot_filter){.path = "other", .tags = &even, .tag_count = 1}),
        0);
    /* The latest complete one, and then the checkpoint at 40, which is younger. */
    struct xb_snapshot_parents parents = {.count = 0};
    PROBE_OK(xb_snapshot_find_parents(repository, &(struct xb_snapshot_filter){.path = "same"},
                                      &parents, &err));
    assert_int_equal(parents.count, 2);
    assert_int_equal(parents.items[0]->start_ns, 30);
    assert_int_equal(parents.items[1]->start_ns, 40);
    xb_snapshot_parents_free(&parents);
    const struct xb_snapshot_filter checkpoint = {.path = "same", .tags = &odd, .tag_count = 1};
    PROBE_OK(xb_snapshot_find_parents(repository, &checkpoint, &parents, &err));
    assert_int_equal(parents.count, 1);
    assert_non_null(parents.items[0]->incomplete);
    xb_snapshot_parents_free(&parents);
}

static void publish_one(const char *path, int64_t start_ns, const char *tag_text, bool complete)
{
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = make(path, start_ns);
    if (tag_text) {
        tag(snapshot, "kind", tag_text);
    }
    snapshot->incomplete = complete ? NULL : strdup(XB_INCOMPLETE_CHECKPOINT);
    PROBE_OK(xb_snapshot_publish(repository, snapshot, &err));
}

/* A run keeps its last checkpoint; a good snapshot needs none of those before it. */
static void checkpoints_give_way(void **state)
{
    (void)state;
    const struct xb_snapshot_filter a = {.path = "a"};
    publish_one("a", 5, NULL, false);
    publish_one("a", 5, NULL, false);
    assert_int_equal(listed(repository, &a), 1);
    publish_one("a", 7, NULL, false); /* another run: the first one's may hold more */
    assert_int_equal(listed(repository, &a), 2);
    publish_one("a", 9, NULL, false);
    publish_one("a", 5, "x", false); /* of another purpose */
    publish_one("b", 5, NULL, false);
    assert_int_equal(listed(repository, NULL), 5);
    publish_one("a", 7, NULL, true);
    assert_int_equal(listed(repository, &a), 3);
    struct xb_snapshot_list list;
    PROBE_OK(xb_snapshot_list(repository, &a, &list, &err));
    assert_int_equal(list.items[0]->tag_count, 1);
    assert_null(list.items[1]->incomplete);
    assert_int_equal(list.items[2]->start_ns, 9);
    xb_snapshot_list_free(&list);
    assert_int_equal(listed(repository, &(struct xb_snapshot_filter){.path = "b"}), 1);
    /* What somebody cancelled is no checkpoint of ours. */
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *cancelled = make("b", 4);
    cancelled->incomplete = strdup("canceled");
    PROBE_OK(xb_snapshot_publish(repository, cancelled, &err));
    publish_one("b", 6, NULL, true);
    assert_int_equal(listed(repository, &(struct xb_snapshot_filter){.path = "b"}), 2);
}

static void own_statistics_survive(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = decoded(veleros);
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
    assert_int_equal(snapshot->stats.changed_files, 0);
    snapshot->stats.special_files = 1;
    snapshot->stats.changed_files = 2;
    snapshot->stats.vanished = 3;
    PROBE_OK(xb_snapshot_encode(snapshot, &text, &err));
    assert_non_null(strstr(text.data, "\"pins\":[\"velero-pin\"],\"x-stats\":{\"specialFiles\":1,"
                                      "\"changedFiles\":2,\"vanished\":3}}"));
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *again = decoded(text.data);
    assert_int_equal(again->stats.special_files, 1);
    assert_int_equal(again->stats.changed_files, 2);
    assert_int_equal(again->stats.vanished, 3);
}

/* What a device was, for people; labels are anybody's bytes. */
static void a_device_is_described(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = decoded(veleros);
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
    assert_null(snapshot->device);
    snapshot->device = calloc(1, sizeof *snapshot->device);
    assert_non_null(snapshot->device);
    *snapshot->device = (struct xb_snapshot_device){.block = true,
                                                    .bytes = UINT64_C(1) << 40,
                                                    .sector_bytes = 4096,
                                                    .type = strdup("ext4"),
                                                    .label = strdup("a\"\n\xff"),
                                                    .free_bytes = 12};
    PROBE_OK(xb_snapshot_encode(snapshot, &text, &err));
    assert_non_null(strstr(text.data, "\"pins\":[\"velero-pin\"],\"x-device\":{\"kind\":\"block\","
                                      "\"size\":1099511627776,\"sectorSize\":4096,"
                                      "\"freeBytes\":12,\"type\":\"ext4\",\"label\":\"a\\\"\\n"));
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *again = decoded(text.data);
    assert_non_null(again->device);
    assert_true(again->device->block);
    assert_true(again->device->bytes == UINT64_C(1) << 40);
    assert_int_equal(again->device->sector_bytes, 4096);
    assert_int_equal(again->device->free_bytes, 12);
    assert_string_equal(again->device->type, "ext4");
    assert_string_equal(again->device->label, "a\"\n\xef\xbf\xbd");
    assert_string_equal(again->device->uuid, "");
}

static void the_unreadable_is_named(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *good = make("a", 5);
    PROBE_OK(xb_snapshot_publish(repository, good, &err));
    put_manifest("{\"source\":7}");
    put_manifest("null");
    put_manifest("[]");
    struct xb_snapshot_list list;
    PROBE_OK(xb_snapshot_list(repository, NULL, &list, &err));
    assert_int_equal(list.count, 1);
    assert_int_equal(list.unreadable_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(strncmp(list.unreadable[i], "snapshot ", 9), 0);
        assert_int_equal(strspn(list.unreadable[i] + 9, "0123456789abcdef"), 32);
    }
    char id[33] = "";
    memcpy(id, list.unreadable[0] + 9, 32);
    struct xb_snapshot *snapshot = NULL;
    PROBE_REFUSED(xb_snapshot_load(repository, id, &snapshot, &err), XB_ERR_CORRUPT, id);
    xb_snapshot_list_free(&list);
}

static void loading_and_deleting(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *one = make("a", 5);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *two = make("a", 6);
    struct xb_snapshot *found = NULL;
    PROBE_OK(xb_snapshot_publish(repository, one, &err));
    PROBE_OK(xb_snapshot_publish(repository, two, &err));
    static const char *const bad[] = {
        "", "x", "../x", "ABCDEF", "0123456789abcdef0123456789abcdef0", "0123 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        PROBE_REFUSED(xb_snapshot_load(repository, bad[i], &found, &err), XB_ERR_INVALID, NULL);
        PROBE_REFUSED(xb_snapshot_delete(repository, bad[i], &err), XB_ERR_INVALID, NULL);
    }
    static const char absent[] = "0123456789abcdef0123456789abcdef";
    PROBE_REFUSED(xb_snapshot_load(repository, absent, &found, &err), XB_ERR_NOT_FOUND, absent);
    PROBE_REFUSED(xb_snapshot_delete(repository, absent, &err), XB_ERR_NOT_FOUND, absent);
    PROBE_OK(xb_snapshot_delete(repository, one->id, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    assert_int_equal(listed(other, NULL), 1);
    PROBE_REFUSED(xb_snapshot_load(other, one->id, &found, &err), XB_ERR_NOT_FOUND, one->id);
    PROBE_OK(xb_snapshot_load(other, two->id, &found, &err));
    xb_snapshot_free(found);
    PROBE_REFUSED(xb_snapshot_delete(other, one->id, &err), XB_ERR_NOT_FOUND, one->id);
}

/* Of many ids those go that are snapshots, and nothing else: a record may name anything. */
static void many_are_deleted(void **state)
{
    (void)state;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *one = make("a", 5);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *two = make("a", 6);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *three = make("b", 7);
    char policy[XB_MANIFEST_ID_TEXT_BYTES];
    char key[] = "type";
    char value[] = "policy";
    const struct xb_label label = {key, value};
    size_t deleted = 9;
    PROBE_OK(xb_snapshot_publish(repository, one, &err));
    PROBE_OK(xb_snapshot_publish(repository, two, &err));
    PROBE_OK(xb_snapshot_publish(repository, three, &err));
    PROBE_OK(xb_manifest_put(repository, &label, 1, "{}", policy, &err));
    PROBE_OK(xb_repository_flush(repository, &err));
    const char *const ids[] = {one->id,   policy, "0123456789abcdef0123456789abcdef",
                               three->id, "",     "../../0123456789abcdef0123456789abcdef"};
    PROBE_OK(xb_snapshot_delete_many(repository, ids, sizeof ids / sizeof *ids, &deleted, &err));
    assert_int_equal(deleted, 2);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    assert_int_equal(listed(other, NULL), 1);
    struct xb_snapshot *found = NULL;
    PROBE_OK(xb_snapshot_load(other, two->id, &found, &err));
    xb_snapshot_free(found);
    struct xb_manifest *policies = NULL;
    size_t count = 0;
    PROBE_OK(xb_manifest_find(other, &label, 1, &policies, &count, &err));
    assert_int_equal(count, 1);
    xb_manifest_list_free(policies, count);
    PROBE_OK(xb_snapshot_delete_many(other, ids, sizeof ids / sizeof *ids, &deleted, &err));
    assert_int_equal(deleted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(veleros_record),
        cmocka_unit_test(variants_are_read),
        cmocka_unit_test(wrong_records_are_refused),
        cmocka_unit_test_setup_teardown(publish_and_load, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_may_be_the_root, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_unreadable_is_published, setup, teardown),
        cmocka_unit_test_setup_teardown(tags_that_hide_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_and_order, setup, teardown),
        cmocka_unit_test_setup_teardown(checkpoints_give_way, setup, teardown),
        cmocka_unit_test(own_statistics_survive),
        cmocka_unit_test(a_device_is_described),
        cmocka_unit_test_setup_teardown(the_unreadable_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(loading_and_deleting, setup, teardown),
        cmocka_unit_test_setup_teardown(many_are_deleted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
