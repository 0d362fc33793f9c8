/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h - the agent's side from within; for the files of this folder only.
 *
 * What for:  client.c keeps the connection, brackets.c speaks of brackets, freeze.c of files.
 * Threads:   `lock` guards everything below it.
 */
#pragma once

#include <pthread.h>

#include "agent/guard/guard.h"
#include "agent/guard/internal.h"

enum {
    AGAIN_MS = 1000,        /* until a guard that is not there is looked for again */
    PATIENCE_MS = 10 * 1000 /* with one that is not there yet, before the log says so */
};

/* What a guard that is started again has to be told. */
struct xb_guard_armed {
    char id[XB_GUARD_ID_BYTES_MAX + 1];
    unsigned char *message; /* NULL: none */
    size_t len;
    bool held;
};

struct xb_guard {
    char *path;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended;
    int fd;   /* -1: not connected */
    int said; /* in the log: 1 that it is there, -1 that it is not */
    int64_t begun_ns;
    struct xb_guard_armed armed[XB_GUARD_BRACKETS_MAX];
    unsigned char packet[XB_GUARD_PACKET_BYTES_MAX];
};

/* Whether the guard answers right now. */
int xb_guard_alive(struct xb_guard *guard, struct xb_error *err) XB_MUST_CHECK;

/* With the lock: says something and takes the answer. A connection that broke since the last word
 * is made anew, once. */
int xb_guard_request(struct xb_guard *guard, const struct xb_guard_message *message,
                     struct xb_guard_message *ret, struct xb_error *err) XB_MUST_CHECK;

/* NOT_FOUND: there is none, or it does not answer; or what it answers. */
int xb_guard_connect(const char *path, enum xb_guard_role role, unsigned char *packet, int *ret,
                     struct xb_guard_message *ret_welcome, struct xb_error *err) XB_MUST_CHECK;
int xb_guard_say(int fd, const struct xb_guard_message *message, int passed_fd,
                 unsigned char *packet, struct xb_error *err) XB_MUST_CHECK;
/* A refusal is an error. */
int xb_guard_answer(int fd, int timeout_ms, unsigned char *packet, struct xb_guard_message *ret,
                    struct xb_error *err) XB_MUST_CHECK;
