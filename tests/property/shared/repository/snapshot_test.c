/* SPDX-License-Identifier: Apache-2.0
 *
 * Random snapshots come back as they were written; a record that is cut is refused, and one with a
 * flipped bit is refused or is a snapshot with all that it must have.
 */
#include "tests/harness/repository_probe.h"

#include "shared/repository/snapshot.h"
#include "tests/harness/property.h"

enum { ROUNDS = 60, TEXT_BYTES_MAX = 48, TAGS_MAX = 4 };

static char *random_text(struct property *source)
{
    static const char letters[] = "abcXYZ 019/-_:.\"\\\n\t<>&{}[],";
    size_t len = 1 + property_below(source, TEXT_BYTES_MAX);
    char *text = calloc(1, len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        text[i] = letters[property_below(source, sizeof letters - 1)];
    }
    return text;
}

/* Up to what JSON's readers take for a whole number. */
static uint64_t random_count(struct property *source)
{
    return property_next(source) >> (11 + property_below(source, 50));
}

static struct xb_snapshot_device *random_device(struct property *source)
{
    struct xb_snapshot_device *device = calloc(1, sizeof *device);
    assert_non_null(device);
    device->block = property_once_in(source, 2);
    device->bytes = random_count(source);
    device->sector_bytes = 512;
    device->type = random_text(source);
    device->label = random_text(source);
    device->free_bytes = property_below(source, device->bytes + 1);
    return device;
}

static struct xb_snapshot *random_snapshot(struct property *source)
{
    struct xb_snapshot *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->host = random_text(source);
    made->user = random_text(source);
    made->path = random_text(source);
    made->description = random_text(source);
    made->incomplete = property_once_in(source, 3) ? random_text(source) : NULL;
    made->start_ns = (int64_t)property_below(source, UINT64_C(1) << 62);
    made->end_ns = made->start_ns + (int64_t)property_below(source, 1000000000);
    made->root = (struct xb_entry){
        .name = strdup("root"), .type = XB_ENTRY_DIRECTORY, .mode = 0755, .mtime_ns = 5};
    snprintf(made->root.object.text, sizeof made->root.object.text, "k%016" PRIx64 "%016" PRIx64,
             property_next(source), property_next(source));
    made->tag_count = property_below(source, TAGS_MAX + 1);
    made->tags = calloc(made->tag_count + 1, sizeof *made->tags);
    assert_non_null(made->tags);
    for (size_t i = 0; i < made->tag_count; i++) {
        char key[32];
        snprintf(key, sizeof key, "tag %zu", i);
        made->tags[i] = (struct xb_label){strdup(key), random_text(source)};
    }
    made->stats.files = random_count(source);
    made->stats.total_bytes = random_count(source);
    made->stats.vanished = random_count(source);
    made->device = property_once_in(source, 3) ? random_device(source) : NULL;
    return made;
}

static const char *tag(const struct xb_snapshot *snapshot, const char *key)
{
    for (size_t i = 0; i < snapshot->tag_count; i++) {
        if (strcmp(snapshot->tags[i].key, key) == 0) {
            return snapshot->tags[i].value;
        }
    }
    return "";
}

static void same(const struct xb_snapshot *want, const struct xb_snapshot *got)
{
    assert_string_equal(got->host, want->host);
    assert_string_equal(got->user, want->user);
    assert_string_equal(got->path, want->path);
    assert_string_equal(got->description, want->description);
    assert_string_equal(got->incomplete ? got->incomplete : "",
                        want->incomplete ? want->incomplete : "");
    assert_true(got->start_ns == want->start_ns && got->end_ns == want->end_ns);
    assert_string_equal(got->root.name, want->root.name);
    assert_string_equal(got->root.object.text, want->root.object.text);
    assert_int_equal(got->tag_count, want->tag_count);
    for (size_t i = 0; i < want->tag_count; i++) {
        assert_string_equal(tag(got, want->tags[i].key), want->tags[i].value);
    }
    assert_true(got->stats.files == want->stats.files);
    assert_true(got->stats.total_bytes == want->stats.total_bytes);
    assert_true(got->stats.vanished == want->stats.vanished);
    assert_int_equal(got->device != NULL, want->device != NULL);
    if (want->device) {
        assert_int_equal(got->device->block, want->device->block);
        assert_true(got->device->bytes == want->device->bytes);
        assert_true(got->device->free_bytes == want->device->free_bytes);
        assert_string_equal(got->device->type, want->device->type);
        assert_string_equal(got->device->label, want->device->label);
    }
}

static void refused_when_cut(const struct xb_buf *text)
{
    for (size_t cut = 0; cut < text->len; cut++) {
        struct xb_snapshot *none = NULL;
        struct xb_error err = XB_ERROR_INIT;
        if (text->data[cut] != '\n') { /* the last line end may be missing */
            assert_true(xb_snapshot_decode("0", text->data, cut, &none, &err) < 0);
            assert_null(none);
        }
    }
}

static void whole_when_flipped(struct property *source, struct xb_buf *text)
{
    for (int i = 0; i < 200; i++) {
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *got = NULL;
        struct xb_error err = XB_ERROR_INIT;
        size_t at = property_below(source, text->len);
        char bit = (char)(1 << property_below(source, 7));
        text->data[at] = (char)(text->data[at] ^ bit);
        if (xb_snapshot_decode("0", text->data, text->len, &got, &err) == 0) {
            assert_true(got->host[0] && got->user[0] && got->path[0] && got->root.name[0]);
        }
        text->data[at] = (char)(text->data[at] ^ bit);
    }
}

static void snapshots_come_back(void **state)
{
    (void)state;
    struct property source = property_begin("snapshot");
    for (int round = 0; round < ROUNDS; round++) {
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *want = random_snapshot(&source);
        XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *got = NULL;
        XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(1 << 20);
        PROBE_OK(xb_snapshot_encode(want, &text, &err));
        PROBE_OK(xb_snapshot_decode("0", text.data, text.len, &got, &err));
        same(want, got);
        refused_when_cut(&text);
        whole_when_flipped(&source, &text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(snapshots_come_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
