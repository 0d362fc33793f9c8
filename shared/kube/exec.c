/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/exec.h"

#include <errno.h>

#include "shared/base/clock.h"
#include "shared/kube/exec_stream.h"

static int run(struct xb_exec_stream *stream, const struct xb_exec_command *command,
               struct xb_error *err)
{
    const struct xb_http_until until = {.deadline_ns = xb_clock_mono_ns() +
                                                       xb_exec_timeout_ms(command) * XB_NS_PER_MS,
                                        .cancel = command->cancel};
    struct xb_error failure = XB_ERROR_INIT;
    int r = xb_exec_stream_listen(stream, &until, &failure);
    if (r == 0) {
        return xb_exec_stream_end(stream, err);
    }
    if (failure.kind == XB_ERR_RETRY && failure.code == -ETIMEDOUT) {
        stream->result.timed_out = true;
        return 0;
    }
    *err = failure;
    return xb_exec_stream_fail(stream, err);
}

int xb_kube_exec(struct xb_kube_client *client, const struct xb_kube_exec_target *target,
                 const struct xb_exec_command *command, struct xb_exec_result *ret,
                 struct xb_error *err)
{
    XB_CLEANUP(xb_exec_stream_done) struct xb_exec_stream stream = {.client = client};
    const struct xb_exec_wanted wanted = {.target = target, .command = command};
    int r = xb_exec_stream_open(&stream, client, &wanted, err);
    r = r ? r : run(&stream, command, err);
    if (r == 0) {
        *ret = stream.result;
        stream.result = (struct xb_exec_result){.exit_code = -1};
    }
    return r;
}
