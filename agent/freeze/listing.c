/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/freeze/listing_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/freeze/internal.h"
#include "shared/base/scratch.h"

enum { GROW_BYTES = 1 << 20, ALIGN = 8 };

/* A scratch file that is mapped; the place of the mapping changes when it grows. */
struct segment {
    int fd;
    char *map;
    size_t size, used;
};

/* Where a folder is; segment 0: nowhere. */
struct where {
    unsigned segment; /* its index and 1 */
    uint64_t head;
};

struct head {
    uint64_t self, offsets, count;
};

struct xb_listing {
    int clones_fd;
    unsigned segment_count;
    struct segment segments[XB_LISTING_SEGMENTS_MAX];
    pthread_mutex_t lock; /* for the folders */
    struct where *folders;
    size_t folder_count, folder_room;
    atomic_uint_least64_t files, bytes;
};

/* ---- segments ---- */

/* The room is allocated, not only promised: a disk that is full must be an error, not a signal. */
static int grow(struct segment *segment, size_t size, struct xb_error *err)
{
    int error = posix_fallocate(segment->fd, 0, (off_t)size);
    if (error) {
        return xb_error_errno(err, error, "room for a tree's names in the scratch folder");
    }
    void *map = segment->map ? mremap(segment->map, segment->size, size, MREMAP_MAYMOVE)
                             : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, segment->fd, 0);
    if (map == MAP_FAILED) {
        return xb_error_errno(err, errno, "mapping a tree's names");
    }
    segment->map = map;
    segment->size = size;
    return 0;
}

static int append(struct segment *segment, size_t len, uint64_t *ret, struct xb_error *err)
{
    size_t at = (segment->used + ALIGN - 1) / ALIGN * ALIGN;
    if (len > segment->size || at > segment->size - len) {
        size_t more = segment->size > GROW_BYTES ? segment->size : GROW_BYTES;
        int r = grow(segment, segment->size + (len > more ? len + GROW_BYTES : more), err);
        if (r < 0) {
            return r;
        }
    }
    segment->used = at + len;
    *ret = at;
    return 0;
}

int xb_listing_new(unsigned segments, int clones_fd, struct xb_listing **ret, struct xb_error *err)
{
    struct xb_listing *listing = calloc(1, sizeof *listing);
    if (!listing) {
        return xb_error_no_memory(err, "a tree's names");
    }
    const char *folder = NULL;
    int r = 0;
    pthread_mutex_init(&listing->lock, NULL);
    listing->clones_fd = clones_fd;
    for (; r >= 0 && listing->segment_count < segments; listing->segment_count++) {
        struct segment *segment = &listing->segments[listing->segment_count];
        r = segment->fd = xb_scratch_file("a tree's names", &folder, err);
    }
    if (r < 0) {
        xb_listing_free(listing);
        return r;
    }
    *ret = listing;
    return 0;
}

void xb_listing_free(struct xb_listing *listing)
{
    if (!listing) {
        return;
    }
    for (unsigned i = 0; i < listing->segment_count; i++) {
        struct segment *segment = &listing->segments[i];
        if (segment->map) {
            munmap(segment->map, segment->size);
        }
        xb_closep(&segment->fd);
    }
    pthread_mutex_destroy(&listing->lock);
    free(listing->folders);
    free(listing);
}

int xb_listing_reserve_like(struct xb_listing *listing, const struct xb_listing *other,
                            struct xb_error *err)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < listing->segment_count; i++) {
        struct segment *segment = &listing->segments[i];
        r = other->segments[i].size > segment->size ? grow(segment, other->segments[i].size, err)
                                                    : 0;
    }
    return r;
}

/* ---- writing ---- */

uint64_t xb_listing_number(struct xb_listing *listing)
{
    pthread_mutex_lock(&listing->lock);
    uint64_t number = listing->folder_count++;
    pthread_mutex_unlock(&listing->lock);
    return number;
}

static int note(struct xb_listing *listing, uint64_t number, struct where where,
                struct xb_error *err)
{
    int r = 0;
    pthread_mutex_lock(&listing->lock);
    if (number >= listing->folder_room) {
        size_t room = 2 * (size_t)number + 64;
        struct where *folders = reallocarray(listing->folders, room, sizeof *folders);
        if (folders) {
            memset(folders + listing->folder_room, 0,
                   (room - listing->folder_room) * sizeof *folders);
            listing->folders = folders;
            listing->folder_room = room;
        } else {
            r = xb_error_no_memory(err, "a tree's folders");
        }
    }
    if (r == 0) {
        listing->folders[number] = where;
    }
    pthread_mutex_unlock(&listing->lock);
    return r;
}

static int write_entry(struct segment *segment, const struct xb_listing_parts *parts, uint64_t *ret,
                       struct xb_error *err)
{
    size_t name_bytes = strlen(parts->name) + 1;
    size_t target_bytes = strlen(parts->target) + 1;
    struct xb_listing_entry *entry = NULL;
    int r =
        append(segment, sizeof *entry + name_bytes + target_bytes + parts->xattr_bytes, ret, err);
    if (r < 0) {
        return r;
    }
    entry = (void *)(segment->map + *ret);
    *entry = (struct xb_listing_entry){.st = *parts->st,
                                       .child = parts->child,
                                       .seen_ns = parts->seen_ns,
                                       .name_bytes = (uint32_t)name_bytes,
                                       .target_bytes = (uint32_t)target_bytes,
                                       .xattr_bytes = (uint32_t)parts->xattr_bytes};
    memcpy(entry->bytes, parts->name, name_bytes);
    memcpy(entry->bytes + name_bytes, parts->target, target_bytes);
    if (parts->xattr_bytes) {
        memcpy(entry->bytes + name_bytes + target_bytes, parts->xattrs, parts->xattr_bytes);
    }
    return 0;
}

int xb_listing_begin(struct xb_listing_draft *draft, uint64_t number,
                     const struct xb_listing_parts *self, struct xb_error *err)
{
    draft->number = number;
    draft->count = 0;
    return write_entry(&draft->listing->segments[draft->segment], self, &draft->self, err);
}

int xb_listing_add(struct xb_listing_draft *draft, const struct xb_listing_parts *parts,
                   struct xb_error *err)
{
    struct xb_listing *listing = draft->listing;
    if (draft->count == draft->room) {
        size_t room = 2 * draft->room + 256;
        uint64_t *offsets = reallocarray(draft->offsets, room, sizeof *offsets);
        if (!offsets) {
            return xb_error_no_memory(err, "a folder's names");
        }
        draft->offsets = offsets;
        draft->room = room;
    }
    int r =
        write_entry(&listing->segments[draft->segment], parts, &draft->offsets[draft->count], err);
    if (r < 0) {
        return r;
    }
    draft->count++;
    if (S_ISREG(parts->st->st_mode)) {
        atomic_fetch_add_explicit(&listing->files, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&listing->bytes, (uint64_t)parts->st->st_size,
                                  memory_order_relaxed);
    }
    return 0;
}

static int compare_names(const void *left, const void *right, void *base)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    const struct xb_listing_entry *entry_a = (const void *)((const char *)base + *a);
    const struct xb_listing_entry *entry_b = (const void *)((const char *)base + *b);
    return strcmp(entry_a->bytes, entry_b->bytes);
}

int xb_listing_end(struct xb_listing_draft *draft, struct xb_error *err)
{
    struct segment *segment = &draft->listing->segments[draft->segment];
    struct head head = {.self = draft->self, .count = draft->count};
    struct where where = {.segment = draft->segment + 1};
    size_t bytes = draft->count * sizeof *draft->offsets;
    if (draft->count > 1) {
        qsort_r(draft->offsets, draft->count, sizeof *draft->offsets, compare_names, segment->map);
    }
    int r = append(segment, bytes, &head.offsets, err);
    if (r < 0) {
        return r;
    }
    if (bytes) {
        memcpy(segment->map + head.offsets, draft->offsets, bytes);
    }
    r = append(segment, sizeof head, &where.head, err);
    if (r < 0) {
        return r;
    }
    memcpy(segment->map + where.head, &head, sizeof head);
    return note(draft->listing, draft->number, where, err);
}

bool xb_listing_pack_xattr(char *bytes, size_t room, size_t *used,
                           const struct xb_listing_xattr *xattr)
{
    size_t name_bytes = strlen(xattr->name) + 1;
    uint32_t len = (uint32_t)xattr->len;
    if (xattr->len > UINT32_MAX || name_bytes + sizeof len + xattr->len > room - *used) {
        return false;
    }
    char *at = bytes + *used;
    memcpy(at, xattr->name, name_bytes);
    memcpy(at + name_bytes, &len, sizeof len);
    memcpy(at + name_bytes + sizeof len, xattr->value, xattr->len);
    *used += name_bytes + sizeof len + xattr->len;
    return true;
}

/* ---- reading ---- */

bool xb_listing_folder(const struct xb_listing *listing, uint64_t number,
                       struct xb_listing_folder *ret)
{
    if (number >= listing->folder_room || !listing->folders[number].segment) {
        return false;
    }
    const struct where *where = &listing->folders[number];
    const char *base = listing->segments[where->segment - 1].map;
    const struct head *head = (const void *)(base + where->head);
    *ret = (struct xb_listing_folder){.self = (const void *)(base + head->self),
                                      .count = head->count,
                                      .offsets = (const void *)(base + head->offsets),
                                      .base = base};
    return true;
}

const struct xb_listing_entry *xb_listing_entry(const struct xb_listing_folder *folder, size_t i)
{
    return (const void *)(folder->base + folder->offsets[i]);
}

const struct xb_listing_entry *xb_listing_find(const struct xb_listing_folder *folder,
                                               const char *name)
{
    size_t from = 0;
    size_t to = folder->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const struct xb_listing_entry *entry = xb_listing_entry(folder, middle);
        int order = strcmp(name, entry->bytes);
        if (order == 0) {
            return entry;
        }
        from = order > 0 ? middle + 1 : from;
        to = order > 0 ? to : middle;
    }
    return NULL;
}

const char *xb_listing_name(const struct xb_listing_entry *entry)
{
    return entry->bytes;
}

const char *xb_listing_target(const struct xb_listing_entry *entry)
{
    return entry->bytes + entry->name_bytes;
}

bool xb_listing_next_xattr(const struct xb_listing_entry *entry, size_t *at,
                           struct xb_listing_xattr *ret)
{
    uint32_t len = 0;
    if (*at >= entry->xattr_bytes) {
        return false;
    }
    const char *name = entry->bytes + entry->name_bytes + entry->target_bytes + *at;
    size_t name_bytes = strlen(name) + 1;
    memcpy(&len, name + name_bytes, sizeof len);
    *ret = (struct xb_listing_xattr){name, name + name_bytes + sizeof len, len};
    *at += name_bytes + sizeof len + len;
    return true;
}

int xb_listing_open(const struct xb_listing *listing, const struct xb_listing_entry *entry)
{
    char name[XB_FREEZE_CLONE_NAME_BYTES];
    if (!entry->child) {
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    xb_freeze_clone_name(entry->child, name);
    return openat(listing->clones_fd, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
}

void xb_listing_totals(const struct xb_listing *listing, uint64_t *ret_files, uint64_t *ret_bytes)
{
    *ret_files = atomic_load(&listing->files);
    *ret_bytes = atomic_load(&listing->bytes);
}
