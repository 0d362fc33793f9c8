/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/handshake.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "shared/base/random.h"
#include "shared/codec/text.h"

enum { KEY_RAW_BYTES = 16, HOST_BYTES_MAX = 300, HEADERS_MAX = 100, SWITCHING_PROTOCOLS = 101 };

/* What RFC 6455 appends to the key. */
#define KEY_SUFFIX "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

void xb_http_handshake_key(struct xb_http_handshake *handshake)
{
    unsigned char raw[KEY_RAW_BYTES];
    xb_random_bytes(raw, sizeof raw);
    EVP_EncodeBlock((unsigned char *)handshake->key, raw, sizeof raw);
}

int xb_http_handshake_request(const struct xb_http_handshake *handshake, struct xb_buf *out,
                              struct xb_error *err)
{
    const char *host = strstr(handshake->url, "://");
    host = host ? host + strlen("://") : "";
    size_t host_len = strcspn(host, "/?#");
    const char *path = host + host_len;
    if (host_len == 0 || host_len > HOST_BYTES_MAX || *path != '/' ||
        strcspn(handshake->url, "\r\n \t") != strlen(handshake->url)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a URL for a WebSocket: %.200s",
                            handshake->url);
    }
    int r = xb_buf_printf(out, err,
                          "GET %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: xebec/" XB_VERSION
                          "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
                          "Sec-WebSocket-Protocol: %s\r\n",
                          path, (int)host_len, host, handshake->key, handshake->protocols);
    if (r == 0 && handshake->bearer) {
        const char *token = (const char *)handshake->bearer->data;
        if (strcspn(token, "\r\n") != handshake->bearer->len) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the token holds a line end");
        }
        r = xb_buf_append_str(out, "Authorization: Bearer ", err);
        r = r ? r : xb_buf_append(out, token, handshake->bearer->len, err);
        r = r ? r : xb_buf_append_str(out, "\r\n", err);
    }
    return r ? r : xb_buf_append_str(out, "\r\n", err);
}

/* A line of the answer's head, without its end. */
struct line {
    const char *at;
    size_t len;
};

/* What the headers have said. */
struct seen {
    struct xb_http_handshake_answer *answer;
    const char *accept; /* what the key must be answered with */
    bool upgrade, connection, accepted;
};

static int corrupt(struct xb_error *err, const char *what)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the server's answer is no WebSocket's: %s",
                        what);
}

static bool line_is(struct line line, const char *text)
{
    return line.len == strlen(text) && strncasecmp(line.at, text, line.len) == 0;
}

static struct line trimmed(struct line line)
{
    while (line.len > 0 && (*line.at == ' ' || *line.at == '\t')) {
        line.at++;
        line.len--;
    }
    while (line.len > 0 && (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t')) {
        line.len--;
    }
    return line;
}

/* Whether a list of words ("keep-alive, Upgrade") has this one, whatever its case. */
static bool list_has(struct line list, const char *word)
{
    while (list.len > 0) {
        const char *comma = memchr(list.at, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.at) : list.len;
        if (line_is(trimmed((struct line){list.at, len}), word)) {
            return true;
        }
        len += comma ? 1 : 0;
        list.at += len;
        list.len -= len;
    }
    return false;
}

/* Digits only; -1: something else. */
static int64_t number_of(struct line value)
{
    enum { DIGITS_MAX = 15 };
    int64_t number = 0;
    if (value.len == 0 || value.len > DIGITS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9') {
            return -1;
        }
        number = number * 10 + (value.at[i] - '0');
    }
    return number;
}

static int take_word(struct line value, char out[XB_HTTP_HANDSHAKE_WORD_BYTES],
                     struct xb_error *err)
{
    if (value.len >= XB_HTTP_HANDSHAKE_WORD_BYTES || memchr(value.at, '\0', value.len)) {
        return corrupt(err, "a header's value is too long");
    }
    memcpy(out, value.at, value.len);
    out[value.len] = '\0';
    return 0;
}

static int take_header(struct seen *seen, struct line line, struct xb_error *err)
{
    struct xb_http_handshake_answer *answer = seen->answer;
    char word[XB_HTTP_HANDSHAKE_WORD_BYTES];
    const char *colon = memchr(line.at, ':', line.len);
    if (!colon || colon == line.at) {
        return corrupt(err, "a line of it is no header");
    }
    struct line name = {line.at, (size_t)(colon - line.at)};
    struct line value = trimmed((struct line){colon + 1, line.len - name.len - 1});
    int r = 0;
    if (line_is(name, "Upgrade")) {
        seen->upgrade = line_is(value, "websocket");
    } else if (line_is(name, "Connection")) {
        seen->connection = seen->connection || list_has(value, "upgrade");
    } else if (line_is(name, "Sec-WebSocket-Accept")) {
        /* base64: with its case */
        seen->accepted =
            value.len == strlen(seen->accept) && memcmp(value.at, seen->accept, value.len) == 0;
    } else if (line_is(name, "Sec-WebSocket-Protocol")) {
        r = take_word(value, answer->protocol, err);
    } else if (line_is(name, "Content-Length")) {
        answer->body_len = number_of(value);
    } else if (line_is(name, "Retry-After")) {
        r = take_word(value, word, err);
        answer->retry_after_ms = r == 0 ? xb_http_retry_after_parse(word) : -1;
    }
    return r;
}

/* "HTTP/1.1 101 Switching Protocols" */
static int take_status(struct line line, int *ret, struct xb_error *err)
{
    enum { PREFIX = 9, DIGITS = 3 };
    if (line.len < PREFIX + DIGITS || memcmp(line.at, "HTTP/1.", PREFIX - 2) != 0 ||
        line.at[PREFIX - 1] != ' ' ||
        (line.len > PREFIX + DIGITS && line.at[PREFIX + DIGITS] != ' ')) {
        return corrupt(err, "it does not begin with an HTTP/1 status");
    }
    int64_t status = number_of((struct line){line.at + PREFIX, DIGITS});
    if (status < 100) {
        return corrupt(err, "its status is no number");
    }
    *ret = (int)status;
    return 0;
}

static int accept_value(const char *key, char out[XB_HTTP_HANDSHAKE_WORD_BYTES],
                        struct xb_error *err)
{
    char text[XB_HTTP_HANDSHAKE_KEY_BYTES + sizeof KEY_SUFFIX];
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int text_len = snprintf(text, sizeof text, "%s%s", key, KEY_SUFFIX);
    if (EVP_Digest(text, (size_t)text_len, hash, &len, EVP_sha1(), NULL) != 1) {
        return xb_error_set(err, XB_ERR_BUG, -EIO, "OpenSSL has no SHA-1");
    }
    EVP_EncodeBlock((unsigned char *)out, hash, (int)len);
    return 0;
}

static int judge(const struct xb_http_handshake *handshake, const struct seen *seen,
                 struct xb_error *err)
{
    if (seen->answer->status != SWITCHING_PROTOCOLS) {
        return 0; /* a refusal needs no proof */
    }
    if (!seen->upgrade || !seen->connection) {
        return corrupt(err, "it does not switch to WebSocket");
    }
    if (!seen->accepted) {
        return corrupt(err, "it does not answer our key (is a cache in between?)");
    }
    struct line offered = {handshake->protocols, strlen(handshake->protocols)};
    if (!list_has(offered, seen->answer->protocol)) {
        return corrupt(err, "it has chosen none of the protocols that we speak");
    }
    return 0;
}

int xb_http_handshake_parse(const struct xb_http_handshake *handshake, const char *text, size_t len,
                            struct xb_http_handshake_answer *ret, struct xb_error *err)
{
    char accept[XB_HTTP_HANDSHAKE_WORD_BYTES];
    struct xb_http_handshake_answer answer = {.body_len = -1, .retry_after_ms = -1};
    struct seen seen = {.answer = &answer, .accept = accept};
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    if (!end) {
        *ret = answer;
        return len < XB_HTTP_HANDSHAKE_HEAD_BYTES_MAX ? 0 : corrupt(err, "its head does not end");
    }
    answer.head_len = (size_t)(end - text) + 4;
    int r = accept_value(handshake->key, accept, err);
    const char *at = text;
    for (size_t count = 0; at < end + 2 && r == 0; count++) {
        const char *next = memmem(at, (size_t)(end + 2 - at), "\r\n", 2);
        struct line line = {at, (size_t)(next - at)};
        if (count > HEADERS_MAX) {
            r = corrupt(err, "it has too many headers");
        } else {
            r = count == 0 ? take_status(line, &answer.status, err) : take_header(&seen, line, err);
        }
        at = next + 2;
    }
    r = r ? r : judge(handshake, &seen, err);
    if (r == 0) {
        *ret = answer;
    }
    return r;
}
