/* SPDX-License-Identifier: Apache-2.0
 *
 * tree_probe.h - small trees of files for tests of backup and restore.
 *
 * What for:  make, look at and remove what lies in a temporary folder.
 * Ownership: tree_new's folder is removed by tree_free.
 * Threads:   as cmocka.    Blocking: as the disk.
 */
#pragma once

#include "tests/harness/repository_probe.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

struct tree {
    char path[64];
    int fd;
};

static inline struct tree tree_new(void)
{
    struct tree tree = {.path = "/tmp/xb-tree-XXXXXX"};
    assert_non_null(mkdtemp(tree.path));
    tree.fd = open(tree.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(tree.fd >= 0);
    return tree;
}

static inline int tree_remove_one(const char *path, const struct stat *st, int type,
                                  struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static inline void tree_free(struct tree *tree)
{
    close(tree->fd);
    assert_int_equal(nftw(tree->path, tree_remove_one, 20, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void tree_folder(const struct tree *tree, const char *name, mode_t mode)
{
    assert_int_equal(mkdirat(tree->fd, name, 0700), 0);
    assert_int_equal(fchmodat(tree->fd, name, mode, 0), 0);
}

static inline void tree_write(const struct tree *tree, const char *name, const void *data,
                              size_t len)
{
    int fd = openat(tree->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    for (size_t at = 0; at < len;) {
        ssize_t done = write(fd, (const char *)data + at, len - at);
        assert_true(done > 0);
        at += (size_t)done;
    }
    close(fd);
}

static inline void tree_file(const struct tree *tree, const char *name, const char *text)
{
    tree_write(tree, name, text, strlen(text));
}

/* Bytes that look random and depend on `seed`. */
static inline void tree_random(const struct tree *tree, const char *name, uint64_t seed, size_t len)
{
    unsigned char *data = malloc(len);
    assert_non_null(data);
    uint64_t x = seed * 2654435761U + 88172645463325252U;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (unsigned char)(x >> 32);
    }
    tree_write(tree, name, data, len);
    free(data);
}

static inline bool tree_has(const struct tree *tree, const char *name)
{
    struct stat st;
    return fstatat(tree->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline struct stat tree_stat(const struct tree *tree, const char *name)
{
    struct stat st;
    assert_int_equal(fstatat(tree->fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st;
}

/* The file's bytes, with a NUL behind them; free them. */
static inline char *tree_read(const struct tree *tree, const char *name, size_t *ret_len)
{
    struct stat st = tree_stat(tree, name);
    int fd = openat(tree->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    assert_true(fd >= 0);
    char *data = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(data);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    if (ret_len) {
        *ret_len = (size_t)st.st_size;
    }
    return data;
}

static inline void tree_holds(const struct tree *tree, const char *name, const char *text)
{
    char *data = tree_read(tree, name, NULL);
    assert_string_equal(data, text);
    free(data);
}

static inline void tree_set_time(const struct tree *tree, const char *name, int64_t seconds,
                                 long ns)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = ns}};
    assert_int_equal(utimensat(tree->fd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* What changed in the last instant is not trusted to be at rest: wait until it has passed. */
static inline void tree_settle(void)
{
    const struct timespec time = {.tv_nsec = 300000000};
    nanosleep(&time, NULL);
}

/* Deep trees hold many folders open. */
static inline void tree_allow_descriptors(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}
