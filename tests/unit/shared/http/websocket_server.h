/* SPDX-License-Identifier: Apache-2.0
 *
 * websocket_server.h - the server's side of a WebSocket, on top of server.h; it can break every
 * rule. For tests.
 */
#pragma once

#include <openssl/evp.h>

#include "tests/unit/shared/http/server.h"

enum { TEST_TEXT = 1, TEST_BINARY = 2, TEST_CLOSE = 8, TEST_PING = 9, TEST_PONG = 10 };

/* What the request's key must be answered with. */
static inline void test_websocket_key(struct test_request *request, char out[64])
{
    const char *key = strstr(request->head, "Sec-WebSocket-Key: ");
    char text[128];
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
             key ? key + strlen("Sec-WebSocket-Key: ") : "");
    EVP_Digest(text, strlen(text), hash, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)out, hash, (int)len);
}

static inline bool test_websocket_accept(struct test_request *request, const char *protocol)
{
    char key[64];
    char head[512];
    test_websocket_key(request, key);
    snprintf(head, sizeof head,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
             key, protocol);
    return test_send(request, head);
}

/* Appends a frame, not masked, as servers send them; room for 14 bytes more than the payload. */
static inline size_t test_frame_put(unsigned char *out, int opcode, bool last, const void *data,
                                    size_t len)
{
    size_t at = 0;
    out[at++] = (unsigned char)((last ? 0x80 : 0) | opcode);
    if (len < 126) {
        out[at++] = (unsigned char)len;
    } else {
        int bytes = len < 65536 ? 2 : 8;
        out[at++] = bytes == 2 ? 126 : 127;
        for (int i = bytes - 1; i >= 0; i--) {
            out[at++] = (unsigned char)(len >> (8 * i));
        }
    }
    if (len > 0) {
        memcpy(out + at, data, len);
    }
    return at + len;
}

static inline bool test_frame(struct test_request *request, int opcode, bool last, const void *data,
                              size_t len)
{
    unsigned char *frame = malloc(len + 14);
    size_t size = test_frame_put(frame, opcode, last, data, len);
    bool sent = test_send_bytes(request, frame, size);
    free(frame);
    return sent;
}

/* One binary message on a channel, as the API server sends it. */
static inline bool test_channel(struct test_request *request, int channel, const char *text)
{
    char message[4096];
    size_t len = strlen(text);
    message[0] = (char)channel;
    memcpy(message + 1, text, len);
    return test_frame(request, TEST_BINARY, true, message, len + 1);
}
