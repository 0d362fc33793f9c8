/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restore/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"

enum { DEPTH_MAX = 900, TICK_MS = 250 };

/* Contents already judged: id to verdict, by the first eight bytes of the keyed hash. */
struct seen {
    uint64_t *keys; /* 0: free */
    unsigned char *bad;
    size_t count, cap;
};

struct pack {
    char *name;
    uint64_t size;
};

struct verify {
    struct xb_repository *repository;
    const struct xb_verify_options *options;
    struct xb_verify_result result;
    struct seen seen;
    struct pack *packs;
    size_t pack_count, pack_cap;
    uint64_t files_total;
    int64_t ticked_ns;
    const char *snapshot;
};

/* ---- packs ---- */

static int collect_pack(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct verify *verify = context;
    if (verify->pack_count == verify->pack_cap) {
        size_t cap = verify->pack_cap ? 2 * verify->pack_cap : 256;
        struct pack *packs = reallocarray(verify->packs, cap, sizeof *packs);
        if (!packs) {
            return xb_error_no_memory(err, "a list of packs");
        }
        verify->packs = packs;
        verify->pack_cap = cap;
    }
    struct pack *pack = &verify->packs[verify->pack_count];
    *pack = (struct pack){.name = strdup(item->name), .size = item->size};
    if (!pack->name) {
        return xb_error_no_memory(err, "a list of packs");
    }
    verify->pack_count++;
    return 0;
}

static int compare_packs(const void *left, const void *right)
{
    const struct pack *a = left;
    const struct pack *b = right;
    return strcmp(a->name, b->name);
}

static int check_pack(const struct verify *verify, const struct xb_content_info *info,
                      struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *name = strdup(info->pack);
    if (!name) {
        return xb_error_no_memory(err, "a pack's name");
    }
    const struct pack want = {.name = name};
    const struct pack *found = verify->pack_count
                                   ? bsearch(&want, verify->packs, verify->pack_count,
                                             sizeof *verify->packs, compare_packs)
                                   : NULL;
    if (!found) {
        return xb_error_set(err, XB_ERR_CORRUPT, -ENOENT, "pack %s is missing from the store",
                            info->pack);
    }
    if (info->pack_offset + info->packed_bytes > found->size) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "pack %s is cut short: it has %llu bytes, a content ends at %llu",
                            info->pack, (unsigned long long)found->size,
                            (unsigned long long)(info->pack_offset + info->packed_bytes));
    }
    return 0;
}

/* ---- contents ---- */

static size_t seen_slot(const struct seen *seen, uint64_t key)
{
    size_t at = (size_t)(key ^ key >> 29) & (seen->cap - 1);
    while (seen->keys[at] && seen->keys[at] != key) {
        at = (at + 1) & (seen->cap - 1);
    }
    return at;
}

static int seen_grow(struct seen *seen, struct xb_error *err)
{
    struct seen grown = {.cap = seen->cap ? 2 * seen->cap : 4096, .count = seen->count};
    grown.keys = calloc(grown.cap, sizeof *grown.keys);
    grown.bad = calloc(grown.cap, 1);
    if (!grown.keys || !grown.bad) {
        free(grown.keys);
        free(grown.bad);
        return xb_error_no_memory(err, "a list of contents");
    }
    for (size_t i = 0; i < seen->cap; i++) {
        if (seen->keys[i]) {
            size_t at = seen_slot(&grown, seen->keys[i]);
            grown.keys[at] = seen->keys[i];
            grown.bad[at] = seen->bad[i];
        }
    }
    free(seen->keys);
    free(seen->bad);
    *seen = grown;
    return 0;
}

static uint64_t content_key(const struct xb_content_id *id)
{
    uint64_t key = 0;
    memcpy(&key, id->hash, id->len < sizeof key ? id->len : sizeof key);
    key ^= (uint64_t)(unsigned char)id->prefix << 56;
    return key ? key : 1;
}

static int read_content(struct verify *verify, const struct xb_content_id *id, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    int r = xb_content_read(verify->repository, id, true, &plain, err);
    verify->result.contents_read++;
    verify->result.bytes_read += plain.len;
    return r;
}

/* The key is a hash: its remainder chooses as evenly as dice, and the same ones each time. */
static bool chosen(const struct verify *verify, uint64_t key)
{
    return (key >> 16) % 100 < verify->options->data_percent;
}

static int judge_content(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    struct verify *verify = context;
    struct seen *seen = &verify->seen;
    if (2 * (seen->count + 1) > seen->cap) {
        int r = seen_grow(seen, err);
        if (r < 0) {
            return r;
        }
    }
    uint64_t key = content_key(id);
    size_t at = seen_slot(seen, key);
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(id, text);
    if (seen->keys[at]) {
        return seen->bad[at] ? xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                            "content %s is damaged (as said before)", text)
                             : 0;
    }
    struct xb_content_info info;
    int r = xb_content_stat(verify->repository, id, &info, err);
    if (r == 0) {
        r = check_pack(verify, &info, err);
        if (r == 0 && chosen(verify, key)) {
            r = read_content(verify, id, err);
        } else if (r < 0) {
            r = xb_error_wrap(err, "content %s", text);
        }
    }
    seen->keys[at] = key;
    seen->bad[at] = r < 0;
    seen->count++;
    verify->result.contents++;
    return r;
}

/* ---- trees ---- */

static int note(struct verify *verify, const char *path, const struct xb_error *why,
                struct xb_error *err)
{
    struct xb_verify_result *result = &verify->result;
    result->damaged++;
    if (result->message_count == XB_VERIFY_MESSAGES_MAX) {
        return 0;
    }
    struct xb_verify_message *messages =
        reallocarray(result->messages, result->message_count + 1, sizeof *messages);
    if (!messages) {
        return xb_error_no_memory(err, "a report");
    }
    result->messages = messages;
    struct xb_verify_message message = {
        .snapshot = strdup(verify->snapshot), .path = strdup(path), .text = strdup(why->text)};
    if (!message.snapshot || !message.path || !message.text) {
        free(message.snapshot);
        free(message.path);
        free(message.text);
        return xb_error_no_memory(err, "a report");
    }
    messages[result->message_count++] = message;
    return 0;
}

/* Damage is noted; what says nothing about the repository's state ends the run. */
static int take_verdict(struct verify *verify, const char *path, int r, const struct xb_error *why,
                        struct xb_error *err)
{
    if (r == 0) {
        return 0;
    }
    if (why->kind == XB_ERR_CORRUPT || why->kind == XB_ERR_NOT_FOUND ||
        why->kind == XB_ERR_INVALID || why->kind == XB_ERR_IO) {
        return note(verify, path, why, err);
    }
    *err = *why;
    return err->code;
}

static int stop_or_tick(struct verify *verify, struct xb_error *err)
{
    const struct xb_verify_options *options = verify->options;
    if (options->cancel && atomic_load(options->cancel)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    int64_t now = xb_clock_mono_ns();
    if (options->progress && now - verify->ticked_ns > TICK_MS * XB_NS_PER_MS) {
        const struct xb_verify_progress progress = {.files_done = verify->result.files,
                                                    .files_total = verify->files_total,
                                                    .bytes_done = verify->result.bytes_read};
        options->progress(options->progress_context, &progress);
        verify->ticked_ns = now;
    }
    return 0;
}

static int verify_folder(struct verify *verify, const struct xb_object_id *id, const char *path,
                         unsigned depth, struct xb_error *err);

static int verify_entry(struct verify *verify, const struct xb_entry *entry, const char *folder,
                        unsigned depth, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *path = NULL;
    struct xb_error why = XB_ERROR_INIT;
    if (asprintf(&path, "%s%s%s", folder, folder[0] ? "/" : "", entry->name) < 0) {
        path = NULL;
        return xb_error_no_memory(err, "a path");
    }
    int r = stop_or_tick(verify, err);
    if (r < 0) {
        return r;
    }
    if (entry->type == XB_ENTRY_DIRECTORY) {
        return verify_folder(verify, &entry->object, path, depth + 1, err);
    }
    if (entry->node) {
        return 0; /* has no data */
    }
    verify->result.files++;
    r = xb_object_verify(verify->repository, &entry->object, false, judge_content, verify, &why);
    return take_verdict(verify, path, r, &why, err);
}

static int verify_folder(struct verify *verify, const struct xb_object_id *id, const char *path,
                         unsigned depth, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    struct xb_error why = XB_ERROR_INIT;
    verify->result.dirs++;
    int r = depth > DEPTH_MAX
                ? xb_error_set(&why, XB_ERR_CORRUPT, -ELOOP, "more than %d folders deep", DEPTH_MAX)
                : xb_object_verify(verify->repository, id, false, judge_content, verify, &why);
    if (r == 0) {
        r = xb_directory_read(verify->repository, id, &directory, &why);
    }
    if (r < 0) {
        return take_verdict(verify, path, r, &why, err);
    }
    for (size_t i = 0; r == 0 && i < directory->count; i++) {
        r = verify_entry(verify, &directory->entries[i], path, depth, err);
    }
    return r;
}

static int verify_snapshot(struct verify *verify, const struct xb_snapshot *snapshot,
                           struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    verify->snapshot = snapshot->id;
    verify->result.snapshots++;
    if (snapshot->root.type == XB_ENTRY_DIRECTORY) {
        return verify_folder(verify, &snapshot->root.object, "", 0, err);
    }
    verify->result.files++;
    int r = xb_object_verify(verify->repository, &snapshot->root.object, false, judge_content,
                             verify, &why);
    return take_verdict(verify, snapshot->root.name, r, &why, err);
}

static int verify_all(struct verify *verify, struct xb_error *err)
{
    struct xb_snapshot_list list = {.items = NULL};
    int r = xb_snapshot_list(verify->repository, NULL, &list, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < list.count; i++) {
        verify->files_total += list.items[i]->root.summary ? list.items[i]->root.summary->files : 1;
    }
    for (size_t i = 0; r == 0 && i < list.unreadable_count; i++) {
        struct xb_error why = XB_ERROR_INIT;
        (void)!xb_error_set(&why, XB_ERR_CORRUPT, -EBADMSG, "%s", list.unreadable[i]);
        verify->snapshot = "?";
        r = note(verify, "", &why, err);
    }
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        r = verify_snapshot(verify, list.items[i], err);
    }
    xb_snapshot_list_free(&list);
    return r;
}

static int list_packs(struct verify *verify, struct xb_error *err)
{
    int r = xb_repository_list_packs(verify->repository, collect_pack, verify, err);
    if (r == 0 && verify->pack_count > 1) {
        qsort(verify->packs, verify->pack_count, sizeof *verify->packs, compare_packs);
    }
    return r;
}

int xb_verify_run(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                  const struct xb_verify_options *options, struct xb_verify_result *ret,
                  struct xb_error *err)
{
    struct verify verify = {.repository = repository, .options = options, .snapshot = ""};
    int r = list_packs(&verify, err);
    if (r == 0 && snapshot) {
        verify.files_total = snapshot->root.summary ? snapshot->root.summary->files : 1;
        r = verify_snapshot(&verify, snapshot, err);
    } else if (r == 0) {
        r = verify_all(&verify, err);
    }
    for (size_t i = 0; i < verify.pack_count; i++) {
        free(verify.packs[i].name);
    }
    free(verify.packs);
    free(verify.seen.keys);
    free(verify.seen.bad);
    if (r < 0) {
        xb_verify_result_free(&verify.result);
        return r;
    }
    *ret = verify.result;
    return 0;
}

void xb_verify_result_free(struct xb_verify_result *result)
{
    for (size_t i = 0; i < result->message_count; i++) {
        free(result->messages[i].snapshot);
        free(result->messages[i].path);
        free(result->messages[i].text);
    }
    free(result->messages);
    result->messages = NULL;
    result->message_count = 0;
}
