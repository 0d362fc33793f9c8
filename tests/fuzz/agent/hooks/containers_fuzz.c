/* SPDX-License-Identifier: Apache-2.0
 *
 * What a runtime says apart from a command's output: its list of containers (bounded in memory,
 * and whatever is chosen can be named in a request), and gRPC's outcome in headers. The first byte
 * says which.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hooks/containers.h"
#include "agent/hooks/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void choose(const uint8_t *data, size_t size)
{
    static const struct xb_cri_target target = {.pod_uid = "uid", .container = "main"};
    static const char *const argv[] = {"true", NULL};
    char id[XB_CONTAINER_ID_BYTES] = "";
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf request = XB_BUF_INIT(1024);
    int r = xb_containers_choose(data, size, &target, id, &err);
    if ((r < 0) != (err.code != 0)) {
        abort();
    }
    if (*id && xb_containers_exec_request(id, argv, 30, &request, &err) < 0) {
        abort();
    }
    xb_buf_free(&request);
}

static void outcome(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    char message[XB_GRPC_MESSAGE_BYTES];
    if (!text) {
        return;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    xb_grpc_message_decode(text, message);
    for (const char *c = message; *c; c++) {
        if ((unsigned char)*c < 0x20) {
            abort();
        }
    }
    int code = xb_grpc_status_parse(text);
    if (code < -1 || code > 999) {
        abort();
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] & 1) {
        outcome(data + 1, size - 1);
    } else if (size > 0) {
        choose(data + 1, size - 1);
    }
    return 0;
}
