/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a report of LVM's: what is taken from it can be given back to LVM as an argument, and
 * a plan for any of its volumes is one that its own numbers allow.
 */
#include <ctype.h>
#include <stdio.h>

#include "agent/freeze/lvm.h"
#include "tests/harness/fuzz.h"

static void check_name(const char *name)
{
    size_t len = strlen(name);
    need(len > 0 && len < XB_LVM_NAME_BYTES && name[0] != '-');
    for (size_t i = 0; i < len; i++) {
        need(isalnum((unsigned char)name[i]) || strchr("+_.-", name[i]));
    }
}

static void check_volume(const struct xb_lvm_report *report, const struct xb_lvm_volume *volume)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_lvm_plan plan = {.extents = 0};
    check_name(volume->name);
    check_name(volume->group);
    need(strlen(volume->ids.group) == XB_LVM_ID_BYTES - 1);
    need(strlen(volume->ids.volume) == XB_LVM_ID_BYTES - 1);
    need(strlen(volume->attributes) == XB_LVM_ATTRIBUTES);
    need(strlen(volume->group_attributes) == XB_LVM_GROUP_ATTRIBUTES);
    need(volume->data_percent >= -1 && volume->data_percent <= 10000);
    need(volume->metadata_percent >= -1 && volume->metadata_percent <= 10000);
    need(volume->ours || volume->maker.boot == 0);
    need(!xb_lvm_is_left_over(volume, false, 0) || volume->ours);
    if (xb_lvm_plan(report, &volume->ids, &plan, &err) < 0) {
        need(err.kind != XB_ERR_NONE && err.text[0]);
        return;
    }
    need(!plan.origin->shared && plan.origin->attributes[0] != 's');
    if (plan.pool) {
        need(plan.pool->data_percent >= 0 && plan.pool->data_percent <= XB_LVM_POOL_BEGIN_MAX);
    } else {
        need(plan.extents > 0);
        need(plan.extents <= plan.origin->group_free_bytes / plan.origin->extent_bytes);
        need(plan.extents <= plan.origin->bytes / plan.origin->extent_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_lvm_report report = {.count = 0};
    struct xb_lvm_ids ids;
    struct xb_lvm_maker maker;
    char *text = fuzz_text(data, len);
    if (xb_lvm_report_parse(text, len, &report, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT || err.kind == XB_ERR_FULL);
    }
    for (size_t i = 0; i < report.count; i++) {
        check_volume(&report, &report.volumes[i]);
    }
    xb_lvm_report_free(&report);
    if (xb_lvm_ids_of(text, &ids, &err) == 0) {
        need(len == 4 + 2 * (XB_LVM_ID_BYTES - 1));
    }
    if (xb_lvm_maker_parse(text, len, &maker)) {
        char again[XB_LVM_TAG_BYTES];
        xb_lvm_maker_tag(&maker, again);
        need(strcmp(again, text) == 0);
    }
    free(text);
    return 0;
}
