/* SPDX-License-Identifier: Apache-2.0
 *
 * A backup's log: lines as Velero's, nothing forged, warnings and errors counted and kept, losses
 * told at the end.
 */
#include "tests/harness/probe.h"

#include <pthread.h>

#include "coordinator/record/log.h"

static struct xb_record_log *make_log(void **state, const char *name)
{
    struct xb_record_log *log = NULL;
    PROBE_OK(xb_record_log_new(probe_path(state, name), &log, &err));
    return log;
}

/* The log's text, each line checked for its beginning, which is cut off: from "level=" on. */
static char *finish(struct xb_record_log *log, size_t lines)
{
    PROBE_OK(xb_record_log_finish(log, &err));
    size_t len = 0, at = 0, count = 0;
    XB_CLEANUP(xb_freep) char *text = probe_read(xb_record_log_path(log), &len);
    char *out = calloc(1, len + 1);
    assert_int_equal(strlen(text), len);
    for (char *line = text; *line; count++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_memory_equal(line, "time=\"20", 8);
        assert_memory_equal(line + 6 + 19, "Z\" level=", 9);
        size_t part = (size_t)(end + 1 - (line + 28));
        memcpy(out + at, line + 28, part);
        at += part;
        line = end + 1;
    }
    assert_int_equal(count, lines);
    return out;
}

static void lines(void **state)
{
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = make_log(state, "lines");
    xb_record_log_line(log, XB_RECORD_INFO, NULL, "backup %s begins", "b");
    xb_record_log_line(log, XB_RECORD_WARNING, "", "pv %d", 1);
    xb_record_log_line(log, XB_RECORD_ERROR, "web", "pod \"api\" is gone");
    XB_CLEANUP(xb_freep) char *text = finish(log, 3);
    assert_string_equal(text, "level=info msg=\"backup b begins\"\n"
                              "level=warning msg=\"pv 1\"\n"
                              "level=error msg=\"pod \\\"api\\\" is gone\" namespace=web\n");
    assert_int_equal(xb_record_log_warnings(log), 1);
    assert_int_equal(xb_record_log_errors(log), 1);
}

/* No text and no namespace makes a second line or another field. */
static void hostile(void **state)
{
    static const char forged[] = "x\ntime=\"2026-01-01T00:00:00Z\" level=error msg=\"forged\"";
    char longest[3 * XB_RECORD_LINE_BYTES_MAX];
    memset(longest, '\x01', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = make_log(state, "hostile");
    xb_record_log_line(log, XB_RECORD_INFO, "a", "%s", forged);
    xb_record_log_line(log, XB_RECORD_INFO, forged, "text");
    xb_record_log_line(log, XB_RECORD_INFO, "a level=error", "text");
    xb_record_log_line(log, XB_RECORD_INFO, NULL, "\xff\xfe\x80 \r\t\x1b[31m");
    xb_record_log_line(log, XB_RECORD_INFO, longest, "%s", longest);
    XB_CLEANUP(xb_freep) char *text = finish(log, 5);
    assert_null(strstr(text, "\nlevel=error"));
    assert_null(strstr(text, " level=error msg=\"forged\"\n"));
    assert_non_null(strstr(text, "namespace=\"a level=error\"\n"));
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\r'));
    assert_null(strchr(text, '\x01'));
    assert_null(strchr(text, '\xff'));
    assert_int_equal(xb_record_log_errors(log), 0);
}

/* The document of contract section 2: velero, cluster, namespaces. */
static void results(void **state)
{
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = make_log(state, "results");
    XB_CLEANUP(xb_json_putp) xb_json *none = xb_record_log_results(log);
    probe_json_is(none, "{\"warnings\":{},\"errors\":{}}"); /* as Velero writes "nothing" */
    xb_record_log_line(log, XB_RECORD_INFO, "web", "not in it");
    xb_record_log_line(log, XB_RECORD_WARNING, NULL, "w%d", 1);
    xb_record_log_line(log, XB_RECORD_ERROR, "", "c%d", 1);
    xb_record_log_line(log, XB_RECORD_ERROR, "web", "n%d", 1);
    xb_record_log_line(log, XB_RECORD_ERROR, "web", "n%d", 2);
    xb_record_log_line(log, XB_RECORD_ERROR, "velero", "n%d", 3);
    XB_CLEANUP(xb_json_putp) xb_json *all = xb_record_log_results(log);
    probe_json_is(all, "{\"warnings\":{\"velero\":[\"w1\"]},\"errors\":{\"cluster\":[\"c1\"],"
                       "\"namespaces\":{\"web\":[\"n1\",\"n2\"],\"velero\":[\"n3\"]}}}");
}

/* Beyond the limit they are counted, not kept. */
static void many_results(void **state)
{
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = make_log(state, "many");
    for (int i = 0; i < XB_RECORD_RESULTS_MAX + 50; i++) {
        xb_record_log_line(log, XB_RECORD_ERROR, i % 2 ? "web" : NULL, "%d", i);
    }
    xb_record_log_line(log, XB_RECORD_WARNING, NULL, "a warning has its own room");
    XB_CLEANUP(xb_json_putp) xb_json *all = xb_record_log_results(log);
    assert_int_equal(json_object_array_length(xb_json_get(all, "errors.velero")),
                     XB_RECORD_RESULTS_MAX / 2);
    assert_int_equal(json_object_array_length(xb_json_get(all, "errors.namespaces.web")),
                     XB_RECORD_RESULTS_MAX / 2);
    assert_int_equal(json_object_array_length(xb_json_get(all, "warnings.velero")), 1);
    assert_int_equal(xb_record_log_errors(log), XB_RECORD_RESULTS_MAX + 50);
}

/* A full disk is told once, at the end. */
static void full_disk(void **state)
{
    assert_int_equal(symlink("/dev/full", probe_path(state, "full")), 0);
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = make_log(state, "full");
    for (int i = 0; i < 2000; i++) {
        xb_record_log_line(log, XB_RECORD_ERROR, NULL, "line %d", i);
    }
    assert_int_equal(xb_record_log_errors(log), 2000);
    PROBE_REFUSED(xb_record_log_finish(log, &err), XB_ERR_FULL);
    PROBE_REFUSED(xb_record_log_finish(log, &err), XB_ERR_FULL);
}

/* The file stays within its limit and says that it was reached. */
static void full_log(void **state)
{
    char longest[XB_RECORD_LINE_BYTES_MAX];
    memset(longest, '\x01', sizeof longest - 1); /* six bytes each when quoted */
    longest[sizeof longest - 1] = '\0';
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = make_log(state, "long");
    for (int i = 0; i < XB_RECORD_LOG_BYTES_MAX / (6 * (XB_RECORD_LINE_BYTES_MAX - 1)) + 10; i++) {
        xb_record_log_line(log, XB_RECORD_INFO, NULL, "%s", longest);
    }
    struct stat st;
    PROBE_OK(xb_record_log_finish(log, &err));
    assert_int_equal(stat(xb_record_log_path(log), &st), 0);
    assert_in_range(st.st_size, XB_RECORD_LOG_BYTES_MAX - 100000, XB_RECORD_LOG_BYTES_MAX + 1000);
    FILE *file = fopen(xb_record_log_path(log), "re");
    char end[200] = "";
    assert_int_equal(fseek(file, -50, SEEK_END), 0);
    assert_true(fread(end, 1, sizeof end - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(end, "further lines are left out\"\n"));
}

static void life(void **state)
{
    struct xb_record_log *log = NULL;
    PROBE_REFUSED(xb_record_log_new(probe_path(state, "no/folder"), &log, &err), XB_ERR_NOT_FOUND);
    assert_null(log);
    log = make_log(state, "life");
    assert_string_equal(xb_record_log_path(log), probe_path(state, "life"));
    assert_int_equal(access(probe_path(state, "life"), F_OK), 0);
    xb_record_log_free(log);
    assert_int_not_equal(access(probe_path(state, "life"), F_OK), 0);
    xb_record_log_free(NULL);
}

enum { WRITERS = 4, LINES = 500 };

static void *write_lines(void *context)
{
    for (int i = 0; i < LINES; i++) {
        xb_record_log_line(context, i % 2 ? XB_RECORD_ERROR : XB_RECORD_WARNING, "web", "line %d",
                           i);
    }
    return NULL;
}

static void threads(void **state)
{
    pthread_t writers[WRITERS];
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = make_log(state, "threads");
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, write_lines, log), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    }
    assert_int_equal(xb_record_log_errors(log), WRITERS * LINES / 2);
    assert_int_equal(xb_record_log_warnings(log), WRITERS * LINES / 2);
    XB_CLEANUP(xb_freep) char *text = finish(log, WRITERS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),        cmocka_unit_test(hostile),   cmocka_unit_test(results),
        cmocka_unit_test(many_results), cmocka_unit_test(full_disk), cmocka_unit_test(full_log),
        cmocka_unit_test(life),         cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
