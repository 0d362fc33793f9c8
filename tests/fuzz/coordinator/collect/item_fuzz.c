/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as an object of a list: a head is what a parser finds there, too, and what is passed on
 * has apiVersion and kind. Where the text is JSON that a parser takes, both agree.
 */
#include "coordinator/collect/item.h"
#include "tests/harness/fuzz.h"

static void check_text(const char *text, size_t len, const struct xb_kube_resource *resource)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(1 << 20);
    XB_CLEANUP(xb_json_putp) xb_json *was = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
    need(xb_item_text(text, len, resource, &out, &err) == 0);
    if (xb_json_parse(text, len, &was, &err) == 0) {
        need(xb_json_parse(out.data, out.len, &now, &err) == 0);
        need(json_object_object_get_ex(now, "apiVersion", NULL) &&
             json_object_object_get_ex(now, "kind", NULL));
        need(json_object_object_length(now) >= json_object_object_length(was));
    }
    xb_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct xb_kube_resource resource = {"apps", "v1", "deployments", "Deployment",
                                                     true};
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *head = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *whole = NULL;
    if (len > 1 << 14) {
        return 0;
    }
    char *text = fuzz_text(data, len);
    if (xb_item_head(text, len, &resource, &head, &err) == 0) {
        need(xb_json_str(head, "metadata.name", NULL) != NULL);
        need(xb_json_get(head, "kind") || json_object_object_get_ex(head, "kind", NULL));
        check_text(text, len, &resource);
    } else {
        need(err.kind == XB_ERR_CORRUPT);
    }
    if (xb_json_parse(text, len, &whole, &err) == 0) {
        xb_item_clean_claim(whole, "b");
    }
    free(text);
    return 0;
}
