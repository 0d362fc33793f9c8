/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the annotation of an order: it is refused, or what it says has its limits, can be
 * shown in a log, and is read the same once it was written again.
 */
#include "shared/velero/point_in_time.h"
#include "tests/harness/fuzz.h"

static xb_json *annotated(const char *text, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *order = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    json_object_object_add(annotations, XB_POINT_IN_TIME_ANNOTATION,
                           json_object_new_string_len(text, (int)len));
    need(xb_json_set(order, "metadata.annotations", annotations, &err) == 0);
    need(xb_json_set_str(order, "metadata.uid", "u", &err) == 0);
    return order;
}

static void need_clean(const char *text, size_t size)
{
    need(strlen(text) < size);
    for (; *text; text++) {
        need((unsigned char)*text >= ' ' && *text != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_point_in_time point;
    struct xb_point_in_time again;
    char said[XB_POINT_IN_TIME_TEXT_BYTES];
    if (len > XB_POINT_IN_TIME_BYTES_MAX + 1) {
        return 0;
    }
    XB_CLEANUP(xb_json_putp) xb_json *order = annotated((const char *)data, len);
    int r = xb_point_in_time_parse(order, &point, &err);
    need(xb_point_in_time_fixed(order) == (r > 0));
    if (r <= 0) {
        need(r == 0 || (err.kind == XB_ERR_INVALID && err.text[0]));
        return 0;
    }
    need(strcmp(point.uid, "u") == 0);
    need(point.consistency < XB_CONSISTENCIES);
    need(point.copy_us >= 0 && point.frozen_us >= 0 && point.held_us >= -1 &&
         point.changed_files >= 0);
    need_clean(point.method, sizeof point.method);
    need_clean(point.reason, sizeof point.reason);
    need_clean(point.problem, sizeof point.problem);
    xb_point_in_time_say(&point, said);
    need_clean(said, sizeof said);
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    need(xb_point_in_time_patch(&point, &patch, &err) == 0);
    need(xb_json_set_str(patch, "metadata.uid", "u", &err) == 0);
    need(xb_point_in_time_parse(patch, &again, &err) == 1);
    need(strcmp(again.method, point.method) == 0 && strcmp(again.reason, point.reason) == 0 &&
         strcmp(again.problem, point.problem) == 0 && again.consistency == point.consistency &&
         again.copy_us == point.copy_us && again.frozen_us == point.frozen_us &&
         again.held_us == point.held_us && again.changed_files == point.changed_files);
    need(llabs(again.time_ns - point.time_ns) < 1000); /* it is written in microseconds */
    return 0;
}
