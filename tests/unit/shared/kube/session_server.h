/* SPDX-License-Identifier: Apache-2.0
 *
 * session_server.h - an API server in whose pods sessions behave, or do not. For tests.
 *
 * What for:  tests of sessions and of who holds them.
 * Ownership: the test's.    Threads: as server.h.    Blocking: as server.h.
 */
#pragma once

#include "tests/unit/shared/http/websocket_server.h"

#define SESSION_SUCCESS "{\"metadata\":{},\"status\":\"Success\"}"
#define SESSION_EXIT_3                                                                             \
    "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":["             \
    "{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}"
#define SESSION_NO_PROGRAM                                                                         \
    "{\"status\":\"Failure\",\"message\":\"Internal error occurred: no such program\","            \
    "\"reason\":\"InternalError\",\"code\":500}"

enum session_behaviour {
    SESSION_OBEYS,    /* ends when it is told to */
    SESSION_FAILS,    /* the same, with another exit code */
    SESSION_STUBBORN, /* takes no notice */
    SESSION_DIES,     /* by itself, with an exit code, once it is ready */
    SESSION_BREAKS,   /* the connection does, once it is ready */
    SESSION_RAVES,    /* what comes then is no WebSocket */
    SESSION_NEVER,    /* is not ready */
    SESSION_ENDS,     /* instead of becoming ready */
    SESSION_NONE,     /* there is no such program */
    SESSION_REFUSED   /* nothing is begun */
};

enum {
    SESSION_HEARD_BYTES = 512,
    SESSION_FRAME_HEAD = 6 /* of a short one of a client: 2 bytes, 4 of mask */
};

struct session_api {
    enum session_behaviour behaviour;
    const char *protocol;
    char target[1024];
    char heard[SESSION_HEARD_BYTES]; /* standard input; '$': it was closed */
    size_t heard_len;
    atomic_int pings;
};

/* Takes client's frames, each at most 125 bytes, until standard input is over. */
static inline void session_hear(struct session_api *api, struct test_request *request)
{
    unsigned char in[1024];
    size_t have = 0;
    const bool closes = strcmp(api->protocol, "v5.channel.k8s.io") == 0;
    while (!memchr(api->heard, closes ? '$' : '\n', api->heard_len)) {
        ssize_t got = test_receive(request, (char *)in + have, sizeof in - have);
        if (got <= 0) {
            return;
        }
        have += (size_t)got;
        while (have >= SESSION_FRAME_HEAD && have >= SESSION_FRAME_HEAD + (in[1] & 0x7fU)) {
            size_t len = in[1] & 0x7fU;
            unsigned char *data = in + SESSION_FRAME_HEAD;
            for (size_t i = 0; i < len; i++) {
                data[i] ^= in[2 + i % 4];
            }
            if ((in[0] & 0xf) == TEST_PING) {
                atomic_fetch_add(&api->pings, 1);
                test_frame(request, TEST_PONG, true, "", 0);
            } else if (len == 2 && data[0] == 255 && data[1] == 0) {
                api->heard[api->heard_len++] = '$';
            } else if (len > 0 && data[0] == 0) {
                memcpy(api->heard + api->heard_len, data + 1, len - 1);
                api->heard_len += len - 1;
            }
            memmove(in, data + len, have - SESSION_FRAME_HEAD - len);
            have -= SESSION_FRAME_HEAD + len;
        }
    }
}

static inline void session_say_ready(struct test_request *request)
{
    test_channel(request, 2, "ready\n"); /* on the wrong stream */
    test_channel(request, 1, "not ready\nready!\nrea");
    test_channel(request, 1, "dy\r\nand more\n");
}

static inline bool session_serve(void *context, struct test_request *request)
{
    struct session_api *api = context;
    snprintf(api->target, sizeof api->target, "%.1023s", request->target);
    if (api->behaviour == SESSION_REFUSED) {
        return test_answer(request, 403, "", "{\"message\":\"pods exec\"}");
    }
    test_websocket_accept(request, api->protocol);
    if (api->behaviour == SESSION_NONE || api->behaviour == SESSION_ENDS) {
        test_channel(request, 1, "not ready\n");
        test_channel(request, 3,
                     api->behaviour == SESSION_NONE ? SESSION_NO_PROGRAM : SESSION_EXIT_3);
        return false;
    }
    if (api->behaviour == SESSION_NEVER) {
        test_channel(request, 1, "ready");
        test_pause(request, 20000);
        return false;
    }
    session_say_ready(request);
    if (api->behaviour == SESSION_DIES) {
        test_pause(request, 100);
        test_channel(request, 3, SESSION_EXIT_3);
    }
    if (api->behaviour == SESSION_RAVES) {
        test_pause(request, 300);                     /* not in one packet with what was good */
        test_send_bytes(request, "\xf2\x05hello", 7); /* reserved bits */
        test_pause(request, 20000);
    }
    if (api->behaviour == SESSION_OBEYS || api->behaviour == SESSION_FAILS ||
        api->behaviour == SESSION_STUBBORN) {
        session_hear(api, request);
    }
    if (api->behaviour == SESSION_STUBBORN) {
        test_pause(request, 20000);
    }
    if (api->behaviour == SESSION_OBEYS || api->behaviour == SESSION_FAILS) {
        test_channel(request, 2, "over");
        test_channel(request, 3,
                     api->behaviour == SESSION_OBEYS ? SESSION_SUCCESS : SESSION_EXIT_3);
    }
    return false;
}
