/* SPDX-License-Identifier: Apache-2.0
 * Names, as LVM and the device mapper write them. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/freeze/lvm.h"
#include "agent/mapper/mapper.h"

#define DEVICE_PREFIX "LVM-"
#define MAKER_PREFIX "xebec-made-by-"

enum { ID_CHARS = XB_LVM_ID_BYTES - 1, BOOT_BASE = 16 };

/* ---- identities ---- */

int xb_lvm_ids_of(const char *device_id, struct xb_lvm_ids *ret, struct xb_error *err)
{
    const size_t prefix = sizeof DEVICE_PREFIX - 1;
    if (strncmp(device_id, DEVICE_PREFIX, prefix) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "it is on no logical volume");
    }
    const char *ids = device_id + prefix;
    size_t len = 0;
    while (isalnum((unsigned char)ids[len])) {
        len++;
    }
    if (len != 2 * ID_CHARS || ids[len]) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "it is on what is only a part of a logical volume: '%.80s'", device_id);
    }
    memcpy(ret->group, ids, ID_CHARS);
    memcpy(ret->volume, ids + ID_CHARS, ID_CHARS);
    ret->group[ID_CHARS] = ret->volume[ID_CHARS] = '\0';
    return 0;
}

void xb_lvm_id_text(const char id[XB_LVM_ID_BYTES], char ret[XB_LVM_ID_TEXT_BYTES])
{
    snprintf(ret, XB_LVM_ID_TEXT_BYTES, "%.6s-%.4s-%.4s-%.4s-%.4s-%.4s-%.6s", id, id + 6, id + 10,
             id + 14, id + 18, id + 22, id + 26);
}

/* ---- copies ---- */

int xb_lvm_copy_name(const char *copy, char ret[XB_LVM_NAME_BYTES], struct xb_error *err)
{
    size_t len = strlen(copy);
    bool bad = len == 0 || len + sizeof XB_LVM_PREFIX > XB_LVM_NAME_BYTES;
    for (size_t i = 0; i < len && !bad; i++) {
        bad = !isalnum((unsigned char)copy[i]) && !strchr("-+_.", copy[i]);
    }
    if (bad) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "not a name for a logical volume: '%.80s'", copy);
    }
    snprintf(ret, XB_LVM_NAME_BYTES, XB_LVM_PREFIX "%s", copy);
    return 0;
}

/* A hyphen stands between the two; one that is in them is written twice. */
static size_t add_doubled(char *ret, size_t at, const char *name)
{
    for (; *name; name++) {
        ret[at++] = *name;
        if (*name == '-') {
            ret[at++] = '-';
        }
    }
    return at;
}

void xb_lvm_device_name(const char *group, const char *volume, char ret[XB_LVM_DEVICE_NAME_BYTES])
{
    size_t at = add_doubled(ret, 0, group);
    ret[at++] = '-';
    at = add_doubled(ret, at, volume);
    ret[at] = '\0';
}

/* ---- their makers ---- */

void xb_lvm_maker_tag(const struct xb_lvm_maker *maker, char ret[XB_LVM_TAG_BYTES])
{
    snprintf(ret, XB_LVM_TAG_BYTES, MAKER_PREFIX "%08" PRIx32 "-%" PRIu64 "-%" PRIu64 "-%" PRIu64,
             maker->boot, maker->pid, maker->started, maker->made_s);
}

/* Only what xb_lvm_maker_tag writes. */
bool xb_lvm_maker_parse(const char *tag, size_t len, struct xb_lvm_maker *ret)
{
    char text[XB_LVM_TAG_BYTES];
    char again[XB_LVM_TAG_BYTES];
    struct xb_lvm_maker maker = {.boot = 0};
    const size_t prefix = sizeof MAKER_PREFIX - 1;
    if (len >= sizeof text || len <= prefix) {
        return false;
    }
    memcpy(text, tag, len);
    text[len] = '\0';
    char *end = NULL;
    if (strncmp(text, MAKER_PREFIX, prefix) != 0) {
        return false;
    }
    maker.boot = (uint32_t)strtoul(text + prefix, &end, BOOT_BASE);
    const char *at = end;
    uint64_t *const numbers[] = {&maker.pid, &maker.started, &maker.made_s};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (*at++ != '-' || !xb_mapper_number(&at, numbers[i])) {
            return false;
        }
    }
    xb_lvm_maker_tag(&maker, again);
    if (strcmp(text, again) != 0) {
        return false;
    }
    *ret = maker;
    return true;
}
