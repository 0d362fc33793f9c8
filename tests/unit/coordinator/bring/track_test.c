/* SPDX-License-Identifier: Apache-2.0
 * How far a restore has got: the mark, what it means to the next run, and lines in order. */
#include "coordinator/bring/track.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const kinds[] = {"namespaces", "pods", "services"};
enum { KINDS = 3 };

static struct xb_bring_track *track_of(const char *mark)
{
    struct xb_bring_track *track = NULL;
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_bring_track_new(kinds, KINDS, mark, &track, &err), 0);
    return track;
}

static void end_item(struct xb_bring_track *track, uint64_t number, const char *failed)
{
    struct xb_record_lines none = {.first = NULL};
    xb_bring_track_end_item(track, number, &none, failed);
}

/* The next run. */
static struct xb_bring_track *next_of(struct xb_bring_track *track)
{
    char *mark = xb_bring_track_mark(track);
    assert_non_null(mark);
    assert_true(strlen(mark) <= XB_BRING_MARK_BYTES_MAX);
    struct xb_bring_track *next = track_of(mark);
    free(mark);
    assert_true(xb_bring_track_resumes(next));
    xb_bring_track_free(track);
    return next;
}

/* Only what has ended without a gap is known to the next run, kind by kind. */
static void marks(void **state)
{
    (void)state;
    struct xb_bring_track *track = track_of(NULL);
    assert_false(xb_bring_track_resumes(track));
    xb_bring_track_begin_group(track, 0);
    assert_int_equal(xb_bring_track_begin_item(track), 0);
    assert_false(xb_bring_track_done_before(track, 0, "namespaces//a"));
    end_item(track, 0, NULL);
    xb_bring_track_begin_group(track, 1);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(xb_bring_track_begin_item(track), i);
    }
    end_item(track, 1, "pods/a/1");
    end_item(track, 0, NULL);
    end_item(track, 3, NULL);
    track = next_of(track);
    xb_bring_track_begin_group(track, 0);
    assert_true(xb_bring_track_done_before(track, 0, "namespaces//a"));
    assert_true(xb_bring_track_done_before(track, 99, "namespaces//z"));
    xb_bring_track_begin_group(track, 1);
    assert_true(xb_bring_track_done_before(track, 0, "pods/a/0"));
    assert_false(xb_bring_track_done_before(track, 1, "pods/a/1")); /* had failed */
    assert_false(xb_bring_track_done_before(track, 2, "pods/a/2"));
    assert_false(xb_bring_track_done_before(track, 3, "pods/a/3")); /* after the gap */
    xb_bring_track_begin_group(track, 2);
    assert_false(xb_bring_track_done_before(track, 0, "services/a/0"));
    xb_bring_track_end(track);
    track = next_of(track);
    xb_bring_track_begin_group(track, 2);
    assert_true(xb_bring_track_done_before(track, 7, "services/a/7"));
    xb_bring_track_free(track);
}

/* More failures than are known by name: whatever is missing is made again. */
static void many_failures(void **state)
{
    (void)state;
    struct xb_bring_track *track = track_of(NULL);
    xb_bring_track_begin_group(track, 0);
    for (int i = 0; i <= XB_BRING_FAILED_MAX; i++) {
        char name[300];
        snprintf(name, sizeof name, "pods/%0250d/%d", i, i);
        end_item(track, xb_bring_track_begin_item(track), name);
        if (i == XB_BRING_FAILED_MAX - 1) {
            xb_bring_track_begin_item(track);
            char *mark = xb_bring_track_mark(track);
            assert_non_null(strstr(mark, "failed"));
            struct xb_bring_track *next = track_of(mark);
            assert_true(xb_bring_track_done_before(next, 0, "pods//other"));
            assert_false(xb_bring_track_done_before(next, 0, name));
            xb_bring_track_free(next);
            free(mark);
            end_item(track, XB_BRING_FAILED_MAX, NULL);
        }
    }
    track = next_of(track);
    assert_false(xb_bring_track_done_before(track, 0, "pods//other"));
    xb_bring_track_free(track);
}

/* A mark of other kinds, or that people have changed, counts as none. */
static void strange_marks(void **state)
{
    (void)state;
    struct xb_bring_track *track = track_of(NULL);
    char *mark = xb_bring_track_mark(track);
    char text[600];
    const char *const other[] = {"pods", "namespaces", "services"};
    struct xb_error err = XB_ERROR_INIT;
    struct xb_bring_track *strange = NULL;
    assert_int_equal(xb_bring_track_new(other, KINDS, mark, &strange, &err), 0);
    assert_false(xb_bring_track_resumes(strange));
    xb_bring_track_free(strange);
    char order[20];
    assert_int_equal(sscanf(mark, "{\"order\":\"%16[0-9a-f]", order), 1);
    static const char *const forms[] = {"{'order':'%s','kind':4,'items':0,'failed':[]}",
                                        "{'order':'%s','kind':-1,'items':0,'failed':[]}",
                                        "{'order':'%s','kind':0,'items':-5,'failed':[]}",
                                        "{'order':'%s','kind':0,'failed':[]}",
                                        "{'order':'%s','kind':0,'items':0,'failed':{}}",
                                        "{'order':'%s','kind':0,'items':0,'failed':[7]}",
                                        "{'order':'%s','kind':0,'items':0,'failed':[]",
                                        "[]",
                                        "",
                                        "%s"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(text, sizeof text, "%.*s%s%s", (int)strcspn(forms[i], "%"), forms[i],
                 strchr(forms[i], '%') ? order : "",
                 strchr(forms[i], '%') ? strchr(forms[i], '%') + 2 : "");
        for (char *at = text; *at; at++) {
            *at = *at == '\'' ? '"' : *at;
        }
        strange = track_of(text);
        if (xb_bring_track_resumes(strange)) {
            fail_msg("taken for a mark: %s", text);
        }
        xb_bring_track_free(strange);
    }
    free(mark);
    xb_bring_track_free(track);
}

/* What items say stands in the log in their order, the lines of one together. */
static void lines_in_order(void **state)
{
    (void)state;
    char path[] = "/tmp/xb-track-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct xb_error err = XB_ERROR_INIT;
    struct xb_record_log *log = NULL;
    assert_int_equal(xb_record_log_new(path, &log, &err), 0);
    struct xb_bring_track *track = track_of(NULL);
    xb_bring_track_log(track, log);
    xb_bring_track_begin_group(track, 0);
    static const int order[] = {2, 0, 3, 1};
    for (int i = 0; i < 4; i++) {
        xb_bring_track_begin_item(track);
    }
    for (int i = 0; i < 4; i++) {
        struct xb_record_lines lines = {.first = NULL};
        xb_record_lines_add(&lines, XB_RECORD_WARNING, "n", "item %d a", order[i]);
        xb_record_lines_add(&lines, XB_RECORD_ERROR, i == 0 ? NULL : "", "item %d b", order[i]);
        xb_bring_track_end_item(track, (uint64_t)order[i], &lines, NULL);
        assert_null(lines.first);
    }
    assert_int_equal(xb_record_log_finish(log, &err), 0);
    FILE *file = fopen(path, "r");
    char line[256];
    for (int i = 0; i < 8; i++) {
        char want[40];
        snprintf(want, sizeof want, "msg=\"item %d %c\"", i / 2, i % 2 ? 'b' : 'a');
        assert_non_null(fgets(line, sizeof line, file));
        assert_non_null(strstr(line, want));
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
    assert_int_equal(xb_record_log_warnings(log), 4);
    assert_int_equal(xb_record_log_errors(log), 4);
    xb_bring_track_free(track);
    xb_record_log_free(log);
}

static void *end_first(void *context)
{
    usleep(30 * 1000);
    end_item(context, 0, NULL);
    return NULL;
}

static void *stop_track(void *context)
{
    usleep(30 * 1000);
    xb_bring_track_stop(context);
    return NULL;
}

/* One that hangs lets no more than a window of others by; the end of a restore lets all go. */
static void window(void **state)
{
    (void)state;
    struct xb_bring_track *track = track_of(NULL);
    pthread_t thread;
    xb_bring_track_begin_group(track, 0);
    for (uint64_t i = 0; i < XB_BRING_WINDOW; i++) {
        assert_int_equal(xb_bring_track_begin_item(track), i);
        if (i > 0) {
            end_item(track, i, NULL);
        }
    }
    assert_int_equal(pthread_create(&thread, NULL, end_first, track), 0);
    assert_int_equal(xb_bring_track_begin_item(track), XB_BRING_WINDOW); /* after it */
    pthread_join(thread, NULL);
    for (uint64_t i = 1; i < XB_BRING_WINDOW; i++) {
        xb_bring_track_begin_item(track);
    }
    assert_int_equal(pthread_create(&thread, NULL, stop_track, track), 0);
    xb_bring_track_begin_item(track);
    pthread_join(thread, NULL);
    xb_bring_track_free(track);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(marks), cmocka_unit_test(many_failures),
                                       cmocka_unit_test(strange_marks),
                                       cmocka_unit_test(lines_in_order), cmocka_unit_test(window)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
