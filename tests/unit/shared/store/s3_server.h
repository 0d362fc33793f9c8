/* SPDX-License-Identifier: Apache-2.0
 *
 * s3_server.h - a bucket in memory behind a small real HTTP server, which can be told to fail.
 *
 * What for:  what real S3 servers do not do on demand: cut answers, lie about ranges, repeat pages,
 *            fail between two parts. It checks what the driver says of its bodies (length, MD5,
 *            SHA-256, CRC-32 if it checks that) by itself. A header: only tests of the driver have
 *            it.
 * Threads:   a thread per connection; one lock around the objects.
 */
#pragma once

#include <endian.h>
#include <openssl/evp.h>
#include <zlib.h>

#include "shared/codec/text.h"
#include "shared/store/s3/s3.h"
#include "tests/harness/store_probe.h"
#include "tests/unit/shared/http/server.h"

enum { BUCKET_OBJECTS = 1024, BUCKET_PARTS = 32, BUCKET_KEY = 1100 };

struct bucket_object {
    char *key; /* NULL: free */
    unsigned char *data;
    size_t len;
    char mark[64], crc32[16];
};

struct bucket {
    struct test_server server;
    pthread_mutex_t lock;
    struct bucket_object objects[BUCKET_OBJECTS]; /* sorted by key */
    size_t count;
    struct bucket_object parts[BUCKET_PARTS];
    atomic_int uploads, aborts, completes;
    atomic_int wrong;         /* bodies that are not what was said */
    size_t page;              /* keys per page */
    atomic_bool no_condition; /* If-None-Match is NotImplemented */
    atomic_bool wants_signed; /* an unsigned body is AccessDenied */
    atomic_bool checks;       /* x-amz-checksum-crc32, and says it again in its answer */
    char last_head[8192];     /* under the lock */
    char last_put[8192];      /* the same of the last PUT */
    /* Looks at a request first; true: it has answered, and *keep says whether to go on. */
    bool (*_Atomic fault)(struct bucket *bucket, struct test_request *request, bool *keep);
    atomic_int seen, fail_at, mode; /* for the fault's own use */
};

static inline bool bucket_header(const struct test_request *request, const char *name, char *out,
                                 size_t room)
{
    char find[100];
    snprintf(find, sizeof find, "\r\n%s:", name);
    const char *at = strcasestr(request->head, find);
    out[0] = '\0';
    if (!at) {
        return false;
    }
    at += strlen(find) + strspn(at + strlen(find), " ");
    snprintf(out, room, "%.*s", (int)strcspn(at, "\r\n"), at);
    return true;
}

/* A query parameter, decoded; false when it is not there. */
static inline bool bucket_param(const struct test_request *request, const char *name, char *out,
                                size_t room)
{
    const char *at = strchr(request->target, '?');
    size_t len = strlen(name);
    out[0] = '\0';
    while (at) {
        at++;
        if (strncmp(at, name, len) == 0 && at[len] == '=') {
            size_t used = 0;
            for (at += len + 1; *at && *at != '&' && used + 1 < room; at++) {
                unsigned byte = (unsigned char)*at;
                if (*at == '%' && sscanf(at + 1, "%2x", &byte) == 1) {
                    at += 2;
                }
                out[used++] = (char)byte;
            }
            out[used] = '\0';
            return true;
        }
        at = strchr(at, '&');
    }
    return false;
}

static inline void bucket_key(const struct test_request *request, char out[BUCKET_KEY])
{
    const char *at = request->target + strlen("/bucket/");
    size_t used = 0;
    for (; *at && *at != '?' && used + 1 < BUCKET_KEY; at++) {
        unsigned byte = (unsigned char)*at;
        if (*at == '%' && sscanf(at + 1, "%2x", &byte) == 1) {
            at += 2;
        }
        out[used++] = (char)byte;
    }
    out[used] = '\0';
}

static inline size_t bucket_find(const struct bucket *bucket, const char *key, bool *exists)
{
    size_t at = 0;
    while (at < bucket->count && strcmp(bucket->objects[at].key, key) < 0) {
        at++;
    }
    *exists = at < bucket->count && strcmp(bucket->objects[at].key, key) == 0;
    return at;
}

static inline bool bucket_error(struct test_request *request, int status, const char *code)
{
    char body[300];
    snprintf(body, sizeof body, "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", code);
    return test_answer(request, status, "", strcmp(request->method, "HEAD") == 0 ? "" : body);
}

/* Whether the body has the MD5 and the SHA-256 that the request claims. */
static inline bool bucket_body_good(const struct test_request *request)
{
    unsigned char digest[32];
    char said[200], text[70];
    bool good = true;
    if (bucket_header(request, "Content-MD5", said, sizeof said)) {
        EVP_Digest(request->body, request->body_len, digest, NULL, EVP_md5(), NULL);
        EVP_EncodeBlock((unsigned char *)text, digest, 16);
        good = strcmp(said, text) == 0;
    }
    EVP_Digest(request->body, request->body_len, digest, NULL, EVP_sha256(), NULL);
    xb_hex_encode(digest, 32, text);
    bucket_header(request, "x-amz-content-sha256", said, sizeof said);
    return good && (strcmp(said, text) == 0 || strcmp(said, "UNSIGNED-PAYLOAD") == 0);
}

/* Whether the body has the CRC-32 that the request claims. The header for the answer is "" unless
 * the bucket checks and there is one. */
static inline bool bucket_crc_good(const struct bucket *bucket, const struct test_request *request,
                                   char *answer, size_t room)
{
    char said[100], text[16];
    answer[0] = '\0';
    if (!bucket->checks || !bucket_header(request, "x-amz-checksum-crc32", said, sizeof said)) {
        return true;
    }
    uint32_t crc = htobe32((uint32_t)crc32_z(0, (const void *)request->body, request->body_len));
    EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)&crc, sizeof crc);
    snprintf(answer, room, "x-amz-checksum-crc32: %s\r\n", text);
    return strcmp(said, text) == 0;
}

static inline void bucket_store(struct bucket *bucket, const char *key, const void *data,
                                size_t len, const struct test_request *request)
{
    bool exists;
    size_t at = bucket_find(bucket, key, &exists);
    struct bucket_object *object = &bucket->objects[at];
    if (exists) {
        free(object->data);
    } else {
        memmove(object + 1, object, (bucket->count++ - at) * sizeof *object);
        object->key = strdup(key);
    }
    object->data = malloc(len + 1);
    memcpy(object->data, data, len);
    object->len = len;
    bucket_header(request, "x-amz-meta-xebec-upload", object->mark, sizeof object->mark);
    bucket_header(request, "x-amz-checksum-crc32", object->crc32, sizeof object->crc32);
}

static inline bool bucket_put(struct bucket *bucket, struct test_request *request, const char *key)
{
    char value[100], checked[100], head[200];
    bool exists, part = bucket_param(request, "partNumber", value, sizeof value);
    bool conditional = bucket_header(request, "If-None-Match", value, sizeof value);
    if (bucket->wants_signed && strstr(request->head, "UNSIGNED-PAYLOAD")) {
        return bucket_error(request, 403, "AccessDenied");
    }
    if (!bucket_body_good(request) || !bucket_crc_good(bucket, request, checked, sizeof checked)) {
        bucket->wrong++;
        return bucket_error(request, 400, "BadDigest");
    }
    if (part) {
        bucket_param(request, "partNumber", value, sizeof value);
        struct bucket_object *to = &bucket->parts[atoi(value) - 1];
        free(to->data);
        to->data = malloc(request->body_len + 1);
        memcpy(to->data, request->body, request->body_len);
        to->len = request->body_len;
        snprintf(head, sizeof head, "ETag: \"part\"\r\n%s", checked);
        return test_answer(request, 200, head, "");
    }
    bucket_find(bucket, key, &exists);
    if (conditional && bucket->no_condition) {
        return bucket_error(request, 501, "NotImplemented");
    }
    if (conditional && exists) {
        return bucket_error(request, 412, "PreconditionFailed");
    }
    bucket_store(bucket, key, request->body, request->body_len, request);
    snprintf(head, sizeof head, "ETag: \"x\"\r\n%s", checked);
    return test_answer(request, 200, head, "");
}

static inline bool bucket_post(struct bucket *bucket, struct test_request *request, const char *key)
{
    char value[100];
    if (strstr(request->target, "uploads=")) {
        bucket->uploads++;
        return test_answer(request, 200, "",
                           "<InitiateMultipartUploadResult><UploadId>id&amp;1</UploadId>"
                           "</InitiateMultipartUploadResult>");
    }
    unsigned char *all = malloc(TEST_REQUEST_BYTES);
    size_t len = 0;
    for (size_t i = 0; i < BUCKET_PARTS && bucket->parts[i].data; i++) {
        memcpy(all + len, bucket->parts[i].data, bucket->parts[i].len);
        len += bucket->parts[i].len;
        free(XB_TAKE(bucket->parts[i].data));
    }
    bucket_param(request, "uploadId", value, sizeof value);
    bool good = strcmp(value, "id&1") == 0 && len > 0;
    if (good) {
        bucket_store(bucket, key, all, len, request);
        bucket->completes++;
    }
    free(all);
    return good ? test_answer(request, 200, "", "<CompleteMultipartUploadResult/>")
                : bucket_error(request, 404, "NoSuchUpload");
}

static inline bool bucket_send(struct test_request *request, const struct bucket_object *object,
                               size_t first, size_t len, bool part)
{
    char head[500];
    snprintf(head, sizeof head,
             "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nETag: \"x\"\r\n"
             "Last-Modified: Wed, 25 Nov 2026 10:00:00 GMT\r\n",
             part ? 206 : 200, len);
    size_t used = strlen(head);
    if (part) {
        used += (size_t)snprintf(head + used, sizeof head - used,
                                 "Content-Range: bytes %zu-%zu/%zu\r\n", first, first + len - 1,
                                 object->len);
    } else if (object->crc32[0]) {
        used += (size_t)snprintf(head + used, sizeof head - used, "x-amz-checksum-crc32: %s\r\n",
                                 object->crc32);
    }
    snprintf(head + used, sizeof head - used, "x-amz-meta-xebec-upload: %s\r\n\r\n", object->mark);
    return test_send(request, head) && (strcmp(request->method, "HEAD") == 0 ||
                                        test_send_bytes(request, object->data + first, len));
}

static inline bool bucket_get(struct bucket *bucket, struct test_request *request, const char *key)
{
    char range[100];
    bool exists;
    size_t at = bucket_find(bucket, key, &exists);
    if (!exists) {
        return bucket_error(request, 404, "NoSuchKey");
    }
    const struct bucket_object *object = &bucket->objects[at];
    if (!bucket_header(request, "Range", range, sizeof range)) {
        return bucket_send(request, object, 0, object->len, false);
    }
    size_t first = 0, last = object->len - 1;
    sscanf(range, "bytes=%zu-%zu", &first, &last);
    if (first >= object->len) {
        return bucket_error(request, 416, "InvalidRange");
    }
    last = last < object->len ? last : object->len - 1;
    return bucket_send(request, object, first, last - first + 1, true);
}

static inline void bucket_encode(struct xb_buf *out, const char *key)
{
    struct xb_error err = XB_ERROR_INIT;
    for (; *key; key++) {
        unsigned char c = (unsigned char)*key;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '/' || c == '.' || c == '-';
        assert_int_equal(c == ' ' ? xb_buf_append_str(out, "+", &err)
                         : plain  ? xb_buf_append(out, key, 1, &err)
                                  : xb_buf_printf(out, &err, "%%%02X", c),
                         0);
    }
}

/* Appends the entry of one object, or of its folder unless that was the last one. */
static inline bool bucket_entry(struct xb_buf *out, const struct bucket_object *object,
                                const char *prefix, bool delimiter, char last[BUCKET_KEY])
{
    struct xb_error err = XB_ERROR_INIT;
    const char *slash = delimiter ? strchr(object->key + strlen(prefix), '/') : NULL;
    char key[BUCKET_KEY];
    snprintf(key, sizeof key, "%.*s", slash ? (int)(slash - object->key) + 1 : BUCKET_KEY,
             object->key);
    if (slash && strcmp(key, last) == 0) {
        return false;
    }
    snprintf(last, BUCKET_KEY, "%s", key);
    int r = xb_buf_append_str(out, slash ? "<CommonPrefixes><Prefix>" : "<Contents><Key>", &err);
    bucket_encode(out, key);
    r = slash ? xb_buf_append_str(out, "</Prefix></CommonPrefixes>", &err)
              : xb_buf_printf(out, &err,
                              "</Key><LastModified>2026-11-25T10:00:00.000Z</LastModified>"
                              "<Size>%zu</Size></Contents>",
                              object->len);
    assert_int_equal(r, 0);
    return true;
}

static inline bool bucket_list(struct bucket *bucket, struct test_request *request)
{
    struct xb_error err = XB_ERROR_INIT;
    char prefix[BUCKET_KEY], token[BUCKET_KEY], last[BUCKET_KEY], value[50];
    bool delimiter = bucket_param(request, "delimiter", value, sizeof value);
    bool more = false;
    size_t told = 0;
    struct xb_buf out = XB_BUF_INIT(1 << 20);
    bucket_param(request, "prefix", prefix, sizeof prefix);
    bucket_param(request, "continuation-token", token, sizeof token);
    snprintf(last, sizeof last, "%s", token);
    assert_int_equal(xb_buf_append_str(&out,
                                       "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\">"
                                       "<EncodingType>url</EncodingType>",
                                       &err),
                     0);
    for (size_t i = 0; i < bucket->count && !more; i++) {
        const char *key = bucket->objects[i].key;
        bool in_folder = delimiter && token[0] && strncmp(key, token, strlen(token)) == 0;
        if (strncmp(key, prefix, strlen(prefix)) != 0 || strcmp(key, token) <= 0 || in_folder) {
            continue;
        }
        more = told == bucket->page;
        if (!more) {
            told += bucket_entry(&out, &bucket->objects[i], prefix, delimiter, last);
        }
    }
    int r = xb_buf_printf(&out, &err, "<IsTruncated>%s</IsTruncated>", more ? "true" : "false");
    if (more) {
        r = xb_buf_append_str(&out, "<NextContinuationToken>", &err);
        for (const char *c = last; *c; c++) {
            r = xb_buf_printf(&out, &err, "&#%u;", (unsigned char)*c < 0x80 ? *c : '~');
        }
        r = xb_buf_append_str(&out, "</NextContinuationToken>", &err);
    }
    r = r ? r : xb_buf_append_str(&out, "</ListBucketResult>", &err);
    assert_int_equal(r, 0);
    bool sent = test_answer(request, 200, "", out.data);
    xb_buf_free(&out);
    return sent;
}

static inline bool bucket_delete(struct bucket *bucket, struct test_request *request,
                                 const char *key)
{
    char value[100];
    bool exists;
    if (bucket_param(request, "uploadId", value, sizeof value)) {
        bucket->aborts++;
        for (size_t i = 0; i < BUCKET_PARTS; i++) {
            free(XB_TAKE(bucket->parts[i].data));
        }
        return test_send(request, "HTTP/1.1 204 X\r\n\r\n");
    }
    size_t at = bucket_find(bucket, key, &exists);
    if (exists) {
        free(bucket->objects[at].key);
        free(bucket->objects[at].data);
        memmove(bucket->objects + at, bucket->objects + at + 1,
                (--bucket->count - at) * sizeof *bucket->objects);
    }
    return test_send(request, "HTTP/1.1 204 X\r\n\r\n");
}

static inline bool bucket_serve(void *context, struct test_request *request)
{
    struct bucket *bucket = context;
    char key[BUCKET_KEY];
    bool keep = true;
    pthread_mutex_lock(&bucket->lock);
    snprintf(bucket->last_head, sizeof bucket->last_head, "%s", request->head);
    if (strcmp(request->method, "PUT") == 0) {
        snprintf(bucket->last_put, sizeof bucket->last_put, "%s", request->head);
    }
    bucket_key(request, key);
    bool (*fault)(struct bucket *, struct test_request *, bool *) = bucket->fault;
    if (fault && fault(bucket, request, &keep)) {
        pthread_mutex_unlock(&bucket->lock);
        return keep;
    }
    if (strncmp(request->target, "/bucket/", 8) != 0) {
        keep = bucket_error(request, 404, "NoSuchBucket");
    } else if (strcmp(request->method, "PUT") == 0) {
        keep = bucket_put(bucket, request, key);
    } else if (strcmp(request->method, "POST") == 0) {
        keep = bucket_post(bucket, request, key);
    } else if (strcmp(request->method, "DELETE") == 0) {
        keep = bucket_delete(bucket, request, key);
    } else {
        keep = key[0] ? bucket_get(bucket, request, key) : bucket_list(bucket, request);
    }
    pthread_mutex_unlock(&bucket->lock);
    return keep;
}

static inline struct bucket *bucket_start(SSL_CTX *tls)
{
    struct bucket *bucket = calloc(1, sizeof *bucket);
    pthread_mutex_init(&bucket->lock, NULL);
    bucket->page = 7;
    assert_true(test_server_start(&bucket->server, bucket_serve, bucket, tls));
    return bucket;
}

static inline void bucket_stop(struct bucket *bucket)
{
    test_server_stop(&bucket->server);
    for (size_t i = 0; i < bucket->count; i++) {
        free(bucket->objects[i].key);
        free(bucket->objects[i].data);
    }
    for (size_t i = 0; i < BUCKET_PARTS; i++) {
        free(bucket->parts[i].data);
    }
    pthread_mutex_destroy(&bucket->lock);
    free(bucket);
}

#define BUCKET_CREDENTIALS "[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\n"

/* Opens the bucket with short pauses; `change` (may be NULL) has the last word on the options. */
static inline struct xb_store *bucket_open(struct bucket *bucket,
                                           void (*change)(struct xb_store_s3_options *))
{
    char endpoint[100];
    snprintf(endpoint, sizeof endpoint, "http%s://127.0.0.1:%d", bucket->server.tls ? "s" : "",
             bucket->server.port);
    struct xb_store_s3_options options = {.bucket = "bucket",
                                          .prefix = "pre/fix",
                                          .endpoint = endpoint,
                                          .region = "us-east-1",
                                          .credentials = BUCKET_CREDENTIALS,
                                          .retry = {.attempts_max = 3, .delay_first_ms = 1},
                                          .part_bytes = 100000};
    struct xb_store *store = NULL;
    if (change) {
        change(&options);
    }
    SUITE_OK(xb_store_s3_open(&options, &store, &err));
    return store;
}
