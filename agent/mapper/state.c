/* SPDX-License-Identifier: Apache-2.0
 * What targets say of themselves, and what LVM's devices are called: texts only. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "agent/mapper/mapper.h"

enum { NUMBER_BASE = 10 };

bool xb_mapper_number(const char **at, uint64_t *ret)
{
    uint64_t number = 0;
    const char *begin = *at;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        unsigned digit = (unsigned)(**at - '0');
        if (number > (UINT64_MAX - digit) / NUMBER_BASE) {
            *at = begin;
            return false;
        }
        number = number * NUMBER_BASE + digit;
    }
    if (*at == begin) {
        return false;
    }
    *ret = number;
    return true;
}

static bool take_number(const char **at, char end, uint64_t *ret)
{
    const char *text = *at;
    uint64_t value = 0;
    /* At the end of all, too, where a space is wanted. */
    if (!xb_mapper_number(&text, &value) || (*text != end && !(end == ' ' && *text == '\0'))) {
        return false;
    }
    *at = text + (*text != '\0');
    *ret = value;
    return true;
}

static bool take_share(const char **at, uint64_t *ret_used, uint64_t *ret_total)
{
    return take_number(at, '/', ret_used) && take_number(at, ' ', ret_total) &&
           *ret_used <= *ret_total;
}

static int strange(struct xb_error *err, const char *what, const char *text)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the state of a %s is '%.100s'", what, text);
}

int xb_mapper_snapshot_parse(const char *text, struct xb_mapper_snapshot *ret, struct xb_error *err)
{
    static const char *const lost[] = {"Invalid", "Overflow", "Merge failed", "Unknown"};
    struct xb_mapper_snapshot snapshot = {.lost = false};
    const char *at = text;
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        snapshot.lost = snapshot.lost || strcmp(text, lost[i]) == 0;
    }
    if (!snapshot.lost && !take_share(&at, &snapshot.used_sectors, &snapshot.total_sectors)) {
        return strange(err, "snapshot", text);
    }
    *ret = snapshot;
    return 0;
}

/* Whether the next word is this one; then it is taken. */
static bool take_word(const char **at, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(*at, word, len) != 0 || ((*at)[len] != ' ' && (*at)[len] != '\0')) {
        return false;
    }
    *at += len + ((*at)[len] == ' ');
    return true;
}

int xb_mapper_pool_parse(const char *text, struct xb_mapper_pool *ret, struct xb_error *err)
{
    struct xb_mapper_pool pool = {.failed =
                                      strcmp(text, "Fail") == 0 || strcmp(text, "Error") == 0};
    const char *at = text;
    uint64_t ignored;
    if (pool.failed) {
        *ret = pool;
        return 0;
    }
    if (!take_number(&at, ' ', &pool.transaction) ||
        !take_share(&at, &pool.used_metadata, &pool.total_metadata) ||
        !take_share(&at, &pool.used_data, &pool.total_data) ||
        (!take_word(&at, "-") && !take_number(&at, ' ', &ignored))) { /* the root that is held */
        return strange(err, "thin pool", text);
    }
    pool.writable = take_word(&at, "rw");
    pool.out_of_space = !pool.writable && take_word(&at, "out_of_data_space");
    if (!pool.writable && !pool.out_of_space && !take_word(&at, "ro")) {
        return strange(err, "thin pool", text);
    }
    *ret = pool;
    return 0;
}

/* ---- LVM ---- */

static const char lvm[] = "LVM-";
enum { LVM_BYTES = sizeof lvm - 1, VOLUME_BYTES = 32 };

static const char *suffix_of(const char *uuid)
{
    return uuid + LVM_BYTES + XB_MAPPER_GROUP_BYTES + VOLUME_BYTES;
}

bool xb_mapper_is_lvm(const char *uuid)
{
    static const char letters[] = "0123456789"
                                  "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (strncmp(uuid, lvm, LVM_BYTES) != 0 ||
        strspn(uuid + LVM_BYTES, letters) != XB_MAPPER_GROUP_BYTES + VOLUME_BYTES) {
        return false;
    }
    return *suffix_of(uuid) == '\0' || *suffix_of(uuid) == '-';
}

bool xb_mapper_same_group(const char *uuid, const char *other)
{
    return xb_mapper_is_lvm(uuid) && xb_mapper_is_lvm(other) &&
           memcmp(uuid, other, LVM_BYTES + XB_MAPPER_GROUP_BYTES) == 0;
}

unsigned xb_mapper_layer(const char *uuid)
{
    const char *suffix = xb_mapper_is_lvm(uuid) ? suffix_of(uuid) : "";
    if (*suffix == '\0') {
        return 2; /* what others see */
    }
    return strcmp(suffix, "-tpool") == 0 ? 1 : strcmp(suffix, "-pool") == 0 ? 2 : 0;
}
