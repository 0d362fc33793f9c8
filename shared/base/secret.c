/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>

int xb_secret_new(const void *data, size_t len, struct xb_secret **ret, struct xb_error *err)
{
    if (len > XB_SECRET_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "a secret of more than %d bytes",
                            XB_SECRET_BYTES_MAX);
    }
    struct xb_secret *secret = calloc(1, sizeof *secret);
    unsigned char *bytes = malloc(len + 1);
    if (!secret || !bytes) {
        free(secret);
        free(bytes);
        return xb_error_no_memory(err, "a secret");
    }
    memcpy(bytes, data, len);
    bytes[len] = '\0';
    secret->data = bytes;
    secret->len = len;
    *ret = secret;
    return 0;
}

static size_t trimmed_len(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1])) {
        len--;
    }
    return len;
}

int xb_secret_from_file(const char *path, struct xb_secret **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "cannot open password file %s", path);
    }
    char text[XB_SECRET_BYTES_MAX + 1];
    size_t len = 0;
    while (len < sizeof text) {
        ssize_t got = read(fd, text + len, sizeof text - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            int saved = errno;
            explicit_bzero(text, sizeof text);
            return xb_error_errno(err, saved, "cannot read password file %s", path);
        }
        if (got == 0) {
            break;
        }
        len += (size_t)got;
    }
    int r = xb_secret_new(text, trimmed_len(text, len), ret, err);
    explicit_bzero(text, sizeof text);
    return r < 0 ? xb_error_wrap(err, "password file %s", path) : 0;
}

int xb_secret_from_prompt(const char *prompt, struct xb_secret **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_closep) int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    struct termios before;
    if (fd < 0 || tcgetattr(fd, &before) < 0) {
        return xb_error_set(
            err, XB_ERR_DENIED, -ENOTTY,
            "no password given and no terminal to ask at: set XEBEC_PASSWORD or use "
            "--password-file");
    }
    struct termios silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fd, TCSAFLUSH, &silent);
    dprintf(fd, "%s", prompt);
    char line[4096];
    size_t len = 0;
    while (len < sizeof line) {
        ssize_t got = read(fd, line + len, 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || line[len] == '\n') {
            break;
        }
        len++;
    }
    tcsetattr(fd, TCSAFLUSH, &before);
    dprintf(fd, "\n");
    int r = xb_secret_new(line, len, ret, err);
    explicit_bzero(line, sizeof line);
    return r;
}

void xb_secret_free(struct xb_secret *secret)
{
    if (!secret) {
        return;
    }
    explicit_bzero(secret->data, secret->len);
    free(secret->data);
    free(secret);
}
