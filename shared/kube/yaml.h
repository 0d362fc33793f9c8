/* SPDX-License-Identifier: Apache-2.0
 *
 * yaml.h - one YAML document as JSON.
 *
 * What for:  kubeconfig files and the policies that users keep in ConfigMaps; after this, only JSON
 *            accessors are needed.
 * Ownership: the caller owns *ret (xb_json_put).
 * Threads:   none shared.    Blocking: never.
 * Shapes:    block and flow collections. Plain scalars mean what they mean to kubectl and Velero:
 *            null, booleans (also yes, no, on, off), integers (also 0x, 0o, 0b, and octal ones with
 *            a leading zero: file modes), floats; quoted ones are strings.
 * Errors:    CORRUPT with line and column. Refused, because nothing here needs them and they are
 *            ways to blow up: anchors, aliases, tags, a second document, keys that are not scalars,
 *            duplicate keys.
 * Limits:    XB_KUBE_YAML_*.
 * Source:    YAML 1.1 by libyaml; how Go's gopkg.in/yaml.v2 resolves scalars.
 */
#pragma once

#include "shared/codec/json.h"

enum {
    XB_KUBE_YAML_BYTES_MAX = 4 << 20,
    XB_KUBE_YAML_NODES_MAX = 100000,
    XB_KUBE_YAML_DEPTH_MAX = 48
};

/* An empty document gives JSON null: *ret is NULL then. */
int xb_kube_yaml_parse(const char *text, size_t len, xb_json **ret,
                       struct xb_error *err) XB_MUST_CHECK;
