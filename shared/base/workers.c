/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct job {
    xb_worker_fn *fn;
    void *context;
};

struct xb_workers {
    pthread_mutex_t lock;
    pthread_cond_t work, room, idle; /* each wakes only those who wait for it */
    struct job *jobs;                /* ring */
    size_t max, first, count;
    unsigned running;
    unsigned waiting; /* for room */
    bool stopping;
    unsigned thread_count;
    pthread_t threads[];
};

static void *worker_main(void *context)
{
    struct xb_workers *workers = context;
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        while (workers->count == 0 && !workers->stopping) {
            pthread_cond_wait(&workers->work, &workers->lock);
        }
        if (workers->count == 0) {
            break;
        }
        struct job job = workers->jobs[workers->first];
        workers->first = (workers->first + 1) % workers->max;
        workers->count--;
        workers->running++;
        if (workers->waiting > 0) {
            pthread_cond_signal(&workers->room);
        }
        pthread_mutex_unlock(&workers->lock);
        job.fn(job.context);
        pthread_mutex_lock(&workers->lock);
        workers->running--;
        if (workers->running == 0 && workers->count == 0) {
            pthread_cond_broadcast(&workers->idle);
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* Signals are the loop thread's business: workers start with all of them blocked. */
static int start_thread(pthread_t *thread, struct xb_workers *workers)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(thread, NULL, worker_main, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int xb_workers_new(unsigned threads, size_t queue_max, struct xb_workers **ret,
                   struct xb_error *err)
{
    if (threads == 0 || threads > 1024 || queue_max == 0) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "a pool of %u threads, queue of %zu", threads,
                            queue_max);
    }
    struct xb_workers *workers = calloc(1, sizeof *workers + threads * sizeof(pthread_t));
    struct job *jobs = calloc(queue_max, sizeof *jobs);
    if (!workers || !jobs) {
        free(workers);
        free(jobs);
        return xb_error_no_memory(err, "a worker pool");
    }
    workers->jobs = jobs;
    workers->max = queue_max;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    pthread_cond_init(&workers->room, NULL);
    pthread_cond_init(&workers->idle, NULL);
    for (unsigned i = 0; i < threads; i++) {
        int r = start_thread(&workers->threads[i], workers);
        if (r != 0) {
            xb_workers_free(workers);
            return xb_error_errno(err, r, "cannot start worker thread %u of %u", i + 1, threads);
        }
        workers->thread_count++;
    }
    *ret = workers;
    return 0;
}

/* With the lock held and room in the ring. */
static void push(struct xb_workers *workers, xb_worker_fn *fn, void *context)
{
    size_t slot = (workers->first + workers->count) % workers->max;
    workers->jobs[slot] = (struct job){.fn = fn, .context = context};
    workers->count++;
    pthread_cond_signal(&workers->work);
}

void xb_workers_submit(struct xb_workers *workers, xb_worker_fn *fn, void *context)
{
    pthread_mutex_lock(&workers->lock);
    workers->waiting++;
    while (workers->count == workers->max) {
        pthread_cond_wait(&workers->room, &workers->lock);
    }
    workers->waiting--;
    push(workers, fn, context);
    pthread_mutex_unlock(&workers->lock);
}

bool xb_workers_try_submit(struct xb_workers *workers, xb_worker_fn *fn, void *context)
{
    pthread_mutex_lock(&workers->lock);
    bool room = workers->count < workers->max;
    if (room) {
        push(workers, fn, context);
    }
    pthread_mutex_unlock(&workers->lock);
    return room;
}

void xb_workers_drain(struct xb_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->count > 0 || workers->running > 0) {
        pthread_cond_wait(&workers->idle, &workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
}

void xb_workers_free(struct xb_workers *workers)
{
    if (!workers) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->thread_count; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    pthread_cond_destroy(&workers->work);
    pthread_cond_destroy(&workers->room);
    pthread_cond_destroy(&workers->idle);
    pthread_mutex_destroy(&workers->lock);
    free(workers->jobs);
    free(workers);
}
