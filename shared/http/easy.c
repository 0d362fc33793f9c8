/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/easy.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "shared/http/limits.h"

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;

static void global_setup(void)
{
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int xb_http_global_setup(struct xb_error *err)
{
    pthread_once(&global_once, global_setup);
    return global_result == CURLE_OK
               ? 0
               : xb_error_set(err, XB_ERR_IO, -EIO, "libcurl does not start: %s",
                              curl_easy_strerror(global_result));
}

static bool method_has_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

/* Remembers why a callback of ours ends the transfer; curl only needs "not all taken". */
static size_t refuse(struct xb_http_call *call, int r)
{
    if (call->err.code == 0) {
        xb_error_set(&call->err, XB_ERR_BUG, r, "a data callback failed without saying why");
    }
    return 0;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct xb_http_call *call = context;
    size_t len = size * count;
    int r = 0;
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    bool good = status >= 200 && status < 300;
    if (good && call->bytes_max > 0 && len > call->bytes_max - call->bytes_seen) {
        xb_error_set(&call->err, XB_ERR_FULL, -E2BIG, "the answer is larger than %zu bytes",
                     call->bytes_max);
        return 0;
    }
    call->bytes_seen += len;
    if (call->limits && !xb_http_limits_wait(call->limits, XB_HTTP_DOWN, len, call->cancel)) {
        xb_error_set(&call->err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
        return 0;
    }
    if (good && call->on_data) {
        call->handed = true;
        r = call->on_data(call->context, data, len, &call->err);
    } else if (!call->on_data) {
        r = xb_buf_append(&call->body, data, len, &call->err);
    } else {
        size_t room = call->body.max - call->body.len;
        r = xb_buf_append(&call->body, data, len < room ? len : room, &call->err);
    }
    return r < 0 ? refuse(call, r) : len;
}

static int read_file(int fd, uint64_t at, char *data, size_t len, struct xb_error *err)
{
    while (len > 0) {
        ssize_t n = pread(fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? xb_error_errno(err, errno, "cannot read the file that is sent")
                         : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                        "the file that is sent has become shorter");
        }
        data += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int xb_http_body_read(const struct xb_http_body_file *file, uint64_t at, void *data, size_t len,
                      struct xb_error *err)
{
    char *next = data;
    at += file->offset;
    while (len > 0 && file->front_count > 0 && at / file->front_block_bytes < file->front_count) {
        size_t within = (size_t)(at % file->front_block_bytes);
        size_t take = file->front_block_bytes - within;
        take = take < len ? take : len;
        memcpy(next, file->front[at / file->front_block_bytes] + within, take);
        next += take;
        at += take;
        len -= take;
    }
    return read_file(file->fd, at, next, len, err);
}

/* Gives curl the next piece of the body. */
static size_t give_body(char *data, size_t size, size_t count, void *context)
{
    struct xb_http_call *call = context;
    uint64_t left = call->sent.len - call->sent_at;
    size_t want = xb_http_limits_piece(call->limits, XB_HTTP_UP);
    want = want < size * count ? want : size * count;
    want = want < left ? want : (size_t)left;
    if (call->limits && !xb_http_limits_wait(call->limits, XB_HTTP_UP, want, call->cancel)) {
        return CURL_READFUNC_ABORT; /* cancelled */
    }
    if (call->sent_data) {
        memcpy(data, (const char *)call->sent_data + call->sent_at, want);
    } else if (xb_http_body_read(&call->sent, call->sent_at, data, want, &call->err) < 0) {
        return CURL_READFUNC_ABORT;
    }
    call->sent_at += want;
    return want;
}

/* curl starts over when a connection that was kept turns out to be closed. */
static int seek_body(void *context, curl_off_t offset, int origin)
{
    struct xb_http_call *call = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > call->sent.len) {
        return CURL_SEEKFUNC_FAIL;
    }
    call->sent_at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static char *trim(char *text)
{
    while (*text == ' ' || *text == '\t') {
        text++;
    }
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1])) {
        len--;
    }
    text[len] = '\0';
    return text;
}

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    struct xb_http_call *call = context;
    size_t len = size * count;
    char line[XB_HTTP_HEADER_BYTES_MAX];
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->status = (int)status;
    if (len >= sizeof line || status < 200) {
        return len; /* nobody of ours needs a header that long */
    }
    memcpy(line, data, len);
    line[len] = '\0';
    char *colon = strchr(line, ':');
    if (!colon || strncmp(line, "HTTP/", 5) == 0) {
        return len;
    }
    *colon = '\0';
    char *value = trim(colon + 1);
    if (strcasecmp(line, "Retry-After") == 0) {
        call->retry_after_ms = xb_http_retry_after_parse(value);
    }
    if (call->on_header) {
        call->on_header(call->context, line, value);
    }
    return len;
}

static int take_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                         curl_off_t up)
{
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    struct xb_http_call *call = context;
    return call->cancel && atomic_load(call->cancel) ? 1 : 0;
}

static int check_header(const char *text, struct xb_error *err)
{
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 && *c != '\t') {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "a request header holds a control character");
        }
    }
    return 0;
}

static int add_header(struct xb_http_call *call, size_t *count, const char *text,
                      struct xb_error *err)
{
    if (*count == XB_HTTP_HEADERS_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "more than %d request headers",
                            XB_HTTP_HEADERS_MAX);
    }
    int r = check_header(text, err);
    if (r < 0) {
        return r;
    }
    /* curl only reads the list, though its type says otherwise. */
    call->headers[*count] = (struct curl_slist){.data = (char *)(uintptr_t)text};
    if (*count > 0) {
        call->headers[*count - 1].next = &call->headers[*count];
    }
    (*count)++;
    return 0;
}

static int setup_headers(struct xb_http_call *call, const struct xb_http_request *request,
                         bool body, struct xb_error *err)
{
    size_t count = 0;
    int r = add_header(call, &count, "Expect:", err); /* never wait for 100 Continue */
    bool typed = false;
    for (const char *const *h = request->headers; h && *h && r == 0; h++) {
        typed = typed || strncasecmp(*h, "Content-Type:", 13) == 0;
        r = add_header(call, &count, *h, err);
    }
    if (r == 0 && body && !typed) {
        r = add_header(call, &count, "Content-Type:", err); /* curl would claim a web form */
    }
    if (r == 0 && request->bearer) {
        r = xb_buf_reserve(&call->authorization, request->bearer->len + 32, err);
        if (r == 0) {
            r = xb_buf_append_str(&call->authorization, "Authorization: Bearer ", err);
        }
        if (r == 0) {
            r = xb_buf_append(&call->authorization, request->bearer->data, request->bearer->len,
                              err);
        }
        if (r == 0) {
            r = add_header(call, &count, call->authorization.data, err);
        }
    }
    if (r == 0) {
        curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, &call->headers[0]);
    }
    return r;
}

static void setup_method(struct xb_http_call *call, const struct xb_http_request *request,
                         const char *method, bool body)
{
    CURL *easy = call->easy;
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (body && (request->body_file || xb_http_limits_any(call->limits, XB_HTTP_UP))) {
        call->sent_data = request->body_file ? NULL : request->body;
        call->sent = request->body_file
                         ? *request->body_file
                         : (struct xb_http_body_file){.fd = -1, .len = request->body_len};
        call->sent_at = 0;
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->sent.len);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)XB_HTTP_UPLOAD_PIECE_BYTES);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(easy, CURLOPT_READDATA, call);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, seek_body);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    } else if (body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body_len ? request->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    } else if (strcmp(method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
}

int xb_http_call_setup(struct xb_http_call *call, const struct xb_http_client *client,
                       const struct xb_http_request *request, struct xb_error *err)
{
    CURL *easy = call->easy;
    const char *method = request->method ? request->method : "GET";
    bool body = request->body_len > 0 || request->body_file || method_has_body(method);
    int r = xb_http_client_apply(client, easy, err);
    if (r < 0) {
        return r;
    }
    call->bytes_max = request->response_bytes_max;
    call->on_data = request->on_data;
    call->on_header = request->on_header;
    call->context = request->context;
    call->cancel = request->cancel;
    call->retry_after_ms = -1;
    size_t most = call->on_data     ? XB_HTTP_ERROR_BODY_BYTES_MAX
                  : call->bytes_max ? call->bytes_max
                                    : XB_HTTP_RESPONSE_BYTES_MAX;
    call->body = (struct xb_buf)XB_BUF_INIT(most);
    call->authorization = (struct xb_buf)XB_BUF_INIT(XB_SECRET_BYTES_MAX + 64);
    r = setup_headers(call, request, body, err);
    if (r < 0) {
        return r;
    }
    setup_method(call, request, method, body);
    int timeout = request->timeout_ms ? request->timeout_ms : xb_http_client_timeout_ms(client);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout < 0 ? 0L : (long)timeout);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->said);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    if (call->cancel) {
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, take_progress);
        curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call);
    }
    if (curl_easy_setopt(easy, CURLOPT_URL, request->url) != CURLE_OK) {
        return xb_error_no_memory(err, "a URL");
    }
    return 0;
}

/* TLS trouble that passes by itself: the peer went away in the middle of the handshake. */
static bool tls_cut_off(const struct xb_http_call *call)
{
    long os = 0;
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os);
    return os == ECONNRESET || os == EPIPE || strstr(call->said, "SSL_ERROR_SYSCALL") ||
           strstr(call->said, "unexpected eof") || strstr(call->said, "reset by peer") ||
           strstr(call->said, "SSL_ERROR_ZERO_RETURN");
}

static int tls_failure(struct xb_http_call *call, CURLcode code, const char *url,
                       struct xb_error *err)
{
    const char *said = call->said[0] ? call->said : curl_easy_strerror(code);
    const char *advice = "check the certificates of both sides";
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        advice = "is the right CA certificate configured, and does the server's certificate name "
                 "this host?";
    } else if (code == CURLE_SSL_CERTPROBLEM) {
        advice = "do the client certificate and its key belong together?";
    } else if (strstr(said, "alert")) {
        advice = "the server refused this client's certificate: is it valid there, or missing?";
    } else if (strstr(said, "wrong version number")) {
        advice = "the server speaks no TLS on this port";
    }
    return xb_error_set(err, XB_ERR_DENIED, -EACCES, "TLS with %.200s failed: %.200s (%s)", url,
                        said, advice);
}

int xb_http_call_result(struct xb_http_call *call, CURLcode code, const char *url,
                        struct xb_error *err)
{
    const char *said = call->said[0] ? call->said : curl_easy_strerror(code);
    switch ((int)code) {
    case CURLE_OK:
        return 0;
    case CURLE_WRITE_ERROR:
        if (call->err.code != 0) {
            *err = call->err;
            return xb_error_wrap(err, "%.200s", url);
        }
        return xb_error_set(err, XB_ERR_BUG, -EIO, "%.200s: %.200s", url, said);
    case CURLE_ABORTED_BY_CALLBACK:
        if (call->err.code != 0) {
            *err = call->err;
            return xb_error_wrap(err, "%.200s", url);
        }
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "%.200s: cancelled", url);
    case CURLE_OUT_OF_MEMORY:
        return xb_error_no_memory(err, "a request");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a usable URL: %.200s (%.100s)", url,
                            said);
    case CURLE_OPERATION_TIMEDOUT:
        return xb_error_set(err, XB_ERR_RETRY, -ETIMEDOUT, "%.200s: %.200s", url, said);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
        return tls_failure(call, code, url, err);
    case CURLE_SSL_CONNECT_ERROR:
        if (!tls_cut_off(call)) {
            return tls_failure(call, code, url, err);
        }
        break;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        /* TLS 1.3 servers refuse a client's certificate only after the handshake. */
        if (strstr(said, "alert") && !tls_cut_off(call)) {
            return tls_failure(call, code, url, err);
        }
        break;
    default:
        break;
    }
    return xb_error_set(err, XB_ERR_RETRY, code == CURLE_COULDNT_CONNECT ? -ECONNREFUSED : -EIO,
                        "%.200s: %.200s", url, said);
}

void xb_http_call_done(struct xb_http_call *call)
{
    /* The handle outlives this call in a pool: it must not keep pointers into it. */
    if (call->easy) {
        curl_easy_reset(call->easy);
    }
    xb_buf_wipe(&call->authorization);
    xb_buf_free(&call->body);
}
