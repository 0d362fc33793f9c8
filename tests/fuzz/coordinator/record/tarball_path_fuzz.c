/* SPDX-License-Identifier: Apache-2.0
 *
 * A path out of an archive: refused, no item, or the item that the writer would put at this path.
 * Its parts never name anything above or beside themselves.
 */
#include <stdio.h>

#include "coordinator/record/tarball.h"
#include "tests/harness/fuzz.h"

enum { INPUT_BYTES_MAX = 4096 };

static void check_part(const char *part)
{
    need(part[0] != '\0' && !strchr(part, '/') && strcmp(part, ".") != 0 &&
         strcmp(part, "..") != 0 && strlen(part) <= 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char path[INPUT_BYTES_MAX + 1], again[INPUT_BYTES_MAX + 1];
    char space[XB_TARBALL_PATH_BYTES_MAX + 1];
    struct xb_tarball_item item = {.resource = NULL};
    struct xb_error err = XB_ERROR_INIT;
    enum xb_tarball_copy copy = XB_TARBALL_NO_ITEM;
    if (len > INPUT_BYTES_MAX) {
        return 0;
    }
    memcpy(path, data, len);
    path[len] = '\0';
    if (xb_tarball_parse_path(path, space, &item, &copy, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT && err.text[0] != '\0');
        return 0;
    }
    need(err.code == 0);
    if (copy == XB_TARBALL_NO_ITEM) {
        return 0;
    }
    check_part(item.resource);
    check_part(item.name);
    if (item.version[0]) {
        check_part(item.version);
    }
    if (item.namespace[0]) {
        check_part(item.namespace);
    }
    snprintf(again, sizeof again, "resources/%s/%s%s%s%s/%s.json", item.resource, item.version,
             copy == XB_TARBALL_PREFERRED_VERSION ? "-preferredversion/"
             : copy == XB_TARBALL_OTHER_VERSION   ? "/"
                                                  : "",
             item.namespace[0] ? "namespaces/" : "cluster", item.namespace, item.name);
    need(strcmp(again, strncmp(path, "./", 2) == 0 ? path + 2 : path) == 0);
    return 0;
}
