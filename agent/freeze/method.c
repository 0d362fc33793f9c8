/* SPDX-License-Identifier: Apache-2.0
 * The methods' names, and the words of a policy. */
#include <errno.h>
#include <string.h>

#include "agent/freeze/freeze.h"

static const char *const names[XB_FREEZE_METHODS] = {[XB_FREEZE_LIVE] = "live",
                                                     [XB_FREEZE_TREE] = "reflink-tree",
                                                     [XB_FREEZE_IMAGE] = "reflink-file",
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

/* The bit of the word; 0: there is no such method. */
static unsigned find(const char *word, size_t len)
{
    for (unsigned i = 0; i < XB_FREEZE_METHODS; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], word, len) == 0) {
            return 1U << i;
        }
    }
    return 0;
}

int xb_freeze_methods_parse(const char *text, unsigned *ret, struct xb_error *err)
{
    unsigned wanted = 0;
    unsigned unwanted = 0;
    if (text[0] == '\0' || strcmp(text, "auto") == 0) {
        *ret = XB_FREEZE_ANY;
        return 0;
    }
    for (const char *at = text;;) {
        size_t len = strcspn(at, ",");
        bool minus = at[0] == '-';
        unsigned bit = find(at + minus, len - minus);
        if (!bit) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "'%.*s' is no method of a point in time (btrfs, reflink-file, "
                                "reflink-tree, live, auto)",
                                (int)(len < 60 ? len : 60), at);
        }
        wanted |= minus ? 0 : bit;
        unwanted |= minus ? bit : 0;
        if (!at[len]) {
            break;
        }
        at += len + 1;
    }
    if (wanted && unwanted) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "'%.80s': methods of a point in time are either named or, with a minus "
                            "before each, excluded",
                            text);
    }
    unsigned left = wanted ? wanted : XB_FREEZE_ANY & ~unwanted;
    if (!left) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "'%.80s' excludes every method of a point in time", text);
    }
    *ret = left;
    return 0;
}
