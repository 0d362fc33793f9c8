/* SPDX-License-Identifier: Apache-2.0
 *
 * From options, addresses, files and the environment to the host, path and keys of requests; and
 * checksums against published values.
 */
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>

#include "shared/store/s3/checksum.h"
#include "shared/store/s3/credentials.h"
#include "shared/store/s3/endpoint.h"
#include "shared/store/s3/listing.h"
#include "tests/harness/probe.h"
#include "tests/harness/store_probe.h"
#include "tests/unit/shared/store/s3_server.h"

static const char *const variables[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONFIG_FILE",   "AWS_PROFILE",
                                        "AWS_REGION",        "AWS_DEFAULT_REGION",
                                        "AWS_ENDPOINT_URL",  "AWS_ENDPOINT_URL_S3",
                                        "AWS_CA_BUNDLE",     "HOME"};

static void clear_environment(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        unsetenv(variables[i]);
    }
}

/* ---- endpoints ---- */

static void place_is(const struct xb_store_s3_options *options, const char *host, const char *root,
                     bool tls)
{
    struct xb_s3_place place;
    SUITE_OK(xb_s3_place_find(options, NULL, "eu-west-1", &place, &err));
    assert_string_equal(place.host, host);
    assert_string_equal(place.root, root);
    assert_int_equal(place.tls, tls);
}

/* Where requests go, for each way of saying it. */
static void places(void **state)
{
    (void)state;
    static const struct {
        const char *bucket, *endpoint;
        enum xb_s3_path_style style;
        const char *host, *root;
        bool tls;
    } cases[] = {
        {"bucket", NULL, XB_S3_PATH_AUTO, "bucket.s3.eu-west-1.amazonaws.com", "/", true},
        {"bucket", NULL, XB_S3_PATH_YES, "s3.eu-west-1.amazonaws.com", "/bucket/", true},
        {"my.bucket", NULL, XB_S3_PATH_AUTO, "s3.eu-west-1.amazonaws.com", "/my.bucket/", true},
        {"bucket", "http://10.0.0.1:9000", XB_S3_PATH_AUTO, "10.0.0.1:9000", "/bucket/", false},
        {"bucket", "https://S3.Local", XB_S3_PATH_AUTO, "s3.local", "/bucket/", true},
        {"bucket", "https://s3.local", XB_S3_PATH_NO, "bucket.s3.local", "/", true},
        {"bucket", "https://s3.local:443/", XB_S3_PATH_YES, "s3.local", "/bucket/", true},
        {"bucket", "http://s3.local:80", XB_S3_PATH_YES, "s3.local", "/bucket/", false},
        {"bucket", "http://s3.local:443", XB_S3_PATH_YES, "s3.local:443", "/bucket/", false},
        {"bucket", "http://[::1]:9000", XB_S3_PATH_AUTO, "[::1]:9000", "/bucket/", false},
        {"bucket", "http://[fe80::1]", XB_S3_PATH_AUTO, "[fe80::1]", "/bucket/", false},
        {"bucket", "https://gw.local/s3/", XB_S3_PATH_AUTO, "gw.local", "/s3/bucket/", true},
        {"Old_Bucket", "https://gw.local", XB_S3_PATH_AUTO, "gw.local", "/Old_Bucket/", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct xb_store_s3_options options = {
            .bucket = cases[i].bucket, .endpoint = cases[i].endpoint, .path_style = cases[i].style};
        place_is(&options, cases[i].host, cases[i].root, cases[i].tls);
    }
    struct xb_s3_place china;
    const struct xb_store_s3_options options = {.bucket = "bucket"};
    SUITE_OK(xb_s3_place_find(&options, NULL, "cn-north-1", &china, &err));
    assert_string_equal(china.host, "bucket.s3.cn-north-1.amazonaws.com.cn");
}

/* What cannot be an endpoint or a bucket is refused, and no credentials are repeated. */
static void bad_places(void **state)
{
    (void)state;
    static const char *const endpoints[] = {"s3.local",
                                            "ftp://s3.local",
                                            "http://",
                                            "http:///",
                                            "http://a b",
                                            "http://user:secret@s3.local",
                                            "http://s3.local:123456",
                                            "http://[::1",
                                            "http://[]:1",
                                            "http://[fe80::1%25eth0]",
                                            "http://s3.local/a?b",
                                            "http://s3.local/a b",
                                            "http://s3.local\r\nX: y"};
    static const char *const buckets[] = {"", "a/b", "a?b", "../x", "a b", "-a", "\xc3\xa9"};
    struct xb_s3_place place;
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        struct xb_error err = XB_ERROR_INIT;
        const struct xb_store_s3_options options = {.bucket = "bucket", .endpoint = endpoints[i]};
        assert_true(xb_s3_place_find(&options, NULL, "r", &place, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_null(strstr(err.text, "secret"));
    }
    for (size_t i = 0; i < sizeof buckets / sizeof *buckets; i++) {
        const struct xb_store_s3_options options = {.bucket = buckets[i], .endpoint = "http://h"};
        SUITE_REFUSED(xb_s3_place_find(&options, NULL, "r", &place, &err), XB_ERR_INVALID);
    }
    const struct xb_store_s3_options dotted = {.bucket = "a.b", .path_style = XB_S3_PATH_NO};
    SUITE_REFUSED(xb_s3_place_find(&dotted, NULL, "r", &place, &err), XB_ERR_INVALID);
    const struct xb_store_s3_options plain = {.bucket = "bucket"};
    SUITE_REFUSED(xb_s3_place_find(&plain, NULL, "r/../x", &place, &err), XB_ERR_INVALID);
}

/* ---- credentials ---- */

struct folder {
    char path[100];
};

static void write_file(const struct folder *folder, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static struct folder make_home(void)
{
    struct folder folder = {.path = "/tmp/xb_s3_options_XXXXXX"};
    char aws[200];
    clear_environment();
    assert_non_null(mkdtemp(folder.path));
    snprintf(aws, sizeof aws, "%s/.aws", folder.path);
    assert_int_equal(mkdir(aws, 0700), 0);
    setenv("HOME", folder.path, 1);
    return folder;
}

static void remove_home(const struct folder *folder)
{
    clear_environment();
    nftw(folder->path, probe_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* "id secret token region" of what the options lead to. */
static void credentials_are(const struct xb_store_s3_options *options, const char *want)
{
    struct xb_s3_credentials got;
    char text[500];
    SUITE_OK(xb_s3_credentials_load(options, &got, &err));
    snprintf(text, sizeof text, "%s %s %s %s", got.id, (const char *)got.secret->data,
             got.token ? (const char *)got.token->data : "-", got.region);
    assert_string_equal(text, want);
    xb_s3_credentials_done(&got);
}

/* Each place is looked at in its turn, and parts of two are never mixed. */
static void credential_chain(void **state)
{
    (void)state;
    struct folder home = make_home();
    struct xb_store_s3_options options = {.bucket = "b"};
    struct xb_s3_credentials none;
    SUITE_REFUSED(xb_s3_credentials_load(&options, &none, &err), XB_ERR_DENIED);
    write_file(&home, ".aws/credentials",
               "# mine\r\n[default]\r\naws_access_key_id = FILE\r\n"
               "aws_secret_access_key=file/secret+=\r\naws_session_token = filetoken\r\n\r\n"
               "[prod]\naws_access_key_id=PROD\naws_secret_access_key = prodsecret\n"
               "region = eu-west-3\n[half]\naws_access_key_id = HALF\n");
    write_file(
        &home, ".aws/config",
        "[default]\nregion = us-west-2\ns3 =\n    region = nested\n[profile prod]\n"
        "region = from-config\naws_session_token = stray\n[profile new]\naws_access_key_id = NEW\n"
        "aws_secret_access_key = newsecret\n");
    credentials_are(&options, "FILE file/secret+= filetoken us-east-1");
    options.shared_config = true;
    credentials_are(&options, "FILE file/secret+= filetoken us-west-2");
    options.profile = "prod";
    credentials_are(&options, "PROD prodsecret - eu-west-3");
    options.profile = "new";
    credentials_are(&options, "NEW newsecret - us-east-1");
    options.profile = "half";
    SUITE_REFUSED(xb_s3_credentials_load(&options, &none, &err), XB_ERR_INVALID);
    options.profile = "absent";
    SUITE_REFUSED(xb_s3_credentials_load(&options, &none, &err), XB_ERR_DENIED);
    options.profile = NULL;
    setenv("AWS_PROFILE", "prod", 1);
    credentials_are(&options, "PROD prodsecret - eu-west-3");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1);
    credentials_are(&options, "ENV envsecret - from-config"); /* and no other's token */
    setenv("AWS_SESSION_TOKEN", "envtoken", 1);
    setenv("AWS_DEFAULT_REGION", "d", 1);
    credentials_are(&options, "ENV envsecret envtoken d");
    setenv("AWS_REGION", "r", 1);
    credentials_are(&options, "ENV envsecret envtoken r");
    options.region = "own";
    options.profile = "prod"; /* asked for: before the environment's keys */
    credentials_are(&options, "PROD prodsecret - own");
    options.profile = NULL;
    unsetenv("AWS_PROFILE");
    options.credentials = BUCKET_CREDENTIALS;
    credentials_are(&options, "AKID secret - own");
    options.credentials = "[other]\naws_access_key_id = x\n";
    SUITE_REFUSED(xb_s3_credentials_load(&options, &none, &err), XB_ERR_DENIED);
    remove_home(&home);
}

/* Keys that would break a header are refused, and not repeated in the text. */
static void bad_credentials(void **state)
{
    (void)state;
    clear_environment();
    static const char *const texts[] = {
        "[default]\naws_access_key_id = A B\naws_secret_access_key = hidden\n",
        "[default]\naws_access_key_id = A\naws_secret_access_key = hid den\n",
        "[default]\naws_access_key_id = A\naws_secret_access_key = hid\x01"
        "den\n",
        "[default]\naws_access_key_id = A\naws_secret_access_key = hidden\nregion = a b\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct xb_s3_credentials none;
        struct xb_error err = XB_ERROR_INIT;
        const struct xb_store_s3_options options = {.bucket = "b", .credentials = texts[i]};
        assert_true(xb_s3_credentials_load(&options, &none, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_null(strstr(err.text, "hid"));
    }
}

/* ---- addresses ---- */

static void address_is(const char *url, const char *want)
{
    struct xb_store *store = NULL;
    SUITE_OK(xb_store_open(url, NULL, &store, &err));
    assert_string_equal(xb_store_describe(store), want);
    assert_true(xb_store_is_bucket(store));
    xb_store_free(store);
}

/* Addresses as people write them, with their parameters and the environment's. */
static void addresses(void **state)
{
    (void)state;
    struct folder home = make_home();
    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    address_is("s3://bucket", "s3://bucket");
    address_is("s3://bucket/", "s3://bucket");
    address_is("s3://bucket/a/b/", "s3://bucket/a/b");
    address_is("s3://bucket/a%20b?region=eu-west-1&pathStyle=true", "s3://bucket/a b");
    address_is("s3://bucket?endpoint=http://127.0.0.1:9000&checksum=&insecure=true", "s3://bucket");
    address_is("s3://bucket?endpoint=http%3A%2F%2F127.0.0.1%3A9000", "s3://bucket");
    static const char *const bad[] = {"s3://",
                                      "s3:///prefix",
                                      "s3://bucket/../x",
                                      "s3://bucket/a//b",
                                      "s3://bucket?unknown=1",
                                      "s3://bucket?region",
                                      "s3://bucket?insecure=yes",
                                      "s3://bucket?pathStyle=1",
                                      "s3://bucket?checksum=MD5",
                                      "s3://bucket?endpoint=nowhere",
                                      "s3://bucket?region=%zz",
                                      "s3://bucket/%2",
                                      "s3://bucket?secretKey=x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_store *store = NULL;
        SUITE_REFUSED(xb_store_open(bad[i], NULL, &store, &err), XB_ERR_INVALID);
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_store *store = NULL;
    assert_true(xb_store_open("s3://AKID:hidden@bucket", NULL, &store, &err) < 0);
    assert_null(strstr(err.text, "hidden"));
    assert_true(xb_store_open("s3://bucket?speed=1", NULL, &store, &err) < 0);
    assert_non_null(strstr(err.text, "'speed'"));
    remove_home(&home);
}

/* The environment's endpoints are used: the one for S3 before the general one. */
static void environment_endpoint(void **state)
{
    (void)state;
    struct folder home = make_home();
    struct bucket *bucket = bucket_start(NULL);
    struct xb_store *store = NULL;
    char endpoint[100];
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", bucket->server.port);
    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
    setenv("AWS_ENDPOINT_URL_S3", endpoint, 1);
    SUITE_OK(xb_store_open("s3://bucket/x", NULL, &store, &err));
    suite_put(store, "name", "text");
    suite_holds(store, "name", "text");
    assert_string_equal(bucket->objects[0].key, "x/name");
    xb_store_free(store);
    bucket_stop(bucket);
    remove_home(&home);
}

/* Options that make no sense together are refused when the store is opened. */
static void bad_options(void **state)
{
    (void)state;
    struct xb_secret short_key = {.len = 5, .data = (unsigned char *)(uintptr_t) "12345"};
    struct xb_secret key = {
        .len = 32, .data = (unsigned char *)(uintptr_t) "0123456789abcdef0123456789abcdef"};
    const struct xb_store_s3_options good = {
        .bucket = "b", .endpoint = "https://h", .credentials = BUCKET_CREDENTIALS};
    struct xb_store_s3_options bad[8] = {good, good, good, good, good, good, good, good};
    bad[0].customer_key = &short_key;
    bad[1].customer_key = &key;
    bad[1].endpoint = "http://h"; /* the key would be sent in the clear */
    bad[2].tagging = "a=b\r\nX: y";
    bad[3].server_side_encryption = "a\nb";
    bad[4].kms_key_id = "\x7f";
    bad[5].prefix = "a/../b";
    bad[6].checksum_algorithm = "crc32";
    bad[7].bucket = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_store *store = NULL;
        SUITE_REFUSED(xb_store_s3_open(&bad[i], &store, &err), XB_ERR_INVALID);
    }
    struct xb_store_s3_options files = good;
    struct xb_store *store = NULL;
    files.ca_file = "/nowhere/ca.pem";
    SUITE_REFUSED(xb_store_s3_open(&files, &store, &err), XB_ERR_NOT_FOUND);
}

/* ---- checksums ---- */

static void checksum_is(enum xb_s3_checksum which, const char *text, const char *want)
{
    struct xb_s3_digests digests;
    char got[XB_S3_DIGEST_TEXT_BYTES];
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++) { /* in two pieces, cut anywhere */
        SUITE_OK(xb_s3_digests_begin(&digests, 1U << which, &err));
        SUITE_OK(xb_s3_digests_add(&digests, text, cut, &err));
        SUITE_OK(xb_s3_digests_add(&digests, text + cut, len - cut, &err));
        SUITE_OK(xb_s3_digests_text(&digests, which, got, &err));
        assert_string_equal(got, want);
        xb_s3_digests_done(&digests);
    }
}

/* The check values of the catalogues of CRCs ("123456789": cbf43926, e3069283), and RFCs' digests.
 */
static void checksums(void **state)
{
    (void)state;
    static const char zeros[32];
    assert_int_equal(xb_s3_crc(XB_S3_CRC32, 0, "123456789", 9), 0xcbf43926);
    assert_int_equal(xb_s3_crc(XB_S3_CRC32C, 0, "123456789", 9), 0xe3069283);
    assert_int_equal(xb_s3_crc(XB_S3_CRC32C, 0, zeros, 32), 0x8a9136aa); /* RFC 3720 */
    checksum_is(XB_S3_CRC32, "123456789", "y/Q5Jg==");
    checksum_is(XB_S3_CRC32C, "123456789", "4waSgw==");
    checksum_is(XB_S3_CRC32, "The quick brown fox jumps over the lazy dog", "QU+jOQ==");
    checksum_is(XB_S3_SHA1, "abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    checksum_is(XB_S3_SHA256, "abc", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    checksum_is(XB_S3_MD5, "", "1B2M2Y8AsgTpgAmY7PhCfg==");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),           cmocka_unit_test(bad_places),
        cmocka_unit_test(credential_chain), cmocka_unit_test(bad_credentials),
        cmocka_unit_test(addresses),        cmocka_unit_test(environment_endpoint),
        cmocka_unit_test(bad_options),      cmocka_unit_test(checksums),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
