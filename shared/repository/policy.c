/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/policy.h"

#include <string.h>

#include "shared/codec/json.h"
#include "shared/repository/snapshot.h"

enum { LABELS = 2 };

static char label_text[2 * LABELS][12] = {"type", "policy", "policyType", "global"};
static const struct xb_label global_policy[LABELS] = {{label_text[0], label_text[1]},
                                                      {label_text[2], label_text[3]}};

static int parse_compression(const char *data, enum xb_compression *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *root = NULL;
    const char *name = "";
    int r = xb_json_parse(data, strlen(data), &root, err);
    if (r < 0 ||
        (r = xb_json_need_str(root, "compression.compressorName", false, &name, err)) < 0) {
        return r;
    }
    if (!name || !*name || strcmp(name, "none") == 0 || strcmp(name, "inherit") == 0) {
        *ret = XB_COMPRESSION_NONE;
    } else {
        *ret = strcmp(name, "zstd") == 0 ? XB_COMPRESSION_ZSTD : XB_COMPRESSION_ZSTD_FASTEST;
    }
    return 0;
}

int xb_policy_compression(struct xb_repository *repository, enum xb_compression *ret,
                          struct xb_error *err)
{
    struct xb_manifest *list = NULL;
    size_t count = 0, newest = 0;
    enum xb_compression compression = XB_COMPRESSION_NONE;
    int r = xb_manifest_find(repository, global_policy, LABELS, &list, &count, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 1; i < count; i++) {
        newest = list[i].modified_ns > list[newest].modified_ns ? i : newest;
    }
    if (count > 0) {
        r = parse_compression(list[newest].data, &compression, err);
    }
    if (r < 0) {
        r = xb_error_wrap(err, "the repository's global policy (manifest %s)", list[newest].id);
    } else {
        *ret = compression;
    }
    xb_manifest_list_free(list, count);
    return r;
}

int xb_policy_put_compression(struct xb_repository *repository, struct xb_error *err)
{
    char id[XB_MANIFEST_ID_TEXT_BYTES];
    return xb_manifest_put(repository, global_policy, LABELS,
                           "{\"compression\":{\"compressorName\":\"zstd-fastest\"}}", id, err);
}
