/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether two URLs name places that have nothing to do with one another.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/copy/copy.h"

enum { PLACE_BYTES = 2 * PATH_MAX };

static const char *folder_of(const char *url)
{
    return url[0] == '/' ? url : strncmp(url, "file:///", 8) == 0 ? url + 7 : NULL;
}

/* The folder's real path; of one that does not exist yet, that of the folder above and its name. */
static void real_folder(const char *path, char out[PLACE_BYTES])
{
    char real[PATH_MAX], above[PATH_MAX];
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    snprintf(above, sizeof above, "%.*s", (int)(len < PATH_MAX ? len : PATH_MAX - 1), path);
    if (realpath(above, real)) {
        snprintf(out, PLACE_BYTES, "%s", real);
        return;
    }
    char *slash = strrchr(above, '/');
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s", slash + 1);
    slash[slash == above] = '\0';
    if (realpath(above, real)) {
        snprintf(out, PLACE_BYTES, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    } else {
        snprintf(out, PLACE_BYTES, "%.*s", (int)len, path);
    }
}

/* "s3://bucket/prefix", and the server that it is on. */
static void split_bucket(const char *url, char out[PLACE_BYTES], char server[PLACE_BYTES])
{
    size_t len = strcspn(url, "?");
    const char *found = strstr(url + len, "endpoint=");
    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    snprintf(out, PLACE_BYTES, "%.*s", (int)(len < PLACE_BYTES ? len : PLACE_BYTES - 1), url);
    snprintf(server, PLACE_BYTES, "%.*s", found ? (int)strcspn(found, "&") : 0, found ? found : "");
}

static bool within(const char *inner, const char *outer)
{
    size_t len = strcmp(outer, "/") == 0 ? 0 : strlen(outer);
    return strncmp(inner, outer, len) == 0 && (inner[len] == '\0' || inner[len] == '/');
}

static bool same_folder(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

int xb_copy_check_apart(const char *source_url, const char *target_url, struct xb_error *err)
{
    char source[PLACE_BYTES], target[PLACE_BYTES];
    char source_server[PLACE_BYTES] = "", target_server[PLACE_BYTES] = "";
    const char *source_folder = folder_of(source_url);
    const char *target_folder = folder_of(target_url);
    if (!source_folder != !target_folder) {
        return 0;
    }
    if (source_folder) {
        real_folder(source_folder, source);
        real_folder(target_folder, target);
    } else {
        split_bucket(source_url, source, source_server);
        split_bucket(target_url, target, target_server);
    }
    bool same_server = strcmp(source_server, target_server) == 0;
    bool same = source_folder && same_folder(source_folder, target_folder);
    if (same || (same_server && (within(source, target) || within(target, source)))) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "%.200s and %.200s are the same place, or one lies within the other",
                            source_url, target_url);
    }
    return 0;
}
