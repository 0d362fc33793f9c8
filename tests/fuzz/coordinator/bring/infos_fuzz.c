/* SPDX-License-Identifier: Apache-2.0
 *
 * What a record says of its volumes, any JSON: it is indexed, each volume and each claim that it
 * names is found or is not, and what is kept of one for later is in the shape that finish.h wants.
 */
#include "coordinator/bring/internal.h"
#include "tests/harness/fuzz.h"

#define CLAIM "{\"metadata\":{\"namespace\":\"n\",\"name\":\"c\"}}"

static void look(struct xb_bring *bring, const char *resource, const char *namespace,
                 const char *name)
{
    struct xb_error err = XB_ERROR_INIT;
    enum xb_bring_data data = XB_BRING_DATA_UNSAID;
    const struct xb_tarball_item from = {
        .resource = resource, .version = "v1", .namespace = namespace, .name = name};
    struct xb_bring_item item = {.from = &from, .there = true};
    need(xb_json_parse(CLAIM, strlen(CLAIM), &item.object, &err) == 0);
    if (xb_bring_where_data_is(bring, &item, &data, &err) < 0) {
        need(err.kind == XB_ERR_INVALID);
    }
    need(xb_bring_note_volume(bring, &item, &err) == 0);
    xb_record_lines_free(&item.lines);
    json_object_put(item.object);
}

static void check_kept(xb_json *volumes)
{
    for (size_t i = 0; i < json_object_array_length(volumes); i++) {
        xb_json *one = json_object_array_get_idx(volumes, i), *labels = NULL;
        need(strcmp(xb_json_str(one, "namespace", ""), "n") == 0);
        need(strcmp(xb_json_str(one, "claim", ""), "c") == 0);
        need(xb_json_str(one, "reclaimPolicy", NULL) != NULL);
        need(!json_object_object_get_ex(one, "labels", &labels) ||
             json_object_is_type(labels, json_type_object));
    }
}

static void check(struct xb_bring *bring)
{
    struct xb_error err = XB_ERROR_INIT;
    need(xb_bring_index_infos(bring, &err) == 0);
    for (size_t i = 0; i < json_object_array_length(bring->infos); i++) {
        xb_json *info = json_object_array_get_idx(bring->infos, i);
        const char *volume = xb_json_str(info, "pvName", "");
        const char *namespace = xb_json_str(info, "pvcNamespace", "");
        const char *claim = xb_json_str(info, "pvcName", "");
        need(!volume[0] || json_object_object_length(bring->info_of) > 0);
        look(bring, "persistentvolumes", "", volume);
        look(bring, "persistentvolumeclaims", namespace, claim);
    }
    look(bring, "persistentvolumes", "", "no-such");
    check_kept(bring->brought->volumes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *infos = NULL;
    /* An object is as good as absent to who loads it (load.c). */
    if (len > 1 << 16 || xb_json_parse((const char *)data, len, &infos, &err) < 0 ||
        !json_object_is_type(infos, json_type_array)) {
        return 0;
    }
    struct xb_brought brought = {.volumes = json_object_new_array()};
    struct xb_bring bring = {.infos = infos,
                             .info_of = json_object_new_object(),
                             .restore = json_object_new_object(),
                             .lock = PTHREAD_MUTEX_INITIALIZER,
                             .brought = &brought};
    check(&bring);
    json_object_put(bring.restore);
    json_object_put(bring.info_of);
    json_object_put(brought.volumes);
    return 0;
}
