/* SPDX-License-Identifier: Apache-2.0
 *
 * lvm.h - what lvm.c knows of LVM without one: reports, names, and what may be done; for the files
 *         of this folder only.
 *
 * What for:  EXPERIMENTAL: run for real only in a virtual machine, by tests/vm/lvm_test. A copy is
 *            a snapshot, thin or thick, of the logical volume on which the volume's file system
 *            lies, made by the node's own `lvm`. While LVM makes or removes one it suspends the
 *            origin: somebody else must be there to resume it (struct xb_freeze_holder.watch).
 * Ownership: the caller's structs; a report is freed by xb_lvm_report_free.
 * Threads:   any. LVM's commands of one process come one after the other.
 * Blocking:  what runs a command does, at most XB_LVM_COMMAND_MS and what the watch takes.
 * Shapes:    a copy NAME is the logical volume XB_LVM_PREFIX NAME in the volume's group, with the
 *            tag XB_LVM_TAG and one that says who made it (xb_lvm_maker_tag). As long as it is read
 *            its device is open. One that is not open, and whose maker is gone, or had made it long
 *            ago, is left over.
 * Errors:    INVALID: not to be had, with the reason; CORRUPT: not a report of LVM's.
 * Source:    lvs(8), lvmreport(7), lvcreate(8), lvm(8) "VALID NAMES" of LVM2 2.03.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/freeze/freeze.h"

#define XB_LVM_PREFIX "xebec-point-in-time-"
#define XB_LVM_TAG "xebec-point-in-time"

enum {
    XB_LVM_ID_BYTES = 33,      /* 32 characters */
    XB_LVM_ID_TEXT_BYTES = 39, /* the same, as people see it: with six hyphens */
    XB_LVM_NAME_BYTES = 128,
    XB_LVM_TAG_BYTES = 96,
    XB_LVM_VOLUMES_MAX = 4096,
    XB_LVM_DEVICE_NAME_BYTES = 4 * XB_LVM_NAME_BYTES,
    XB_LVM_COMMAND_MS = 10000
};

/* ---- names (pure) ---- */

struct xb_lvm_ids {
    char group[XB_LVM_ID_BYTES], volume[XB_LVM_ID_BYTES];
};
/* By what the device mapper calls a device. INVALID: it is no logical volume, or a part of one. */
int xb_lvm_ids_of(const char *device_id, struct xb_lvm_ids *ret,
                  struct xb_error *err) XB_MUST_CHECK;
void xb_lvm_id_text(const char id[XB_LVM_ID_BYTES], char ret[XB_LVM_ID_TEXT_BYTES]);
/* A copy's logical volume. INVALID: a name that LVM would not take. */
int xb_lvm_copy_name(const char *copy, char ret[XB_LVM_NAME_BYTES],
                     struct xb_error *err) XB_MUST_CHECK;
/* What device mapper calls the device of a logical volume. */
void xb_lvm_device_name(const char *group, const char *volume, char ret[XB_LVM_DEVICE_NAME_BYTES]);

/* Who made a copy, and when. A process is known by its number, and by when it was started, which
 * both may come again after the node was. */
struct xb_lvm_maker {
    uint32_t boot;         /* of the node: the beginning of its boot_id */
    uint64_t pid, started; /* in ticks since then */
    uint64_t made_s;       /* in seconds since then */
};
void xb_lvm_maker_tag(const struct xb_lvm_maker *maker, char ret[XB_LVM_TAG_BYTES]);
/* False: it is no such tag. */
bool xb_lvm_maker_parse(const char *tag, size_t len, struct xb_lvm_maker *ret);

/* ---- reports (pure) ---- */

enum { XB_LVM_ATTRIBUTES = 10, XB_LVM_GROUP_ATTRIBUTES = 6 };

struct xb_lvm_volume {
    struct xb_lvm_ids ids;
    char name[XB_LVM_NAME_BYTES], group[XB_LVM_NAME_BYTES];
    char attributes[XB_LVM_ATTRIBUTES + 1], group_attributes[XB_LVM_GROUP_ATTRIBUTES + 1];
    char pool_id[XB_LVM_ID_BYTES]; /* "": it is not thin */
    bool shared;                   /* its group is locked between nodes */
    bool ours;                     /* our tag, our name */
    struct xb_lvm_maker maker;     /* if it is ours; boot 0: nobody knows */
    uint64_t bytes, group_bytes, group_free_bytes, extent_bytes;
    int data_percent, metadata_percent; /* in hundredths; -1: it has none */
};
struct xb_lvm_report {
    struct xb_lvm_volume *volumes;
    size_t count;
};

/* The columns that xb_lvm_report_parse wants, and the settings with which a node's configuration
 * cannot change what they look like. */
#define XB_LVM_REPORT_COLUMNS                                                                      \
    "lv_uuid,lv_name,vg_uuid,vg_name,lv_attr,vg_attr,vg_lock_type,pool_lv_uuid,lv_tags,lv_size,"   \
    "vg_size,vg_free,vg_extent_size,data_percent,metadata_percent"
#define XB_LVM_REPORT_SETTINGS                                                                     \
    "report{compact_output=0 list_item_separator=\",\"} log{report_command_log=0}"
int xb_lvm_report_parse(const char *text, size_t len, struct xb_lvm_report *ret,
                        struct xb_error *err) XB_MUST_CHECK;
void xb_lvm_report_free(struct xb_lvm_report *report);
/* NULL: it is not there. */
const struct xb_lvm_volume *xb_lvm_find(const struct xb_lvm_report *report, const char *id);

/* ---- what may be done (pure) ---- */

struct xb_lvm_plan {
    const struct xb_lvm_volume *origin, *pool; /* of the report; pool NULL: a thick one */
    uint64_t extents;                          /* of a thick one, for what is overwritten */
};
/* Up to which fill a pool may have a copy, and from which on one that lives is given up, in
 * hundredths of a percent; the same of a thick copy's own room. */
enum { XB_LVM_POOL_BEGIN_MAX = 8000, XB_LVM_POOL_LIVE_MAX = 9000, XB_LVM_THICK_LIVE_MAX = 9500 };
int xb_lvm_plan(const struct xb_lvm_report *report, const struct xb_lvm_ids *ids,
                struct xb_lvm_plan *ret, struct xb_error *err) XB_MUST_CHECK;
/* Whether a copy is left over. `alive`: its maker is. */
bool xb_lvm_is_left_over(const struct xb_lvm_volume *volume, bool alive, uint64_t now_s);
