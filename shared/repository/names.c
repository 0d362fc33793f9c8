/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/names.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_FIRST = 16, SLOTS_FIRST = 64, TEXT_FIRST_BYTES = 1024 };

void xb_names_free(struct xb_names *names)
{
    free(names->text);
    free(names->offsets);
    free(names->slots);
    *names = (struct xb_names){.count = 0};
}

static uint32_t hash_bytes(const char *name, size_t len)
{
    uint32_t h = UINT32_C(2166136261); /* FNV-1a: names are random hex, anything spreads them */
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)name[i]) * UINT32_C(16777619);
    }
    return h;
}

const char *xb_names_at(const struct xb_names *names, uint32_t number)
{
    return names->text + names->offsets[number];
}

/* The slot where the name is, or where it belongs. */
static uint32_t slot_of(const struct xb_names *names, const char *name, size_t len)
{
    uint32_t mask = names->slot_count - 1;
    uint32_t slot = hash_bytes(name, len) & mask;
    while (names->slots[slot] != 0) {
        const char *have = xb_names_at(names, names->slots[slot] - 1);
        if (strlen(have) == len && memcmp(have, name, len) == 0) {
            break;
        }
        slot = (slot + 1) & mask;
    }
    return slot;
}

static int grow_slots(struct xb_names *names, struct xb_error *err)
{
    if (names->slot_count > 0 && names->count < names->slot_count / 2) {
        return 0;
    }
    uint32_t count = names->slot_count ? names->slot_count * 2 : SLOTS_FIRST;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots) {
        return xb_error_no_memory(err, "pack names");
    }
    free(names->slots);
    names->slots = slots;
    names->slot_count = count;
    for (uint32_t i = 0; i < names->count; i++) {
        const char *name = xb_names_at(names, i);
        slots[slot_of(names, name, strlen(name))] = i + 1;
    }
    return 0;
}

static int grow_arrays(struct xb_names *names, size_t len, struct xb_error *err)
{
    if (names->count == names->cap) {
        uint32_t cap = names->cap ? names->cap * 2 : NAMES_FIRST;
        uint32_t *offsets = realloc(names->offsets, cap * sizeof *offsets);
        if (!offsets) {
            return xb_error_no_memory(err, "pack names");
        }
        names->offsets = offsets;
        names->cap = cap;
    }
    size_t need = names->text_len + len + 1;
    if (need > UINT32_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "the pack names take more than 4 GiB");
    }
    if (need > names->text_cap) {
        size_t cap = names->text_cap ? names->text_cap * 2 : TEXT_FIRST_BYTES;
        char *text = realloc(names->text, cap);
        if (!text) {
            return xb_error_no_memory(err, "pack names");
        }
        names->text = text;
        names->text_cap = cap;
    }
    return 0;
}

int xb_names_intern(struct xb_names *names, const char *name, size_t len, uint32_t *ret_number,
                    struct xb_error *err)
{
    if (len == 0 || len > XB_NAMES_TEXT_BYTES_MAX || memchr(name, 0, len)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a blob name of %zu bytes", len);
    }
    int r = grow_slots(names, err);
    if (r < 0) {
        return r;
    }
    uint32_t slot = slot_of(names, name, len);
    if (names->slots[slot] != 0) {
        *ret_number = names->slots[slot] - 1;
        return 0;
    }
    if (names->count >= XB_NAMES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d packs", XB_NAMES_MAX);
    }
    if ((r = grow_arrays(names, len, err)) < 0) {
        return r;
    }
    memcpy(names->text + names->text_len, name, len);
    names->text[names->text_len + len] = '\0';
    names->offsets[names->count] = (uint32_t)names->text_len;
    names->text_len += len + 1;
    names->slots[slot] = ++names->count;
    *ret_number = names->count - 1;
    return 0;
}

bool xb_names_find(const struct xb_names *names, const char *name, uint32_t *ret_number)
{
    if (names->slot_count == 0) {
        return false;
    }
    uint32_t slot = slot_of(names, name, strlen(name));
    if (names->slots[slot] == 0) {
        return false;
    }
    *ret_number = names->slots[slot] - 1;
    return true;
}
