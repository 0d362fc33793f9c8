/* SPDX-License-Identifier: Apache-2.0
 *
 * Any JSON as the data of the ConfigMap of velero.io/pod-volume-restore: what cannot be used is
 * told by its key, and what is used has its form.
 */
#include "coordinator/bring/wait_settings.h"
#include "tests/harness/fuzz.h"

static void tell(void *context, enum xb_record_level level, const char *text)
{
    unsigned *told = context;
    need(level != XB_RECORD_INFO && strncmp(text, "key ", 4) == 0);
    ++*told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_wait_settings settings;
    unsigned told = 0;
    XB_CLEANUP(xb_json_putp) xb_json *map = NULL;
    char *text = fuzz_text(data, len);
    int r = xb_json_parse(text, len, &map, &err);
    free(text);
    if (r < 0) {
        return 0;
    }
    need(xb_wait_settings_parse(map, "reg/xebec:1", tell, &told, &settings, &err) == 0);
    need(!settings.image[0] || strchr(settings.image, '/'));
    need(!settings.security || json_object_is_type(settings.security, json_type_object));
    xb_wait_settings_free(&settings);
    return 0;
}
