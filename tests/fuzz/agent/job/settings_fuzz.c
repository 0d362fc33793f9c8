/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as the node agents' settings, for a node with labels and one without: refused with a
 * reason, or a number within its bounds.
 */
#include "agent/job/settings.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_freep) char *text = fuzz_text(data, len);
    xb_json *labels = json_object_new_object();
    json_object_object_add(labels, "disk", json_object_new_string("ssd"));
    for (int i = 0; i < 2; i++) {
        struct xb_agent_settings settings;
        err = (struct xb_error)XB_ERROR_INIT;
        int r = xb_agent_settings_parse(text, len, i ? labels : NULL, &settings, &err);
        need(r == 0 ? settings.volumes_at_once <= XB_AGENT_JOBS_MAX : err.text[0] != '\0');
        need(r < 0 || !settings.cut || settings.volumes_at_once == XB_AGENT_JOBS_MAX);
        need(r < 0 || strlen(settings.unknown) < XB_SETTINGS_NAMES_BYTES);
        need(r < 0 || strlen(settings.point_in_time) < XB_SETTINGS_METHODS_BYTES);
    }
    json_object_put(labels);
    return 0;
}
