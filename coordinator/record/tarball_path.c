/* SPDX-License-Identifier: Apache-2.0
 * Where items stand in an archive. */
#include "coordinator/record/tarball.h"

#include <errno.h>
#include <string.h>

enum { PARTS_MAX = 6 };

bool xb_tarball_part_valid(const char *part)
{
    size_t len = strlen(part);
    return len > 0 && len <= 255 && !strchr(part, '/') && strcmp(part, ".") != 0 &&
           strcmp(part, "..") != 0;
}

/* Cuts `space` at slashes. Returns the number of parts, or -1 for a path that leaves the archive or
 * has too many parts. */
static int split_path(char *space, char *parts[PARTS_MAX])
{
    int count = 0;
    char *rest = space;
    char *part;
    while ((part = strsep(&rest, "/")) != NULL) {
        if (count == PARTS_MAX || !xb_tarball_part_valid(part)) {
            return -1;
        }
        parts[count++] = part;
    }
    return count;
}

/* Takes "-preferredversion" off a version; false when it is not there. */
static bool take_preferred(char *version)
{
    size_t len = strlen(version);
    size_t mark = sizeof XB_TARBALL_PREFERRED - 1;
    if (len <= mark || strcmp(version + len - mark, XB_TARBALL_PREFERRED) != 0) {
        return false;
    }
    version[len - mark] = '\0';
    return true;
}

static bool take_json_suffix(char *name)
{
    size_t len = strlen(name);
    if (len <= 5 || strcmp(name + len - 5, ".json") != 0) {
        return false;
    }
    name[len - 5] = '\0';
    return true;
}

int xb_tarball_parse_path(const char *path, char space[XB_TARBALL_PATH_BYTES_MAX + 1],
                          struct xb_tarball_item *ret, enum xb_tarball_copy *ret_copy,
                          struct xb_error *err)
{
    char *parts[PARTS_MAX];
    if (strncmp(path, "./", 2) == 0) {
        path += 2;
    }
    size_t len = strlen(path);
    if (len > XB_TARBALL_PATH_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a path of %zu bytes in the archive",
                            len);
    }
    memcpy(space, path, len + 1);
    int count = split_path(space, parts);
    if (count < 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the archive holds the path %.200s, which no backup has", path);
    }
    *ret_copy = XB_TARBALL_NO_ITEM;
    if (strcmp(parts[0], "resources") != 0 || count < 4) {
        return 0;
    }
    /* resources/R/cluster/N.json, resources/R/namespaces/NS/N.json, and both with
     * V-preferredversion or another V after R */
    int at = 2;
    const char *version = "";
    enum xb_tarball_copy copy = XB_TARBALL_PLAIN;
    if (strcmp(parts[2], "cluster") != 0 && strcmp(parts[2], "namespaces") != 0) {
        copy = take_preferred(parts[2]) ? XB_TARBALL_PREFERRED_VERSION : XB_TARBALL_OTHER_VERSION;
        version = parts[2];
        if (strcmp(version, XB_TARBALL_PREFERRED) == 0) {
            return 0;
        }
        at = 3;
    }
    bool in_namespace = strcmp(parts[at], "namespaces") == 0;
    int want = at + (in_namespace ? 3 : 2);
    if (count != want || (!in_namespace && strcmp(parts[at], "cluster") != 0) ||
        !take_json_suffix(parts[count - 1])) {
        return 0;
    }
    /* What was cut off may have hidden a dot or two. */
    if (!xb_tarball_part_valid(parts[count - 1]) ||
        (version[0] && !xb_tarball_part_valid(version))) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the archive holds the path %.200s, which no backup has", path);
    }
    *ret = (struct xb_tarball_item){.resource = parts[1],
                                    .version = version,
                                    .namespace = in_namespace ? parts[at + 1] : "",
                                    .name = parts[count - 1]};
    *ret_copy = copy;
    return 0;
}
