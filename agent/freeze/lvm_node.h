/* SPDX-License-Identifier: Apache-2.0
 *
 * lvm_node.h - the LVM of this node: its commands, and its devices in /sys; for the files of this
 *              folder only.
 *
 * Ownership: the caller's structs.
 * Threads:   any. Commands that change something come one after the other in a process.
 * Blocking:  a command at most XB_LVM_COMMAND_MS, XB_COMMAND_END_MS and what the watch takes.
 * Errors:    what LVM says is in the text.
 */
#pragma once

#include "agent/freeze/lvm.h"

/* ---- devices ---- */

struct xb_lvm_device {
    unsigned major, minor;
    char id[2 * XB_LVM_NAME_BYTES]; /* as the device mapper knows it: "LVM-..." */
    char name[2 * XB_LVM_NAME_BYTES];
};
/* INVALID: it is none of the device mapper's. */
int xb_lvm_device_by_number(unsigned major, unsigned minor, struct xb_lvm_device *ret,
                            struct xb_error *err) XB_MUST_CHECK;
/* The first one that fits; NULL: whatever it is. */
struct xb_lvm_device_wanted {
    const char *id_begins, *id_ends, *name;
    bool unused; /* no other device lies upon it */
};
int xb_lvm_device_find(const struct xb_lvm_device_wanted *wanted, struct xb_lvm_device *ret,
                       struct xb_error *err) XB_MUST_CHECK;
/* What the kernel calls it in /dev. */
enum { XB_LVM_PATH_BYTES = 32 };
void xb_lvm_device_path(const struct xb_lvm_device *device, char ret[XB_LVM_PATH_BYTES]);

/* ---- commands ---- */

/* `select`: as lvs wants it. */
int xb_lvm_look(const char *select, const atomic_bool *cancel, struct xb_lvm_report *ret,
                struct xb_error *err) XB_MUST_CHECK;

/* How long a device may be suspended: then somebody else resumes it. */
enum { XB_LVM_LIMIT_MS = 1000 };
struct xb_lvm_watch {
    const struct xb_freeze_holder *holder;
    unsigned major, minor; /* a device of the group */
    bool begun;            /* out: the command may have done something */
    uint64_t suspended_us; /* out: that somebody saw */
};
/* Whether somebody would watch, and may. INVALID: nobody. */
int xb_lvm_watch_check(struct xb_lvm_watch *watch, struct xb_error *err) XB_MUST_CHECK;
/* Makes or removes a copy, while somebody watches. CONFLICT: the writers had to be let go on before
 * the command came to it, so whatever it made is of no moment. */
int xb_lvm_create(struct xb_lvm_watch *watch, const struct xb_lvm_plan *plan, const char *name,
                  struct xb_error *err) XB_MUST_CHECK;
int xb_lvm_remove(struct xb_lvm_watch *watch, const char *group, const char *name,
                  struct xb_error *err) XB_MUST_CHECK;
/* What a command that was cut off has left of a copy that LVM no longer knows, or cannot remove:
 * its devices, and what was put below its origin. None that is in use. */
void xb_lvm_clear(const struct xb_lvm_ids *ids, const char *group, const char *name);

/* ---- the room that they take ---- */

struct xb_lvm_room {
    int fd; /* of the device mapper; the owner closes it */
    bool thin;
    struct xb_lvm_device device; /* of the pool; of a thick copy its own, once there is one */
};
int xb_lvm_room_begin(const struct xb_lvm_plan *plan, struct xb_lvm_room *ret,
                      struct xb_error *err) XB_MUST_CHECK;
/* FULL: there is too little left, or none. */
int xb_lvm_room_check(const struct xb_lvm_room *room, struct xb_error *err) XB_MUST_CHECK;

/* ---- who makes them ---- */

int xb_lvm_maker_self(struct xb_lvm_maker *ret, struct xb_error *err) XB_MUST_CHECK;
bool xb_lvm_maker_lives(const struct xb_lvm_maker *maker);
uint64_t xb_lvm_now_s(void);

/* ---- what is left over ---- */

/* In the group of the request's volume (root_fd -1: in all groups); counts what it removes in
 * *removed. Returns how many cannot be removed. */
unsigned xb_lvm_sweep(const struct xb_freeze_request *request, int *removed);
