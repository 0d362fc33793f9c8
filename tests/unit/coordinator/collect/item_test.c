/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects on their way into the tarball: what is taken from their text, what is put into it, and
 * what a claim loses. And the blocks that pods form.
 */
#include "tests/harness/probe.h"

#include "coordinator/collect/internal.h"
#include "coordinator/collect/item.h"

static const struct xb_kube_resource deployments = {"apps", "v1", "deployments", "Deployment",
                                                    true};

static void check_head(const char *text, const char *want)
{
    XB_CLEANUP(xb_json_putp) xb_json *head = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *expected = probe_json(want);
    PROBE_OK(xb_item_head(text, strlen(text), &deployments, &head, &err));
    if (!json_object_equal(head, expected)) {
        fail_msg("%s: %s", text, json_object_to_json_string(head));
    }
}

static void heads(void **state)
{
    (void)state;
    check_head(
        "{\"metadata\":{\"name\":\"n\",\"namespace\":\"x\",\"uid\":\"u\",\"labels\":{\"a\":\"b\"},"
        "\"managedFields\":[{\"a\":{}}]},\"spec\":{\"metadata\":1},\"status\":{\"phase\":\"P\"}}",
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"n\","
        "\"namespace\":\"x\",\"uid\":\"u\",\"labels\":{\"a\":\"b\"}},\"status\":{\"phase\":\"P\"}"
        "}");
    check_head(" {\"kind\":\"K\" , \"apiVersion\":\"v2\",\"metadata\":{\"deletionTimestamp\":\"t\","
               "\"name\":\"\\u003cn\"}}",
               "{\"apiVersion\":\"v2\",\"kind\":\"K\",\"metadata\":{\"name\":\"<n\","
               "\"deletionTimestamp\":\"t\"}}");
}

static void no_heads(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "7",
                                      "{\"metadata\":{}}",
                                      "{\"metadata\":{\"name\":7}}",
                                      "{\"metadata\":[\"name\"]}",
                                      "{\"metadata\":{\"name\":\"n\"}",
                                      "{\"metadata\":{\"name\":\"n\"]}",
                                      "{\"metadata\":{\"name\":\"n\"}} x",
                                      "{\"metadata\":{\"name\":\"n\",\"labels\":{\"a\" 1}}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_error err = XB_ERROR_INIT;
        xb_json *head = NULL;
        if (xb_item_head(bad[i], strlen(bad[i]), &deployments, &head, &err) == 0 ||
            err.kind != XB_ERR_CORRUPT) {
            fail_msg("%s", bad[i]);
        }
    }
}

/* Deeper than any parser here goes: such an object is passed on all the same. */
static void deep(void **state)
{
    (void)state;
    enum { DEPTH = 300 };
    char text[2 * DEPTH + 100];
    XB_CLEANUP(xb_json_putp) xb_json *head = NULL;
    size_t len = (size_t)snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"n\"},\"spec\":");
    memset(text + len, '[', DEPTH);
    memset(text + len + DEPTH, ']', DEPTH);
    len += 2 * DEPTH;
    text[len++] = '}';
    PROBE_OK(xb_item_head(text, len, &deployments, &head, &err));
    assert_string_equal(xb_json_str(head, "metadata.name", ""), "n");
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{\"metadata\":{}}",
         "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{}}"},
        {" {\"kind\":\"K\",\"a\":1e3}", "{\"apiVersion\":\"apps/v1\",\"kind\":\"K\",\"a\":1e3}"},
        {"{\"apiVersion\":\"v\",\"kind\":\"K\"}", "{\"apiVersion\":\"v\",\"kind\":\"K\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_buf out = XB_BUF_INIT(1000);
        PROBE_OK(xb_item_text(cases[i].text, strlen(cases[i].text), &deployments, &out, &err));
        assert_int_equal(out.len, strlen(cases[i].want));
        assert_memory_equal(out.data, cases[i].want, out.len);
        xb_buf_free(&out);
    }
}

static void check_claim(const char *claim, const char *want)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = probe_json(claim);
    XB_CLEANUP(xb_json_putp) xb_json *expected = probe_json(want);
    xb_item_clean_claim(json, "now");
    if (!json_object_equal(json, expected)) {
        fail_msg("%s: %s", claim, json_object_to_json_string(json));
    }
}

static void claims(void **state)
{
    (void)state;
    check_claim("{\"metadata\":{\"labels\":{\"velero.io/restore-name\":\"r\",\"a\":\"b\","
                "\"velero.io/backup-name\":\"old\",\"velero.io/volume-snapshot-name\":\"s\","
                "\"backup.velero.io/must-include-additional-items\":\"true\"}},"
                "\"spec\":{\"volumeName\":\"v\",\"dataSource\":{},\"dataSourceRef\":{},"
                "\"selector\":{\"matchLabels\":{\"x\":\"y\"}}},\"status\":{\"phase\":\"Bound\"}}",
                "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"volumeName\":\"v\"},"
                "\"status\":{\"phase\":\"Bound\"}}");
    /* The class "" keeps the selector, but for Velero's labels in it; this backup's label stays. */
    check_claim("{\"metadata\":{\"labels\":{\"velero.io/backup-name\":\"now\"}},\"spec\":{"
                "\"volumeName\":\"v\",\"storageClassName\":\"\",\"selector\":{\"matchLabels\":{"
                "\"x\":\"y\",\"velero.io/a\":\"1\",\"velero.io/b\":\"2\"}}},"
                "\"status\":{\"phase\":\"Bound\"}}",
                "{\"metadata\":{\"labels\":{\"velero.io/backup-name\":\"now\"}},\"spec\":{"
                "\"volumeName\":\"v\",\"storageClassName\":\"\",\"selector\":{\"matchLabels\":{"
                "\"x\":\"y\"}}},\"status\":{\"phase\":\"Bound\"}}");
    static const char pending[] =
        "{\"metadata\":{\"labels\":{\"velero.io/restore-name\":\"r\"}},"
        "\"spec\":{\"dataSource\":{}},\"status\":{\"phase\":\"Pending\"}}";
    check_claim(pending, pending);
}

static void add_pod(struct xb_blocks *blocks, const char *name, const char *phase,
                    const char *claims_text)
{
    char text[600];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\",\"uid\":\"%s\"},\"spec\":{\"volumes\":"
        "[%s]},\"status\":{\"phase\":\"%s\"}}",
        name, name, claims_text, phase);
    XB_CLEANUP(xb_json_putp) xb_json *pod = probe_json(text);
    PROBE_OK(xb_blocks_add(blocks, pod, &err));
}

static void group_claim(struct xb_blocks *blocks, const char *name, const char *group)
{
    char text[200];
    snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\"}}", name);
    XB_CLEANUP(xb_json_putp) xb_json *claim = probe_json(text);
    PROBE_OK(xb_blocks_group(blocks, claim, group, &err));
}

#define CLAIM(name) "{\"persistentVolumeClaim\":{\"claimName\":\"" name "\"}}"

static void blocks(void **state)
{
    (void)state;
    struct xb_blocks *joined = NULL;
    PROBE_OK(xb_blocks_new(&joined, &err));
    add_pod(joined, "a", "Running", CLAIM("x"));
    add_pod(joined, "b", "Running", CLAIM("y"));
    add_pod(joined, "c", "Running", "{\"emptyDir\":{}}");
    add_pod(joined, "d", "Succeeded", CLAIM("x"));
    add_pod(joined, "e", "Running", CLAIM("y") "," CLAIM("x"));
    xb_blocks_join_all(joined, true);
    add_pod(joined, "f", "Running", CLAIM("z"));
    add_pod(joined, "g", "Pending", "");
    xb_blocks_join_all(joined, false);
    add_pod(joined, "h", "Running", CLAIM("z"));
    for (int i = 0; i < 100; i++) {
        char claim[100];
        snprintf(claim, sizeof claim, CLAIM("other-%d"), i);
        add_pod(joined, "i", "Running", claim);
    }
    group_claim(joined, "other-98", "g");
    group_claim(joined, "nobody's", "g");
    group_claim(joined, "other-3", "g");
    group_claim(joined, "y", "another");
    xb_blocks_finish(joined);
    static const char *const want[] = {"a b e", "c", "d", "f g h"};
    struct xb_block_pod *pods = NULL;
    size_t at = 0;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char got[100] = "";
        size_t count = xb_blocks_at(joined, at, &pods);
        for (size_t j = 0; j < count; j++) {
            size_t len = strlen(got);
            snprintf(got + len, sizeof got - len, "%s%s", j ? " " : "", pods[j].name);
        }
        assert_string_equal(got, want[i]);
        at += count;
    }
    for (int i = 0; i < 100; i++) {
        size_t count = xb_blocks_at(joined, at, &pods);
        if (i < 99) {
            assert_int_equal(count, i == 3 ? 2 : 1);
        }
        at += count;
    }
    assert_int_equal(at, xb_blocks_count(joined));
    xb_blocks_free(joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads), cmocka_unit_test(no_heads), cmocka_unit_test(deep),
        cmocka_unit_test(texts), cmocka_unit_test(claims),   cmocka_unit_test(blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
