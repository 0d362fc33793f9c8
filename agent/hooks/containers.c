/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hooks/containers.h"

#include <cri.pb-c.h>
#include <errno.h>
#include <string.h>

#define LABEL_POD_UID "io.kubernetes.pod.uid"
#define LABEL_POD_NAMESPACE "io.kubernetes.pod.namespace"
#define LABEL_POD_NAME "io.kubernetes.pod.name"
#define LABEL_CONTAINER "io.kubernetes.container.name"

/* protobuf-c's structures, packed and unpacked, have char pointers even where it only reads. */
static char *lent(const char *text)
{
    return (char *)(uintptr_t)text;
}

static int pack(const ProtobufCMessage *message, struct xb_buf *out, struct xb_error *err)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    int r = xb_buf_reserve(out, len, err);
    if (r == 0 && len > 0) {
        protobuf_c_message_pack(message, (uint8_t *)out->data + out->len);
        out->len += len;
        out->data[out->len] = '\0';
    }
    return r;
}

static int check_word(const char *word, const char *what, struct xb_error *err)
{
    size_t len = word ? strlen(word) : 0;
    return len > 0 && len <= XB_CONTAINER_WORD_BYTES_MAX
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a %s: '%.100s'", what,
                              word ? word : "");
}

int xb_containers_request(const struct xb_cri_target *target, struct xb_buf *out,
                          struct xb_error *err)
{
    int r = check_word(target->pod_uid, "pod's uid", err);
    r = r ? r : check_word(target->container, "container's name", err);
    if (r < 0) {
        return r;
    }
    Cri__Pair uid = CRI__PAIR__INIT;
    Cri__Pair name = CRI__PAIR__INIT;
    Cri__Pair *labels[] = {&uid, &name};
    Cri__ContainerStateValue state = CRI__CONTAINER_STATE_VALUE__INIT;
    Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;
    Cri__ListContainersRequest request = CRI__LIST_CONTAINERS_REQUEST__INIT;
    uid.key = lent(LABEL_POD_UID);
    uid.value = lent(target->pod_uid);
    name.key = lent(LABEL_CONTAINER);
    name.value = lent(target->container);
    state.state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
    filter.state = &state;
    filter.n_label_selector = sizeof labels / sizeof *labels;
    filter.label_selector = labels;
    request.filter = &filter;
    return pack(&request.base, out, err);
}

int xb_containers_exec_request(const char *id, const char *const *argv, int64_t timeout_s,
                               struct xb_buf *out, struct xb_error *err)
{
    char *words[XB_EXEC_ARGUMENTS_MAX];
    Cri__ExecSyncRequest request = CRI__EXEC_SYNC_REQUEST__INIT;
    request.container_id = lent(id);
    request.timeout = timeout_s;
    request.cmd = words;
    for (size_t i = 0; argv[i]; i++) {
        if (i == XB_EXEC_ARGUMENTS_MAX) {
            return xb_error_set(err, XB_ERR_BUG, -E2BIG, "a command that was not checked");
        }
        words[i] = lent(argv[i]);
        request.n_cmd = i + 1;
    }
    return pack(&request.base, out, err);
}

/* An allocator with a ceiling: two bytes of input can ask for a hundred of memory. */
struct allowance {
    size_t left;
};

static void *allowance_alloc(void *context, size_t size)
{
    struct allowance *allowance = context;
    if (size > allowance->left) {
        return NULL;
    }
    allowance->left -= size;
    return malloc(size);
}

static void allowance_free(void *context, void *pointer)
{
    (void)context;
    free(pointer);
}

static bool has_label(const Cri__Container *container, const char *key, const char *value)
{
    bool found = false;
    for (size_t i = 0; i < container->n_labels; i++) {
        const Cri__Pair *label = container->labels[i];
        if (strcmp(label->key, key) == 0) {
            found = strcmp(label->value, value) == 0; /* of a map the last one counts */
        }
    }
    return found;
}

static bool matches(const Cri__Container *container, const struct xb_cri_target *target)
{
    return container->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING && container->metadata &&
           has_label(container, LABEL_POD_UID, target->pod_uid) &&
           (!target->pod_namespace ||
            has_label(container, LABEL_POD_NAMESPACE, target->pod_namespace)) &&
           (!target->pod_name || has_label(container, LABEL_POD_NAME, target->pod_name)) &&
           has_label(container, LABEL_CONTAINER, target->container);
}

static bool id_valid(const char *id)
{
    size_t len = strlen(id);
    return len > 0 && len < XB_CONTAINER_ID_BYTES &&
           strspn(id, "0123456789abcdefghijklmnopqrstuvw"
                      "xyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == len;
}

int xb_containers_choose(const void *data, size_t len, const struct xb_cri_target *target,
                         char ret[XB_CONTAINER_ID_BYTES], struct xb_error *err)
{
    struct allowance allowance = {.left = XB_CONTAINERS_BYTES_MAX};
    ProtobufCAllocator allocator = {
        .alloc = allowance_alloc, .free = allowance_free, .allocator_data = &allowance};
    Cri__ListContainersResponse *list =
        cri__list_containers_response__unpack(&allocator, len, data);
    if (!list) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the runtime's list of containers is damaged, or needs more than %d "
                            "bytes of memory",
                            XB_CONTAINERS_BYTES_MAX);
    }
    const Cri__Container *best = NULL;
    for (size_t i = 0; i < list->n_containers; i++) {
        const Cri__Container *container = list->containers[i];
        if (matches(container, target) &&
            (!best || container->metadata->attempt > best->metadata->attempt)) {
            best = container;
        }
    }
    int r = 0;
    if (best && !id_valid(best->id)) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                         "the runtime's id of container %.100s is "
                         "no id",
                         target->container);
    } else {
        snprintf(ret, XB_CONTAINER_ID_BYTES, "%s", best ? best->id : "");
    }
    cri__list_containers_response__free_unpacked(list, &allocator);
    return r;
}
