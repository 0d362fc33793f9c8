/* SPDX-License-Identifier: Apache-2.0
 *
 * A coordinator's name in the lease: the same for the process that follows on the same scratch
 * folder once the one before has ended, and for nobody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/act/identity.h"

enum { FILE_BYTES = 400 };

static char folder[] = "/tmp/xebec-identity-XXXXXX";
static char file[sizeof folder + 32];

static int begin(void **state)
{
    (void)state;
    (void)unlink(file);
    return 0;
}

static struct xb_identity open_as(const char *pod, const char *boot_id)
{
    const struct xb_identity_place place = {.scratch = folder, .pod = pod, .boot_id = boot_id};
    struct xb_identity identity;
    xb_identity_open(&place, &identity);
    return identity;
}

static void opened_once(const char *pod, const char *boot_id, char name[XB_IDENTITY_BYTES])
{
    struct xb_identity identity = open_as(pod, boot_id);
    assert_true(identity.fd >= 0);
    snprintf(name, XB_IDENTITY_BYTES, "%s", identity.name);
    xb_identity_close(&identity);
}

static void successor(void **state)
{
    char first[XB_IDENTITY_BYTES], second[XB_IDENTITY_BYTES];
    (void)state;
    opened_once("pod-a", NULL, first);
    assert_int_equal(strncmp(first, "pod-a_", 6), 0);
    assert_int_equal(strlen(first), 6 + 8);
    opened_once("pod-a", NULL, second);
    assert_string_equal(first, second);
}

/* Two that live at once never have one name, whatever stands in the file. */
static void at_once(void **state)
{
    (void)state;
    struct xb_identity first = open_as("pod-a", NULL);
    struct xb_identity second = open_as("pod-a", NULL);
    assert_true(first.fd >= 0);
    assert_int_equal(second.fd, -1);
    assert_string_not_equal(first.name, second.name);
    xb_identity_close(&second);
    xb_identity_close(&first);
    struct xb_identity third = open_as("pod-a", NULL);
    assert_string_equal(third.name, first.name);
    xb_identity_close(&third);
}

static void killed(void **state)
{
    int names[2], status = 0;
    char name[XB_IDENTITY_BYTES] = "";
    (void)state;
    assert_int_equal(pipe(names), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct xb_identity identity = open_as("pod-a", NULL);
        (void)!write(names[1], identity.name, sizeof identity.name);
        for (;;) {
            (void)pause();
        }
    }
    assert_int_equal(read(names[0], name, sizeof name), sizeof name);
    struct xb_identity meanwhile = open_as("pod-a", NULL);
    assert_string_not_equal(meanwhile.name, name);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    struct xb_identity after = open_as("pod-a", NULL);
    assert_string_equal(after.name, name);
    xb_identity_close(&after);
    (void)close(names[0]);
    (void)close(names[1]);
}

/* A lock says nothing about processes of another machine, or of this one before it was started
 * anew. */
static void other_places(void **state)
{
    char first[XB_IDENTITY_BYTES], other[XB_IDENTITY_BYTES];
    (void)state;
    opened_once("pod-a", "boot-1", first);
    opened_once("pod-a", "boot-2", other);
    assert_string_not_equal(first, other);
    opened_once("pod-b", "boot-2", first);
    assert_int_equal(strncmp(first, "pod-b_", 6), 0);
    opened_once("pod", "boot-2", other);
    assert_int_equal(strncmp(other, "pod_", 4), 0);
    struct xb_identity nowhere;
    const struct xb_identity_place place = {.scratch = "/nowhere", .pod = "pod-a"};
    xb_identity_open(&place, &nowhere);
    assert_int_equal(nowhere.fd, -1);
    assert_int_equal(strncmp(nowhere.name, "pod-a_", 6), 0);
    xb_identity_close(&nowhere);
}

static void put(const char *text, size_t len)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    assert_int_equal(close(fd), 0);
}

/* A text that is cut or has something else in it is no name. */
static void damaged(void **state)
{
    static const char *const wrong[] = {"",
                                        "\n",
                                        "boot pod_0123456\n",
                                        "boot pod_012345678\n",
                                        "boot pod_0123456g\n",
                                        "boot  pod_01234567\n",
                                        "other pod_01234567\n",
                                        "boot pod_01234567\nx",
                                        "boot pod_01234567",
                                        "boot pox_01234567\n"};
    static const char good[] = "boot pod_01234567\n";
    char name[XB_IDENTITY_BYTES], huge[2 * 4096];
    (void)state;
    put(good, sizeof good - 1);
    opened_once("pod", "boot", name);
    assert_string_equal(name, "pod_01234567");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put(wrong[i], strlen(wrong[i]));
        opened_once("pod", "boot", name);
        assert_string_not_equal(name, "pod_01234567");
    }
    put(good, sizeof good); /* with its zero */
    opened_once("pod", "boot", name);
    assert_string_not_equal(name, "pod_01234567");
    memset(huge, 'x', sizeof huge);
    memcpy(huge, good, sizeof good - 1);
    put(huge, sizeof huge);
    opened_once("pod", "boot", name);
    assert_string_not_equal(name, "pod_01234567");
    /* What it was given instead is kept. */
    char again[XB_IDENTITY_BYTES];
    opened_once("pod", "boot", again);
    assert_string_equal(again, name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(successor, begin), cmocka_unit_test_setup(at_once, begin),
        cmocka_unit_test_setup(killed, begin),    cmocka_unit_test_setup(other_places, begin),
        cmocka_unit_test_setup(damaged, begin),
    };
    if (!mkdtemp(folder)) {
        return 1;
    }
    snprintf(file, sizeof file, "%s/xebec-coordinator.identity", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(file);
    (void)rmdir(folder);
    return failed;
}
