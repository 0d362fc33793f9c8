/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a running guard from within; for the files of this folder only.
 *
 * What for:  begin.c starts it, serve.c talks, thaw.c runs post hooks, hold.c freezes file systems,
 *            watch.c watches over volume groups, packet.c is the socket for both sides.
 * Threads:   `lock` guards the table and what is below it; `changed` wakes the threads of thaw.c
 *            and hold.c, and a byte in `wake_fd` the one that talks.
 */
#pragma once

#include <pthread.h>

#include "agent/guard/message.h"
#include "agent/guard/serve.h"
#include "agent/guard/table.h"

struct xb_guard_server;

/* A thread that runs one bracket's hooks at a time. */
struct xb_guard_runner {
    struct xb_guard_server *server;
    struct xb_guard_bracket *bracket;
    const char *argv[XB_GUARD_WORDS_MAX + 1];
};

/* A thread that keeps one file system frozen, or watches over one volume group, at a time. */
struct xb_guard_holder {
    struct xb_guard_server *server;
    int fd; /* the connection that asks for it; -1: none */
    /* Of its volume group, "": it watches over none. Settling: who asked is gone, and whoever asks
     * for this group next takes it over. */
    char watched[XB_MAPPER_UUID_BYTES];
    bool settling;
    unsigned char packet[XB_GUARD_PACKET_BYTES_MAX];
};

struct xb_guard_server {
    struct xb_guard_serve_options options;
    int listen_fd, stop_fd, wake_fd;
    int stopping_fd; /* an eventfd that can be read once the guard is stopped */
    bool can_thaw;
    int mapper_fd;   /* of the device mapper; -1: none, or no right to it */
    uint64_t device; /* of the folder with the socket: never frozen */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended;
    struct xb_guard_table table;
    struct xb_guard_runner runners[XB_GUARD_BRACKETS_MAX];
    struct xb_guard_holder holders[XB_GUARD_FREEZES_MAX];
};

/* Bodies of threads. */
void *xb_guard_thaw_main(void *runner);
void *xb_guard_hold_main(void *holder);

/* Until it is stopped and nothing is left to be thawed. */
int xb_guard_talk(struct xb_guard_server *server, struct xb_error *err) XB_MUST_CHECK;

void xb_guard_wake(struct xb_guard_server *server);

enum { NS_PER_US = 1000 };

/* Of a holder's connection: takes the word that has come; whether it is this one. */
bool xb_guard_holder_asks(struct xb_guard_holder *holder, enum xb_guard_type type);
void xb_guard_holder_answer(struct xb_guard_holder *holder, const struct xb_guard_message *message);
/* Serves a WATCH, to its end. */
void xb_guard_watch_for(struct xb_guard_holder *holder, const struct xb_guard_message *message);

/* ---- packet.c ---- */

/* Fills the address; INVALID: the path is too long. */
struct sockaddr_un;
int xb_guard_address(const char *path, struct sockaddr_un *ret, struct xb_error *err) XB_MUST_CHECK;

/* Sends one message and perhaps a descriptor (-1: none); never waits. */
int xb_guard_send(int fd, const struct xb_guard_message *message, int passed_fd,
                  unsigned char buffer[XB_GUARD_PACKET_BYTES_MAX],
                  struct xb_error *err) XB_MUST_CHECK;
/* Takes one, without waiting. 1: a message, which lends from the buffer; 0: nothing is there. A
 * descriptor that came along goes to *ret_fd, or is an error where that is NULL. NOT_FOUND: the
 * other side has gone. */
int xb_guard_receive(int fd, unsigned char buffer[XB_GUARD_PACKET_BYTES_MAX],
                     struct xb_guard_message *ret, size_t *ret_len, int *ret_fd,
                     struct xb_error *err) XB_MUST_CHECK;
/* Waits until there is something to be taken, or the other side has gone; false: not in time. */
bool xb_guard_wait(int fd, int64_t until_ns);
