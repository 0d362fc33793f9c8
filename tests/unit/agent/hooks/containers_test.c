/* SPDX-License-Identifier: Apache-2.0
 *
 * Which container is meant: packed and unpacked by protobuf-c, as a runtime would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cri.pb-c.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/hooks/containers.h"
#include "shared/base/clock.h"

enum { CONTAINERS_MAX = 8, LABELS = 4 };

static const struct xb_cri_target target = {.pod_uid = "uid-1", .container = "main"};

struct one {
    const char *id, *uid, *name;
    unsigned attempt;
    Cri__ContainerState state;
    bool bare;                   /* without metadata and labels */
    const char *namespace, *pod; /* NULL: "n" and "p" */
};

static char *lent(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* A runtime's answer. */
static size_t pack(const struct one *ones, size_t count, uint8_t *out)
{
    Cri__Container containers[CONTAINERS_MAX];
    Cri__Container *list[CONTAINERS_MAX];
    Cri__ContainerMetadata metadata[CONTAINERS_MAX];
    Cri__Pair pairs[CONTAINERS_MAX][LABELS];
    Cri__Pair *labels[CONTAINERS_MAX][LABELS];
    Cri__ListContainersResponse response = CRI__LIST_CONTAINERS_RESPONSE__INIT;
    for (size_t i = 0; i < count; i++) {
        cri__container__init(&containers[i]);
        cri__container_metadata__init(&metadata[i]);
        for (size_t j = 0; j < LABELS; j++) {
            cri__pair__init(&pairs[i][j]);
            labels[i][j] = &pairs[i][j];
        }
        pairs[i][0].key = lent("io.kubernetes.container.name");
        pairs[i][0].value = lent(ones[i].name);
        pairs[i][1].key = lent("io.kubernetes.pod.uid");
        pairs[i][1].value = lent(ones[i].uid);
        pairs[i][2].key = lent("io.kubernetes.pod.namespace");
        pairs[i][2].value = lent(ones[i].namespace ? ones[i].namespace : "n");
        pairs[i][3].key = lent("io.kubernetes.pod.name");
        pairs[i][3].value = lent(ones[i].pod ? ones[i].pod : "p");
        metadata[i].attempt = ones[i].attempt;
        containers[i].id = lent(ones[i].id);
        containers[i].state = ones[i].state;
        if (!ones[i].bare) {
            containers[i].metadata = &metadata[i];
            containers[i].labels = labels[i];
            containers[i].n_labels = LABELS;
        }
        list[i] = &containers[i];
    }
    response.containers = list;
    response.n_containers = count;
    return cri__list_containers_response__pack(&response, out);
}

static const char *choose_for(const struct xb_cri_target *wanted, const struct one *ones,
                              size_t count)
{
    static char id[XB_CONTAINER_ID_BYTES];
    uint8_t answer[4096];
    struct xb_error err = XB_ERROR_INIT;
    size_t len = pack(ones, count, answer);
    return xb_containers_choose(answer, len, wanted, id, &err) < 0 ? NULL : id;
}

static const char *choose(const struct one *ones, size_t count)
{
    return choose_for(&target, ones, count);
}

#define RUNNING CRI__CONTAINER_STATE__CONTAINER_RUNNING
#define EXITED CRI__CONTAINER_STATE__CONTAINER_EXITED

/* The newest that runs; never one of another pod, another name, or none, whatever the runtime
 * filtered. */
static void test_choice(void **state)
{
    (void)state;
    const struct one ones[] = {
        {"old", "uid-1", "main", 1, RUNNING, false, NULL, NULL},
        {"new", "uid-1", "main", 3, RUNNING, false, NULL, NULL},
        {"mid", "uid-1", "main", 2, RUNNING, false, NULL, NULL},
        {"ended", "uid-1", "main", 9, EXITED, false, NULL, NULL},
        {"other-pod", "uid-2", "main", 9, RUNNING, false, NULL, NULL},
        {"other-name", "uid-1", "side", 9, RUNNING, false, NULL, NULL},
        {"bare", "uid-1", "main", 9, RUNNING, true, NULL, NULL},
    };
    assert_string_equal(choose(ones, 7), "new");
    assert_string_equal(choose(ones, 1), "old");
    assert_string_equal(choose(ones + 3, 4), "");
    assert_string_equal(choose(ones, 0), "");
}

/* A static pod's uid is an annotation's word: it gains no container of another pod. */
static void test_names(void **state)
{
    (void)state;
    static const struct xb_cri_target named = {
        .pod_uid = "uid-1", .container = "main", .pod_namespace = "n", .pod_name = "p"};
    const struct one ones[] = {{"theirs", "uid-1", "main", 9, RUNNING, false, "other", "p"},
                               {"its", "uid-1", "main", 9, RUNNING, false, "n", "other"},
                               {"ours", "uid-1", "main", 1, RUNNING, false, "n", "p"}};
    assert_string_equal(choose_for(&named, ones, 3), "ours");
    assert_string_equal(choose_for(&named, ones, 2), "");
}

static void test_ids(void **state)
{
    (void)state;
    char large[XB_CONTAINER_ID_BYTES + 1];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    const struct one wrong[] = {{large, "uid-1", "main", 1, RUNNING, false, NULL, NULL},
                                {"a b\n", "uid-1", "main", 1, RUNNING, false, NULL, NULL},
                                {"", "uid-1", "main", 1, RUNNING, false, NULL, NULL}};
    for (size_t i = 0; i < 3; i++) {
        assert_null(choose(&wrong[i], 1));
    }
    large[XB_CONTAINER_ID_BYTES - 1] = '\0';
    assert_string_equal(choose(&wrong[0], 1), large);
}

/* An answer of a million empty containers would unpack into a hundred times its size. */
static void test_memory(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    char id[XB_CONTAINER_ID_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_freep) uint8_t *answer = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i += 2) {
        answer[i] = 1 << 3 | 2;
        answer[i + 1] = 0;
    }
    assert_true(xb_containers_choose(answer, BYTES, &target, id, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    assert_int_equal(xb_containers_choose(answer, 2000, &target, id, &err), 0);
}

static void test_requests(void **state)
{
    (void)state;
    struct xb_buf out = XB_BUF_INIT(4096);
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_containers_request(&target, &out, &err), 0);
    Cri__ListContainersRequest *list =
        cri__list_containers_request__unpack(NULL, out.len, (uint8_t *)out.data);
    assert_non_null(list);
    assert_int_equal(list->filter->state->state, RUNNING);
    assert_int_equal(list->filter->n_label_selector, 2);
    assert_string_equal(list->filter->label_selector[0]->value, "uid-1");
    assert_string_equal(list->filter->label_selector[1]->value, "main");
    cri__list_containers_request__free_unpacked(list, NULL);
    xb_buf_clear(&out);
    static const char *const argv[] = {"sh", "", "-c", NULL};
    assert_int_equal(xb_containers_exec_request("id", argv, 30, &out, &err), 0);
    Cri__ExecSyncRequest *exec = cri__exec_sync_request__unpack(NULL, out.len, (uint8_t *)out.data);
    assert_non_null(exec);
    assert_string_equal(exec->container_id, "id");
    assert_int_equal(exec->timeout, 30);
    assert_int_equal(exec->n_cmd, 3);
    assert_string_equal(exec->cmd[1], "");
    assert_string_equal(exec->cmd[2], "-c");
    cri__exec_sync_request__free_unpacked(exec, NULL);
    static const struct xb_cri_target nobody[] = {{.pod_uid = "", .container = "main"},
                                                  {.pod_uid = "uid", .container = ""},
                                                  {.container = "main"}};
    for (size_t i = 0; i < 3; i++) {
        assert_true(xb_containers_request(&nobody[i], &out, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
    }
    xb_buf_free(&out);
}

/* Where the sockets are --------------------------------------------------------------------- */

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* nobody listens: as after a runtime has died */
}

/* A folder that mounting made tells nothing; one in use without its socket is a runtime that is
 * away; a socket is one, though nobody may listen. */
static void test_presence(void **state)
{
    (void)state;
    char root[] = "/tmp/xebec-cri-test-XXXXXX";
    char path[128];
    struct xb_error err = XB_ERROR_INIT;
    struct xb_exec_result result;
    static const char *const argv[] = {"true", NULL};
    atomic_bool cancel = false;
    const struct xb_exec_command command = {.argv = argv, .cancel = &cancel};
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/containerd", root);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(xb_cri_present(root));
    assert_int_equal(xb_cri_exec(root, &target, &command, &result, &err), -ENODEV);
    assert_int_equal(err.kind, XB_ERR_NOT_FOUND);

    snprintf(path, sizeof path, "%s/containerd/state", root);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(xb_cri_present(root));
    atomic_store(&cancel, true); /* or it would wait for the runtime to come back */
    assert_true(xb_cri_exec(root, &target, &command, &result, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_RETRY);

    snprintf(path, sizeof path, "%s/containerd/containerd.sock", root);
    make_socket(path);
    assert_true(xb_cri_present(root));
    atomic_store(&cancel, false);
    int64_t begin = xb_clock_mono_ns();
    assert_true(xb_cri_exec(root, &target, &command, &result, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_RETRY);
    assert_non_null(strstr(err.text, "containerd.sock"));
    assert_true(xb_clock_mono_ns() - begin > XB_NS_PER_S); /* it was waited for */
    unlink(path);
    snprintf(path, sizeof path, "%s/containerd/state", root);
    rmdir(path);
    snprintf(path, sizeof path, "%s/containerd", root);
    rmdir(path);
    rmdir(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_ids),      cmocka_unit_test(test_memory),
        cmocka_unit_test(test_requests), cmocka_unit_test(test_presence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
