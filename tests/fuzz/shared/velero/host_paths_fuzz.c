/* SPDX-License-Identifier: Apache-2.0
 *
 * Any list of folders, a line feed, any path: what is found is a folder of the list that stands in
 * front of the path, and no part of the path leads up again.
 */
#include <stdio.h>

#include "shared/velero/host_paths.h"
#include "tests/harness/fuzz.h"

static bool is_on_list(const char *list, const char *folder, size_t len)
{
    for (const char *at = list; *at;) {
        size_t word = strcspn(at, ":");
        if (word == len && memcmp(at, folder, len) == 0) {
            return true;
        }
        at += word + (at[word] == ':');
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    char *list = fuzz_text(data, len);
    char *path = strchr(list, '\n');
    if (path) {
        *path++ = '\0';
        size_t found = xb_host_paths_find(list, path);
        if (found > 0) {
            need(found > 1 && path[0] == '/' && found <= strlen(path));
            need(path[found] == '\0' || path[found] == '/');
            need(is_on_list(list, path, found));
            need(!strstr(path, "/../") && !strstr(path, "/./"));
            size_t end = strlen(path);
            need(end < 3 || strcmp(path + end - 3, "/..") != 0);
        }
    }
    if (xb_host_paths_check(list, &err) < 0) {
        need(err.kind == XB_ERR_INVALID && err.text[0]);
    } else if (list[0]) {
        char first[XB_HOST_PATHS_BYTES];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(list, ":"), list);
        need(xb_host_paths_find(list, first) == strlen(first));
    }
    free(list);
    return 0;
}
