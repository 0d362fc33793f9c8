/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/exec.h"

#include <errno.h>
#include <string.h>

static int check_arguments(const char *const *argv, struct xb_error *err)
{
    size_t count = 0, bytes = 0;
    if (!argv || !argv[0] || !*argv[0]) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "no command to run");
    }
    for (; argv[count]; count++) {
        if (count == XB_EXEC_ARGUMENTS_MAX) {
            return xb_error_set(err, XB_ERR_INVALID, -E2BIG,
                                "a command of more than %d arguments: '%.100s ...'",
                                XB_EXEC_ARGUMENTS_MAX, argv[0]);
        }
        size_t len = strlen(argv[count]);
        if (len > XB_EXEC_ARGUMENTS_BYTES_MAX - bytes) {
            return xb_error_set(err, XB_ERR_INVALID, -E2BIG,
                                "a command of more than %d bytes: '%.100s ...'",
                                XB_EXEC_ARGUMENTS_BYTES_MAX, argv[0]);
        }
        bytes += len;
    }
    return 0;
}

int xb_exec_command_check(const struct xb_exec_command *command, struct xb_error *err)
{
    int r = check_arguments(command->argv, err);
    if (r < 0) {
        return r;
    }
    if (command->timeout_ms < 0 || command->timeout_ms > XB_EXEC_TIMEOUT_MS_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a timeout of %d ms for '%.100s': want 0 to %d", command->timeout_ms,
                            command->argv[0], XB_EXEC_TIMEOUT_MS_MAX);
    }
    if (command->output_bytes_max > XB_EXEC_OUTPUT_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "%zu bytes of output to be kept: at most %d", command->output_bytes_max,
                            XB_EXEC_OUTPUT_BYTES_MAX);
    }
    return 0;
}

int xb_exec_timeout_ms(const struct xb_exec_command *command)
{
    return command->timeout_ms ? command->timeout_ms : XB_EXEC_TIMEOUT_MS;
}

struct xb_exec_result xb_exec_result_for(const struct xb_exec_command *command)
{
    size_t most = command->output_bytes_max ? command->output_bytes_max : XB_EXEC_OUTPUT_BYTES;
    return (struct xb_exec_result){
        .exit_code = -1,
        .out = {.bytes = XB_BUF_INIT(most)},
        .err = {.bytes = XB_BUF_INIT(most)},
    };
}

int xb_exec_output_add(struct xb_exec_output *output, const void *data, size_t len,
                       struct xb_error *err)
{
    size_t room = output->bytes.max - output->bytes.len;
    if (len > room) {
        output->truncated = true;
        len = room;
    }
    return len > 0 ? xb_buf_append(&output->bytes, data, len, err) : 0;
}

void xb_exec_result_free(struct xb_exec_result *result)
{
    xb_buf_free(&result->out.bytes);
    xb_buf_free(&result->err.bytes);
    *result = (struct xb_exec_result){.exit_code = -1};
}
