/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/guard/mounts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 4096, TYPE_BYTES = 32 };

struct mount {
    uint64_t id;
    unsigned major, minor;
    const char *root, *point; /* lent by the line, with lengths */
    size_t root_len, point_len;
    char type[TYPE_BYTES];
};

/* The field at *at, which moves behind it. */
static bool take_field(const char **at, const char *end, const char **ret, size_t *ret_len)
{
    const char *begin = *at;
    const char *blank = memchr(begin, ' ', (size_t)(end - begin));
    const char *stop = blank ? blank : end;
    *ret = begin;
    *ret_len = (size_t)(stop - begin);
    *at = blank ? blank + 1 : end;
    return stop > begin;
}

static bool take_number(const char *field, size_t len, uint64_t *ret)
{
    enum { DIGITS_MAX = 18 };
    uint64_t value = 0;
    if (len == 0 || len > DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (field[i] < '0' || field[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(field[i] - '0');
    }
    *ret = value;
    return true;
}

static bool take_device(const char *field, size_t len, struct mount *mount)
{
    const char *colon = memchr(field, ':', len);
    uint64_t major = 0, minor = 0;
    if (!colon || !take_number(field, (size_t)(colon - field), &major) ||
        !take_number(colon + 1, len - (size_t)(colon - field) - 1, &minor) || major > UINT32_MAX ||
        minor > UINT32_MAX) {
        return false;
    }
    mount->major = (unsigned)major;
    mount->minor = (unsigned)minor;
    return true;
}

/* "36 35 98:0 /root /point options [tags...] - type source options" */
static bool parse_line(const char *line, const char *end, struct mount *ret)
{
    struct mount mount = {.id = 0};
    const char *at = line, *field = NULL;
    uint64_t parent;
    size_t len = 0;
    if (!take_field(&at, end, &field, &len) || !take_number(field, len, &mount.id) ||
        !take_field(&at, end, &field, &len) || !take_number(field, len, &parent) ||
        !take_field(&at, end, &field, &len) || !take_device(field, len, &mount) ||
        !take_field(&at, end, &mount.root, &mount.root_len) ||
        !take_field(&at, end, &mount.point, &mount.point_len)) {
        return false;
    }
    do {
        if (!take_field(&at, end, &field, &len)) {
            return false;
        }
    } while (len != 1 || *field != '-');
    if (!take_field(&at, end, &field, &len)) {
        return false;
    }
    memcpy(mount.type, field, len < TYPE_BYTES ? len : TYPE_BYTES - 1);
    *ret = mount;
    return true;
}

/* Calls `each` for every mount; what it returns ends it. */
static int each_mount(const char *text, int (*each)(void *context, const struct mount *mount),
                      void *context, struct xb_error *err)
{
    int r = 0;
    while (*text && r == 0) {
        const char *end = strchr(text, '\n');
        struct mount mount;
        if (!end || !parse_line(text, end, &mount)) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "a line of mountinfo cannot be understood: %.100s", text);
        }
        r = each(context, &mount);
        text = end + 1;
    }
    return r;
}

struct judge {
    const struct xb_guard_mount_question *question;
    struct mount found;
    bool any;
    char own[PATH_MAX_BYTES]; /* the pod's folder, with a slash */
    size_t own_len;
    struct mount other; /* that is not below it */
};

static int find(void *context, const struct mount *mount)
{
    struct judge *judge = context;
    if (mount->id == judge->question->mount_id) {
        judge->found = *mount;
        judge->any = true;
    }
    return judge->any;
}

static int find_other(void *context, const struct mount *mount)
{
    struct judge *judge = context;
    bool same = mount->major == judge->found.major && mount->minor == judge->found.minor;
    bool own =
        mount->point_len > judge->own_len && memcmp(mount->point, judge->own, judge->own_len) == 0;
    if (same && !own) {
        judge->other = *mount;
        return 1;
    }
    return 0;
}

static bool can_be_frozen(const char *type)
{
    static const char *const types[] = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i], type) == 0) {
            return true;
        }
    }
    return false;
}

static int deny(struct xb_error *err, const char *why, const struct mount *mount)
{
    int len = mount->point_len > 200 ? 200 : (int)mount->point_len;
    return xb_error_set(err, XB_ERR_DENIED, -EPERM,
                        "the volume's file system is not frozen: %s (%.31s at %.*s)", why,
                        mount->type, len, mount->point);
}

int xb_guard_mounts_judge(const char *text, const struct xb_guard_mount_question *question,
                          struct xb_error *err)
{
    struct judge judge = {.question = question};
    int len =
        snprintf(judge.own, sizeof judge.own, "%s/%s/", question->pods_root, question->pod_uid);
    if (len < 0 || (size_t)len >= sizeof judge.own || !question->pod_uid[0] ||
        strchr(question->pod_uid, '/')) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "no pod has the uid '%.100s'",
                            question->pod_uid);
    }
    judge.own_len = (size_t)len;
    int r = each_mount(text, find, &judge, err);
    if (r < 0) {
        return r;
    }
    if (!judge.any) {
        return xb_error_set(err, XB_ERR_DENIED, -EPERM,
                            "the volume's file system is not frozen: its mount %" PRIu64
                            " is not seen here",
                            question->mount_id);
    }
    if (!can_be_frozen(judge.found.type)) {
        return deny(err, "its kind cannot be", &judge.found);
    }
    if (judge.found.root_len != 1 || *judge.found.root != '/') {
        return deny(err, "the volume is a folder of a larger one", &judge.found);
    }
    r = each_mount(text, find_other, &judge, err);
    if (r > 0) {
        return deny(err, "it is in use elsewhere on the node, too", &judge.other);
    }
    return r;
}
