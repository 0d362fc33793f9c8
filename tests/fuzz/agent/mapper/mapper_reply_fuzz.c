/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an answer of the device mapper, and any text as what a target says of itself: what
 * is taken ends, and is within its bounds.
 */
#include "agent/mapper/reply.h"
#include "tests/harness/fuzz.h"

static struct xb_mapper_list list;

static void read_texts(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mapper_snapshot snapshot;
    struct xb_mapper_pool pool;
    if (xb_mapper_snapshot_parse(text, &snapshot, &err) == 0) {
        need(snapshot.used_sectors <= snapshot.total_sectors);
    }
    if (xb_mapper_pool_parse(text, &pool, &err) == 0) {
        need(pool.used_data <= pool.total_data && pool.used_metadata <= pool.total_metadata);
        need(!(pool.writable && (pool.failed || pool.out_of_space)));
    }
    need(xb_mapper_layer(text) <= 2);
    need(!xb_mapper_is_lvm(text) || (strlen(text) >= 68 && xb_mapper_same_group(text, text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mapper_device device;
    struct xb_mapper_target target;
    char *text = fuzz_text(data, len);
    if (xb_mapper_reply_device(text, len, &device, &err) == 0) {
        need(strlen(device.name) < XB_MAPPER_NAME_BYTES);
        read_texts(device.uuid);
    }
    if (xb_mapper_reply_list(text, len, &list, &err) == 0) {
        need(list.count <= XB_MAPPER_DEVICES_MAX);
    }
    if (xb_mapper_reply_target(text, len, &target, &err) == 0) {
        need(strlen(target.type) < XB_MAPPER_TYPE_BYTES);
        read_texts(target.text);
    }
    read_texts(text);
    free(text);
    return 0;
}
