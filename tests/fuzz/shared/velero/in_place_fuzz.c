/* SPDX-License-Identifier: Apache-2.0
 *
 * Any JSON as a Restore: it is refused, or what it wants in place are names and a path that stays
 * within the volume.
 */
#include "shared/velero/in_place.h"
#include "shared/velero/velero.h"
#include "tests/harness/fuzz.h"

static void check_path(const char *path)
{
    need(path[0] != '/');
    for (const char *at = path; *path;) {
        size_t len = strcspn(at, "/");
        need(len > 0 && !(len == 1 && at[0] == '.') && !(len == 2 && at[0] == '.' && at[1] == '.'));
        if (!at[len]) {
            break;
        }
        at += len + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_in_place place;
    XB_CLEANUP(xb_json_putp) xb_json *restore = NULL;
    char *text = fuzz_text(data, len);
    int r = xb_json_parse(text, len, &restore, &err);
    free(text);
    if (r < 0) {
        return 0;
    }
    (void)xb_in_place_order(restore);
    if (xb_in_place_parse(restore, &place, &err) < 0) {
        need(err.kind == XB_ERR_INVALID && err.text[0]);
        return 0;
    }
    if (place.wanted) {
        bool by_claim = place.claim[0] != '\0';
        need(xb_velero_name_valid(place.namespace));
        need(by_claim ? xb_velero_name_valid(place.claim)
                      : xb_velero_name_valid(place.pod) && xb_velero_name_valid(place.volume));
        need(!place.into_pod[0] || !place.into_claim[0]);
        need(!strchr(place.into_pod, '/') && !strchr(place.into_claim, '/'));
        check_path(place.path);
    } else {
        need(!place.path[0] && !place.into_pod[0] && !place.into_claim[0]);
    }
    need(xb_in_place_namespace(restore, &place) != NULL);
    return 0;
}
