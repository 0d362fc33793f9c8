/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - for the files of this folder only.
 *
 * What for:  volume.c opens what the kubelet has mounted for a pod, host.c a folder of the node
 *            itself, device.c a raw block device, persistent.c knows PersistentVolumes and their
 * claims, static_pod.c static pods.
 */
#pragma once

#include "agent/volume/volume.h"

/* xb_volume_open of a place with a host's path; its uid is valid. */
int xb_volume_open_host(const struct xb_volume_place *place, struct xb_volume *ret,
                        struct xb_error *err) XB_MUST_CHECK;
/* Of one with `devices`; uid and folder are valid. */
int xb_volume_open_device(const struct xb_volume_place *place, struct xb_volume *ret,
                          struct xb_error *err) XB_MUST_CHECK;
