/* SPDX-License-Identifier: Apache-2.0
 *
 * What configurations say: YAML as JSON, kubeconfig files as kubectl reads them, a pod's own
 * account, and the refusal of every way to log in that would be ignored otherwise. And the cutting
 * of watch lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/file.h"
#include "shared/kube/config.h"
#include "shared/kube/lines.h"
#include "shared/kube/yaml.h"

static xb_json *yaml(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *json = NULL;
    if (xb_kube_yaml_parse(text, strlen(text), &json, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return json;
}

static void assert_yaml(const char *text, const char *expected)
{
    xb_json *json = yaml(text);
    assert_string_equal(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN), expected);
    json_object_put(json);
}

/* Scalars get the type that they look like, quoted ones stay text. */
static void yaml_values(void **state)
{
    (void)state;
    assert_yaml("a: 1\nb: -2.5\nc: true\nd: null\ne: ~\nf:\ng: text\n",
                "{\"a\":1,\"b\":-2.5,\"c\":true,\"d\":null,\"e\":null,\"f\":null,\"g\":\"text\"}");
    assert_yaml("a: '1'\nb: \"true\"\nc: 0o8\nd: 1.2.3\ne: 1e5x\nf: 2024-01-01\n",
                "{\"a\":\"1\",\"b\":\"true\",\"c\":\"0o8\",\"d\":\"1.2.3\",\"e\":\"1e5x\","
                "\"f\":\"2024-01-01\"}");
    /* As Go's readers have it: kubectl makes a mode of 0644, and a boolean of yes. */
    assert_yaml("[0644, -017, 0x1F, 0o17, 0b101, 1_000, +7, 08, 1e3, 1.0, .5, 1., 1.1, 0.1e-7]",
                "[420,-15,31,15,5,1000,7,8,1000,1,0.5,1,1.1,1e-08]");
    assert_yaml("[yes, No, on, OFF, y, N, 'yes', yEs, .inf, 1e999, 0x, -, +, ., 1e, 0b2, _1]",
                "[true,false,true,false,true,false,\"yes\",\"yEs\",\".inf\",\"1e999\","
                "\"0x\",\"-\",\"+\",\".\",\"1e\",\"0b2\",\"_1\"]");
    assert_yaml("- [1, {a: b}]\n- |\n  two\n  lines\n", "[[1,{\"a\":\"b\"}],\"two\\nlines\\n\"]");
    assert_yaml("{\"json\": [\"too\", 99999999999999999999]}", "{\"json\":[\"too\",1e+20]}");
    assert_null(yaml(""));
    assert_null(yaml("# only this\n"));
}

/* What nobody needs and what blows up is refused, with the place. */
static void yaml_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "a: &x 1\nb: *x\n", "a: !!str 1\n",       "a: 1\na: 2\n", "? [a]\n: 1\n",
        "a: [1\n",          "a: 1\n--- \nb: 2\n", "\x01",         "a: \"\\0\"\n",
        "&a [*a]\n",        "a: b: c\n",          "\t- x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_error err = XB_ERROR_INIT;
        xb_json *json = NULL;
        assert_true(xb_kube_yaml_parse(bad[i], strlen(bad[i]), &json, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        assert_non_null(strstr(err.text, "line "));
        assert_null(json);
    }
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    struct xb_error err = XB_ERROR_INIT;
    xb_json *json = NULL;
    assert_true(xb_kube_yaml_parse(deep, sizeof deep, &json, &err) < 0);
}

/* kubeconfig ----------------------------------------------------------------------------------- */

static char folder[] = "/tmp/xb-kube-XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_file_replace(in_folder(name), text, strlen(text), 0600, &err), 0);
}

static int parse(const char *cluster, const char *user, const char *context,
                 struct xb_kube_config **ret, struct xb_error *err)
{
    char text[4096];
    snprintf(text, sizeof text,
             "current-context: one\ncontexts:\n- name: one\n  context: {cluster: c, user: u, "
             "namespace: space}\n- name: two\n  context: {cluster: nothing, user: u}\n"
             "clusters:\n- name: c\n  cluster: {%s}\nusers:\n- name: u\n  user: {%s}\n",
             cluster, user);
    return xb_kube_config_parse(text, strlen(text), folder, context, ret, err);
}

/* Every supported way to log in arrives in the config. */
static void kubeconfig_logins(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_config *config = NULL;
    put("ca.pem", "CA FILE");
    put("key.pem", "KEY FILE");
    assert_int_equal(parse("server: 'https://h:6443//', certificate-authority: ca.pem",
                           "client-certificate-data: Q0VSVA==, client-key: key.pem", NULL, &config,
                           &err),
                     0);
    assert_string_equal(config->server, "https://h:6443");
    assert_string_equal(config->namespace, "space");
    assert_string_equal(config->ca_pem, "CA FILE");
    assert_string_equal(config->client_cert_pem, "CERT");
    assert_string_equal((char *)config->client_key_pem->data, "KEY FILE");
    assert_null(config->token);
    assert_false(config->insecure);
    xb_kube_config_free(config);
    config = NULL;
    assert_int_equal(parse("server: 'http://h', insecure-skip-tls-verify: true",
                           "token: abc, tokenFile: sub/token", "one", &config, &err),
                     0);
    assert_true(config->insecure);
    assert_null(config->token); /* the file wins, as with kubectl */
    assert_string_equal(config->token_file, in_folder("sub/token"));
    xb_kube_config_free(config);
    config = NULL;
    assert_int_equal(parse("server: 'https://h'", "token: abc", NULL, &config, &err), 0);
    assert_string_equal((char *)config->token->data, "abc");
    xb_kube_config_free(config);
}

/* What this client cannot do is said by its name, never ignored. */
static void kubeconfig_refused(void **state)
{
    (void)state;
    static const struct {
        const char *cluster, *user, *context, *said;
    } cases[] = {
        {"server: 'https://h'", "exec: {command: aws}", NULL, "'exec'"},
        {"server: 'https://h'", "auth-provider: {name: gcp}", NULL, "'auth-provider'"},
        {"server: 'https://h'", "username: a, password: b", NULL, "'username'"},
        {"server: 'https://h'", "token: t, as: root", NULL, "'as'"},
        {"server: 'https://h', tls-server-name: x", "token: t", NULL, "'tls-server-name'"},
        {"server: 'https://h', proxy-url: x", "token: t", NULL, "'proxy-url'"},
        {"server: 'ftp://h'", "token: t", NULL, "URL"},
        {"server: 'https://me@h'", "token: t", NULL, "URL"},
        {"certificate-authority: x", "token: t", NULL, "no server"},
        {"server: 'https://h'", "token: t", "two", "no server for cluster 'nothing'"},
        {"server: 'https://h'", "token: t", "three", "no context 'three'"},
        {"server: 'https://h'", "client-certificate-data: Q0VSVA==", NULL, "needs its key"},
        {"server: 'https://h'", "client-key-data: '%%%'", NULL, "client-key-data"},
        {"server: 'https://h', certificate-authority: missing", "token: t", NULL, "missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_kube_config *config = NULL;
        assert_true(parse(cases[i].cluster, cases[i].user, cases[i].context, &config, &err) < 0);
        assert_null(config);
        if (!strstr(err.text, cases[i].said)) {
            fail_msg("%s: not in: %s", cases[i].said, err.text);
        }
    }
}

/* KUBECONFIG joins files: the first that has something wins, missing files are passed over. */
static void kubeconfig_files(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_config *config = NULL;
    char list[1024];
    put("first", "contexts:\n- name: x\n  context: {cluster: c, user: u}\n"
                 "users:\n- name: u\n  user: {token: first}\n");
    put("second", "current-context: x\nclusters:\n- name: c\n  cluster: {server: 'https://s'}\n"
                  "users:\n- name: u\n  user: {token: second}\n");
    snprintf(list, sizeof list, "%s:%s::%s", in_folder("none"), in_folder("first"),
             in_folder("second"));
    setenv("KUBECONFIG", list, 1);
    assert_int_equal(xb_kube_config_load(NULL, NULL, &config, &err), 0);
    assert_string_equal(config->server, "https://s");
    assert_string_equal(config->namespace, "default");
    assert_string_equal((char *)config->token->data, "first");
    xb_kube_config_free(config);
    config = NULL;
    setenv("KUBECONFIG", in_folder("none"), 1);
    assert_int_equal(xb_kube_config_load(NULL, NULL, &config, &err), -ENOENT);
    assert_int_equal(err.kind, XB_ERR_NOT_FOUND);
    put("broken", "a: [");
    setenv("KUBECONFIG", in_folder("broken"), 1);
    assert_true(xb_kube_config_load(NULL, NULL, &config, &err) < 0);
    assert_non_null(strstr(err.text, "broken: YAML line"));
    unsetenv("KUBECONFIG");
}

/* The pod's own account, by IPv4 and IPv6. */
static void in_cluster(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_config *config = NULL;
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(xb_kube_config_in_cluster(folder, &config, &err), -ENOENT);
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    unlink(in_folder("token"));
    assert_int_equal(xb_kube_config_in_cluster(folder, &config, &err), -ENOENT);
    put("token", "abc\n");
    put("ca.crt", "CA");
    put("namespace", "velero\n");
    assert_int_equal(xb_kube_config_in_cluster(folder, &config, &err), 0);
    assert_string_equal(config->server, "https://[fd00::1]:443");
    assert_string_equal(config->namespace, "velero");
    assert_string_equal(config->ca_pem, "CA");
    assert_string_equal(config->token_file, in_folder("token"));
    xb_kube_config_free(config);
    config = NULL;
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    unlink(in_folder("namespace"));
    assert_int_equal(xb_kube_config_in_cluster(folder, &config, &err), 0);
    assert_string_equal(config->server, "https://10.0.0.1:443");
    assert_string_equal(config->namespace, "default");
    xb_kube_config_free(config);
    unsetenv("KUBERNETES_SERVICE_HOST");
}

/* Lines ------------------------------------------------------------------------------------------
 */

static int collect(void *context, const char *line, size_t len, struct xb_error *err)
{
    struct xb_buf *out = context;
    int r = xb_buf_append(out, line, len, err);
    return r ? r : xb_buf_append(out, "|", 1, err);
}

/* However the bytes are cut, the same lines come out. */
static void lines_cut(void **state)
{
    (void)state;
    static const char text[] = "one\ntwo\r\n\n\r\nthree four\nrest";
    struct xb_error err = XB_ERROR_INIT;
    for (size_t step = 1; step < sizeof text; step++) {
        struct xb_kube_lines lines = XB_KUBE_LINES_INIT;
        struct xb_buf out = XB_BUF_INIT(1000);
        for (size_t at = 0; at < strlen(text); at += step) {
            size_t len = strlen(text) - at < step ? strlen(text) - at : step;
            assert_int_equal(xb_kube_lines_feed(&lines, text + at, len, collect, &out, &err), 0);
        }
        assert_string_equal(out.data, "one|two|three four|");
        xb_kube_lines_reset(&lines);
        assert_int_equal(xb_kube_lines_feed(&lines, "x\n", 2, collect, &out, &err), 0);
        assert_string_equal(out.data, "one|two|three four|x|"); /* "rest" is forgotten */
        xb_kube_lines_done(&lines);
        xb_buf_free(&out);
    }
}

/* No line grows beyond the limit, and none holds a NUL. */
static void lines_limits(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_lines lines = XB_KUBE_LINES_INIT;
    struct xb_buf out = XB_BUF_INIT(XB_KUBE_LINE_BYTES_MAX + 10);
    char *piece = malloc(1 << 20);
    memset(piece, 'x', 1 << 20);
    for (int i = 0; i < XB_KUBE_LINE_BYTES_MAX >> 20; i++) {
        assert_int_equal(xb_kube_lines_feed(&lines, piece, 1 << 20, collect, &out, &err), 0);
    }
    assert_true(xb_kube_lines_feed(&lines, piece, 1, collect, &out, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    assert_int_equal(xb_kube_lines_feed(&lines, "\n", 1, collect, &out, &err), 0);
    assert_int_equal(out.len, XB_KUBE_LINE_BYTES_MAX + 1);
    assert_true(xb_kube_lines_feed(&lines, "a\0b\n", 4, collect, &out, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    free(piece);
    xb_kube_lines_done(&lines);
    xb_buf_free(&out);
}

int main(void)
{
    if (!mkdtemp(folder)) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_values),       cmocka_unit_test(yaml_refused),
        cmocka_unit_test(kubeconfig_logins), cmocka_unit_test(kubeconfig_refused),
        cmocka_unit_test(kubeconfig_files),  cmocka_unit_test(in_cluster),
        cmocka_unit_test(lines_cut),         cmocka_unit_test(lines_limits),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const names[] = {"ca.pem", "key.pem", "first", "second",
                                        "broken", "token",   "ca.crt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(in_folder(names[i]));
    }
    rmdir(folder);
    return failures;
}
