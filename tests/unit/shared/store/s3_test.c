/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 driver does what stores do, whatever the server does: answers that are cut, wrong,
 * repeated or refused end in the right result or a clear error, never in wrong bytes.
 */
#include "tests/harness/store_suite.h"

#include <signal.h>
#include <sys/mount.h>

#include "tests/unit/shared/store/s3_server.h"

static struct xb_store *open_suite(struct store_suite *suite)
{
    struct bucket *bucket = bucket_start(NULL);
    suite->path[0] = '\0';
    memcpy(suite->path, &bucket, sizeof bucket);
    return bucket_open(bucket, NULL);
}

static void close_suite(struct store_suite *suite, struct xb_store *store)
{
    struct bucket *bucket;
    memcpy(&bucket, suite->path, sizeof bucket);
    xb_store_free(store);
    assert_int_equal(bucket->wrong, 0);
    assert_int_equal(bucket->uploads, bucket->completes + bucket->aborts);
    bucket_stop(bucket);
}

static struct store_suite suite = {.open = open_suite,
                                   .close = close_suite,
                                   .plain = true,
                                   .name_bytes_max = XB_STORE_NAME_BYTES_MAX - 8};

/* ---- single requests that go wrong ---- */

enum mode {
    CUT,         /* half of the body, then the end */
    RESET,       /* no answer at all */
    FLIP,        /* one byte is another */
    LONGER,      /* more bytes than were said cannot be seen: a false Content-Length */
    WHOLE,       /* 200 and everything, where a part was asked for */
    OTHER_RANGE, /* a Content-Range from elsewhere */
    SLOW_DOWN,
    TIMEOUT_400,
    GARBAGE
};

/* Fails the first bucket->fail_at requests of kind GET. */
static bool fail_gets(struct bucket *bucket, struct test_request *request, bool *keep)
{
    static const char page[] = "HTTP/1.1 200 X\r\nContent-Length: 20\r\n\r\n<html>what?</html>\r\n";
    if (strcmp(request->method, "GET") != 0 ||
        atomic_fetch_add(&bucket->seen, 1) >= bucket->fail_at) {
        return false;
    }
    const struct bucket_object *object = &bucket->objects[0];
    *keep = false;
    switch ((enum mode)bucket->mode) {
    case CUT:
        test_send(request, "HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n01234");
        break;
    case RESET:
        break;
    case FLIP: {
        char head[200];
        snprintf(head, sizeof head,
                 "HTTP/1.1 200 X\r\nContent-Length: 10\r\nx-amz-checksum-crc32: %s\r\n\r\n",
                 object->crc32);
        test_send(request, head);
        test_send(request, "0123x56789");
        break;
    }
    case LONGER:
        test_send(request, "HTTP/1.1 206 X\r\nContent-Length: 6\r\n"
                           "Content-Range: bytes 2-4/10\r\n\r\n234567");
        break;
    case WHOLE:
        test_send(request, "HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n0123456789");
        break;
    case OTHER_RANGE:
        test_send(request, "HTTP/1.1 206 X\r\nContent-Length: 3\r\n"
                           "Content-Range: bytes 5-7/10\r\n\r\n567");
        break;
    case SLOW_DOWN:
        test_send(request, "HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n");
        break;
    case TIMEOUT_400:
        bucket_error(request, 400, "RequestTimeout");
        break;
    case GARBAGE:
        test_send(request, page);
        break;
    }
    return true;
}

static void get_is(struct xb_store *store, uint64_t offset, uint64_t len, const char *want)
{
    struct xb_buf out = XB_BUF_INIT(100);
    SUITE_OK(xb_buf_append(&out, "abc", 3, &err));
    SUITE_OK(xb_store_get(store, "digits", offset, len, &out, &err));
    assert_string_equal(out.data + 3, want);
    xb_buf_free(&out);
}

static void get_fails(struct xb_store *store, uint64_t offset, uint64_t len,
                      enum xb_error_kind kind)
{
    struct xb_buf out = XB_BUF_INIT(100);
    SUITE_OK(xb_buf_append(&out, "abc", 3, &err));
    SUITE_REFUSED(xb_store_get(store, "digits", offset, len, &out, &err), kind);
    assert_int_equal(out.len, 3);
    assert_string_equal(out.data, "abc");
    xb_buf_free(&out);
}

/* A read that goes wrong once or twice comes right; one that always does is an error, and gives
 * nothing. */
static void bad_reads(void **state)
{
    (void)state;
    static const struct {
        enum mode mode;
        bool part;
        enum xb_error_kind kind;
    } cases[] = {{CUT, false, XB_ERR_RETRY},       {CUT, true, XB_ERR_CORRUPT},
                 {RESET, false, XB_ERR_RETRY},     {RESET, true, XB_ERR_RETRY},
                 {FLIP, false, XB_ERR_CORRUPT},    {LONGER, true, XB_ERR_CORRUPT},
                 {WHOLE, true, XB_ERR_CORRUPT},    {OTHER_RANGE, true, XB_ERR_CORRUPT},
                 {SLOW_DOWN, false, XB_ERR_RETRY}, {TIMEOUT_400, true, XB_ERR_RETRY}};
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    suite_put(store, "digits", "0123456789");
    bucket->fault = fail_gets;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bucket->mode = cases[i].mode;
        uint64_t offset = cases[i].part ? 2 : 0;
        uint64_t len = cases[i].part ? 3 : XB_STORE_TO_END;
        for (int fails = 1; fails <= 2; fails++) {
            atomic_store(&bucket->seen, 0);
            bucket->fail_at = fails;
            get_is(store, offset, len, cases[i].part ? "234" : "0123456789");
            /* curl itself sends again on a connection that was closed before an answer. */
            assert_true(bucket->seen == fails + 1 || cases[i].mode == RESET);
        }
        atomic_store(&bucket->seen, 0);
        bucket->fail_at = 1000;
        get_fails(store, offset, len, cases[i].kind);
        assert_true(bucket->seen == 3 || cases[i].mode == RESET);
    }
    xb_store_free(store);
    bucket_stop(bucket);
}

/* Listings of broken pages are tried again page by page, and never show half a page. */
static void bad_pages(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    char name[20], want[500] = "";
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "n%02d", i);
        suite_put(store, name, "x");
        snprintf(want + strlen(want), sizeof want - strlen(want), "%s%s", i ? " " : "", name);
    }
    bucket->fault = fail_gets;
    static const enum mode modes[] = {CUT, RESET, SLOW_DOWN, GARBAGE};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        bucket->mode = (int)modes[i];
        bucket->fail_at = 2;
        atomic_store(&bucket->seen, 0);
        suite_lists(store, "n", want);
        assert_true(bucket->seen == 2 + 3 || modes[i] == RESET); /* of the first page alone */
    }
    bucket->fail_at = 1000;
    struct suite_names none = {.count = 0};
    SUITE_REFUSED(xb_store_list(store, "n", suite_collect, &none, &err), XB_ERR_CORRUPT);
    assert_int_equal(none.count, 0);
    xb_store_free(store);
    bucket_stop(bucket);
}

static bool same_page(struct bucket *bucket, struct test_request *request, bool *keep)
{
    const char *token = bucket->mode == 0 ? "same" : strstr(request->target, "token") ? "b" : "a";
    char body[500];
    (void)keep;
    atomic_fetch_add(&bucket->seen, 1);
    snprintf(body, sizeof body,
             "<ListBucketResult><Contents><Key>pre/fix/%s</Key><LastModified>2026-11-25T10:00:00Z"
             "</LastModified><Size>1</Size></Contents><IsTruncated>true</IsTruncated>"
             "<NextContinuationToken>%s%d</NextContinuationToken></ListBucketResult>",
             bucket->mode == 0 ? "k" : "again", token, bucket->mode == 0 ? 0 : bucket->seen);
    return test_answer(request, 200, "", body) || true;
}

static bool foreign_key(struct bucket *bucket, struct test_request *request, bool *keep)
{
    (void)bucket;
    (void)keep;
    test_answer(request, 200, "",
                "<ListBucketResult><Contents><Key>elsewhere/k</Key><LastModified>"
                "2026-11-25T10:00:00Z</LastModified><Size>1</Size></Contents>"
                "<IsTruncated>false</IsTruncated></ListBucketResult>");
    return true;
}

/* A server that gives the same page for ever is found out, and so is one that lists what was not
 * asked for. */
static void hostile_pages(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    bucket->fault = same_page;
    for (bucket->mode = 0; bucket->mode < 2; bucket->mode++) {
        struct suite_names some = {.count = 0};
        atomic_store(&bucket->seen, 0);
        SUITE_REFUSED(xb_store_list(store, "", suite_collect, &some, &err), XB_ERR_CORRUPT);
        assert_true(bucket->seen <= 3);
        suite_expect(&some, bucket->mode == 0 ? "k" : "again");
    }
    bucket->fault = foreign_key;
    struct suite_names none = {.count = 0};
    SUITE_REFUSED(xb_store_list(store, "", suite_collect, &none, &err), XB_ERR_CORRUPT);
    assert_int_equal(none.count, 0);
    xb_store_free(store);
    bucket_stop(bucket);
}

/* ---- stale listings ---- */

/* Listings without what was put, and with what was removed. */
static bool stale(struct bucket *bucket, struct test_request *request, bool *keep)
{
    if (strncmp(request->target, "/bucket/?", 9) != 0) {
        return false;
    }
    (void)bucket;
    *keep = test_answer(
        request, 200, "",
        strstr(request->target, "delimiter") || strstr(request->target, "fix%2Fpu")
            ? "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            : "<ListBucketResult><Contents><Key>pre/fix/gone</"
              "Key><LastModified>2026-11-25T10:00:00Z"
              "</LastModified><Size>3</Size></Contents><Contents><Key>pre/fix/back</Key>"
              "<LastModified>2026-11-25T10:00:00Z</LastModified><Size>3</Size></Contents>"
              "<IsTruncated>false</IsTruncated></ListBucketResult>");
    return true;
}

/* What this process has written shows in listings that lag behind, as it is by now. */
static void stale_listings(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    bucket->fault = stale;
    suite_put(store, "put", "123456");
    suite_put(store, "folder/put", "1");
    suite_put(store, "gone", "123");
    suite_put(store, "back", "123");
    suite_put(store, "taken", "123");
    SUITE_OK(xb_store_delete(store, "gone", &err));
    SUITE_OK(xb_store_delete(store, "back", &err));
    /* Somebody else writes one again and takes another away. */
    struct xb_store *other = bucket_open(bucket, NULL);
    suite_put(other, "back", "new");
    SUITE_OK(xb_store_delete(other, "taken", &err));
    suite_lists(store, "", "back folder/put put");
    suite_lists(store, "pu", "put");
    suite_lists_folders(store, "", "folder");
    xb_store_free(other);
    xb_store_free(store);
    bucket_stop(bucket);
}

/* ---- writing ---- */

/* Fails requests from the fail_at-th on; `mode` says how. */
static bool fail_puts(struct bucket *bucket, struct test_request *request, bool *keep)
{
    char key[BUCKET_KEY];
    bool part = strstr(request->target, "partNumber") != NULL;
    if (strcmp(request->method, "PUT") != 0 && strcmp(request->method, "POST") != 0) {
        return false;
    }
    if (atomic_fetch_add(&bucket->seen, 1) >= bucket->fail_at) {
        return false;
    }
    bucket_key(request, key);
    *keep = false;
    if (bucket->mode == 0) { /* it is done, but the answer is lost */
        if (!part && strcmp(request->method, "PUT") == 0) {
            bucket_store(bucket, key, request->body, request->body_len, request);
        }
    } else if (bucket->mode == 1) {
        bucket_error(request, 503, "SlowDown");
    } else if (bucket->mode == 2) {
        bucket_error(request, 400, "BadDigest");
    } else {
        bucket_error(request, 403, "AccessDenied");
    }
    return true;
}

/* A put whose answer was lost is done again, also when it must be the first one of its name. */
static void bad_writes(void **state)
{
    (void)state;
    static const struct xb_store_put_options exclusive = {.exclusive = true};
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    bucket->fault = fail_puts;
    for (bucket->mode = 0; bucket->mode < 3; bucket->mode++) {
        for (bucket->fail_at = 1; bucket->fail_at < 3; bucket->fail_at++) {
            atomic_store(&bucket->seen, 0);
            SUITE_OK(xb_store_put(store, "name", "mine", 4, &exclusive, &err));
            suite_holds(store, "name", "mine");
            atomic_store(&bucket->seen, 100);
            SUITE_REFUSED(xb_store_put(store, "name", "mine", 4, &exclusive, &err),
                          XB_ERR_CONFLICT);
            SUITE_OK(xb_store_delete(store, "name", &err));
        }
    }
    bucket->mode = 3;
    bucket->fail_at = 1000;
    atomic_store(&bucket->seen, 0);
    SUITE_REFUSED(xb_store_put(store, "name", "mine", 4, NULL, &err), XB_ERR_DENIED);
    assert_int_equal(bucket->seen, 1);
    bucket->mode = 1;
    atomic_store(&bucket->seen, 0);
    SUITE_REFUSED(xb_store_put(store, "name", "mine", 4, NULL, &err), XB_ERR_RETRY);
    assert_int_equal(bucket->seen, 3);
    bucket->fault = NULL;
    suite_absent(store, "name");
    xb_store_free(store);
    bucket_stop(bucket);
}

/* A server without If-None-Match is asked whether the name is free, and remembered. */
static void no_conditions(void **state)
{
    (void)state;
    static const struct xb_store_put_options exclusive = {.exclusive = true};
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    bucket->no_condition = true;
    SUITE_OK(xb_store_put(store, "name", "first", 5, &exclusive, &err));
    SUITE_REFUSED(xb_store_put(store, "name", "second", 6, &exclusive, &err), XB_ERR_CONFLICT);
    suite_holds(store, "name", "first");
    int before = atomic_load(&bucket->server.requests);
    SUITE_OK(xb_store_put(store, "other", "x", 1, &exclusive, &err));
    assert_int_equal(atomic_load(&bucket->server.requests) - before, 2);
    xb_store_free(store);
    bucket_stop(bucket);
}

static void upload_large(struct xb_store *store, const char *name, size_t len,
                         const struct xb_store_put_options *options, enum xb_error_kind kind)
{
    struct xb_store_upload *upload = NULL;
    unsigned char *data = malloc(len);
    for (size_t i = 0; i < len; i++) {
        data[i] = (unsigned char)(i * 31 + i / 977);
    }
    SUITE_OK(xb_store_upload_begin(store, name, options, &upload, &err));
    for (size_t at = 0; at < len; at += 77777) {
        size_t piece = len - at < 77777 ? len - at : 77777;
        SUITE_OK(xb_store_upload_write(upload, data + at, piece, &err));
    }
    if (kind == XB_ERR_NONE) {
        struct xb_buf out = XB_BUF_INIT(len);
        SUITE_OK(xb_store_upload_commit(upload, &err));
        SUITE_OK(xb_store_get(store, name, 0, XB_STORE_TO_END, &out, &err));
        assert_int_equal(out.len, len);
        assert_memory_equal(out.data, data, len);
        xb_buf_free(&out);
    } else {
        SUITE_REFUSED(xb_store_upload_commit(upload, &err), kind);
    }
    xb_store_upload_free(upload);
    free(data);
}

/* Large objects go up in parts, which are tried again one by one; what fails for good leaves
 * nothing behind. */
static void parts(void **state)
{
    (void)state;
    static const struct xb_store_put_options exclusive = {.exclusive = true};
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    upload_large(store, "single", 400000, NULL, XB_ERR_NONE);
    assert_int_equal(bucket->uploads, 0);
    static const size_t sizes[] = {400001, 500000, 1234567};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        upload_large(store, "large", sizes[i], NULL, XB_ERR_NONE);
        assert_int_equal(bucket->completes, i + 1);
    }
    upload_large(store, "large", 450000, &exclusive, XB_ERR_CONFLICT);
    assert_int_equal(bucket->uploads, 3);
    upload_large(store, "exclusive", 450000, &exclusive, XB_ERR_NONE);
    bucket->fault = fail_puts;
    for (bucket->mode = 0; bucket->mode < 3; bucket->mode++) {
        atomic_store(&bucket->seen, 0);
        bucket->fail_at = 2;
        upload_large(store, "bumpy", 1000000, NULL, XB_ERR_NONE);
    }
    bucket->mode = 3;
    bucket->fail_at = 1000;
    atomic_store(&bucket->seen, 0);
    upload_large(store, "denied", 1000000, NULL, XB_ERR_DENIED);
    assert_int_equal(bucket->aborts, 0); /* it was not even begun */
    assert_int_equal(bucket->wrong, 0);
    xb_store_free(store);
    bucket_stop(bucket);
}

static bool fail_third_part(struct bucket *bucket, struct test_request *request, bool *keep)
{
    if (bucket->mode == 0 && strstr(request->target, "partNumber=3&")) {
        *keep = bucket_error(request, 403, "AccessDenied");
        return true;
    }
    if (bucket->mode == 1 && strcmp(request->method, "POST") == 0 &&
        strstr(request->target, "uploadId=")) {
        /* 200, and in the body that it failed */
        *keep = bucket_error(request, 200, "AccessDenied");
        return true;
    }
    return false;
}

/* A part, or the end, that fails for good: the upload is aborted and no object appears. */
static void aborted(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    bucket->fault = fail_third_part;
    for (bucket->mode = 0; bucket->mode < 2; bucket->mode++) {
        upload_large(store, "large", 1000000, NULL, XB_ERR_DENIED);
        assert_int_equal(bucket->aborts, bucket->mode + 1);
        suite_absent(store, "large");
    }
    xb_store_free(store);
    bucket_stop(bucket);
}

/* ---- what is sent ---- */

static void with_everything(struct xb_store_s3_options *options)
{
    options->server_side_encryption = "aws:kms";
    options->kms_key_id = "key-1";
    options->tagging = "a=b&c=d";
    options->checksum_algorithm = "SHA256";
    options->credentials = BUCKET_CREDENTIALS "aws_session_token = the-token\n";
}

static void header_is(struct bucket *bucket, const char *name, const char *want)
{
    struct test_request request = {.head = bucket->last_head};
    char value[1000];
    pthread_mutex_lock(&bucket->lock);
    bucket_header(&request, name, value, sizeof value);
    pthread_mutex_unlock(&bucket->lock);
    assert_string_equal(value, want);
}

/* The headers that the options ask for are sent, with the digests of the body. */
static void headers(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, with_everything);
    suite_put(store, "name", "Welcome to Amazon S3.");
    header_is(bucket, "x-amz-server-side-encryption", "aws:kms");
    header_is(bucket, "x-amz-server-side-encryption-aws-kms-key-id", "key-1");
    header_is(bucket, "x-amz-tagging", "a=b&c=d");
    header_is(bucket, "x-amz-security-token", "the-token");
    header_is(bucket, "Content-Type", "application/x-kopia");
    header_is(bucket, "x-amz-content-sha256",
              "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    header_is(bucket, "x-amz-checksum-sha256", "RM591nyVng01JP+sF3Hfu6h9K2tLTpnkIDSouAP4sHI=");
    assert_non_null(strstr(bucket->last_head, "Credential=AKID/"));
    assert_null(strstr(bucket->last_head, "Expect:"));
    xb_store_free(store);
    bucket_stop(bucket);
}

static bool sent(struct bucket *bucket, const char *name)
{
    struct test_request request = {.head = bucket->last_head};
    char value[1000];
    pthread_mutex_lock(&bucket->lock);
    bool found = bucket_header(&request, name, value, sizeof value);
    pthread_mutex_unlock(&bucket->lock);
    return found;
}

static void without_checksum(struct xb_store_s3_options *options)
{
    options->checksum_algorithm = "";
}

/* MD5 goes with every body until the server has shown that it checks the checksum, which takes one
 * upload; and always where there is no checksum. */
static void md5_until_checked(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        struct bucket *bucket = bucket_start(NULL);
        bucket->checks = mode > 0;
        struct xb_store *store = bucket_open(bucket, mode == 2 ? without_checksum : NULL);
        suite_put(store, "one", "text");
        assert_true(sent(bucket, "Content-MD5"));
        suite_put(store, "two", "text");
        assert_int_equal(sent(bucket, "Content-MD5"), mode != 1);
        assert_int_equal(sent(bucket, "x-amz-checksum-crc32"), mode != 2);
        upload_large(store, "large", 1000000, NULL, XB_ERR_NONE);
        assert_int_equal(bucket->completes, 1);
        assert_int_equal(bucket->wrong, 0);
        xb_store_free(store);
        bucket_stop(bucket);
    }
}

static void payload_is(struct bucket *bucket, bool unsigned_body)
{
    struct test_request request = {.head = bucket->last_put};
    char value[1000];
    pthread_mutex_lock(&bucket->lock);
    bucket_header(&request, "x-amz-content-sha256", value, sizeof value);
    pthread_mutex_unlock(&bucket->lock);
    assert_int_equal(strcmp(value, "UNSIGNED-PAYLOAD") == 0, unsigned_body);
}

/* Without TLS a sealed body is not signed once the server is known to check the checksum; others
 * are, and all of them where the server wants that. */
static void sealed_bodies(void **state)
{
    (void)state;
    static const struct xb_store_put_options sealed = {.sealed = true};
    for (int mode = 0; mode < 3; mode++) {
        struct bucket *bucket = bucket_start(NULL);
        bucket->checks = mode > 0;
        bucket->wants_signed = mode == 2;
        struct xb_store *store = bucket_open(bucket, NULL);
        suite_put(store, "first", "text");
        SUITE_OK(xb_store_put(store, "small", "text", 4, &sealed, &err));
        payload_is(bucket, mode == 1);
        upload_large(store, "single", 300000, &sealed, XB_ERR_NONE);
        payload_is(bucket, mode == 1);
        upload_large(store, "large", 1000000, &sealed, XB_ERR_NONE);
        payload_is(bucket, mode == 1);
        upload_large(store, "plain", 300000, NULL, XB_ERR_NONE);
        payload_is(bucket, false);
        assert_int_equal(bucket->wrong, 0);
        xb_store_free(store);
        bucket_stop(bucket);
    }
}

/* Changes the bodies of the first bucket->fail_at uploads on their way. */
static bool flip_puts(struct bucket *bucket, struct test_request *request, bool *keep)
{
    (void)keep;
    if (strcmp(request->method, "PUT") == 0 &&
        atomic_fetch_add(&bucket->seen, 1) < bucket->fail_at) {
        request->body[request->body_len / 2] ^= 1;
    }
    return false;
}

static struct test_pair authority;

static void with_authority(struct xb_store_s3_options *options)
{
    options->ca_pem = authority.cert_pem;
}

/* Over TLS, too, where nothing else is said of the body once MD5 is no longer sent. */
static void changed_on_the_way(void **state)
{
    (void)state;
    authority = test_pair_new("authority", NULL);
    struct test_pair pair = test_pair_new("server", &authority);
    for (int tls = 0; tls < 2; tls++) {
        struct bucket *bucket = bucket_start(tls ? test_tls(&pair, NULL) : NULL);
        bucket->checks = true;
        struct xb_store *store = bucket_open(bucket, tls ? with_authority : NULL);
        suite_put(store, "first", "text");
        bucket->fault = flip_puts;
        bucket->fail_at = 1;
        static const struct xb_store_put_options sealed = {.sealed = true};
        SUITE_OK(xb_store_put(store, "second", "other text", 10, &sealed, &err));
        assert_false(sent(bucket, "Content-MD5"));
        payload_is(bucket, true);
        assert_int_equal(bucket->wrong, 1);
        bucket->fault = NULL;
        suite_holds(store, "second", "other text");
        xb_store_free(store);
        bucket_stop(bucket);
    }
    test_pair_done(&pair);
    test_pair_done(&authority);
}

static void with_customer_key(struct xb_store_s3_options *options)
{
    static struct xb_secret key = {.len = 32,
                                   .data = (unsigned char *)"0123456789abcdef0123456789abcdef"};
    options->customer_key = &key;
    options->ca_pem = authority.cert_pem;
}

/* Over TLS the body is not hashed for the signature; a customer's key goes with reads and writes.
 */
static void over_tls(void **state)
{
    (void)state;
    authority = test_pair_new("authority", NULL);
    struct test_pair pair = test_pair_new("server", &authority);
    struct bucket *bucket = bucket_start(test_tls(&pair, NULL));
    struct xb_store *store = bucket_open(bucket, with_customer_key);
    suite_put(store, "name", "text");
    header_is(bucket, "x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    header_is(bucket, "x-amz-server-side-encryption-customer-key-md5", "hRasmdxgYDKV3nvbahU1MA==");
    suite_holds(store, "name", "text");
    header_is(bucket, "x-amz-server-side-encryption-customer-algorithm", "AES256");
    struct xb_buf link = XB_BUF_INIT(4096);
    SUITE_REFUSED(xb_store_presign_get(store, "name", NULL, 60, &link, &err), XB_ERR_INVALID);
    xb_store_free(store);
    bucket_stop(bucket);
    test_pair_done(&pair);
    test_pair_done(&authority);
}

static char cert_file[100], key_file[100];

static void with_client_files(struct xb_store_s3_options *options)
{
    options->ca_pem = authority.cert_pem;
    options->client_cert_file = cert_file;
    options->client_key_file = key_file;
}

static void with_ca_only(struct xb_store_s3_options *options)
{
    options->ca_pem = authority.cert_pem;
}

static void write_pem(char path[100], const char *text)
{
    snprintf(path, 100, "/tmp/xb_s3_test_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* A server that asks for a client's certificate gets the one of the files, which are read once. */
static void client_certificates(void **state)
{
    (void)state;
    authority = test_pair_new("authority", NULL);
    struct test_pair server = test_pair_new("server", &authority);
    struct test_pair client = test_pair_new("client", &authority);
    struct bucket *bucket = bucket_start(test_tls(&server, &authority));
    write_pem(cert_file, client.cert_pem);
    write_pem(key_file, client.key_pem);
    struct xb_store *store = bucket_open(bucket, with_client_files);
    unlink(cert_file);
    unlink(key_file);
    suite_put(store, "name", "text");
    suite_holds(store, "name", "text");
    xb_store_free(store);
    store = bucket_open(bucket, with_ca_only);
    SUITE_REFUSED(xb_store_put(store, "name", "x", 1, NULL, &err), XB_ERR_DENIED);
    xb_store_free(store);
    bucket_stop(bucket);
    test_pair_done(&client);
    test_pair_done(&server);
    test_pair_done(&authority);
}

/* One thread's requests, of every kind, take one connection. */
static void kept_connection(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    struct xb_store_upload *upload = NULL;
    for (int i = 0; i < 10; i++) {
        suite_put(store, "name", "text");
        suite_holds(store, "name", "text");
        suite_absent(store, "other");
        suite_lists(store, "", "name");
        SUITE_OK(xb_store_upload_begin(store, "name", NULL, &upload, &err));
        SUITE_OK(xb_store_upload_write(upload, "1234", 4, &err));
        SUITE_OK(xb_store_upload_commit(upload, &err));
        xb_store_upload_free(upload);
    }
    assert_int_equal(bucket->server.connections, 1);
    xb_store_free(store);
    bucket_stop(bucket);
}

/* Links name the object at the endpoint, or where readers see it. */
static void links(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *inner = bucket_open(bucket, NULL);
    struct xb_store *store = NULL;
    SUITE_OK(xb_store_prefix_open(inner, "in/", &store, &err));
    struct xb_buf link = XB_BUF_INIT(4096);
    SUITE_OK(
        xb_store_presign_get(store, "a b", "https://S3.example.org:443/gw/", 600, &link, &err));
    assert_non_null(strstr(link.data, "https://s3.example.org/gw/bucket/pre/fix/in/a%20b?"
                                      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F"));
    assert_non_null(strstr(link.data, "&X-Amz-Expires=600&X-Amz-SignedHeaders=host&"));
    xb_buf_clear(&link);
    SUITE_OK(xb_store_presign_get(store, "x", NULL, 600, &link, &err));
    assert_memory_equal(link.data, "http://127.0.0.1:", 17);
    SUITE_REFUSED(xb_store_presign_get(store, "x", NULL, 0, &link, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_presign_get(store, "x", NULL, 604801, &link, &err), XB_ERR_INVALID);
    SUITE_REFUSED(xb_store_presign_get(store, "x", "ftp://h", 60, &link, &err), XB_ERR_INVALID);
    struct xb_store *memory = NULL;
    SUITE_OK(xb_store_mem_open(&memory, &err));
    SUITE_REFUSED(xb_store_presign_get(memory, "x", NULL, 60, &link, &err), XB_ERR_INVALID);
    xb_buf_free(&link);
    xb_store_free(memory);
    xb_store_free(store);
    bucket_stop(bucket);
}

/* ---- refusals ---- */

static bool refuse(struct bucket *bucket, struct test_request *request, bool *keep)
{
    static const char *const answers[] = {
        "HTTP/1.1 403 X\r\nDate: Wed, 25 Nov 2020 10:00:00 GMT\r\n%s"
        "<Error><Code>RequestTimeTooSkewed</Code></Error>",
        "HTTP/1.1 301 X\r\nx-amz-bucket-region: eu-west-1\r\n%s",
        "HTTP/1.1 400 X\r\n%s<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1"
        "</Region></Error>",
        "HTTP/1.1 403 X\r\n%s<Error><Code>SignatureDoesNotMatch</Code><Message>bad\x1b[2J"
        "\xff</Message></Error>",
        "HTTP/1.1 404 X\r\n%s<Error><Code>NoSuchBucket</Code></Error>",
        "HTTP/1.1 507 X\r\n%s",
        "HTTP/1.1 418 X\r\n%s<html>teapot",
    };
    const char *answer = answers[bucket->mode];
    const char *body = strstr(answer, "%s") + 2;
    char text[1000];
    snprintf(text, sizeof text, "%.*sContent-Length: %zu\r\n\r\n%s", (int)(body - 2 - answer),
             answer, strlen(body), body);
    atomic_fetch_add(&bucket->seen, 1);
    *keep = test_send(request, text);
    return true;
}

/* Refusals say what to do, once, and in clean letters. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        enum xb_error_kind kind;
        const char *text;
    } wants[] = {{XB_ERR_DENIED, "clock differs"},
                 {XB_ERR_INVALID, "region eu-west-1"},
                 {XB_ERR_INVALID, "eu-north-1"},
                 {XB_ERR_DENIED, "(bad [2J?)"},
                 {XB_ERR_INVALID, "make the bucket"},
                 {XB_ERR_FULL, "disks are full"},
                 {XB_ERR_INVALID, "is the endpoint an S3 server"}};
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, NULL);
    int64_t offset = 0;
    bucket->fault = refuse;
    for (bucket->mode = 0; bucket->mode < (int)(sizeof wants / sizeof *wants); bucket->mode++) {
        struct xb_error err = XB_ERROR_INIT;
        atomic_store(&bucket->seen, 0);
        assert_true(xb_store_put(store, "name", "x", 1, NULL, &err) < 0);
        if (err.kind != wants[bucket->mode].kind || !strstr(err.text, wants[bucket->mode].text)) {
            print_error("%s: %s\n", xb_error_kind_name(err.kind), err.text);
        }
        assert_int_equal(err.kind, wants[bucket->mode].kind);
        assert_non_null(strstr(err.text, wants[bucket->mode].text));
        assert_int_equal(bucket->seen, 1);
        if (bucket->mode == 0) {
            assert_true(xb_store_s3_clock_offset(store, &offset));
            assert_true(offset < -INT64_C(86400) * 365 * INT64_C(1000000000));
        }
    }
    xb_store_free(store);
    bucket_stop(bucket);
}

static void elsewhere(struct xb_store_s3_options *options)
{
    options->bucket = "missing";
}

/* A bucket that is not there is no missing object. */
static void missing_bucket(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, elsewhere);
    struct xb_store_item item;
    SUITE_REFUSED(xb_store_stat(store, "name", &item, &err), XB_ERR_INVALID);
    xb_store_free(store);
    bucket_stop(bucket);
}

static void no_scratch(struct xb_store_s3_options *options)
{
    options->scratch_dir = "/nowhere/at/all";
}

/* Without a place to stage uploads they fail by its name. */
static void scratch(void **state)
{
    (void)state;
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, no_scratch);
    struct xb_store_upload *upload = NULL;
    struct xb_error err = XB_ERROR_INIT;
    assert_true(xb_store_upload_begin(store, "name", NULL, &upload, &err) < 0);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    suite_put(store, "name", "small ones need no scratch");
    xb_store_free(store);
    bucket_stop(bucket);
}

static char small_folder[100];

static void small_scratch(struct xb_store_s3_options *options)
{
    options->scratch_dir = small_folder;
}

/* A scratch folder that is full is named, and nothing of the upload appears. */
static void full_scratch(void **state)
{
    (void)state;
    snprintf(small_folder, sizeof small_folder, "/tmp/xb_s3_full_XXXXXX");
    assert_non_null(mkdtemp(small_folder));
    xb_store_s3_stage_memory(0); /* all of it on the disk */
    if (mount("tmpfs", small_folder, "tmpfs", 0, "size=128k") < 0) {
        print_message("full_scratch: skipped, cannot mount a small file system\n");
        skip(); /* only root may */
    }
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = bucket_open(bucket, small_scratch);
    static const char data[1 << 20];
    struct xb_store_upload *upload = NULL;
    struct xb_error told = XB_ERROR_INIT;
    SUITE_OK(xb_store_upload_begin(store, "name", NULL, &upload, &err));
    assert_true(xb_store_upload_write(upload, data, sizeof data, &told) < 0);
    assert_int_equal(told.kind, XB_ERR_FULL);
    assert_non_null(strstr(told.text, small_folder));
    assert_non_null(strstr(told.text, "make room there"));
    xb_store_upload_free(upload);
    suite_absent(store, "name");
    xb_store_free(store);
    bucket_stop(bucket);
}

/* Also after a failure, so that no mount stays behind. */
static int unmount(void **state)
{
    (void)state;
    xb_store_s3_stage_memory(XB_S3_STAGED_MEMORY_MAX);
    umount2(small_folder, MNT_DETACH);
    rmdir(small_folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_SUITE_TESTS(&suite),
        cmocka_unit_test(bad_reads),
        cmocka_unit_test(bad_pages),
        cmocka_unit_test(hostile_pages),
        cmocka_unit_test(stale_listings),
        cmocka_unit_test(bad_writes),
        cmocka_unit_test(no_conditions),
        cmocka_unit_test(parts),
        cmocka_unit_test(aborted),
        cmocka_unit_test(headers),
        cmocka_unit_test(md5_until_checked),
        cmocka_unit_test(sealed_bodies),
        cmocka_unit_test(changed_on_the_way),
        cmocka_unit_test(over_tls),
        cmocka_unit_test(client_certificates),
        cmocka_unit_test(kept_connection),
        cmocka_unit_test(links),
        cmocka_unit_test(refusals),
        cmocka_unit_test(missing_bucket),
        cmocka_unit_test(scratch),
        cmocka_unit_test_teardown(full_scratch, unmount),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
