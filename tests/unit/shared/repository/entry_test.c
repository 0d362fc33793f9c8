/* SPDX-License-Identifier: Apache-2.0
 *
 * One entry of a directory: kopia's bytes, our own fields behind them, and nothing taken that is
 * not what it must be.
 */
#include "tests/harness/repository_probe.h"

#include "shared/codec/text.h"
#include "shared/repository/entry_internal.h"

#define OBJECT "fcab135b7e0a6e8bae2398343da4be9a"
#define HEAD "{\"name\":\"a\",\"type\":\"f\""
#define TAIL ",\"obj\":\"" OBJECT "\""

static int decode(const char *text, size_t len, struct xb_entry *ret, struct xb_error *err)
{
    return xb_entry_decode(text, len, ret, err);
}

static struct xb_entry decoded(const char *text)
{
    struct xb_entry entry;
    PROBE_OK(decode(text, strlen(text), &entry, &err));
    return entry;
}

static void refused(const char *text, const char *words)
{
    struct xb_entry entry;
    PROBE_REFUSED(decode(text, strlen(text), &entry, &err), XB_ERR_CORRUPT, words);
}

static void encodes(const struct xb_entry *entry, const char *want)
{
    struct xb_buf out = XB_BUF_INIT(1 << 20);
    PROBE_OK(xb_entry_encode(entry, &out, &err));
    assert_string_equal(out.data, want);
    xb_buf_free(&out);
}

/* Text to entry to text gives the same. */
static void survives(const char *text)
{
    struct xb_entry entry = decoded(text);
    encodes(&entry, text);
    xb_entry_free(&entry);
}

static struct xb_entry plain(const char *name)
{
    struct xb_entry entry = {.name = strdup(name), .type = XB_ENTRY_FILE, .object = {OBJECT}};
    assert_non_null(entry.name);
    return entry;
}

/* ---- kopia's own ---- */

static void kopias_entries(void **state)
{
    (void)state;
    static const char suid[] =
        "{\"name\":\"suid\",\"type\":\"f\",\"mode\":\"040000755\",\"size\":10,\"mtime\":"
        "\"2023-11-20T16:15:47.427237418Z\",\"obj\":\"fcab135b7e0a6e8bae2398343da4be9a\"}";
    struct xb_entry entry = decoded(suid);
    assert_string_equal(entry.name, "suid");
    assert_int_equal(entry.type, XB_ENTRY_FILE);
    assert_int_equal(entry.mode, 04755);
    assert_int_equal(entry.size, 10);
    assert_int_equal(entry.mtime_ns, 1700496947427237418);
    assert_int_equal(entry.uid, 0);
    assert_int_equal(entry.gid, 0);
    assert_string_equal(entry.object.text, OBJECT);
    assert_null(entry.summary);
    encodes(&entry, suid);
    xb_entry_free(&entry);
    /* A root entry of Velero's. */
    survives("{\"name\":\"b85c99f8-29b0-4869-a802-acd9241126e0\",\"type\":\"d\",\"mode\":\"0777\","
             "\"mtime\":\"2026-11-23T01:02:03.609934852Z\",\"obj\":"
             "\"kb5d4c94b16ac02d824f8ad101995ec6f\",\"summ\":{\"size\":70650082,\"files\":319,"
             "\"symlinks\":2,\"dirs\":14,\"maxTime\":\"2026-11-23T01:02:03.608439734Z\","
             "\"numFailed\":0}}");
    survives(HEAD ",\"size\":1,\"uid\":4294967295,\"gid\":7,\"obj\":\"IIx" OBJECT "\"}");
    survives("{\"name\":\"l\",\"type\":\"s\",\"mode\":\"0777\",\"size\":3,\"mtime\":"
             "\"1969-12-31T23:59:59.5Z\"" TAIL "}");
}

static void modes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t mode;
    } cases[] = {{"0644", 0644},       {"040000755", 04755}, {"020000755", 02755},
                 {"04000777", 01777},  {"064000777", 07777}, {"01", 1},
                 {"064000000", 07000}, {"0777", 0777}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        snprintf(text, sizeof text, HEAD ",\"mode\":\"%s\"" TAIL "}", cases[i].text);
        struct xb_entry entry = decoded(text);
        assert_int_equal(entry.mode, cases[i].mode);
        encodes(&entry, text);
        xb_entry_free(&entry);
    }
    /* Type bits of Go's, and other bits that mean nothing to us, are left out. */
    struct xb_entry entry = decoded(HEAD ",\"mode\":\"0200000755\"" TAIL "}");
    assert_int_equal(entry.mode, 0755);
    xb_entry_free(&entry);
    refused(HEAD ",\"mode\":\"0o755\"" TAIL "}", "mode");
    refused(HEAD ",\"mode\":\"0788\"" TAIL "}", "mode");
    refused(HEAD ",\"mode\":\"-1\"" TAIL "}", "mode");
    refused(HEAD ",\"mode\":\" 0755\"" TAIL "}", "mode");
    refused(HEAD ",\"mode\":\"0000000000755\"" TAIL "}", "mode");
    refused(HEAD ",\"mode\":755" TAIL "}", "mode");
}

static void zeros_are_left_out(void **state)
{
    (void)state;
    struct xb_entry entry = plain("a");
    encodes(&entry, HEAD TAIL "}");
    /* A directory's size is never said. */
    entry.type = XB_ENTRY_DIRECTORY;
    entry.size = 4096;
    encodes(&entry, "{\"name\":\"a\",\"type\":\"d\"" TAIL "}");
    xb_entry_free(&entry);
    /* And what is missing or null is zero. */
    entry = decoded("{\"obj\":\"" OBJECT "\",\"type\":\"f\",\"name\":\"a\",\"mode\":null,\"size\":"
                    "null,\"mtime\":null,\"uid\":null,\"gid\":null,\"summ\":null,\"x-link\":null,"
                    "\"x-xattr\":null,\"x-holes\":null,\"x-node\":null,\"x-name\":null,\"x-ino\":"
                    "null}");
    encodes(&entry, HEAD TAIL "}");
    xb_entry_free(&entry);
}

static void names_are_written_as_go_does(void **state)
{
    (void)state;
    struct xb_entry entry = plain("<a>&\"\\\n\x01\xe2\x80\xa8\xc3\xa9");
    encodes(&entry,
            "{\"name\":\"\\u003ca\\u003e\\u0026\\\"\\\\\\n\\u0001\\u2028\xc3\xa9\",\"type\":"
            "\"f\"" TAIL "}");
    xb_entry_free(&entry);
}

static void unknown_fields_are_no_matter(void **state)
{
    (void)state;
    struct xb_entry entry =
        decoded(HEAD ",\"x-future\":{\"a\":[1,{\"b\":null}]},\"Mode2\":7,\"fsz\":\"x\",\"size\":3"
                     ",\"devNo\":-1" TAIL "}");
    assert_int_equal(entry.size, 3);
    encodes(&entry, HEAD ",\"size\":3" TAIL "}");
    xb_entry_free(&entry);
}

static void wrong_types_are_refused(void **state)
{
    (void)state;
    refused("[]", "not an object");
    refused("7", "not an object");
    refused("\"a\"", "not an object");
    refused("{\"type\":\"f\"" TAIL "}", "name");
    refused("{\"name\":7,\"type\":\"f\"" TAIL "}", "name");
    refused("{\"name\":null,\"type\":\"f\"" TAIL "}", "name");
    refused("{\"name\":\"a\"" TAIL "}", "type");
    refused("{\"name\":\"a\",\"type\":1" TAIL "}", "type");
    refused("{\"name\":\"a\",\"type\":\"\"" TAIL "}", "type");
    refused("{\"name\":\"a\",\"type\":\"x\"" TAIL "}", "'x'");
    refused("{\"name\":\"a\",\"type\":\"df\"" TAIL "}", "'df'");
    refused("{\"name\":\"a\",\"type\":\"file\"" TAIL "}", "'file'");
    refused(HEAD "}", "obj");
    refused(HEAD ",\"obj\":1}", "obj");
    refused(HEAD ",\"obj\":\"\"}", NULL);
    refused(HEAD ",\"obj\":\"zz\"}", NULL);
    refused(HEAD ",\"size\":\"10\"" TAIL "}", "size");
    refused(HEAD ",\"size\":-1" TAIL "}", "size");
    refused(HEAD ",\"size\":1.5" TAIL "}", "size");
    refused(HEAD ",\"mtime\":5" TAIL "}", "mtime");
    refused(HEAD ",\"mtime\":\"\"" TAIL "}", "mtime");
    refused(HEAD ",\"mtime\":\"yesterday\"" TAIL "}", "mtime");
    refused(HEAD ",\"mtime\":\"9999-01-01T00:00:00Z\"" TAIL "}", "mtime");
    refused(HEAD ",\"uid\":-1" TAIL "}", "uid");
    refused(HEAD ",\"uid\":4294967296" TAIL "}", "uid");
    refused(HEAD ",\"gid\":4294967296" TAIL "}", "gid");
    refused(HEAD ",\"gid\":\"root\"" TAIL "}", "gid");
    refused(HEAD ",\"summ\":[]" TAIL "}", "summ");
    refused(HEAD ",\"summ\":{\"files\":\"3\"}" TAIL "}", "files");
    refused(HEAD ",\"summ\":{\"dirs\":-3}" TAIL "}", "dirs");
    refused(HEAD ",\"summ\":{\"maxTime\":\"x\"}" TAIL "}", "maxTime");
    refused(HEAD ",\"summ\":{\"incomplete\":true}" TAIL "}", "incomplete");
    refused(HEAD ",\"summ\":{\"errors\":{}}" TAIL "}", "errors");
}

/* ---- names ---- */

/* Velero's block uploads: of a path from the root the last part is the name. */
static void a_path_ends_in_a_name(void **state)
{
    (void)state;
    struct xb_entry entry = decoded("{\"name\":\"/host_pods/uid/dev-3\",\"type\":\"f\"" TAIL "}");
    assert_string_equal(entry.name, "dev-3");
    assert_false(entry.renamed);
    xb_entry_free(&entry);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",       ".",       "..",  "/",         "a/b",    "../..",
                                      "a/../b", "/etc/..", "/a/", "a\\u0000b", "\\u0000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300];
        snprintf(text, sizeof text, "{\"name\":\"%s\",\"type\":\"f\"" TAIL "}", bad[i]);
        refused(text, "name");
    }
    /* The raw name counts, whatever stands beside it: "", ".", "..", "a/b", "a" NUL, and no
     * base64. */
    static const char *const raw[] = {"", "Lg==", "Li4=", "YS9i", "YQA=", "YQ", "$$$$", "AAAA"};
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        char text[300];
        snprintf(text, sizeof text, "{\"name\":\"ok\",\"x-name\":\"%s\",\"type\":\"f\"" TAIL "}",
                 raw[i]);
        refused(text, NULL);
    }
    refused("{\"name\":\"ok\",\"x-name\":7,\"type\":\"f\"" TAIL "}", "x-name");
    static const char *const fine[] = {"...", "..a", ".a", " ", "-", "\\\\", "a:b", "*", "~"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        char text[300];
        snprintf(text, sizeof text, "{\"name\":\"%s\",\"type\":\"f\"" TAIL "}", fine[i]);
        survives(text);
    }
    struct xb_buf out = XB_BUF_INIT(1000);
    static const char *const unwritable[] = {"", ".", "..", "a/b"};
    for (size_t i = 0; i < 4; i++) {
        struct xb_entry entry = plain(unwritable[i]);
        PROBE_REFUSED(xb_entry_encode(&entry, &out, &err), XB_ERR_BUG, NULL);
        xb_entry_free(&entry);
    }
    xb_buf_free(&out);
}

static void long_names(void **state)
{
    (void)state;
    char *name = malloc(XB_ENTRY_NAME_BYTES_MAX + 2);
    char *text = malloc(3 * XB_ENTRY_NAME_BYTES_MAX);
    assert_non_null(name);
    assert_non_null(text);
    memset(name, 'n', XB_ENTRY_NAME_BYTES_MAX + 1);
    name[XB_ENTRY_NAME_BYTES_MAX] = '\0';
    snprintf(text, (size_t)3 * XB_ENTRY_NAME_BYTES_MAX, "{\"name\":\"%s\",\"type\":\"f\"" TAIL "}",
             name);
    survives(text);
    name[XB_ENTRY_NAME_BYTES_MAX] = 'n';
    name[XB_ENTRY_NAME_BYTES_MAX + 1] = '\0';
    snprintf(text, (size_t)3 * XB_ENTRY_NAME_BYTES_MAX, "{\"name\":\"%s\",\"type\":\"f\"" TAIL "}",
             name);
    refused(text, "too long");
    struct xb_buf raw = XB_BUF_INIT(100000);
    PROBE_OK(xb_buf_append_str(&raw, "{\"name\":\"a\",\"x-name\":\"", &err));
    PROBE_OK(xb_base64_encode(name, XB_ENTRY_NAME_BYTES_MAX + 1, &raw, &err));
    PROBE_OK(xb_buf_append_str(&raw, "\",\"type\":\"f\"" TAIL "}", &err));
    refused(raw.data, "too long");
    xb_buf_free(&raw);
    free(name);
    free(text);
}

/* Names that are no UTF-8 come back byte for byte; what kopia sees is UTF-8, and unique. */
static void raw_names_survive(void **state)
{
    (void)state;
    static const char *const names[] = {"\xff",          "caf\xe9",   "caf\xe8", "\xc0\x80",
                                        "a\xed\xa0\x80", "\xf5z\x80", "\xe9"};
    char stored[7][XB_ENTRY_STORED_NAME_BYTES];
    for (size_t i = 0; i < 7; i++) {
        struct xb_entry entry = plain(names[i]);
        struct xb_buf out = XB_BUF_INIT(10000);
        PROBE_OK(xb_entry_encode(&entry, &out, &err));
        assert_true(xb_utf8_valid(out.data, out.len));
        struct xb_entry again = decoded(out.data);
        assert_string_equal(again.name, names[i]);
        xb_entry_stored_name(names[i], stored[i]);
        assert_true(strlen(stored[i]) <= 255);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(stored[i], stored[k]);
        }
        xb_entry_free(&again);
        xb_entry_free(&entry);
        xb_buf_free(&out);
    }
    char longest[256];
    memset(longest, 0xe9, 255);
    longest[255] = '\0';
    xb_entry_stored_name(longest, stored[0]);
    longest[254] = (char)0xe8;
    xb_entry_stored_name(longest, stored[1]);
    /* With room for a number, should somebody else be called so. */
    assert_int_equal(strlen(stored[0]), 244);
    assert_string_not_equal(stored[0], stored[1]);
}

/* ---- our own fields ---- */

static void extra_fields_survive(void **state)
{
    (void)state;
    survives(HEAD
             ",\"size\":1048576" TAIL
             ",\"x-xattr\":{\"user.a\":\"AAEC/w==\",\"user.empty\":\"\"},\"x-link\":\"64768:12\""
             ",\"x-ino\":\"18446744073709551615\",\"x-ctime\":"
             "\"2026-01-01T00:00:00.000000001Z\",\"x-holes\":[0,4096,8192,1040384]}");
    survives(HEAD TAIL ",\"x-changed\":true}");
    survives(HEAD ",\"x-node\":\"p\"}");
    survives(HEAD ",\"x-node\":\"s\"}");
    survives(HEAD ",\"x-node\":\"b:8:4294967295\"}");
    survives(HEAD ",\"x-node\":\"c:0:0\"}");
    struct xb_entry entry =
        decoded(HEAD ",\"size\":100" TAIL ",\"x-xattr\":{\"user.a\":\"AAEC/w==\"},\"x-node\":"
                     "\"c:5:1\",\"x-holes\":[10,20,30,70]}");
    assert_int_equal(entry.xattr_count, 1);
    assert_string_equal(entry.xattrs[0].name, "user.a");
    assert_int_equal(entry.xattrs[0].len, 4);
    assert_memory_equal(entry.xattrs[0].value, "\x00\x01\x02\xff", 4);
    assert_int_equal(entry.node, 'c');
    assert_int_equal(entry.node_major, 5);
    assert_int_equal(entry.node_minor, 1);
    assert_int_equal(entry.hole_count, 2);
    assert_int_equal(entry.holes[1].offset, 30);
    assert_int_equal(entry.holes[1].len, 70);
    xb_entry_free(&entry);
}

static void extra_fields_are_checked(void **state)
{
    (void)state;
    static const char *const nodes[] = {"",
                                        "x",
                                        "pp",
                                        "b",
                                        "b:",
                                        "b:1",
                                        "b:1:",
                                        "b:1:2x",
                                        "b:-1:2",
                                        "b: 1:2",
                                        "c1:2",
                                        "c:1:2:3",
                                        "b:4294967296:0",
                                        "p:1:2"};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        char text[300];
        snprintf(text, sizeof text, HEAD TAIL ",\"x-node\":\"%s\"}", nodes[i]);
        refused(text, "x-node");
    }
    static const char *const holes[] = {"[0,0]",        "[0,-1]",  "[-1,5]",
                                        "[0,101]",      "[101,1]", "[50,10,55,10]",
                                        "[50,10,40,5]", "[90,11]", "[1,9223372036854775807]",
                                        "{}",           "\"x\""};
    for (size_t i = 0; i < sizeof holes / sizeof *holes; i++) {
        char text[300];
        snprintf(text, sizeof text, HEAD ",\"size\":100" TAIL ",\"x-holes\":%s}", holes[i]);
        refused(text, "x-holes");
    }
    refused(HEAD TAIL ",\"x-xattr\":[]}", "x-xattr");
    refused(HEAD TAIL ",\"x-xattr\":{\"user.a\":7}}", "x-xattr");
    refused(HEAD TAIL ",\"x-xattr\":{\"user.a\":null}}", "x-xattr");
    refused(HEAD TAIL ",\"x-xattr\":{\"user.a\":\"$\"}}", "x-xattr");
    refused(HEAD TAIL ",\"x-link\":7}", "x-link");
    refused(HEAD TAIL ",\"x-ctime\":\"x\"}", "x-ctime");
    refused(HEAD TAIL ",\"x-ctime\":1}", "x-ctime");
    refused(HEAD TAIL ",\"x-node\":1}", "x-node");
    /* What identifies a file is only for comparing: what it cannot be is unknown. */
    struct xb_entry entry = decoded(HEAD TAIL ",\"x-ino\":7}");
    assert_int_equal(entry.inode, 0);
    xb_entry_free(&entry);
}

static void only_files_have_holes(void **state)
{
    (void)state;
    static const char types[] = "ds";
    for (size_t i = 0; i < 2; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "{\"name\":\"a\",\"type\":\"%c\",\"size\":9" TAIL
                 ",\"x-holes\":[0,9],\"x-node\":\"p\"}",
                 types[i]);
        struct xb_entry entry = decoded(text);
        assert_int_equal(entry.hole_count, 0);
        assert_int_equal(entry.node, 0);
        xb_entry_free(&entry);
    }
}

/* An attribute's value has a size that the kernel could take; and there are not too many. */
static void attributes_have_limits(void **state)
{
    (void)state;
    unsigned char *value = calloc(1, XB_ENTRY_XATTR_BYTES_MAX + 1);
    assert_non_null(value);
    for (size_t len = XB_ENTRY_XATTR_BYTES_MAX; len <= XB_ENTRY_XATTR_BYTES_MAX + 1; len++) {
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        struct xb_entry entry;
        PROBE_OK(xb_buf_append_str(&text, HEAD TAIL ",\"x-xattr\":{\"user.a\":\"", &err));
        PROBE_OK(xb_base64_encode(value, len, &text, &err));
        PROBE_OK(xb_buf_append_str(&text, "\"}}", &err));
        if (len == XB_ENTRY_XATTR_BYTES_MAX) {
            PROBE_OK(decode(text.data, text.len, &entry, &err));
            assert_int_equal(entry.xattrs[0].len, len);
            xb_entry_free(&entry);
        } else {
            PROBE_REFUSED(decode(text.data, text.len, &entry, &err), XB_ERR_CORRUPT, "x-xattr");
        }
        xb_buf_free(&text);
    }
    free(value);
    struct xb_buf text = XB_BUF_INIT(1 << 20);
    PROBE_OK(xb_buf_append_str(&text, HEAD TAIL ",\"x-xattr\":{", &err));
    for (int i = 0; i <= XB_ENTRY_XATTRS_MAX; i++) {
        PROBE_OK(xb_buf_printf(&text, &err, "%s\"user.%d\":\"\"", i ? "," : "", i));
    }
    PROBE_OK(xb_buf_append_str(&text, "}}", &err));
    refused(text.data, "too many");
    xb_buf_free(&text);
}

/* ---- summaries ---- */

static void summaries_survive(void **state)
{
    (void)state;
    survives("{\"name\":\"d\",\"type\":\"d\",\"obj\":\"k" OBJECT
             "\",\"summ\":{\"size\":1,\"files\":2,"
             "\"symlinks\":3,\"dirs\":4,\"maxTime\":\"2026-01-01T00:00:00Z\",\"incomplete\":"
             "\"checkpoint\",\"numFailed\":5,\"numIgnoredErrors\":6,\"errors\":[{\"path\":\"a\","
             "\"error\":\"b\"},{\"path\":\"c\",\"error\":\"\\u003cd\\u003e\"}]}}");
    struct xb_entry entry =
        decoded("{\"name\":\"d\",\"type\":\"d\",\"obj\":\"k" OBJECT "\",\"summ\":{\"new\":1}}");
    assert_non_null(entry.summary);
    assert_int_equal(entry.summary->dirs, 0);
    assert_null(entry.summary->incomplete);
    xb_entry_free(&entry);
    /* At most ten errors are kept. */
    struct xb_buf text = XB_BUF_INIT(10000);
    PROBE_OK(xb_buf_append_str(&text, HEAD TAIL ",\"summ\":{\"errors\":[", &err));
    for (int i = 0; i < 15; i++) {
        PROBE_OK(xb_buf_printf(&text, &err, "%s{\"path\":\"%d\"}", i ? "," : "", i));
    }
    PROBE_OK(xb_buf_append_str(&text, "]}}", &err));
    entry = decoded(text.data);
    assert_int_equal(entry.summary->error_count, 10);
    struct xb_summary copy;
    PROBE_OK(xb_summary_copy(entry.summary, &copy, &err));
    assert_int_equal(copy.error_count, 10);
    assert_string_equal(copy.errors[9].path, "9");
    assert_ptr_not_equal(copy.errors[9].path, entry.summary->errors[9].path);
    xb_summary_clear(&copy);
    xb_entry_free(&entry);
    xb_buf_free(&text);
    xb_entry_free(&entry); /* again: nothing left */
    xb_summary_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kopias_entries),
        cmocka_unit_test(modes),
        cmocka_unit_test(zeros_are_left_out),
        cmocka_unit_test(names_are_written_as_go_does),
        cmocka_unit_test(unknown_fields_are_no_matter),
        cmocka_unit_test(wrong_types_are_refused),
        cmocka_unit_test(a_path_ends_in_a_name),
        cmocka_unit_test(names_that_lead_elsewhere_are_refused),
        cmocka_unit_test(long_names),
        cmocka_unit_test(raw_names_survive),
        cmocka_unit_test(extra_fields_survive),
        cmocka_unit_test(extra_fields_are_checked),
        cmocka_unit_test(only_files_have_holes),
        cmocka_unit_test(attributes_have_limits),
        cmocka_unit_test(summaries_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
