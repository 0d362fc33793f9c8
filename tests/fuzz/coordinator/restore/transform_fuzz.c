/* SPDX-License-Identifier: Apache-2.0
 *
 * An object out of a backup, of any kind: refused, skipped, or turned into JSON that can be written
 * and read again, with nothing of the old cluster in its metadata. The input's first line is the
 * kind (or any name), the rest is the object.
 */
#include "coordinator/restore/order.h"
#include "coordinator/restore/pod_volumes.h"
#include "coordinator/restore/transform.h"
#include "tests/harness/fuzz.h"

enum { KIND_BYTES = 100, TEXT_BYTES_MAX = 1 << 24 };

static void check_writable(xb_json *object)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf first = XB_BUF_INIT(TEXT_BYTES_MAX), second = XB_BUF_INIT(TEXT_BYTES_MAX);
    XB_CLEANUP(xb_json_putp) xb_json *again = NULL;
    need(xb_json_write(object, &first, &err) == 0);
    need(xb_json_parse(first.data, first.len, &again, &err) == 0);
    need(xb_json_write(again, &second, &err) == 0);
    need(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    xb_buf_free(&first);
    xb_buf_free(&second);
}

static void check_created(const struct xb_restore_context *context, xb_json *object)
{
    static const char *const gone[] = {"uid",           "resourceVersion", "ownerReferences",
                                       "managedFields", "generateName",    "deletionTimestamp"};
    xb_json *metadata = xb_json_get(object, "metadata");
    need(xb_json_str(metadata, "name", "")[0] != '\0');
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        need(!json_object_object_get_ex(metadata, gone[i], NULL));
    }
    need(!json_object_object_get_ex(object, "status", NULL));
    need(strcmp(xb_json_str(metadata, "labels.velero\\.io/backup-name", ""),
                context->backup_label) == 0);
    need(strcmp(xb_json_str(metadata, "labels.velero\\.io/restore-name", ""),
                context->restore_label) == 0);
    need(xb_restore_equal(object, object));
}

/* The pod waits for its own first volumes, as far as it says what they are. */
static void check_wait(const struct xb_restore_context *context, xb_json *pod)
{
    struct xb_error err = XB_ERROR_INIT;
    const char *volumes[2];
    size_t count = 0;
    xb_json *list = xb_json_get(pod, "spec.volumes");
    bool is_list = list && json_object_is_type(list, json_type_array);
    for (size_t i = 0; is_list && i < json_object_array_length(list) && count < 2; i++) {
        const char *name = xb_json_str(json_object_array_get_idx(list, i), "name", NULL);
        if (name) {
            volumes[count++] = name;
        }
    }
    if (xb_restore_add_wait(context, pod, volumes, count, &err) < 0 || count == 0) {
        return;
    }
    xb_json *containers = xb_json_get(pod, "spec.initContainers");
    size_t waits = 0;
    for (size_t i = 0; i < json_object_array_length(containers); i++) {
        const char *name = xb_json_str(json_object_array_get_idx(containers, i), "name", "");
        waits += strcmp(name, "restore-wait") == 0;
        need(i > 0 || waits == 1);
        need(strcmp(name, "restic-wait") != 0);
    }
    need(waits == 1);
}

static void check_functions(const struct xb_restore_context *context, xb_json *object,
                            xb_json *before)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp)
    xb_json *patch = xb_restore_merge_service_account(before, object);
    if (patch) {
        check_writable(patch);
    }
    need(xb_restore_equal(before, object) == xb_restore_equal(object, before));
    check_wait(context, object);
    (void)xb_restore_volume_way(object, false);
    xb_restore_pvc_detach(object);
    xb_restore_pvc_drop_source(object);
    (void)!xb_restore_pv_keep(context, object, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char mapping_text[] = "{\"default\":\"other\",\"a\":\"b\",\"n\":7}";
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *mapping = NULL, *object = NULL, *before = NULL;
    const uint8_t *end = len > 0 ? memchr(data, '\n', len) : NULL;
    if (len > 1 << 16 || !end || end - data >= KIND_BYTES) {
        return 0;
    }
    char kind[KIND_BYTES];
    size_t kind_len = (size_t)(end - data);
    memcpy(kind, data, kind_len);
    kind[kind_len] = '\0';
    const char *text = (const char *)end + 1;
    size_t text_len = len - kind_len - 1;
    if (xb_json_parse(mapping_text, strlen(mapping_text), &mapping, &err) < 0 ||
        xb_json_parse(text, text_len, &object, &err) < 0) {
        return 0;
    }
    need(xb_json_parse(text, text_len, &before, &err) == 0);
    struct xb_restore_context context = {
        .backup_label = "b",
        .restore_label = "r",
        .restore_uid = "u",
        .helper_image = "i",
        .namespace_mapping = mapping,
        .preserve_node_ports = kind_len % 2 == 0 && text_len % 5 == 0,
        .keep_token_secrets = text_len % 2 == 0,
    };
    enum xb_restore_decision decision = XB_RESTORE_SKIP;
    char reason[XB_RESTORE_REASON_BYTES] = "";
    need(xb_restore_rank(NULL, kind) >= 0);
    if (xb_restore_transform(&context, kind, object, &decision, reason, &err) == 0) {
        need((decision == XB_RESTORE_SKIP) == (reason[0] != '\0'));
        if (decision == XB_RESTORE_CREATE) {
            check_created(&context, object);
        }
    } else {
        need(err.kind == XB_ERR_CORRUPT);
    }
    check_functions(&context, object, before);
    check_writable(object);
    return 0;
}
