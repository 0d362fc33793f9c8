/* SPDX-License-Identifier: Apache-2.0
 *
 * volume_probe.h - places of volumes that must not be opened.
 *
 * Ownership: nothing is kept.    Threads: as cmocka.    Blocking: as the disk.
 */
#pragma once

#include "tests/harness/probe.h"

#include "agent/volume/volume.h"

static inline void volume_is_refused(const struct xb_volume_place *place, enum xb_error_kind kind)
{
    struct xb_volume volume = {.fd = -1};
    PROBE_REFUSED(xb_volume_open(place, &volume, &err), kind);
    assert_int_equal(volume.fd, -1);
    assert_null(volume.path);
}

/* Whatever the reason is: the kernel has several for one thing. */
static inline void volume_is_not_opened(const struct xb_volume_place *place)
{
    struct xb_volume volume = {.fd = -1};
    struct xb_error err = XB_ERROR_INIT;
    assert_true(xb_volume_open(place, &volume, &err) < 0);
    assert_int_equal(volume.fd, -1);
    assert_null(volume.path);
}
