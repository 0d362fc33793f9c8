/* SPDX-License-Identifier: Apache-2.0
 *
 * The base layer keeps its promises: ceilings hold, errors tell the story, pools run every job.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/buf.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/secret.h"
#include "shared/base/workers.h"

/* A buffer never grows past its ceiling and keeps what it had. */
static void buf_ceiling(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf buf = XB_BUF_INIT(10);
    assert_int_equal(xb_buf_append(&buf, "0123456789", 10, &err), 0);
    assert_int_equal(xb_buf_append(&buf, "x", 1, &err), -E2BIG);
    assert_int_equal(err.kind, XB_ERR_FULL);
    assert_int_equal(buf.len, 10);
    assert_string_equal(buf.data, "0123456789");
    assert_int_equal(xb_buf_reserve(&buf, SIZE_MAX, &err), -E2BIG);
    assert_string_equal(buf.data, "0123456789");
    xb_buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
    xb_buf_free(&buf);
}

/* Wrapping puts the story in front and keeps the cause readable, however long the story is. */
static void error_story(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_error_errno(&err, ENOSPC, "cannot write %s", "pack p1"), -ENOSPC);
    assert_int_equal(err.kind, XB_ERR_FULL);
    assert_int_equal(xb_error_wrap(&err, "backing up %s", "volume d"), -ENOSPC);
    assert_non_null(strstr(err.text, "backing up volume d: cannot write pack p1: No space left"));
    char longer[2000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(xb_error_wrap(&err, "%s", longer), -ENOSPC);
    assert_non_null(strstr(err.text, "cannot write pack p1"));
    assert_true(strlen(err.text) < sizeof err.text);
}

static void count_up(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

/* Every job runs once, also those still queued when the pool is freed. */
static void workers_run_all(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    atomic_int count = 0;
    struct xb_workers *workers = NULL;
    assert_int_equal(xb_workers_new(3, 4, &workers, &err), 0);
    for (int i = 0; i < 1000; i++) {
        xb_workers_submit(workers, count_up, &count);
    }
    xb_workers_drain(workers);
    assert_int_equal(count, 1000);
    for (int i = 0; i < 4; i++) {
        xb_workers_submit(workers, count_up, &count);
    }
    xb_workers_free(workers);
    assert_int_equal(count, 1004);
}

static void wait_for_flag(void *context)
{
    while (!atomic_load((atomic_int *)context)) {
        usleep(1000);
    }
}

/* A full queue refuses instead of growing. */
static void workers_bounded(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    atomic_int flag = 0;
    struct xb_workers *workers = NULL;
    assert_int_equal(xb_workers_new(1, 2, &workers, &err), 0);
    int taken = 0;
    for (int i = 0; i < 10; i++) {
        taken += xb_workers_try_submit(workers, wait_for_flag, &flag);
        usleep(2000);
    }
    atomic_store(&flag, 1);
    xb_workers_free(workers);
    assert_int_equal(taken, 3);
}

/* Opening beneath a folder follows no link and leaves the folder by no path. */
static void open_beneath(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    char folder[] = "/tmp/xb-base-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[256];
    snprintf(path, sizeof path, "%s/in", folder);
    assert_int_equal(xb_file_replace(path, "hello", 5, 0600, &err), 0);
    struct xb_buf text = XB_BUF_INIT(100);
    assert_int_equal(xb_file_read(path, &text, &err), 0);
    assert_string_equal(text.data, "hello");
    xb_buf_free(&text);
    char link[256];
    snprintf(link, sizeof link, "%s/out", folder);
    assert_int_equal(symlink("/etc/passwd", link), 0);
    XB_CLEANUP(xb_closep) int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    XB_CLEANUP(xb_closep) int fd = xb_file_open_beneath(dir, "in", O_RDONLY, 0, &err);
    assert_true(fd >= 0);
    assert_true(xb_file_open_beneath(dir, "out", O_RDONLY, 0, &err) < 0);
    assert_true(xb_file_open_beneath(dir, "../../etc/passwd", O_RDONLY, 0, &err) < 0);
    assert_true(xb_file_open_beneath(dir, "/etc/passwd", O_RDONLY, 0, &err) < 0);
    char short_read[8];
    assert_int_equal(xb_file_pread_all(fd, short_read, 8, 0, "in", &err), -EBADMSG);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    unlink(link);
    unlink(path);
    rmdir(folder);
}

/* A password file's last line end is not part of the password. */
static void secret_file(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    char path[] = "/tmp/xb-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "pa ss\r\n", 7), 7);
    close(fd);
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
    assert_int_equal(xb_secret_from_file(path, &secret, &err), 0);
    assert_int_equal(secret->len, 5);
    assert_memory_equal(secret->data, "pa ss", 6);
    unlink(path);
    struct xb_secret *none = NULL;
    assert_int_equal(xb_secret_from_file(path, &none, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_ceiling),     cmocka_unit_test(error_story),
        cmocka_unit_test(workers_run_all), cmocka_unit_test(workers_bounded),
        cmocka_unit_test(open_beneath),    cmocka_unit_test(secret_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
