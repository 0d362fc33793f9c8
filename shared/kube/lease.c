/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/lease.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/workers.h"
#include "shared/codec/text.h"

enum { JITTER_PARTS = 5 };

/* What the request thread is asked for and finds. It belongs to that thread from submit until the
 * task comes back to the loop. */
struct attempt {
    bool release;
    int64_t sent_ns; /* own clock, before the request that may have taken the lease */
    bool held;       /* the lease is ours, counted from sent_ns */
    int result;
    struct xb_error err;
    /* What was seen last, and since when it is unchanged: another's lease runs out by this. */
    char *seen_version, *seen_holder;
    int64_t seen_ns;
};

struct xb_kube_lease {
    struct xb_kube_lease_options options;
    char *namespace, *name, *identity;
    struct xb_workers *thread;
    struct xb_loop_task task;
    struct xb_timer *retry, *deadline, *patience;
    bool busy, leading, stopping, stopped;
    void (*on_stopped)(void *context);
    atomic_bool cancel;
    _Atomic int64_t valid_until_ns;
    struct attempt attempt;
    char *holder; /* copy for the loop thread */
};

static const struct xb_kube_resource lease_resource = {.group = "coordination.k8s.io",
                                                       .version = "v1",
                                                       .plural = "leases",
                                                       .kind = "Lease",
                                                       .namespaced = true};

static struct xb_kube_ref ref_of(struct xb_kube_lease *lease)
{
    return (struct xb_kube_ref){.resource = &lease_resource,
                                .namespace = lease->namespace,
                                .name = lease->name,
                                .cancel = &lease->cancel};
}

static int keep_text(char **to, const char *from, struct xb_error *err)
{
    char *text = strdup(from);
    if (!text) {
        return xb_error_no_memory(err, "a lease");
    }
    free(*to);
    *to = text;
    return 0;
}

/* Request thread ---------------------------------------------------------------------------- */

/* Notes what the object says now. An unchanged version keeps its old time. */
static int see(struct attempt *attempt, xb_json *object, struct xb_error *err)
{
    const char *version = xb_json_str(object, "metadata.resourceVersion", "");
    if (!attempt->seen_version || strcmp(attempt->seen_version, version) != 0) {
        attempt->seen_ns = xb_clock_mono_ns();
        int r = keep_text(&attempt->seen_version, version, err);
        if (r < 0) {
            return r;
        }
    }
    return keep_text(&attempt->seen_holder, xb_json_str(object, "spec.holderIdentity", ""), err);
}

static int set_fields(struct xb_kube_lease *lease, xb_json *object, bool taken_over,
                      struct xb_error *err)
{
    char now[XB_TIME_TEXT_BYTES];
    xb_time_format_micro(xb_clock_wall_ns(), now);
    int64_t transitions = xb_json_int(object, "spec.leaseTransitions", 0);
    int r = xb_json_set_str(object, "spec.holderIdentity", lease->identity, err);
    r = r ? r
          : xb_json_set_int(object, "spec.leaseDurationSeconds", lease->options.duration_s, err);
    r = r ? r : xb_json_set_str(object, "spec.renewTime", now, err);
    if (r == 0 && (taken_over || !xb_json_get(object, "spec.acquireTime"))) {
        r = xb_json_set_str(object, "spec.acquireTime", now, err);
    }
    return r ? r
             : xb_json_set_int(object, "spec.leaseTransitions", transitions + (taken_over ? 1 : 0),
                               err);
}

static int create(struct xb_kube_lease *lease, struct attempt *attempt, struct xb_error *err)
{
    struct xb_kube_ref ref = ref_of(lease);
    XB_CLEANUP(xb_json_putp) xb_json *object = json_object_new_object();
    XB_CLEANUP(xb_json_putp) xb_json *answer = NULL;
    if (!object) {
        return xb_error_no_memory(err, "a lease");
    }
    int r = xb_json_set_str(object, "apiVersion", "coordination.k8s.io/v1", err);
    r = r ? r : xb_json_set_str(object, "kind", "Lease", err);
    r = r ? r : xb_json_set_str(object, "metadata.name", lease->name, err);
    r = r ? r : xb_json_set_str(object, "metadata.namespace", lease->namespace, err);
    r = r ? r : set_fields(lease, object, false, err);
    attempt->sent_ns = xb_clock_mono_ns();
    r = r ? r : xb_kube_create(lease->options.client, &ref, object, &answer, err);
    attempt->held = r == 0;
    return r ? r : see(attempt, answer, err);
}

static bool run_out(const struct attempt *attempt, xb_json *object)
{
    int64_t seconds = xb_json_int(object, "spec.leaseDurationSeconds", XB_KUBE_LEASE_DURATION_S);
    seconds = seconds < 1 ? 1 : seconds;
    seconds = seconds > XB_KUBE_LEASE_DURATION_MAX_S ? XB_KUBE_LEASE_DURATION_MAX_S : seconds;
    return xb_clock_mono_ns() - attempt->seen_ns > seconds * XB_NS_PER_S;
}

/* Takes the lease or renews it; that another holds it is no failure. */
static int take(struct xb_kube_lease *lease, struct attempt *attempt, struct xb_error *err)
{
    struct xb_kube_ref ref = ref_of(lease);
    struct xb_error failure = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *answer = NULL;
    int r = xb_kube_get(lease->options.client, &ref, &object, &failure);
    if (r < 0 && failure.kind == XB_ERR_NOT_FOUND) {
        return create(lease, attempt, err);
    }
    if (r < 0) {
        *err = failure;
        return r;
    }
    r = see(attempt, object, err);
    if (r < 0) {
        return r;
    }
    bool ours = strcmp(attempt->seen_holder, lease->identity) == 0;
    if (!ours && *attempt->seen_holder && !run_out(attempt, object)) {
        return 0;
    }
    r = set_fields(lease, object, !ours, err);
    attempt->sent_ns = xb_clock_mono_ns();
    r = r ? r : xb_kube_update(lease->options.client, &ref, object, &answer, err);
    attempt->held = r == 0;
    return r ? r : see(attempt, answer, err);
}

static int give_back(struct xb_kube_lease *lease, struct xb_error *err)
{
    struct xb_kube_ref ref = ref_of(lease);
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    char now[XB_TIME_TEXT_BYTES];
    xb_time_format_micro(xb_clock_wall_ns(), now);
    int r = xb_kube_get(lease->options.client, &ref, &object, err);
    if (r < 0 || strcmp(xb_json_str(object, "spec.holderIdentity", ""), lease->identity) != 0) {
        return r;
    }
    r = xb_json_set_str(object, "spec.holderIdentity", "", err);
    r = r ? r : xb_json_set_int(object, "spec.leaseDurationSeconds", 1, err);
    r = r ? r : xb_json_set_str(object, "spec.renewTime", now, err);
    return r ? r : xb_kube_update(lease->options.client, &ref, object, NULL, err);
}

static void run_attempt(void *context)
{
    struct xb_kube_lease *lease = context;
    struct attempt *attempt = &lease->attempt;
    attempt->err = (struct xb_error)XB_ERROR_INIT;
    attempt->held = false;
    attempt->result =
        attempt->release ? give_back(lease, &attempt->err) : take(lease, attempt, &attempt->err);
    xb_loop_task_post(lease->options.loop, &lease->task);
}

/* Loop thread -------------------------------------------------------------------------------- */

static void start_attempt(struct xb_kube_lease *lease, bool release)
{
    lease->busy = true;
    lease->attempt.release = release;
    atomic_store(&lease->cancel, false);
    /* A request that hangs must leave time for another before the deadline. */
    xb_timer_start(lease->patience, lease->options.renew_ms / 2, 0);
    xb_workers_submit(lease->thread, run_attempt, lease); /* never full: one at a time */
}

static void lose(struct xb_kube_lease *lease, const char *why)
{
    if (!lease->leading) {
        return;
    }
    lease->leading = false;
    atomic_store(&lease->valid_until_ns, 0);
    xb_timer_stop(lease->deadline);
    xb_log_warning("no longer the leader", "lease", lease->name, "why", why);
    lease->options.on_lost(lease->options.context);
}

static void on_deadline(void *context)
{
    struct xb_kube_lease *lease = context;
    lose(lease, "not renewed in time");
}

static void on_patience(void *context)
{
    struct xb_kube_lease *lease = context;
    atomic_store(&lease->cancel, true);
}

static void on_retry(void *context)
{
    struct xb_kube_lease *lease = context;
    if (!lease->busy && !lease->stopping) {
        start_attempt(lease, false);
    }
}

static void hold(struct xb_kube_lease *lease)
{
    int64_t until = lease->attempt.sent_ns + lease->options.renew_ms * XB_NS_PER_MS;
    int64_t left_ms = (until - xb_clock_mono_ns()) / XB_NS_PER_MS;
    if (left_ms <= 0) {
        lose(lease, "the renewal took too long"); /* and it is not begun either */
        return;
    }
    atomic_store(&lease->valid_until_ns, until);
    xb_timer_start(lease->deadline, left_ms, 0);
    if (!lease->leading) {
        lease->leading = true;
        xb_log_info("the leader now", "lease", lease->name, "identity", lease->identity);
        lease->options.on_started(lease->options.context);
    }
}

static void end_stop(struct xb_kube_lease *lease)
{
    lease->stopped = true;
    if (lease->on_stopped) {
        lease->on_stopped(lease->options.context);
    }
}

static void end_attempt(void *context)
{
    struct xb_kube_lease *lease = context;
    struct attempt *attempt = &lease->attempt;
    lease->busy = false;
    xb_timer_stop(lease->patience);
    if (attempt->result < 0) {
        xb_log_err(attempt->err.kind == XB_ERR_CONFLICT ? XB_LOG_DEBUG : XB_LOG_WARNING,
                   &attempt->err, "the leader's lease was not reached", "lease", lease->name,
                   (char *)NULL);
    }
    if (attempt->release) {
        end_stop(lease);
        return;
    }
    if (lease->stopping) {
        start_attempt(lease, true);
        return;
    }
    if (attempt->seen_holder) {
        struct xb_error ignored = XB_ERROR_INIT;
        (void)!keep_text(&lease->holder, attempt->seen_holder, &ignored);
    }
    if (attempt->held) {
        hold(lease);
    } else if (attempt->result == 0) {
        lose(lease, "somebody else holds the lease");
    } /* else the deadline decides */
    int64_t pause = lease->options.retry_ms;
    if (!lease->leading) { /* candidates must not collide every time */
        pause += xb_clock_mono_ns() % (lease->options.retry_ms / JITTER_PARTS + 1);
    }
    xb_timer_start(lease->retry, pause, 0);
}

static int setup(struct xb_kube_lease *lease, const struct xb_kube_lease_options *options,
                 struct xb_error *err)
{
    lease->options = *options;
    struct xb_kube_lease_options *own = &lease->options;
    own->duration_s = own->duration_s ? own->duration_s : XB_KUBE_LEASE_DURATION_S;
    own->renew_ms = own->renew_ms ? own->renew_ms : XB_KUBE_LEASE_RENEW_MS;
    own->retry_ms = own->retry_ms ? own->retry_ms : XB_KUBE_LEASE_RETRY_MS;
    if (own->duration_s > XB_KUBE_LEASE_DURATION_MAX_S || own->retry_ms <= 0 ||
        own->renew_ms >= own->duration_s * 1000 || own->retry_ms >= own->renew_ms) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a lease needs retry (%d ms) < renew (%d ms) < duration (%d s)",
                            own->retry_ms, own->renew_ms, own->duration_s);
    }
    lease->task = (struct xb_loop_task){.fn = end_attempt, .context = lease};
    int r = keep_text(&lease->namespace, options->namespace, err);
    r = r ? r : keep_text(&lease->name, options->name, err);
    r = r ? r : keep_text(&lease->identity, options->identity, err);
    r = r ? r : keep_text(&lease->holder, "", err);
    r = r ? r : xb_timer_new(options->loop, on_retry, lease, &lease->retry, err);
    r = r ? r : xb_timer_new(options->loop, on_deadline, lease, &lease->deadline, err);
    r = r ? r : xb_timer_new(options->loop, on_patience, lease, &lease->patience, err);
    return r ? r : xb_workers_new(1, 1, &lease->thread, err);
}

int xb_kube_lease_new(const struct xb_kube_lease_options *options, struct xb_kube_lease **ret,
                      struct xb_error *err)
{
    struct xb_kube_lease *lease = calloc(1, sizeof *lease);
    if (!lease) {
        return xb_error_no_memory(err, "a lease");
    }
    int r = setup(lease, options, err);
    if (r < 0) {
        xb_kube_lease_free(lease);
        return r;
    }
    xb_timer_start(lease->retry, 0, 0);
    *ret = lease;
    return 0;
}

void xb_kube_lease_free(struct xb_kube_lease *lease)
{
    if (!lease) {
        return;
    }
    atomic_store(&lease->cancel, true);
    xb_workers_free(lease->thread);
    xb_loop_task_cancel(lease->options.loop, &lease->task);
    xb_timer_free(lease->retry);
    xb_timer_free(lease->deadline);
    xb_timer_free(lease->patience);
    free(lease->attempt.seen_version);
    free(lease->attempt.seen_holder);
    free(lease->namespace);
    free(lease->name);
    free(lease->identity);
    free(lease->holder);
    free(lease);
}

bool xb_kube_lease_held(const struct xb_kube_lease *lease)
{
    return xb_clock_mono_ns() < atomic_load(&lease->valid_until_ns);
}

const char *xb_kube_lease_holder(const struct xb_kube_lease *lease)
{
    return lease->holder;
}

void xb_kube_lease_stop(struct xb_kube_lease *lease, void (*on_stopped)(void *context))
{
    if (lease->stopping) {
        return;
    }
    lease->stopping = true;
    lease->on_stopped = on_stopped;
    xb_timer_stop(lease->retry);
    lose(lease, "stopping");
    if (!lease->busy) {
        start_attempt(lease, true);
    } /* else the attempt's end does */
}
