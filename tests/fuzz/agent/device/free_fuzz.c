/* SPDX-License-Identifier: Apache-2.0
 *
 * A device with any bytes (device_probe.h): refused with a reason, or a map of free units that lie
 * within it and whose runs add up to the device.
 */
#include "tests/harness/device_probe.h"
#include "tests/harness/fuzz.h"

/* Larger ones only take longer. */
#define DEVICE_BYTES_MAX (UINT64_C(1) << 30)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct device_probe probe;
    struct xb_free_map map = {.bits = NULL};
    if (!probe_device(data, len, &probe) || probe.size > DEVICE_BYTES_MAX) {
        return 0;
    }
    const struct xb_free_source source = probe_source(&probe);
    if (xb_free_find(&source, &map, &err) < 0) {
        need(!map.bits && err.code < 0 && err.text[0]);
        return 0;
    }
    need(map.bits && map.size == probe.size && map.units <= map.size >> map.unit_shift);
    uint64_t at = 0;
    bool before = false;
    while (at < probe.size) {
        bool is_free = false;
        uint64_t run = xb_free_map_run(&map, at, probe.size - at, &is_free);
        need(run > 0 && run <= probe.size - at && (at == 0 || is_free != before));
        before = is_free;
        at += run;
    }
    bool begins_free = true;
    (void)xb_free_map_run(&map, 0, 1, &begins_free);
    need(!begins_free); /* superblocks lie there */
    xb_free_map_free(&map);
    return 0;
}
