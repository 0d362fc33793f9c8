/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/index_run.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "shared/base/random.h"
#include "shared/crypto/hash.h"

enum { FAN_RECORDS = 16, FAN_BITS_MAX = 22, ALIGN = 16, HASH_HEAD_BITS = 32 };

int xb_index_blob_hash(const char *name, struct xb_index_blob_hash *ret, struct xb_error *err)
{
    unsigned char digest[XB_SHA256_BYTES];
    int r = xb_sha256(name, strlen(name), digest, err);
    if (r == 0) {
        memcpy(ret->bytes, digest, sizeof ret->bytes);
    }
    return r;
}

struct xb_index_run *xb_index_run_ref(struct xb_index_run *run)
{
    atomic_fetch_add(&run->refs, 1);
    return run;
}

void xb_index_run_unref(struct xb_index_run *run)
{
    if (!run || atomic_fetch_sub(&run->refs, 1) > 1) {
        return;
    }
    if (run->map) {
        (void)munmap(run->map, run->map_len);
    }
    xb_spill_free(&run->spill);
    free(run);
}

/* ---- finding ---- */

static size_t group_number(unsigned char prefix)
{
    return prefix == 0 ? 0 : (size_t)(prefix - 'g') + 1;
}

/* The first bytes of a hash as a number; a shorter hash counts as if zeros followed. */
static uint32_t hash_head(const unsigned char *key, size_t key_bytes)
{
    uint32_t value = 0;
    for (size_t i = 1; i <= sizeof value; i++) {
        value = value << 8 | (i < key_bytes ? key[i] : 0);
    }
    return value;
}

static uint32_t fan_slot(const struct xb_index_group *group, const unsigned char *key,
                         size_t key_bytes)
{
    return group->bits ? hash_head(key, key_bytes) >> (HASH_HEAD_BITS - group->bits) : 0;
}

static size_t lower_between(const unsigned char *records, size_t stride, const unsigned char *key,
                            size_t key_bytes, const size_t range[2])
{
    size_t low = range[0];
    size_t high = range[1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(records + middle * stride, key, key_bytes) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t xb_index_run_lower_prefix(const struct xb_index_run *run, unsigned char prefix)
{
    if (prefix == 0) {
        return 0;
    }
    size_t first = prefix < 'g' ? 1 : group_number(prefix);
    return first < XB_INDEX_PREFIXES ? run->head.groups[first].start : run->count;
}

size_t xb_index_run_lower(const struct xb_index_run *run, const unsigned char *key)
{
    if (key[0] != 0 && (key[0] < 'g' || key[0] > 'z')) {
        return xb_index_run_lower_prefix(run, key[0]);
    }
    const struct xb_index_group *group = &run->head.groups[group_number(key[0])];
    const uint32_t *fan = run->fan + group->fan_at + fan_slot(group, key, run->key_bytes);
    /* What a fan says stays inside of the group, whatever it says. */
    size_t low = fan[0] < group->count ? fan[0] : group->count;
    size_t high = fan[1] < group->count ? fan[1] : group->count;
    const size_t range[2] = {group->start + low, group->start + high};
    return lower_between(run->records, run->stride, key, run->key_bytes, range);
}

bool xb_index_run_find(const struct xb_index_run *run, const unsigned char *key, size_t *ret_i)
{
    size_t i = xb_index_run_lower(run, key);
    if (i == run->count || memcmp(xb_index_run_at(run, i), key, run->key_bytes) != 0) {
        return false;
    }
    *ret_i = i;
    return true;
}

const unsigned char *xb_index_run_find_hidden(const struct xb_index_run *run,
                                              const unsigned char *key)
{
    const size_t range[2] = {0, run->hidden_count};
    size_t i = lower_between(run->hidden, run->stride, key, run->key_bytes, range);
    const unsigned char *record = run->hidden + i * run->stride;
    return i < run->hidden_count && memcmp(record, key, run->key_bytes) == 0 ? record : NULL;
}

/* ---- making one ---- */

void xb_index_build_free(struct xb_index_build *build)
{
    xb_spill_free(&build->records);
    xb_spill_free(&build->hidden);
    xb_spill_free(&build->ranks);
}

static size_t stride_of(const struct xb_index_build *build)
{
    return build->key_bytes + XB_INDEX_FIELDS_BYTES;
}

int xb_index_build_add(struct xb_index_build *build, const unsigned char *record,
                       struct xb_error *err)
{
    return xb_spill_append(&build->records, record, stride_of(build), err);
}

int xb_index_build_add_over(struct xb_index_build *build, const unsigned char *record, size_t below,
                            bool replaces, struct xb_error *err)
{
    const struct xb_index_rank rank = {(uint32_t)below, (uint32_t)below + build->inserts};
    build->inserts += !replaces;
    int r = xb_spill_append(&build->ranks, &rank, sizeof rank, err);
    return r < 0 ? r : xb_index_build_add(build, record, err);
}

int xb_index_build_hide(struct xb_index_build *build, const unsigned char *record,
                        struct xb_error *err)
{
    return xb_spill_append(&build->hidden, record, stride_of(build), err);
}

/* Which records have which prefix, and how finely each group's fan divides it. */
static void find_groups(const unsigned char *records, size_t stride, size_t count,
                        struct xb_index_group groups[XB_INDEX_PREFIXES])
{
    uint32_t fan_at = 0;
    size_t start = 0;
    for (size_t g = 0; g < XB_INDEX_PREFIXES; g++) {
        unsigned char next = (unsigned char)('g' + g); /* the prefix of the group after this one */
        const size_t range[2] = {start, count};
        size_t end =
            g + 1 == XB_INDEX_PREFIXES ? count : lower_between(records, stride, &next, 1, range);
        uint32_t bits = 0;
        while (bits < FAN_BITS_MAX && (end - start) >> bits > FAN_RECORDS) {
            bits++;
        }
        groups[g] = (struct xb_index_group){(uint32_t)start, (uint32_t)(end - start), fan_at, bits};
        fan_at += (UINT32_C(1) << bits) + 1;
        start = end;
    }
}

/* fan[v] of a group: how many of its records have hashes that begin with bits below v. */
static int append_fan(struct xb_spill *out, const struct xb_index_group *group,
                      const unsigned char *records, size_t key_bytes, struct xb_error *err)
{
    size_t stride = key_bytes + XB_INDEX_FIELDS_BYTES;
    uint32_t slots = UINT32_C(1) << group->bits;
    uint32_t next = 0; /* of the fan */
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < group->count; i++) {
        const unsigned char *record = records + (group->start + (size_t)i) * stride;
        for (uint32_t slot = fan_slot(group, record, key_bytes); r == 0 && next <= slot; next++) {
            r = xb_spill_append(out, &i, sizeof i, err);
        }
    }
    for (; r == 0 && next <= slots; next++) {
        r = xb_spill_append(out, &group->count, sizeof group->count, err);
    }
    return r;
}

/* The records may move while more is appended behind them: they are read from a mapping of their
 * own, and the fan is collected apart. */
static int build_fan(struct xb_index_build *build, struct xb_index_head *head, struct xb_spill *fan,
                     struct xb_error *err)
{
    const unsigned char *records = NULL;
    size_t stride = stride_of(build);
    size_t count = (size_t)(xb_spill_len(&build->records) / stride);
    if (count > XB_INDEX_RUN_RECORDS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "the index has more than %u entries",
                            XB_INDEX_RUN_RECORDS_MAX);
    }
    int r = xb_spill_map(&build->records, &records, err);
    if (r < 0) {
        return r;
    }
    find_groups(records, stride, count, head->groups);
    for (size_t g = 0; r == 0 && g < XB_INDEX_PREFIXES; g++) {
        r = append_fan(fan, &head->groups[g], records, build->key_bytes, err);
    }
    return r;
}

static int section(struct xb_index_build *build, struct xb_index_head *head,
                   enum xb_index_section which, const void *data, size_t len, struct xb_error *err)
{
    int r = xb_spill_align(&build->records, ALIGN, err);
    head->at[which] = xb_spill_len(&build->records);
    head->len[which] = len;
    return r < 0 || len == 0 ? r : xb_spill_append(&build->records, data, len, err);
}

static int section_spill(struct xb_index_build *build, struct xb_index_head *head,
                         enum xb_index_section which, struct xb_spill *spill, struct xb_error *err)
{
    const unsigned char *data = NULL;
    size_t len = (size_t)xb_spill_len(spill);
    int r = xb_spill_map(spill, &data, err);
    return r < 0 ? r : section(build, head, which, data, len, err);
}

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct xb_index_blob_hash));
}

static int append_sections(struct xb_index_build *build, const struct xb_names *packs,
                           const struct xb_index_blob_hash *blobs, size_t blob_count,
                           struct xb_index_head *head, struct xb_error *err)
{
    struct xb_spill fan = XB_SPILL_INIT(build->records.folder);
    head->len[XB_INDEX_RECORDS] = xb_spill_len(&build->records);
    int r = build_fan(build, head, &fan, err);
    r = r ? r : section_spill(build, head, XB_INDEX_HIDDEN, &build->hidden, err);
    r = r ? r : section(build, head, XB_INDEX_NAME_TEXT, packs->text, packs->text_len, err);
    r = r ? r
          : section(build, head, XB_INDEX_NAME_OFFSETS, packs->offsets,
                    packs->count * sizeof *packs->offsets, err);
    r = r ? r
          : section(build, head, XB_INDEX_NAME_SLOTS, packs->slots,
                    packs->slot_count * sizeof *packs->slots, err);
    r = r ? r : section_spill(build, head, XB_INDEX_FAN, &fan, err);
    r = r ? r : section(build, head, XB_INDEX_BLOBS, blobs, blob_count * sizeof *blobs, err);
    r = r ? r : section_spill(build, head, XB_INDEX_RANKS, &build->ranks, err);
    r = r ? r : xb_spill_align(&build->records, ALIGN, err);
    xb_spill_free(&fan);
    return r;
}

int xb_index_build_finish(struct xb_index_build *build, const struct xb_names *packs,
                          struct xb_index_blob_hash *blobs, size_t blob_count,
                          struct xb_index_run **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_index_run_unrefp) struct xb_index_run *run = calloc(1, sizeof *run);
    if (!run) {
        return xb_error_no_memory(err, "the index");
    }
    atomic_init(&run->refs, 1);
    run->spill = (struct xb_spill)XB_SPILL_INIT(-1);
    struct xb_index_head *head = &run->head;
    head->key_bytes = build->key_bytes;
    head->watermark_s = build->watermark_s;
    head->name_count = packs->count;
    head->slot_count = packs->slot_count;
    head->inserts = build->inserts;
    xb_random_bytes(head->id, sizeof head->id);
    if (build->below) {
        memcpy(head->below, build->below->head.id, sizeof head->below);
        head->below_names = build->below->head.name_count;
    }
    if (blob_count > 1) {
        qsort(blobs, blob_count, sizeof *blobs, compare_hashes);
    }
    int r = append_sections(build, packs, blobs, blob_count, head, err);
    const unsigned char *data = NULL;
    if (r < 0 || (r = xb_spill_map(&build->records, &data, err)) < 0 ||
        (r = xb_index_run_attach(run, data, xb_spill_len(&build->records), err)) < 0) {
        return r;
    }
    run->spill = build->records;
    build->records = (struct xb_spill)XB_SPILL_INIT(build->records.folder);
    *ret = XB_TAKE(run);
    return 0;
}

/* ---- checking one ---- */

static bool section_fits(const struct xb_index_head *head, enum xb_index_section which,
                         uint64_t len, size_t item_bytes)
{
    return head->at[which] % ALIGN == 0 && head->at[which] <= len &&
           head->len[which] <= len - head->at[which] && head->len[which] % item_bytes == 0;
}

static bool groups_fit(const struct xb_index_head *head, size_t count)
{
    uint64_t fans = head->len[XB_INDEX_FAN] / sizeof(uint32_t);
    uint64_t start = 0;
    for (size_t g = 0; g < XB_INDEX_PREFIXES; g++) {
        const struct xb_index_group *group = &head->groups[g];
        if (group->start != start || group->bits > FAN_BITS_MAX || group->fan_at > fans ||
            (UINT64_C(1) << group->bits) + 1 > fans - group->fan_at) {
            return false;
        }
        start += group->count;
    }
    return start == count;
}

static bool names_fit(const struct xb_index_run *run)
{
    const struct xb_names *names = &run->packs;
    bool fit = run->head.len[XB_INDEX_NAME_OFFSETS] == names->count * sizeof *names->offsets &&
               run->head.len[XB_INDEX_NAME_SLOTS] == names->slot_count * sizeof *names->slots &&
               (names->slot_count & (names->slot_count - 1)) == 0 &&
               (names->count == 0 || names->count < names->slot_count) &&
               (names->text_len == 0 || names->text[names->text_len - 1] == '\0');
    for (uint32_t i = 0; fit && i < names->count; i++) {
        fit = names->offsets[i] < names->text_len;
    }
    bool room = names->slot_count == 0; /* a search ends at a free slot */
    for (uint32_t i = 0; fit && i < names->slot_count; i++) {
        fit = names->slots[i] <= names->count;
        room = room || names->slots[i] == 0;
    }
    return fit && room;
}

/* The names' fields point into bytes that are never written: only reading functions get them. */
static void attach_names(struct xb_index_run *run, const unsigned char *data)
{
    union {
        const unsigned char *in;
        char *text;
        uint32_t *numbers;
    } pass = {.in = data + run->head.at[XB_INDEX_NAME_TEXT]};
    run->packs = (struct xb_names){.text = pass.text,
                                   .text_len = (size_t)run->head.len[XB_INDEX_NAME_TEXT],
                                   .count = run->head.name_count,
                                   .slot_count = run->head.slot_count};
    pass.in = data + run->head.at[XB_INDEX_NAME_OFFSETS];
    run->packs.offsets = pass.numbers;
    pass.in = data + run->head.at[XB_INDEX_NAME_SLOTS];
    run->packs.slots = pass.numbers;
}

int xb_index_run_attach(struct xb_index_run *run, const unsigned char *data, uint64_t len,
                        struct xb_error *err)
{
    const struct xb_index_head *head = &run->head;
    bool keys = head->key_bytes >= 2 && head->key_bytes <= XB_INDEX_KEY_BYTES_MAX;
    size_t stride = keys ? (size_t)head->key_bytes + XB_INDEX_FIELDS_BYTES : 1;
    const size_t item_bytes[XB_INDEX_SECTIONS] = {stride,
                                                  stride,
                                                  1,
                                                  4,
                                                  4,
                                                  4,
                                                  sizeof(struct xb_index_blob_hash),
                                                  sizeof(struct xb_index_rank)};
    bool fit = keys;
    for (unsigned s = 0; fit && s < XB_INDEX_SECTIONS; s++) {
        fit = section_fits(head, (enum xb_index_section)s, len, item_bytes[s]);
    }
    size_t count = (size_t)head->len[XB_INDEX_RECORDS] / stride;
    size_t ranks = (size_t)head->len[XB_INDEX_RANKS] / sizeof(struct xb_index_rank);
    if (!fit || count > XB_INDEX_RUN_RECORDS_MAX || !groups_fit(head, count) ||
        (ranks != 0 && ranks != count) || head->inserts > count) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a merged index does not fit its head");
    }
    run->key_bytes = (size_t)head->key_bytes;
    run->stride = stride;
    run->count = count;
    run->hidden_count = (size_t)head->len[XB_INDEX_HIDDEN] / stride;
    run->blob_count = (size_t)head->len[XB_INDEX_BLOBS] / sizeof *run->blobs;
    run->records = data + head->at[XB_INDEX_RECORDS];
    run->hidden = data + head->at[XB_INDEX_HIDDEN];
    run->fan = (const void *)(data + head->at[XB_INDEX_FAN]);
    run->blobs = (const void *)(data + head->at[XB_INDEX_BLOBS]);
    run->ranks = (const void *)(data + head->at[XB_INDEX_RANKS]);
    attach_names(run, data);
    return names_fit(run)
               ? 0
               : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a merged index's names do not fit");
}
