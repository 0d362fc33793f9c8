/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures are those that AWS has published: the examples of the S3 API reference, and the cases
 * of its signing test suite that apply to S3 (whose paths are not normalised).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "shared/store/s3/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SUITE_HOST "example.amazonaws.com"
#define SUITE_TOKEN "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"

enum { HEADERS_MAX = 8, PARAMS_MAX = 4 };

struct example {
    const char *method, *path;                 /* not yet encoded */
    struct xb_sigv4_pair params[PARAMS_MAX];   /* of the query */
    struct xb_sigv4_pair headers[HEADERS_MAX]; /* with the host */
    const char *payload, *time;
    const char *canonical_query, *names; /* NULL: not looked at */
    const char *signature;
};

static struct xb_sigv4_key key_of(bool s3, struct xb_secret **ret_secret)
{
    struct xb_error err = XB_ERROR_INIT;
    const char *text = s3 ? "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
                          : "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    assert_int_equal(xb_secret_new(text, strlen(text), ret_secret, &err), 0);
    return (struct xb_sigv4_key){.id = s3 ? "AKIAIOSFODNN7EXAMPLE" : "AKIDEXAMPLE",
                                 .secret = *ret_secret,
                                 .region = "us-east-1",
                                 .service = s3 ? "s3" : "service"};
}

static size_t count_of(const struct xb_sigv4_pair *pairs, size_t max)
{
    size_t count = 0;
    while (count < max && pairs[count].name) {
        count++;
    }
    return count;
}

static void check(const struct example *example, bool s3)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
    struct xb_sigv4_key key = key_of(s3, &secret);
    struct xb_buf path = XB_BUF_INIT(4096);
    struct xb_buf query = XB_BUF_INIT(4096);
    struct xb_buf header = XB_BUF_INIT(4096);
    struct xb_sigv4_pair params[PARAMS_MAX];
    char signature[XB_SIGV4_HEX_BYTES];
    memcpy(params, example->params, sizeof params);
    assert_int_equal(xb_sigv4_path(&path, example->path, &err), 0);
    assert_int_equal(xb_sigv4_query(&query, params, count_of(params, PARAMS_MAX), &err), 0);
    const struct xb_sigv4_request request = {
        .method = example->method,
        .path = path.data,
        .query = query.data ? query.data : "",
        .headers = example->headers,
        .header_count = count_of(example->headers, HEADERS_MAX),
        .payload = example->payload ? example->payload : EMPTY,
        .time = example->time ? example->time : "20150830T123600Z"};
    if (example->canonical_query) {
        assert_string_equal(request.query, example->canonical_query);
    }
    assert_int_equal(xb_sigv4_signature(&key, &request, signature, &err), 0);
    assert_string_equal(signature, example->signature);
    assert_int_equal(xb_sigv4_authorize(&key, &request, &header, &err), 0);
    assert_non_null(strstr(header.data, signature));
    if (example->names) {
        assert_non_null(strstr(header.data, example->names));
    }
    xb_buf_free(&path);
    xb_buf_free(&query);
    xb_buf_free(&header);
}

#define S3_HOST                                                                                    \
    {                                                                                              \
        "host", "examplebucket.s3.amazonaws.com"                                                   \
    }
#define S3_DATE                                                                                    \
    {                                                                                              \
        "x-amz-date", "20130524T000000Z"                                                           \
    }
#define S3_TIME .time = "20130524T000000Z"
#define WELCOME "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"

/* The four examples with an Authorization header of the S3 API reference. */
static void reference_examples(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"GET", "/test.txt",
         .headers = {S3_HOST, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, S3_DATE},
         S3_TIME,
         .names = "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                  "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=",
         .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
        {"PUT", "/test$file.text",
         .headers = {S3_HOST,
                     {"date", "Fri, 24 May 2013 00:00:00 GMT"},
                     S3_DATE,
                     {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                     {"x-amz-content-sha256", WELCOME}},
         .payload = WELCOME, S3_TIME,
         .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
        {"GET", "/", .params = {{"lifecycle", ""}},
         .headers = {S3_HOST, {"x-amz-content-sha256", EMPTY}, S3_DATE}, S3_TIME,
         .canonical_query = "lifecycle=",
         .signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
        {"GET", "/", .params = {{"prefix", "J"}, {"max-keys", "2"}},
         .headers = {S3_HOST, {"x-amz-content-sha256", EMPTY}, S3_DATE}, S3_TIME,
         .canonical_query = "max-keys=2&prefix=J",
         .signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        check(&examples[i], true);
    }
}

#define HOST                                                                                       \
    {                                                                                              \
        "host", SUITE_HOST                                                                         \
    }
#define DATE                                                                                       \
    {                                                                                              \
        "x-amz-date", "20150830T123600Z"                                                           \
    }
#define FORM "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"

/* AWS's signing test suite. */
static void suite_cases(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"GET", "/", .headers = {HOST, DATE},
         .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        /* one header several times: joined in the order of their coming */
        {"GET", "/",
         .headers = {DATE,
                     {"my-header1", "value2"},
                     {"my-header1", "value2"},
                     HOST,
                     {"my-header1", "value1"}},
         .names = "SignedHeaders=host;my-header1;x-amz-date,",
         .signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
        /* blanks around and within */
        {"GET", "/",
         .headers = {HOST, {"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}, DATE},
         .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
        {"GET", "/\xe1\x88\xb4", .headers = {HOST, DATE},
         .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
        {"GET", "/example space/", .headers = {HOST, DATE},
         .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
        {"GET", "//", .headers = {HOST, DATE},
         .signature = "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e"},
        {"GET", "//example//", .headers = {HOST, DATE},
         .signature = "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
        {"GET", "/./", .headers = {HOST, DATE},
         .signature = "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145"},
        {"GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
         .headers = {HOST, DATE},
         .signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
        /* the order is that of the encoded names */
        {"GET", "/",
         .params = {{"Param-3", "Value3"}, {"Param", "Value2"}, {"\xe1\x88\xb4", "Value1"}},
         .headers = {HOST, DATE}, .canonical_query = "%E1%88%B4=Value1&Param=Value2&Param-3=Value3",
         .signature = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
        {"GET", "/", .params = {{"Param2", "value2"}, {"Param1", "value1"}},
         .headers = {HOST, DATE},
         .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"GET", "/", .params = {{"\xe1\x88\xb4", "bar"}}, .headers = {HOST, DATE},
         .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
        {"POST", "/", .params = {{"Param1", "value1"}}, .headers = {HOST, DATE},
         .signature = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
        {"GET", "/", .headers = {HOST, DATE, {"x-amz-security-token", SUITE_TOKEN}},
         .signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
        {"POST", "/",
         .headers = {{"content-type", "application/x-www-form-urlencoded"},
                     HOST,
                     {"content-length", "13"},
                     {"x-amz-content-sha256", FORM},
                     DATE},
         .payload = FORM,
         .signature = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        check(&examples[i], false);
    }
}

/* The canonical request and the text to sign, as the reference prints them. */
static void steps(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
    struct xb_sigv4_key key = key_of(true, &secret);
    const struct xb_sigv4_pair headers[] = {
        S3_DATE, {"x-amz-content-sha256", EMPTY}, S3_HOST, {"range", "bytes=0-9"}};
    const struct xb_sigv4_request request = {.method = "GET",
                                             .path = "/test.txt",
                                             .query = "",
                                             .headers = headers,
                                             .header_count = 4,
                                             .payload = EMPTY,
                                             S3_TIME};
    struct xb_buf canonical = XB_BUF_INIT(4096);
    struct xb_buf text = XB_BUF_INIT(4096);
    assert_int_equal(xb_sigv4_canonical(&request, &canonical, &err), 0);
    assert_string_equal(canonical.data, "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\n"
                                        "range:bytes=0-9\nx-amz-content-sha256:" EMPTY "\n"
                                        "x-amz-date:20130524T000000Z\n\n"
                                        "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY);
    assert_int_equal(xb_sigv4_to_sign(&key, &request, &text, &err), 0);
    assert_string_equal(text.data,
                        "AWS4-HMAC-SHA256\n20130524T000000Z\n"
                        "20130524/us-east-1/s3/aws4_request\n"
                        "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
    xb_buf_free(&canonical);
    xb_buf_free(&text);
}

static void presigned_is(bool s3, const struct example *example, int64_t lifetime_s,
                         const char *token, const char *want)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
    struct xb_sigv4_key key = key_of(s3, &secret);
    struct xb_sigv4_pair pairs[PARAMS_MAX + 6];
    struct xb_buf out = XB_BUF_INIT(4096);
    struct xb_sigv4_request request = {.method = example->method,
                                       .path = example->path,
                                       .query = "",
                                       .headers = example->headers,
                                       .header_count = 1,
                                       .payload = example->payload,
                                       .time = example->time};
    memcpy(pairs, example->params, sizeof example->params);
    struct xb_sigv4_presign presign = {.pairs = pairs,
                                       .count = count_of(example->params, PARAMS_MAX),
                                       .lifetime_s = lifetime_s,
                                       .token = token};
    assert_int_equal(xb_sigv4_presign(&key, &request, &presign, &out, &err), 0);
    if (want) {
        assert_string_equal(out.data, want);
    }
    assert_non_null(strstr(out.data, example->signature));
    xb_buf_free(&out);
}

/* Links: the reference's example, and cases of the suite. */
static void presigned(void **state)
{
    (void)state;
    static const struct example reference = {
        "GET",
        "/test.txt",
        .headers = {S3_HOST},
        .payload = XB_SIGV4_UNSIGNED,
        S3_TIME,
        .signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"};
    presigned_is(true, &reference, 86400, NULL,
                 "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F"
                 "20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&"
                 "X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
                 "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    struct example suite = {"GET",
                            "/",
                            .headers = {HOST},
                            .payload = EMPTY,
                            .time = "20150830T123600Z",
                            .signature =
                                "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"};
    presigned_is(false, &suite, 3600, NULL, NULL);
    suite.signature = "7ff2b50b376cb4d151970630573d6291dc128cc5c2a12ffb237f73cc53f67b6c";
    presigned_is(false, &suite, 3600, SUITE_TOKEN, NULL);
    suite.params[0] = (struct xb_sigv4_pair){"Param1", "value1"};
    suite.method = "POST";
    suite.signature = "a9ef26247f293bffe40eeff86a0480ba8c14d31503b2e0c3399e3a16bf1a3682";
    presigned_is(false, &suite, 3600, NULL, NULL);
}

/* A time is written in UTC without marks. */
static void times(void **state)
{
    (void)state;
    char text[XB_SIGV4_TIME_BYTES];
    xb_sigv4_time(INT64_C(1369353600999999999), text);
    assert_string_equal(text, "20130524T000000Z");
    xb_sigv4_time(INT64_C(1440938160000000000), text);
    assert_string_equal(text, "20150830T123600Z");
}

/* What is too large is refused, not cut. */
static void refused(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
    char long_text[400], signature[XB_SIGV4_HEX_BYTES];
    struct xb_sigv4_pair headers[XB_SIGV4_PAIRS_MAX + 1] = {{"host", "h"}};
    struct xb_sigv4_request request = {.method = "GET",
                                       .path = "/",
                                       .query = "",
                                       .headers = headers,
                                       .header_count = 1,
                                       .payload = EMPTY,
                                       S3_TIME};
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(xb_secret_new(long_text, sizeof long_text - 1, &secret, &err), 0);
    struct xb_sigv4_key key = {"id", secret, "r", "s3"};
    assert_true(xb_sigv4_signature(&key, &request, signature, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    key.region = long_text;
    secret->len = 40;
    assert_true(xb_sigv4_signature(&key, &request, signature, &err) < 0);
    key.region = "r";
    assert_int_equal(xb_sigv4_signature(&key, &request, signature, &err), 0);
    request.header_count = XB_SIGV4_PAIRS_MAX + 1;
    assert_true(xb_sigv4_signature(&key, &request, signature, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_examples),
        cmocka_unit_test(suite_cases),
        cmocka_unit_test(steps),
        cmocka_unit_test(presigned),
        cmocka_unit_test(times),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
