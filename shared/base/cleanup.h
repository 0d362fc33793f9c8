/* SPDX-License-Identifier: Apache-2.0
 *
 * cleanup.h - owned locals that free themselves.
 *
 * What for:  `XB_CLEANUP(xb_close) int fd = -1;` closes at the end of the scope, so that functions
 *            read from top to bottom without goto. `XB_TAKE(p)` hands a pointer over: it yields p
 *            and leaves NULL behind.
 * Rules:     a cleanup function takes a pointer to the variable, accepts the empty value, and never
 *            fails.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define XB_CLEANUP(function) __attribute__((cleanup(function)))

#define XB_TAKE(pointer)                                                                           \
    ({                                                                                             \
        __typeof__(pointer) xb_taken_ = (pointer);                                                 \
        (pointer) = NULL;                                                                          \
        xb_taken_;                                                                                 \
    })

/* Hands over a descriptor: yields it and leaves -1 behind. */
#define XB_TAKE_FD(fd)                                                                             \
    ({                                                                                             \
        int xb_taken_ = (fd);                                                                      \
        (fd) = -1;                                                                                 \
        xb_taken_;                                                                                 \
    })

/* Defines `void <name>(type **p)` for XB_CLEANUP from a free function that takes the pointer. */
#define XB_DEFINE_CLEANUP(name, type, free_function)                                               \
    static inline void name(type **pointer)                                                        \
    {                                                                                              \
        if (*pointer) {                                                                            \
            free_function(*pointer);                                                               \
        }                                                                                          \
    }                                                                                              \
    struct xb_swallow_semicolon_

/* For char *, void * and every other malloc'ed local: `XB_CLEANUP(xb_freep) char *name = NULL;` */
static inline void xb_freep(void *pointer)
{
    free(*(void **)pointer);
}

static inline void xb_closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static inline void xb_fclosep(FILE **file)
{
    if (*file) {
        fclose(*file);
    }
}

static inline void xb_closedirp(DIR **dir)
{
    if (*dir) {
        closedir(*dir);
    }
}
