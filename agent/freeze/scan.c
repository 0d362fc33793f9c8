/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/freeze/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/freeze/scan_links.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"

enum {
    LISTING_BYTES = 32 * 1024,
    LATER_BYTES = 32 * 1024,
    RACY_MS = 200,      /* as in agent/pipeline: within one tick two changes have one time */
    RACY_COARSE_S = 3,  /* where only seconds are kept */
    SPACE_EVERY = 1024, /* clones */
    LARGE_BYTES = 1 << 20,
    OPEN_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC
};

/* A folder that somebody is to go into. */
struct todo {
    struct todo *next;
    uint64_t number, before; /* before: in the pass before */
    bool known;              /* it was there */
    char path[];             /* from the root, "." for itself */
};

struct run {
    const struct xb_scan *scan;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct todo *todo;
    unsigned busy, named; /* threads */
    atomic_bool stop;
    struct xb_error failure;
    atomic_uint_least64_t entries;
    struct xb_scan_links *links;
};

/* One thread's; too large for a stack. */
struct worker {
    struct run *run;
    unsigned index;
    struct xb_listing_draft draft;
    const struct todo *at;
    struct xb_listing_folder before;
    int fd; /* of the folder */
    _Alignas(struct dirent64) char names[LISTING_BYTES];
    char later[LATER_BYTES]; /* names whose turn comes when their changes are being written */
    size_t later_used;
    bool turn; /* it has come */
    char target[PATH_MAX + 1];
    char xattrs[XB_SCAN_XATTR_BYTES_MAX];
};

static void fail(struct run *run, const struct xb_error *err)
{
    pthread_mutex_lock(&run->lock);
    if (!run->failure.code) {
        run->failure = *err;
    }
    atomic_store(&run->stop, true);
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

/* ---- what has changed ---- */

static int64_t ns(const struct timespec *time)
{
    return (int64_t)time->tv_sec * XB_NS_PER_S + time->tv_nsec;
}

/* Nothing can have happened to it since it was looked at the last time. */
static bool unchanged(const struct xb_listing_entry *before, const struct stat *st)
{
    int64_t ctime_ns = ns(&st->st_ctim);
    int64_t racy_ns =
        ctime_ns % XB_NS_PER_S == 0 ? RACY_COARSE_S * XB_NS_PER_S : RACY_MS * XB_NS_PER_MS;
    return before->st.st_ino == st->st_ino && before->st.st_dev == st->st_dev &&
           before->st.st_mode == st->st_mode && before->st.st_size == st->st_size &&
           before->st.st_nlink == st->st_nlink && ns(&before->st.st_mtim) == ns(&st->st_mtim) &&
           ns(&before->st.st_ctim) == ctime_ns && before->seen_ns - ctime_ns >= racy_ns;
}

/* Takes everything over from the pass before, or leaves it. */
static bool keep(const struct xb_listing_entry *before, struct xb_listing_parts *parts)
{
    if (!before || !unchanged(before, parts->st)) {
        return false;
    }
    parts->child = before->child;
    parts->seen_ns = before->seen_ns;
    parts->target = xb_listing_target(before);
    parts->xattrs = parts->target + before->target_bytes;
    parts->xattr_bytes = before->xattr_bytes;
    return true;
}

/* ---- one name ---- */

static int check_limits(struct worker *worker, struct xb_error *err)
{
    struct run *run = worker->run;
    struct xb_freeze *freeze = run->scan->freeze;
    uint64_t max = freeze->request.files_max ? freeze->request.files_max : XB_FREEZE_FILES_MAX;
    uint64_t more = worker->turn ? 0 : 1;
    uint64_t entries = atomic_fetch_add_explicit(&run->entries, more, memory_order_relaxed) + more;
    if (entries > max) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "it has more than %" PRIu64 " entries", max);
    }
    if (run->scan->until_ns && xb_clock_mono_ns() > run->scan->until_ns) {
        return xb_error_set(err, XB_ERR_RETRY, -ETIMEDOUT, "it took longer than %d s",
                            XB_FREEZE_TAKE_MS_MAX / 1000);
    }
    if (xb_freeze_cancelled(freeze)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    return 0;
}

/* Of a large file, which may lie in many pieces; a smaller one is cloned anew as fast. 0: there is
 * none, or another name may refer to it. */
static uint64_t clone_of_before(const struct xb_listing_entry *before, const struct stat *st)
{
    return before && S_ISREG(before->st.st_mode) && before->st.st_ino == st->st_ino &&
                   before->st.st_dev == st->st_dev && before->st.st_nlink == 1 &&
                   st->st_nlink == 1 && before->st.st_size >= LARGE_BYTES
               ? before->child
               : 0;
}

/* The bytes of an open file, and what it is at that moment. parts->child: the clone of before. */
static int clone_bytes(struct worker *worker, int fd, struct xb_listing_parts *parts,
                       struct stat *st, struct xb_error *err)
{
    const struct xb_scan *scan = worker->run->scan;
    uint64_t n = ++scan->clone_counts[worker->index];
    const struct xb_freeze_cloning cloning = {.fd = fd,
                                              .clones_fd = scan->freeze->place.fd,
                                              .number = xb_freeze_clone_number(worker->index, n),
                                              .before = parts->child,
                                              .in_steps = scan->until_ns == 0 &&
                                                          st->st_size >= LARGE_BYTES};
    struct stat clone_st;
    if (n % SPACE_EVERY == 0) {
        int r = xb_freeze_space_check(scan->freeze, err);
        if (r < 0) {
            return r;
        }
    }
    int r = xb_freeze_clone_file(&cloning, &clone_st, err);
    if (r < 0) {
        return r;
    }
    /* It may have grown since it was looked at; then its time is another one, too. */
    st->st_size = clone_st.st_size;
    parts->child = cloning.number;
    return 0;
}

/* 1: it is not there any more, or not what it was. */
static int take_file(struct worker *worker, const struct xb_listing_entry *before,
                     struct xb_listing_parts *parts, struct stat *st, struct xb_error *err)
{
    XB_CLEANUP(xb_closep) int fd = openat(worker->fd, parts->name, OPEN_FLAGS);
    if (fd < 0) {
        return errno == ENOENT || errno == ELOOP
                   ? 1
                   : xb_error_errno(err, errno, "opening '%.200s'", parts->name);
    }
    parts->seen_ns = xb_clock_wall_ns();
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
        return 1;
    }
    const struct xb_scan_source source = {fd, worker->fd, parts->name};
    int r = xb_scan_read_xattrs(&source, worker->xattrs, &parts->xattr_bytes, err);
    if (r == 0 && st->st_size > 0) {
        parts->child = clone_of_before(before, st);
        r = clone_bytes(worker, fd, parts, st, err);
    }
    return r < 0 ? xb_error_wrap(err, "'%.200s'", parts->name) : 0;
}

/* All names of a file are one file: its bytes are taken once. */
static int take_linked(struct worker *worker, const struct xb_listing_entry *before,
                       struct xb_listing_parts *parts, struct stat *st, struct xb_error *err)
{
    struct xb_scan_links *links = worker->run->links;
    struct xb_scan_link link = {.st = *st};
    int r = 0;
    xb_scan_links_lock(links);
    if (xb_scan_links_find(links, &link)) {
        *st = link.st;
        parts->child = link.child;
        parts->seen_ns = link.seen_ns;
        const struct xb_scan_source source = {-1, worker->fd, parts->name};
        r = xb_scan_read_xattrs(&source, worker->xattrs, &parts->xattr_bytes, err);
    } else {
        r = keep(before, parts) ? 0 : take_file(worker, NULL, parts, st, err);
        link = (struct xb_scan_link){*st, parts->child, parts->seen_ns};
        r = r == 0 ? xb_scan_links_add(links, &link, err) : r;
    }
    xb_scan_links_unlock(links);
    return r;
}

static int take_other(struct worker *worker, struct xb_listing_parts *parts, struct xb_error *err)
{
    const struct xb_scan_source source = {-1, worker->fd, parts->name};
    if (S_ISLNK(parts->st->st_mode)) {
        ssize_t len = readlinkat(worker->fd, parts->name, worker->target, PATH_MAX + 1);
        if (len < 0 || len > PATH_MAX) {
            return 1;
        }
        worker->target[len] = '\0';
        parts->target = worker->target;
    }
    return xb_scan_read_xattrs(&source, worker->xattrs, &parts->xattr_bytes, err);
}

static void put(struct run *run, struct todo *todo)
{
    pthread_mutex_lock(&run->lock);
    todo->next = run->todo;
    run->todo = todo;
    pthread_cond_signal(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

/* A folder's attributes are taken when it is gone into. */
static int take_folder(struct worker *worker, const struct xb_listing_entry *before,
                       struct xb_listing_parts *parts, struct xb_error *err)
{
    const char *above = worker->at->path;
    size_t above_len = strcmp(above, ".") == 0 ? 0 : strlen(above) + 1;
    size_t name_bytes = strlen(parts->name) + 1;
    if (above_len + name_bytes > PATH_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "a folder in it lies too deep");
    }
    struct todo *todo = malloc(sizeof *todo + above_len + name_bytes);
    if (!todo) {
        return xb_error_no_memory(err, "a tree's folders");
    }
    parts->child = xb_listing_number(worker->run->scan->to);
    *todo = (struct todo){.number = parts->child};
    if (before && S_ISDIR(before->st.st_mode)) {
        todo->known = true;
        todo->before = before->child;
    }
    if (above_len) {
        memcpy(todo->path, above, above_len - 1);
        todo->path[above_len - 1] = '/';
    }
    memcpy(todo->path + above_len, parts->name, name_bytes);
    put(worker->run, todo);
    return 0;
}

/* Begins to write a file's changes to the disk, and leaves it for later. False: it is cloned now.
 */
static bool put_off(struct worker *worker, const char *name, const struct stat *st)
{
    size_t bytes = strlen(name) + 1;
    if (!worker->run->scan->from || worker->turn || !S_ISREG(st->st_mode) || st->st_size == 0 ||
        bytes > sizeof worker->later - worker->later_used) {
        return false;
    }
    XB_CLEANUP(xb_closep) int fd = openat(worker->fd, name, OPEN_FLAGS);
    if (fd < 0 || sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) < 0) {
        return false;
    }
    memcpy(worker->later + worker->later_used, name, bytes);
    worker->later_used += bytes;
    return true;
}

static int take_name(struct worker *worker, const char *name, struct xb_error *err)
{
    struct stat st;
    struct xb_listing_parts parts = {
        .name = name, .st = &st, .target = "", .xattrs = worker->xattrs};
    int r = check_limits(worker, err);
    if (r < 0) {
        return r;
    }
    parts.seen_ns = xb_clock_wall_ns();
    if (fstatat(worker->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : xb_error_errno(err, errno, "looking at '%.200s'", name);
    }
    const struct xb_listing_entry *before =
        worker->before.self ? xb_listing_find(&worker->before, name) : NULL;
    if (S_ISDIR(st.st_mode)) {
        r = take_folder(worker, before, &parts, err);
    } else if (S_ISREG(st.st_mode) && st.st_nlink > 1) {
        r = take_linked(worker, before, &parts, &st, err);
    } else if (!keep(before, &parts)) {
        if (put_off(worker, name, &st)) {
            return 0;
        }
        r = S_ISREG(st.st_mode) ? take_file(worker, before, &parts, &st, err)
                                : take_other(worker, &parts, err);
    }
    return r == 0 ? xb_listing_add(&worker->draft, &parts, err) : r > 0 ? 0 : r;
}

/* ---- one folder ---- */

static bool is_taken(const char *name)
{
    return name[0] != '.' || (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
                              strcmp(name, XB_FREEZE_FOLDER) != 0);
}

static int take_names(struct worker *worker, struct xb_error *err)
{
    int r = 0;
    ssize_t got = 0;
    while (r == 0 && (got = getdents64(worker->fd, worker->names, sizeof worker->names)) > 0) {
        const struct dirent64 *entry = NULL;
        for (ssize_t at = 0; r == 0 && at < got; at += entry->d_reclen) {
            entry = (const struct dirent64 *)(const void *)(worker->names + at);
            if (is_taken(entry->d_name) && !atomic_load(&worker->run->stop)) {
                r = take_name(worker, entry->d_name, err);
            }
        }
    }
    return r == 0 && got < 0 && errno != ENOENT ? xb_error_errno(err, errno, "listing") : r;
}

static int take_later(struct worker *worker, struct xb_error *err)
{
    int r = 0;
    worker->turn = true;
    for (size_t at = 0; r == 0 && at < worker->later_used;) {
        const char *name = worker->later + at;
        at += strlen(name) + 1;
        r = atomic_load(&worker->run->stop) ? 0 : take_name(worker, name, err);
    }
    worker->turn = false;
    worker->later_used = 0;
    return r;
}

static int begin_folder(struct worker *worker, struct xb_error *err)
{
    struct stat st;
    const char *name = strrchr(worker->at->path, '/');
    struct xb_listing_parts self = {.name = name ? name + 1 : worker->at->path,
                                    .st = &st,
                                    .target = "",
                                    .xattrs = worker->xattrs,
                                    .seen_ns = xb_clock_wall_ns()};
    if (fstat(worker->fd, &st) < 0) {
        return xb_error_errno(err, errno, "its attributes");
    }
    int r = 0;
    if (!keep(worker->before.self, &self)) {
        const struct xb_scan_source source = {worker->fd, -1, self.name};
        r = xb_scan_read_xattrs(&source, worker->xattrs, &self.xattr_bytes, err);
    }
    return r < 0 ? r : xb_listing_begin(&worker->draft, worker->at->number, &self, err);
}

static void take_todo(struct worker *worker, const struct todo *todo)
{
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_scan *scan = worker->run->scan;
    const int flags = O_RDONLY | O_DIRECTORY | O_NOATIME;
    worker->at = todo;
    worker->before = (struct xb_listing_folder){.self = NULL};
    if (todo->known) {
        (void)xb_listing_folder(scan->from, todo->before, &worker->before);
    }
    XB_CLEANUP(xb_closep)
    int fd = xb_file_open_beneath(scan->freeze->request.root_fd, todo->path, flags, 0, &err);
    if (fd < 0) {
        /* It has gone in this very moment: nobody will find it in the listing. */
        if (err.code != -ENOENT && err.code != -ENOTDIR && err.code != -ELOOP) {
            fail(worker->run, &err);
        }
        return;
    }
    worker->fd = fd;
    int r = begin_folder(worker, &err);
    if (r == 0 && (r = take_names(worker, &err)) == 0 && (r = take_later(worker, &err)) == 0) {
        r = xb_listing_end(&worker->draft, &err);
    }
    if (r < 0) {
        fail(worker->run, &err);
    }
}

/* ---- all of them ---- */

/* NULL: there are none left, and nobody who may still find some. */
static struct todo *next(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    run->busy--;
    while (!run->todo && run->busy > 0 && !atomic_load(&run->stop)) {
        pthread_cond_wait(&run->changed, &run->lock);
    }
    struct todo *todo = atomic_load(&run->stop) ? NULL : run->todo;
    if (todo) {
        run->todo = todo->next;
        run->busy++;
    } else {
        pthread_cond_broadcast(&run->changed);
    }
    pthread_mutex_unlock(&run->lock);
    return todo;
}

static void work(void *context)
{
    struct run *run = context;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_freep) struct worker *worker = calloc(1, sizeof *worker);
    if (!worker) {
        (void)!xb_error_no_memory(&err, "going through a tree");
        fail(run, &err);
        return;
    }
    pthread_mutex_lock(&run->lock);
    worker->index = run->named++;
    pthread_mutex_unlock(&run->lock);
    worker->run = run;
    worker->draft = (struct xb_listing_draft){.listing = run->scan->to, .segment = worker->index};
    struct todo *todo = NULL;
    while ((todo = next(run))) {
        take_todo(worker, todo);
        free(todo);
    }
    free(worker->draft.offsets);
}

int xb_scan_run(const struct xb_scan *scan, struct xb_error *err)
{
    struct run run = {.scan = scan, .busy = scan->threads};
    struct todo *root = calloc(1, sizeof *root + 2);
    int r = root ? xb_scan_links_new(&run.links, err) : xb_error_no_memory(err, "a tree's root");
    if (r < 0) {
        free(root);
        return r;
    }
    root->path[0] = '.';
    root->number = xb_listing_number(scan->to);
    root->known = scan->from != NULL;
    run.todo = root;
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.changed, NULL);
    for (unsigned i = 0; i < scan->threads; i++) {
        xb_workers_submit(scan->workers, work, &run);
    }
    xb_workers_drain(scan->workers);
    while (run.todo) {
        struct todo *todo = run.todo;
        run.todo = todo->next;
        free(todo);
    }
    pthread_mutex_destroy(&run.lock);
    pthread_cond_destroy(&run.changed);
    xb_scan_links_free(run.links);
    if (run.failure.code) {
        *err = run.failure;
    }
    return run.failure.code;
}
