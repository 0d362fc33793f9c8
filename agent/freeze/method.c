/* SPDX-License-Identifier: Apache-2.0
 * The methods' names, and the words of a policy. */
#include <errno.h>
#include <string.h>

#include "agent/freeze/freeze.h"

static const char *const names[XB_FREEZE_METHODS] = {[XB_FREEZE_LIVE] = "live",
                                                     [XB_FREEZE_TREE] = "reflink-tree",
                                                     [XB_FREEZE_IMAGE] = "reflink-file",
                                                     [XB_FREEZE_LVM] = "lvm",
                                                     [XB_FREEZE_ZFS] = "zfs",
                                                     [XB_FREEZE_BTRFS] = "btrfs"};

const char *xb_freeze_method_name(enum xb_freeze_method method)
{
    return (unsigned)method < XB_FREEZE_METHODS ? names[method] : "unknown";
}

const char *xb_freeze_consistency_name(enum xb_freeze_consistency consistency)
{
    static const char *const words[] = {[XB_FREEZE_FUZZY] = "fuzzy",
                                        [XB_FREEZE_PER_FILE] = "per-file",
                                        [XB_FREEZE_CRASH] = "crash"};
    return (unsigned)consistency < sizeof words / sizeof words[0] ? words[consistency] : "unknown";
}

/* The bits of the word; 0: there is no such method. */
static unsigned find(const char *word, size_t len)
{
    if (len == 4 && memcmp(word, "auto", len) == 0) {
        return XB_FREEZE_ANY;
    }
    for (unsigned i = 0; i < XB_FREEZE_METHODS; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], word, len) == 0) {
            return 1U << i;
        }
    }
    return 0;
}

static int read_words(const char *text, unsigned *wanted, unsigned *unwanted, struct xb_error *err)
{
    for (const char *at = text;;) {
        size_t len = strcspn(at, ",");
        bool minus = at[0] == '-';
        unsigned bits = find(at + minus, len - minus);
        if (!bits) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "'%.*s' is no method of a point in time (btrfs, zfs, lvm, "
                                "reflink-file, reflink-tree, live, auto)",
                                (int)(len < 60 ? len : 60), at);
        }
        *wanted |= minus ? 0 : bits;
        *unwanted |= minus ? bits : 0;
        if (!at[len]) {
            return 0;
        }
        at += len + 1;
    }
}

int xb_freeze_methods_parse(const char *text, struct xb_freeze_methods *ret, struct xb_error *err)
{
    unsigned wanted = 0;
    unsigned unwanted = 0;
    if (text[0] == '\0' || strcmp(text, "auto") == 0) {
        *ret = XB_FREEZE_METHODS_ALL;
        return 0;
    }
    int r = read_words(text, &wanted, &unwanted, err);
    if (r < 0) {
        return r;
    }
    if (wanted && unwanted) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "'%.80s': methods of a point in time are either named or, with a minus "
                            "before each, excluded",
                            text);
    }
    struct xb_freeze_methods methods = {.allowed = wanted ? wanted : XB_FREEZE_ALL & ~unwanted,
                                        .named = wanted & XB_FREEZE_EXPERIMENTAL};
    if (!xb_freeze_methods_left(methods)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "'%.80s' excludes every method of a point in time", text);
    }
    *ret = methods;
    return 0;
}

struct xb_freeze_methods xb_freeze_methods_both(struct xb_freeze_methods a,
                                                struct xb_freeze_methods b)
{
    return (struct xb_freeze_methods){.allowed = a.allowed & b.allowed, .named = a.named | b.named};
}

unsigned xb_freeze_methods_left(struct xb_freeze_methods methods)
{
    return methods.allowed & (XB_FREEZE_ANY | methods.named);
}
