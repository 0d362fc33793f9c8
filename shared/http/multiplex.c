/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/multiplex.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

enum { POLL_MS = 1000 };

/* A caller that waits; on its stack. */
struct transfer {
    struct transfer *next;
    CURL *easy;
    CURLcode result;
    bool ended;
    pthread_cond_t end;
};

struct xb_http_multiplex {
    CURLM *multi; /* the thread's own, but for curl_multi_wakeup */
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    struct transfer *waiting;
    bool stopping;
};

static void end_transfer(struct xb_http_multiplex *multiplex, struct transfer *transfer,
                         CURLcode result)
{
    pthread_mutex_lock(&multiplex->lock);
    transfer->result = result;
    transfer->ended = true;
    pthread_cond_signal(&transfer->end);
    pthread_mutex_unlock(&multiplex->lock);
}

/* Takes over what callers have brought; false: there will be no more. */
static bool take_waiting(struct xb_http_multiplex *multiplex)
{
    pthread_mutex_lock(&multiplex->lock);
    struct transfer *waiting = multiplex->waiting;
    bool goes_on = !multiplex->stopping;
    multiplex->waiting = NULL;
    pthread_mutex_unlock(&multiplex->lock);
    while (waiting) {
        struct transfer *next = waiting->next; /* before its caller goes on */
        curl_easy_setopt(waiting->easy, CURLOPT_PRIVATE, waiting);
        if (curl_multi_add_handle(multiplex->multi, waiting->easy) != CURLM_OK) {
            end_transfer(multiplex, waiting, CURLE_OUT_OF_MEMORY);
        }
        waiting = next;
    }
    return goes_on;
}

static void report_ended(struct xb_http_multiplex *multiplex)
{
    int left = 0;
    const CURLMsg *message = NULL;
    while ((message = curl_multi_info_read(multiplex->multi, &left))) {
        struct transfer *transfer = NULL;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result; /* not valid after the removal */
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
        curl_multi_remove_handle(multiplex->multi, easy);
        end_transfer(multiplex, transfer, result);
    }
}

static void *drive(void *context)
{
    struct xb_http_multiplex *multiplex = context;
    while (take_waiting(multiplex)) {
        int running = 0;
        curl_multi_perform(multiplex->multi, &running);
        report_ended(multiplex);
        curl_multi_poll(multiplex->multi, NULL, 0, POLL_MS, NULL);
    }
    return NULL;
}

/* Signals are the loop thread's business. */
static int start_thread(struct xb_http_multiplex *multiplex)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&multiplex->thread, NULL, drive, multiplex);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int xb_http_multiplex_new(struct xb_http_multiplex **ret, struct xb_error *err)
{
    struct xb_http_multiplex *multiplex = calloc(1, sizeof *multiplex);
    CURLM *multi = multiplex ? curl_multi_init() : NULL;
    if (!multi) {
        free(multiplex);
        return xb_error_no_memory(err, "an HTTP client");
    }
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)XB_HTTP_MULTIPLEX_CONNECTIONS_MAX);
    multiplex->multi = multi;
    pthread_mutex_init(&multiplex->lock, NULL);
    int r = start_thread(multiplex);
    if (r != 0) {
        curl_multi_cleanup(multi);
        pthread_mutex_destroy(&multiplex->lock);
        free(multiplex);
        return xb_error_errno(err, r, "a thread for HTTP");
    }
    *ret = multiplex;
    return 0;
}

CURLcode xb_http_multiplex_perform(struct xb_http_multiplex *multiplex, CURL *easy)
{
    struct transfer transfer = {.easy = easy};
    pthread_cond_init(&transfer.end, NULL);
    pthread_mutex_lock(&multiplex->lock);
    transfer.next = multiplex->waiting;
    multiplex->waiting = &transfer;
    curl_multi_wakeup(multiplex->multi);
    while (!transfer.ended) {
        pthread_cond_wait(&transfer.end, &multiplex->lock);
    }
    pthread_mutex_unlock(&multiplex->lock);
    pthread_cond_destroy(&transfer.end);
    return transfer.result;
}

void xb_http_multiplex_free(struct xb_http_multiplex *multiplex)
{
    if (!multiplex) {
        return;
    }
    pthread_mutex_lock(&multiplex->lock);
    multiplex->stopping = true;
    curl_multi_wakeup(multiplex->multi);
    pthread_mutex_unlock(&multiplex->lock);
    pthread_join(multiplex->thread, NULL);
    curl_multi_cleanup(multiplex->multi);
    pthread_mutex_destroy(&multiplex->lock);
    free(multiplex);
}
