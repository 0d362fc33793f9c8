/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/pace.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "shared/base/clock.h"

/* ---- the limit ---- */

enum {
    LOOK_MS = 100,  /* those who wait look this often whether they are cancelled */
    ROUND_MS = 100, /* what was sent before a cut may be refused this long after it */
    SLOW_TIMES = 3, /* answers that take so many times the usual... */
    SLOW_MS = 100   /* ...and this long: more at a time would only wait in the server */
};

void xb_kube_limit_begin(struct xb_kube_limit *limit, unsigned most)
{
    *limit =
        (struct xb_kube_limit){.most = most,
                               .quick = most,
                               .at_a_time = most < XB_KUBE_PACE_FIRST ? most : XB_KUBE_PACE_FIRST};
}

/* The best is forgotten slowly: a server may have become slower for good. */
static bool is_slow(struct xb_kube_limit *limit, int64_t took_ns)
{
    double took = took_ns > 1 ? (double)took_ns : 1;
    limit->lately_ns = limit->lately_ns > 0 ? 0.9 * limit->lately_ns + 0.1 * took : took;
    limit->usual_ns = limit->usual_ns > 0 ? limit->usual_ns * 1.0005 : took;
    if (limit->lately_ns < limit->usual_ns) {
        limit->usual_ns = limit->lately_ns;
    }
    return limit->lately_ns > SLOW_TIMES * limit->usual_ns &&
           limit->lately_ns > SLOW_MS * (double)XB_NS_PER_MS;
}

static bool cut(struct xb_kube_limit *limit, int64_t now_ns)
{
    int64_t round = (int64_t)limit->lately_ns;
    round = round < ROUND_MS * XB_NS_PER_MS ? ROUND_MS * XB_NS_PER_MS : round;
    if (limit->cut_ns > 0 && now_ns - limit->cut_ns < round) {
        return false; /* the same overload, told by others that were under way */
    }
    limit->cut_ns = now_ns;
    limit->at_a_time = limit->at_a_time > 2 ? limit->at_a_time / 2 : 1;
    limit->quick = limit->at_a_time;
    return true;
}

bool xb_kube_limit_sign(struct xb_kube_limit *limit, enum xb_kube_sign sign, int64_t took_ns,
                        int64_t now_ns)
{
    if (sign == XB_KUBE_SIGN_TOO_MUCH) {
        return cut(limit, now_ns);
    }
    if (sign == XB_KUBE_SIGN_GOOD && !is_slow(limit, took_ns)) {
        limit->at_a_time += limit->at_a_time < limit->quick ? 1 : 1 / limit->at_a_time;
        limit->at_a_time = limit->at_a_time < limit->most ? limit->at_a_time : limit->most;
    }
    return false;
}

/* ---- the pace ---- */

struct xb_kube_pace {
    pthread_mutex_t lock;
    pthread_cond_t room;
    struct xb_kube_limit limit;
    unsigned inside, highest;
    uint64_t cuts;
};

int xb_kube_pace_new(unsigned most, struct xb_kube_pace **ret, struct xb_error *err)
{
    struct xb_kube_pace *pace = calloc(1, sizeof *pace);
    if (!pace) {
        return xb_error_no_memory(err, "a pace");
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pace->room, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&pace->lock, NULL);
    xb_kube_limit_begin(&pace->limit, most > 0 ? most : 1);
    *ret = pace;
    return 0;
}

void xb_kube_pace_free(struct xb_kube_pace *pace)
{
    if (pace) {
        pthread_cond_destroy(&pace->room);
        pthread_mutex_destroy(&pace->lock);
        free(pace);
    }
}

bool xb_kube_pace_enter(struct xb_kube_pace *pace, const atomic_bool *cancel)
{
    bool cancelled = false;
    pthread_mutex_lock(&pace->lock);
    while (!(cancelled = cancel && atomic_load(cancel)) &&
           pace->inside >= (unsigned)pace->limit.at_a_time) {
        int64_t until_ns = xb_clock_mono_ns() + LOOK_MS * XB_NS_PER_MS;
        const struct timespec until = {.tv_sec = until_ns / XB_NS_PER_S,
                                       .tv_nsec = until_ns % XB_NS_PER_S};
        pthread_cond_timedwait(&pace->room, &pace->lock, &until);
    }
    pace->inside += !cancelled;
    pace->highest = pace->inside > pace->highest ? pace->inside : pace->highest;
    pthread_mutex_unlock(&pace->lock);
    return !cancelled;
}

void xb_kube_pace_leave(struct xb_kube_pace *pace, enum xb_kube_sign sign, int64_t took_ns)
{
    pthread_mutex_lock(&pace->lock);
    pace->inside--;
    pace->cuts += xb_kube_limit_sign(&pace->limit, sign, took_ns, xb_clock_mono_ns());
    /* One left, and the limit may have grown by one. */
    pthread_cond_signal(&pace->room);
    pthread_cond_signal(&pace->room);
    pthread_mutex_unlock(&pace->lock);
}

struct xb_kube_pace_state xb_kube_pace_look(struct xb_kube_pace *pace)
{
    pthread_mutex_lock(&pace->lock);
    const struct xb_kube_pace_state state = {
        .at_a_time = (unsigned)pace->limit.at_a_time, .highest = pace->highest, .cuts = pace->cuts};
    pthread_mutex_unlock(&pace->lock);
    return state;
}
