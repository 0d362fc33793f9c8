/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/file.h"
#include "shared/base/log.h"
#include "shared/base/random.h"
#include "shared/codec/text.h"

enum { TEXT_BYTES = XB_IDENTITY_BYTES + XB_BOOT_ID_BYTES + 2, FILE_BYTES_MAX = 4096 };

static void make_name(const char *pod, char out[XB_IDENTITY_BYTES])
{
    unsigned char random[4];
    char hex[9];
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, hex);
    snprintf(out, XB_IDENTITY_BYTES, "%.200s_%s", pod, hex);
}

/* False: it is not known. */
static bool read_boot_id(const struct xb_identity_place *place, char out[XB_BOOT_ID_BYTES])
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_BOOT_ID_BYTES - 1);
    struct xb_error err = XB_ERROR_INIT;
    if (place->boot_id) {
        snprintf(out, XB_BOOT_ID_BYTES, "%s", place->boot_id);
    } else if (xb_file_read("/proc/sys/kernel/random/boot_id", &text, &err) == 0) {
        snprintf(out, XB_BOOT_ID_BYTES, "%.*s", (int)text.len, (const char *)text.data);
        out[strcspn(out, "\n")] = '\0';
    }
    return out[0] != '\0';
}

/* The name of the process before, if it ran under this kernel and for this pod. */
static bool read_name(int fd, const char *boot_id, const char *pod, char out[XB_IDENTITY_BYTES])
{
    char text[FILE_BYTES_MAX + 1];
    char prefix[TEXT_BYTES];
    ssize_t len = pread(fd, text, FILE_BYTES_MAX, 0);
    int prefix_len = snprintf(prefix, sizeof prefix, "%s %.200s_", boot_id, pod);
    if (len <= 0 || prefix_len < 0 || memchr(text, '\0', (size_t)len)) {
        return false;
    }
    text[len] = '\0';
    const char *suffix = text + prefix_len;
    if (strncmp(text, prefix, (size_t)prefix_len) != 0 || strspn(suffix, "0123456789abcdef") != 8 ||
        strcmp(suffix + 8, "\n") != 0) {
        return false;
    }
    snprintf(out, XB_IDENTITY_BYTES, "%.*s", (int)(strlen(text) - strlen(boot_id) - 2),
             text + strlen(boot_id) + 1);
    return true;
}

static bool write_name(int fd, const char *boot_id, const char *name)
{
    char text[TEXT_BYTES];
    int len = snprintf(text, sizeof text, "%s %s\n", boot_id, name);
    return len > 0 && (size_t)len < sizeof text && ftruncate(fd, 0) == 0 &&
           pwrite(fd, text, (size_t)len, 0) == len;
}

void xb_identity_open(const struct xb_identity_place *place, struct xb_identity *ret)
{
    char path[4096];
    char boot_id[XB_BOOT_ID_BYTES] = "";
    *ret = (struct xb_identity){.fd = -1};
    make_name(place->pod, ret->name);
    int written = snprintf(path, sizeof path, "%s/xebec-coordinator.identity", place->scratch);
    if (written < 0 || (size_t)written >= sizeof path || !read_boot_id(place, boot_id)) {
        return;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        xb_log_warning("another coordinator works in this scratch folder", "scratch",
                       place->scratch);
        (void)close(fd);
        return;
    }
    if (read_name(fd, boot_id, place->pod, ret->name)) {
        xb_log_info("going on as the process before, which has ended", "identity", ret->name);
    } else if (!write_name(fd, boot_id, ret->name)) {
        (void)!ftruncate(fd, 0);
    }
    ret->fd = fd;
}

void xb_identity_close(struct xb_identity *identity)
{
    if (identity->fd >= 0) {
        (void)close(identity->fd);
    }
    identity->fd = -1;
}
