/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.h - calls that must succeed or fail, JSON from text, and a folder of one's own.
 *
 * What for:  tests of modules above shared/codec. A header: only they have JSON.
 * Ownership: parsed JSON is the caller's.    Threads: as cmocka.    Blocking: as the disk.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/codec/json.h"

#define PROBE_OK(call)                                                                             \
    do {                                                                                           \
        struct xb_error err = XB_ERROR_INIT;                                                       \
        int r_ = (call);                                                                           \
        if (r_ < 0) {                                                                              \
            print_error("%s: %s\n", #call, err.text);                                              \
        }                                                                                          \
        assert_int_equal(r_, 0);                                                                   \
        assert_int_equal(err.code, 0); /* untouched on success */                                  \
    } while (0)

#define PROBE_REFUSED(call, wanted)                                                                \
    do {                                                                                           \
        struct xb_error err = XB_ERROR_INIT;                                                       \
        int r_ = (call);                                                                           \
        if (r_ >= 0 || err.kind != (wanted)) {                                                     \
            print_error("%s: %d %s: %s\n", #call, r_, xb_error_kind_name(err.kind), err.text);     \
        }                                                                                          \
        assert_true(r_ < 0);                                                                       \
        assert_int_equal(err.code, r_);                                                            \
        assert_int_equal(err.kind, (wanted));                                                      \
        assert_true(err.text[0] != '\0');                                                          \
    } while (0)

static inline xb_json *probe_json(const char *text)
{
    xb_json *json = NULL;
    PROBE_OK(xb_json_parse(text, strlen(text), &json, &err));
    return json;
}

static inline void probe_json_is(xb_json *json, const char *expected)
{
    assert_string_equal(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE),
                        expected);
}

/* A new folder, path in *state; for cmocka's group setup and teardown. */
static inline int probe_folder_make(void **state)
{
    char *path = strdup("/tmp/xb-probe-XXXXXX");
    if (!path || !mkdtemp(path)) {
        free(path);
        return -1;
    }
    *state = path;
    return 0;
}

static inline int probe_remove_one(const char *path, const struct stat *st, int type,
                                   struct FTW *place)
{
    (void)st;
    (void)type;
    (void)place;
    return remove(path);
}

static inline int probe_folder_remove(void **state)
{
    int r = nftw(*state, probe_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    *state = NULL;
    return r;
}

/* "<folder>/<name>", valid until 32 more were asked for. */
static inline const char *probe_path(void **state, const char *name)
{
    static char paths[32][PATH_MAX];
    static size_t next;
    char *path = paths[next++ % 32];
    snprintf(path, PATH_MAX, "%s/%s", (const char *)*state, name);
    return path;
}

/* Makes a folder and those above it, below the test's own. */
static inline void probe_make_folder(void **state, const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", probe_path(state, path));
    for (char *at = part + strlen(*state) + 1; *at; at++) {
        if (*at == '/') {
            *at = '\0';
            assert_true(mkdir(part, 0755) == 0 || errno == EEXIST);
            *at = '/';
        }
    }
    assert_true(mkdir(part, 0755) == 0 || errno == EEXIST);
}

static inline void probe_write(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* The whole file and a NUL; the caller frees it. */
static inline char *probe_read(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    struct stat st;
    assert_int_equal(fstat(fileno(file), &st), 0);
    char *data = malloc((size_t)st.st_size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)st.st_size, file), st.st_size);
    data[st.st_size] = '\0';
    fclose(file);
    if (ret_len) {
        *ret_len = (size_t)st.st_size;
    }
    return data;
}
