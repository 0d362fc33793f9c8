/* SPDX-License-Identifier: Apache-2.0
 *
 * What a location in S3 says: every key of Velero's plugin arrives in the driver's options, and
 * what is unknown or makes no sense is refused by name.
 */
#include "tests/harness/probe.h"

#include "shared/velero/location_s3.h"

static const struct xb_location_access access_of = {.namespace = "velero"};

/* A location with the given members of spec.config and, after them, others of spec. */
static xb_json *location(const char *provider, const char *config, const char *more)
{
    char text[2000];
    snprintf(text, sizeof text, "{\"spec\":{\"provider\":\"%s\",\"config\":{%s}%s}}", provider,
             config, more ? more : ",\"objectStorage\":{\"bucket\":\"b\"}");
    return probe_json(text);
}

static void refuse(const char *config, const char *more, const char *names)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = location("aws", config, more);
    XB_CLEANUP(xb_location_s3_done) struct xb_location_s3 s3;
    struct xb_error err = XB_ERROR_INIT;
    assert_true(xb_location_s3_read(json, &access_of, &s3, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    if (!strstr(err.text, names)) {
        fail_msg("'%s' does not name %s", err.text, names);
    }
    assert_null(s3.credentials);
}

static void providers(void **state)
{
    static const struct {
        const char *provider, *config;
        bool s3;
    } cases[] = {{"aws", "", true},
                 {"velero.io/aws", "", true},
                 {"minio", "\"s3Url\":\"http://h\"", true},
                 {"minio", "", false},
                 {"minio", "\"s3Url\":\"\"", false},
                 {"fs", "\"s3Url\":\"http://h\"", false},
                 {"xebec.io/fs", "", false},
                 {"", "", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        XB_CLEANUP(xb_json_putp)
        xb_json *json = location(cases[i].provider, cases[i].config, NULL);
        assert_int_equal(xb_location_is_s3(json), cases[i].s3);
    }
    assert_false(xb_location_is_s3(NULL));
}

static void least(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *json = location("aws", "", NULL);
    XB_CLEANUP(xb_location_s3_done) struct xb_location_s3 s3;
    PROBE_OK(xb_location_s3_read(json, &access_of, &s3, &err));
    assert_string_equal(s3.options.bucket, "b");
    assert_string_equal(s3.options.prefix, "");
    assert_null(s3.options.endpoint);
    assert_null(s3.options.region);
    assert_null(s3.options.profile);
    assert_null(s3.options.credentials); /* where the environment says */
    assert_null(s3.options.ca_pem);
    assert_null(s3.options.customer_key);
    assert_null(s3.options.checksum_algorithm); /* the driver's: CRC32 */
    assert_int_equal(s3.options.path_style, XB_S3_PATH_AUTO);
    assert_false(s3.options.insecure);
    assert_false(s3.options.read_only);
}

static void everything(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *json = location(
        "velero.io/aws",
        "\"region\":\"eu-west-1\",\"s3Url\":\"https://h:9000/\",\"publicUrl\":\"https://p\","
        "\"s3ForcePathStyle\":\"true\",\"kmsKeyId\":\"k\",\"serverSideEncryption\":\"aws:kms\","
        "\"signatureVersion\":\"4\",\"profile\":\"site\",\"insecureSkipTLSVerify\":\"1\","
        "\"enableSharedConfig\":\"True\",\"tagging\":\"a=b\",\"checksumAlgorithm\":\"\"",
        ",\"objectStorage\":{\"bucket\":\"b\",\"prefix\":\"/a/b//\",\"caCert\":\"Q0EK\"}");
    const struct xb_location_access reading = {.namespace = "velero", .read_only = true};
    XB_CLEANUP(xb_location_s3_done) struct xb_location_s3 s3;
    PROBE_OK(xb_location_s3_read(json, &reading, &s3, &err));
    assert_string_equal(s3.options.prefix, "a/b");
    assert_string_equal(s3.options.endpoint, "https://h:9000");
    assert_string_equal(s3.options.region, "eu-west-1");
    assert_string_equal(s3.options.profile, "site");
    assert_string_equal(s3.options.kms_key_id, "k");
    assert_string_equal(s3.options.server_side_encryption, "aws:kms");
    assert_string_equal(s3.options.tagging, "a=b");
    assert_string_equal(s3.options.checksum_algorithm, ""); /* none, not the default */
    assert_string_equal(s3.options.ca_pem, "CA\n");
    assert_int_equal(s3.options.path_style, XB_S3_PATH_YES);
    assert_true(s3.options.insecure);
    assert_true(s3.options.shared_config);
    assert_true(s3.options.read_only);
}

static void path_style(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *json = location("aws", "\"s3ForcePathStyle\":\"false\"", NULL);
    XB_CLEANUP(xb_location_s3_done) struct xb_location_s3 s3;
    PROBE_OK(xb_location_s3_read(json, &access_of, &s3, &err));
    assert_int_equal(s3.options.path_style, XB_S3_PATH_NO);
}

static void refused(void **state)
{
    (void)state;
    refuse("\"s3url\":\"http://h\"", NULL, "config.s3url");
    refuse("\"fspath\":\"/x\"", NULL, "config.fspath");
    refuse("\"bucket\":\"x\"", NULL, "config.bucket");
    refuse("\"region\":7", NULL, "config.region");
    refuse("\"s3Url\":\"h:9000\"", NULL, "s3Url");
    refuse("\"publicUrl\":\"ftp://h\"", NULL, "publicUrl");
    refuse("\"s3ForcePathStyle\":\"yes\"", NULL, "s3ForcePathStyle");
    refuse("\"insecureSkipTLSVerify\":\"maybe\"", NULL, "insecureSkipTLSVerify");
    refuse("\"enableSharedConfig\":\"2\"", NULL, "enableSharedConfig");
    refuse("\"signatureVersion\":\"1\"", NULL, "signatureVersion");
    refuse("\"checksumAlgorithm\":\"MD5\"", NULL, "checksumAlgorithm");
    refuse("\"kmsKeyId\":\"k\",\"customerKeyEncryptionFile\":\"/k\"", NULL,
           "customerKeyEncryptionFile");
    refuse("", ",\"objectStorage\":{\"bucket\":\"b/c\"}", "objectStorage.prefix");
    refuse("", ",\"objectStorage\":{}", "objectStorage.bucket");
    refuse("", ",\"objectStorage\":{\"bucket\":\"b\",\"caCert\":\"Q0EK\",\"caCertRef\":{}}",
           "caCertRef");
    /* What names a Secret asks for a cluster; what is no name is not asked for. */
    refuse("", ",\"objectStorage\":{\"bucket\":\"b\"},\"credential\":{\"name\":\"s\"}",
           "spec.credential");
    refuse("", ",\"objectStorage\":{\"bucket\":\"b\"},\"credential\":{\"name\":\"../s\"}",
           "not the name of a Secret");
    refuse("\"customerKeyEncryptionSecret\":\"s\"", NULL, "SECRET/KEY");
    refuse("\"customerKeyEncryptionSecret\":\"s/k/x\"", NULL, "SECRET/KEY");
    refuse("\"customerKeyEncryptionSecret\":\"s/k\"", NULL, "customerKeyEncryptionSecret");
}

/* 32 bytes, whatever they are; a newline after them is an editor's. */
static void customer_key(void **state)
{
    static const char bytes[] = "0123456789abcdef0123456789abcde\n\n";
    const char *path = probe_path(state, "customer-key");
    char config[PATH_MAX + 100];
    snprintf(config, sizeof config, "\"customerKeyEncryptionFile\":\"%s\"", path);
    probe_write(path, bytes, XB_S3_CUSTOMER_KEY_BYTES - 1);
    refuse(config, NULL, "31 bytes");
    for (size_t len = XB_S3_CUSTOMER_KEY_BYTES; len < sizeof bytes; len++) {
        probe_write(path, bytes, len);
        XB_CLEANUP(xb_json_putp) xb_json *json = location("aws", config, NULL);
        XB_CLEANUP(xb_location_s3_done) struct xb_location_s3 s3;
        PROBE_OK(xb_location_s3_read(json, &access_of, &s3, &err));
        assert_int_equal(s3.options.customer_key->len, XB_S3_CUSTOMER_KEY_BYTES);
        assert_int_equal(s3.options.customer_key->data[31], '\n');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(providers),  cmocka_unit_test(least),   cmocka_unit_test(everything),
        cmocka_unit_test(path_style), cmocka_unit_test(refused), cmocka_unit_test(customer_key),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
