/* SPDX-License-Identifier: Apache-2.0
 * Hooks: init containers go into the pod; for commands it is remembered which pods have some. */
#include "coordinator/bring/internal.h"
#include "shared/velero/restore_hooks.h"

int xb_bring_add_init_hooks(struct xb_bring *bring, struct xb_bring_item *item,
                            struct xb_error *err)
{
    return xb_bring_is(item, "pods") ? xb_restore_hooks_add_init(bring->restore, item->object, err)
                                     : 0;
}

/* Only what this restore has made: nothing runs in a pod that was there before. */
int xb_bring_note_hooks(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    static const char *const words[] = {"namespace", "name", "uid"};
    struct xb_hook_list hooks = {.hooks = NULL};
    if (!xb_bring_is(item, "pods")) {
        return 0;
    }
    int r = xb_restore_hooks_of(bring->restore, item->live, &hooks, err);
    bool any = hooks.count > 0;
    xb_hook_list_free(&hooks);
    if (r < 0 || !any) {
        return r;
    }
    XB_CLEANUP(xb_json_putp) xb_json *pod = json_object_new_object();
    xb_json *metadata = xb_json_get(item->live, "metadata");
    for (size_t i = 0; r == 0 && i < sizeof words / sizeof *words; i++) {
        r = xb_json_set_str(pod, words[i], xb_json_str(metadata, words[i], ""), err);
    }
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&bring->lock);
    r = json_object_array_add(bring->brought->hooked, pod);
    pthread_mutex_unlock(&bring->lock);
    if (r < 0) {
        return xb_error_no_memory(err, "a pod's hooks");
    }
    (void)XB_TAKE(pod);
    return 0;
}
