/* SPDX-License-Identifier: Apache-2.0
 * The volumes of a pod that is taken: which are backed up, and what claim and volume are behind
 * each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"
#include "coordinator/collect/volumes.h"
#include "shared/velero/velero.h"

int xb_collect_add_volume(struct collection *collection, const struct xb_collected_volume *volume,
                          struct xb_error *err)
{
    struct xb_collected *result = collection->result;
    if (result->volume_count == XB_COLLECTED_VOLUMES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d volumes",
                            XB_COLLECTED_VOLUMES_MAX);
    }
    if (result->volume_count == result->volume_cap) {
        size_t cap = result->volume_cap ? 2 * result->volume_cap : 16;
        struct xb_collected_volume *volumes = reallocarray(result->volumes, cap, sizeof *volumes);
        if (!volumes) {
            return xb_error_no_memory(err, "the volumes");
        }
        result->volumes = volumes;
        result->volume_cap = cap;
    }
    result->volumes[result->volume_count++] = *volume;
    return 0;
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* A volume's data without its claim could not be restored. */
static bool takes_claims(struct collection *collection)
{
    static const struct xb_filter_kind claims = {"", "persistentvolumeclaims", true};
    return xb_filter_takes_related(collection->options->filter, &claims);
}

/* ---- a pod's volumes ---- */

struct one {
    struct collection *collection;
    xb_json *pod, *source; /* its entry in the pod's volumes */
    struct xb_collected_volume volume;
    struct xb_volume_choice choice;
};

static const char *place(const struct one *one)
{
    return xb_json_str(one->pod, "metadata.namespace", "");
}

static void note(const struct one *one, enum xb_record_level level, const char *why)
{
    xb_record_log_line(one->collection->options->log, level, place(one),
                       "volume %s of pod %s is not backed up: %s", one->volume.volume,
                       one->volume.pod, why);
}

static bool is_shared(xb_json *claim)
{
    xb_json *modes = xb_json_get(claim, "spec.accessModes");
    size_t count =
        json_object_is_type(modes, json_type_array) ? json_object_array_length(modes) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *mode = json_object_get_string(json_object_array_get_idx(modes, i));
        if (mode && (strcmp(mode, "ReadWriteMany") == 0 || strcmp(mode, "ReadOnlyMany") == 0)) {
            return true;
        }
    }
    return false;
}

/* A claim that pods of several nodes may share is left to another one where this one's node cannot
 * read it: what becomes of that is said at the end. */
static int look_elsewhere(struct one *one, const struct xb_behind *behind, struct xb_error *err)
{
    const struct xb_collect_options *options = one->collection->options;
    struct xb_error why = XB_ERROR_INIT;
    if (!options->readable || !is_shared(behind->claim) ||
        options->readable(options->context, one->volume.node, &why) == 0) {
        return 0;
    }
    if (why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return why.code;
    }
    one->volume.elsewhere = true;
    one->volume.skipped = strdup(why.text);
    return one->volume.skipped ? 0 : xb_error_no_memory(err, "a volume");
}

/* What another pod has done about the claim, and what it has to know of this one. Returns whether
 * somebody else speaks for the claim: then this pod's volume is worth no warning. */
static int mind_claim(struct one *one, const struct xb_behind *behind, bool *ret_quiet,
                      struct xb_error *err)
{
    const char *claim_name = one->volume.claim;
    struct xb_claim *claim = NULL;
    int r = xb_claims_get(&one->collection->claims, place(one), claim_name, &claim, err);
    if (r < 0) {
        return r;
    }
    bool runs = xb_volume_pod_runs(one->pod);
    claim->listed = true;
    claim->mounted = claim->mounted || (runs && xb_volume_in_use(one->pod, one->volume.volume));
    claim->wanted = claim->wanted || one->choice.verdict == XB_VOLUME_MISSED;
    claim->unwanted = claim->unwanted || (one->choice.verdict == XB_VOLUME_SKIP &&
                                          one->collection->volumes_by_default);
    *ret_quiet = one->choice.verdict == XB_VOLUME_MISSED && !runs;
    if (one->choice.verdict != XB_VOLUME_TAKE) {
        return 0;
    }
    if (claim->taken_by) {
        char reason[XB_VOLUME_CLAIM_BYTES];
        snprintf(reason, sizeof reason, "its claim %s is backed up through pod %s", claim_name,
                 claim->taken_by);
        one->volume.skipped = strdup(reason);
        one->choice.verdict = XB_VOLUME_SKIP;
        return one->volume.skipped ? 0 : xb_error_no_memory(err, "a volume");
    }
    r = look_elsewhere(one, behind, err);
    if (r < 0 || one->volume.elsewhere) {
        return r;
    }
    claim->taken_by = copy(one->volume.pod);
    return claim->taken_by ? 0 : xb_error_no_memory(err, "a claim");
}

static bool block_devices(const struct one *one)
{
    const struct xb_collect_options *options = one->collection->options;
    return options->block_devices && options->block_devices(options->context, one->volume.node);
}

static const char *host_paths(const struct one *one)
{
    const struct xb_collect_options *options = one->collection->options;
    return options->host_paths ? options->host_paths(options->context, one->volume.node) : NULL;
}

static int choose(struct one *one, const char *claim, const struct xb_behind *behind,
                  struct xb_error *err)
{
    struct collection *collection = one->collection;
    const struct xb_policy_volume described = {.pod_volume = one->source,
                                               .claim = behind->claim,
                                               .persistent_volume = behind->persistent_volume};
    const struct xb_volume_facts facts = {
        .by_default = collection->volumes_by_default,
        .claims_left_out = claim && !takes_claims(collection),
        .action = xb_policy_match(collection->options->policy, &described),
        .claim = behind->claim,
        .persistent_volume = behind->persistent_volume,
        .host_paths = host_paths(one),
        .block_devices = block_devices(one)};
    bool quiet = false;
    one->choice = xb_volume_choose(one->pod, one->source, &facts);
    one->volume.skipped = copy(one->choice.reason);
    int r = claim ? mind_claim(one, behind, &quiet, err) : 0;
    if (r == 0 && one->volume.skipped && !one->volume.elsewhere) {
        bool warning = one->choice.verdict == XB_VOLUME_MISSED && !quiet;
        note(one, warning ? XB_RECORD_WARNING : XB_RECORD_INFO, one->volume.skipped);
    }
    return r;
}

/* Fills in the volume's verdict. What cannot be found out is an error of this volume only. */
static int decide(struct one *one, struct xb_error *err)
{
    char space[XB_VOLUME_CLAIM_BYTES];
    struct xb_behind behind = {NULL, NULL};
    struct xb_error why = XB_ERROR_INIT;
    const char *claim = xb_volume_claim(one->pod, one->source, space);
    one->volume.claim = copy(claim);
    if (claim && xb_collect_look_behind(one->collection, place(one), claim, &behind, &why) < 0) {
        if (why.kind == XB_ERR_CANCELLED) {
            *err = why;
            return why.code;
        }
        one->volume.skipped = copy(why.text);
        xb_record_log_line(one->collection->options->log, XB_RECORD_ERROR, place(one),
                           "volume %s of pod %s is not backed up: %s", one->volume.volume,
                           one->volume.pod, why.text);
        return one->volume.skipped ? 0 : xb_error_no_memory(err, "a volume");
    }
    int r = claim ? xb_collect_fill_behind(&one->volume, &behind, err) : 0;
    if (r == 0) {
        r = choose(one, claim, &behind, err);
    }
    xb_collect_put_behind(&behind);
    return r;
}

static int take_volume(struct collection *collection, xb_json *pod, xb_json *source,
                       struct xb_error *err)
{
    struct one one = {.collection = collection,
                      .pod = pod,
                      .source = source,
                      .volume = {.pod_namespace = copy(xb_json_str(pod, "metadata.namespace", "")),
                                 .pod = copy(xb_json_str(pod, "metadata.name", "")),
                                 .pod_uid = copy(xb_json_str(pod, "metadata.uid", "")),
                                 .node = copy(xb_json_str(pod, "spec.nodeName", "")),
                                 .volume = copy(xb_json_str(source, "name", ""))}};
    const struct xb_collected_volume *volume = &one.volume;
    int r =
        volume->pod_namespace && volume->pod && volume->pod_uid && volume->node && volume->volume
            ? decide(&one, err)
            : xb_error_no_memory(err, "a volume");
    if (r == 0) {
        r = xb_collect_add_volume(collection, &one.volume, err);
    }
    if (r < 0) {
        xb_collected_volume_free(&one.volume);
    }
    return r;
}

int xb_collect_pod_volumes(struct collection *collection, xb_json *pod, struct xb_error *err)
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = take_volume(collection, pod, json_object_array_get_idx(volumes, i), err);
    }
    return r;
}
