/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/index_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/random.h"
#include "shared/codec/text.h"
#include "shared/crypto/hash.h"
#include "shared/crypto/kdf.h"
#include "shared/repository/cache_folder.h"
#include "shared/repository/index_file.h"

enum {
    NAME_ID_BYTES = 16,
    FILE_NAME_BYTES = 64,
    KEY_BYTES = 32,
    CANDIDATES_MAX = 4,
    FOLDERS_MAX = 10000,
    LEFTOVER_AGE_S = 3600
};

#define BASE "base-"
#define OVER "over-"
#define LEFTOVER "tmp-"

struct xb_index_cache {
    int top, folder;
    char name[2 * NAME_ID_BYTES + 1]; /* of the folder in top */
    struct xb_hash *hash;
    uint64_t bytes_max;
};

/* ---- the folders ---- */

static int make_hash(const struct xb_index_cache_options *options, struct xb_hash **ret,
                     struct xb_error *err)
{
    unsigned char key[KEY_BYTES];
    int r = xb_kdf_hkdf(options->key, options->unique_id, options->unique_id_len,
                        "xebec index cache", key, sizeof key, err);
    r = r ? r : xb_index_file_hash(key, sizeof key, ret, err);
    explicit_bzero(key, sizeof key);
    return r;
}

static int open_all(struct xb_index_cache *cache, const struct xb_index_cache_options *options,
                    struct xb_error *err)
{
    unsigned char digest[XB_SHA256_BYTES];
    int r = xb_sha256(options->unique_id, options->unique_id_len, digest, err);
    if (r < 0 || (r = xb_cache_folder_make(options->folder, err)) < 0) {
        return r;
    }
    xb_hex_encode(digest, NAME_ID_BYTES, cache->name);
    cache->top = r = xb_cache_folder_open(AT_FDCWD, options->folder, 0022, err);
    if (r < 0) {
        return r;
    }
    if (mkdirat(cache->top, cache->name, 0700) < 0 && errno != EEXIST) {
        return xb_error_errno(err, errno, "cannot write to the cache folder %s", options->folder);
    }
    cache->folder = r = xb_cache_folder_open(cache->top, cache->name, 0077, err);
    if (r < 0) {
        return r;
    }
    (void)futimens(cache->folder, NULL); /* it is in use: others go first */
    return make_hash(options, &cache->hash, err);
}

int xb_index_cache_open(const struct xb_index_cache_options *options, struct xb_index_cache **ret,
                        struct xb_error *err)
{
    struct xb_index_cache *cache = calloc(1, sizeof *cache);
    if (!cache) {
        return xb_error_no_memory(err, "the index cache");
    }
    cache->top = cache->folder = -1;
    cache->bytes_max = options->bytes_max ? options->bytes_max : XB_CACHE_BYTES_MAX;
    int r = open_all(cache, options, err);
    if (r < 0) {
        xb_index_cache_free(cache);
        return r;
    }
    *ret = cache;
    return 0;
}

void xb_index_cache_free(struct xb_index_cache *cache)
{
    if (cache) {
        xb_closep(&cache->top);
        xb_closep(&cache->folder);
        xb_hash_free(cache->hash);
        free(cache);
    }
}

int xb_index_cache_folder(const struct xb_index_cache *cache)
{
    return cache->folder;
}

static bool starts(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* ---- loading ---- */

struct candidate {
    char name[FILE_NAME_BYTES];
    struct timespec mtime;
};

/* The youngest files of one kind. */
struct candidates {
    const char *kind;
    struct candidate items[CANDIDATES_MAX];
    size_t count;
};

static bool younger(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static int note_candidate(void *context, int folder, const char *name)
{
    struct candidates *all = context;
    struct stat st;
    if (!starts(name, all->kind) || strlen(name) >= FILE_NAME_BYTES ||
        fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return 0;
    }
    size_t i = all->count < CANDIDATES_MAX ? all->count++ : CANDIDATES_MAX;
    while (i > 0 && younger(&st.st_mtim, &all->items[i - 1].mtime)) {
        if (i < CANDIDATES_MAX) {
            all->items[i] = all->items[i - 1];
        }
        i--;
    }
    if (i < CANDIDATES_MAX) {
        all->items[i].mtime = st.st_mtim;
        memcpy(all->items[i].name, name, strlen(name) + 1);
    }
    return 0;
}

bool xb_index_blobs_cover(const struct xb_index_blobs *blobs, const struct xb_index_run *run)
{
    size_t at = 0;
    for (size_t i = 0; i < run->blob_count; i++) {
        while (at < blobs->count &&
               memcmp(&blobs->hashes[at], &run->blobs[i], sizeof *run->blobs) < 0) {
            at++;
        }
        if (at == blobs->count ||
            memcmp(&blobs->hashes[at], &run->blobs[i], sizeof *run->blobs) != 0) {
            return false;
        }
    }
    return true;
}

/* A file that is ours alone. What is wrong with it is only worth a look when somebody looks. */
static struct xb_index_run *read_run(struct xb_index_cache *cache, const char *name,
                                     size_t key_bytes, const struct xb_index_blobs *blobs)
{
    struct stat st;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_index_run_unrefp) struct xb_index_run *run = NULL;
    XB_CLEANUP(xb_closep)
    int fd = openat(cache->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 0077) != 0) {
        xb_log_warning("a file of the index cache is not used: it does not belong to this user "
                       "alone",
                       "file", name);
        return NULL;
    }
    if (xb_index_file_read(fd, cache->hash, &run, &err) < 0) {
        xb_log_err(XB_LOG_WARNING, &err, "a file of the index cache is damaged and not used",
                   "file", name, (char *)NULL);
        (void)unlinkat(cache->folder, name, 0);
        return NULL;
    }
    return run->key_bytes == key_bytes && xb_index_blobs_cover(blobs, run) ? XB_TAKE(run) : NULL;
}

static struct xb_index_run *find_over(struct xb_index_cache *cache, const struct xb_index_run *base,
                                      const struct xb_index_blobs *blobs)
{
    struct candidates overs = {.kind = OVER};
    xb_cache_folder_each(cache->folder, note_candidate, &overs);
    for (size_t i = 0; i < overs.count; i++) {
        XB_CLEANUP(xb_index_run_unrefp)
        struct xb_index_run *over = read_run(cache, overs.items[i].name, base->key_bytes, blobs);
        if (over && memcmp(over->head.below, base->head.id, sizeof base->head.id) == 0 &&
            over->head.below_names == base->packs.count &&
            over->head.watermark_s == base->head.watermark_s) {
            return XB_TAKE(over);
        }
    }
    return NULL;
}

struct xb_index_table *xb_index_cache_load(struct xb_index_cache *cache, size_t key_bytes,
                                           const struct xb_index_blobs *blobs)
{
    struct candidates bases = {.kind = BASE};
    struct xb_error err = XB_ERROR_INIT;
    struct xb_index_table *table = NULL;
    xb_cache_folder_each(cache->folder, note_candidate, &bases);
    for (size_t i = 0; i < bases.count && !table; i++) {
        struct xb_index_run *base = read_run(cache, bases.items[i].name, key_bytes, blobs);
        if (base && xb_index_table_new(base, find_over(cache, base, blobs), &table, &err) < 0) {
            xb_log_err(XB_LOG_WARNING, &err, "the index cache is not used", (char *)NULL);
        }
    }
    return table;
}

/* ---- saving ---- */

static void file_name(const char *kind, const struct xb_index_run *run, char out[FILE_NAME_BYTES])
{
    char hex[2 * XB_INDEX_RUN_ID_BYTES + 1];
    xb_hex_encode(run->head.id, sizeof run->head.id, hex);
    snprintf(out, FILE_NAME_BYTES, "%s%s", kind, hex);
}

/* Gives a file without a name its name. */
static int link_file(const struct xb_index_cache *cache, int fd, const char *name,
                     struct xb_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, cache->folder, name, AT_SYMLINK_FOLLOW) == 0
               ? 0
               : xb_error_errno(err, errno, "cannot keep %s", name);
}

/* Where files without a name, or their naming, do not work: under another name first. */
static int write_named(const struct xb_index_cache *cache, const struct xb_index_run *run,
                       const char *name, struct xb_error *err)
{
    unsigned char random[NAME_ID_BYTES];
    char hex[2 * NAME_ID_BYTES + 1];
    char temporary[FILE_NAME_BYTES];
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, hex);
    snprintf(temporary, sizeof temporary, LEFTOVER "%s", hex);
    XB_CLEANUP(xb_closep)
    int fd =
        openat(cache->folder, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return xb_error_errno(err, errno, "cannot write %s", temporary);
    }
    int r = xb_index_file_write(fd, cache->hash, run, true, err);
    if (r == 0 && renameat(cache->folder, temporary, cache->folder, name) < 0) {
        r = xb_error_errno(err, errno, "cannot rename %s", temporary);
    }
    if (r < 0) {
        (void)unlinkat(cache->folder, temporary, 0);
    }
    return r;
}

static int write_run(const struct xb_index_cache *cache, const struct xb_index_run *run,
                     const char *name, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    bool in_place = run->spill.fd >= 0 && run->spill.linkable;
    XB_CLEANUP(xb_closep)
    int made = in_place ? -1 : openat(cache->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int fd = in_place ? run->spill.fd : made;
    int r = fd < 0 ? fd : xb_index_file_write(fd, cache->hash, run, !in_place, &why);
    r = r < 0 ? r : link_file(cache, fd, name, &why);
    if (r < 0 && why.kind == XB_ERR_FULL) {
        *err = why;
        return r;
    }
    return r < 0 ? write_named(cache, run, name, err) : 0;
}

/* What a new file takes the place of. Others, who have just made a younger one, do the same: only
 * older ones go, so that one is left. */
struct outdated {
    const char *kept;
    struct timespec mtime; /* of it */
    bool bases;            /* those, too */
};

static int drop_outdated(void *context, int folder, const char *name)
{
    const struct outdated *outdated = context;
    struct stat st;
    if (strcmp(name, outdated->kept) == 0 || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return 0;
    }
    bool old = starts(name, LEFTOVER)
                   ? st.st_mtim.tv_sec + LEFTOVER_AGE_S < time(NULL)
                   : !younger(&st.st_mtim, &outdated->mtime) &&
                         (starts(name, OVER) || (outdated->bases && starts(name, BASE)));
    if (old) {
        (void)unlinkat(folder, name, 0);
    }
    return 0;
}

/* True when the run is in the cache. */
static bool save_run(const struct xb_index_cache *cache, struct xb_index_run *run, const char *kind)
{
    char name[FILE_NAME_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    file_name(kind, run, name);
    if (atomic_load(&run->saved)) {
        return faccessat(cache->folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    }
    uint64_t len = run->map ? run->map_len : xb_spill_len(&run->spill);
    if (len > cache->bytes_max) {
        xb_log_debug("the index is larger than its cache may be", "file", name);
        return false;
    }
    if (write_run(cache, run, name, &err) < 0) {
        static atomic_bool said;
        xb_log_err(atomic_exchange(&said, true) ? XB_LOG_DEBUG : XB_LOG_WARNING, &err,
                   "the index cannot be kept in the cache", (char *)NULL);
        return false;
    }
    atomic_store(&run->saved, true);
    struct stat st;
    if (fstatat(cache->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        struct outdated outdated = {name, st.st_mtim, starts(kind, BASE)};
        xb_cache_folder_each(cache->folder, drop_outdated, &outdated);
    }
    return true;
}

/* ---- the limit ---- */

struct usage {
    uint64_t bytes;
};

/* Whatever else lies in a folder that was given to us is none of our business. */
static bool is_ours(const char *name)
{
    return starts(name, BASE) || starts(name, OVER) || starts(name, LEFTOVER);
}

static bool is_folder_name(const char *name)
{
    return strlen(name) == 2 * (size_t)NAME_ID_BYTES &&
           strspn(name, "0123456789abcdef") == 2 * (size_t)NAME_ID_BYTES;
}

static int add_size(void *context, int folder, const char *name)
{
    struct usage *usage = context;
    struct stat st;
    if (is_ours(name) && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode)) {
        usage->bytes += (uint64_t)st.st_size;
    }
    return 0;
}

/* All folders' sizes, and which of the others has not been used for longest. */
struct survey {
    const struct xb_index_cache *cache;
    struct usage usage;
    char oldest[FILE_NAME_BYTES];
    struct timespec oldest_mtime;
    size_t folders;
};

static int survey_folder(void *context, int top, const char *name)
{
    struct survey *survey = context;
    struct stat st;
    XB_CLEANUP(xb_closep)
    int fd = is_folder_name(name)
                 ? openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                 : -1;
    if (fd < 0 || fstat(fd, &st) < 0) {
        return 0;
    }
    xb_cache_folder_each(fd, add_size, &survey->usage);
    if (strcmp(name, survey->cache->name) != 0 &&
        (!survey->oldest[0] || younger(&survey->oldest_mtime, &st.st_mtim))) {
        survey->oldest_mtime = st.st_mtim;
        memcpy(survey->oldest, name, strlen(name) + 1);
    }
    return ++survey->folders < FOLDERS_MAX ? 0 : -E2BIG;
}

static int drop_file(void *context, int folder, const char *name)
{
    (void)context;
    if (is_ours(name)) {
        (void)unlinkat(folder, name, 0);
    }
    return 0;
}

static void keep_limit(const struct xb_index_cache *cache)
{
    for (int tries = 0; tries < FOLDERS_MAX; tries++) {
        struct survey survey = {.cache = cache};
        xb_cache_folder_each(cache->top, survey_folder, &survey);
        if (survey.usage.bytes <= cache->bytes_max || !survey.oldest[0]) {
            return;
        }
        XB_CLEANUP(xb_closep)
        int fd = openat(cache->top, survey.oldest, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            xb_cache_folder_each(fd, drop_file, NULL);
        }
        if (unlinkat(cache->top, survey.oldest, AT_REMOVEDIR) < 0) {
            return;
        }
    }
}

void xb_index_cache_save(struct xb_index_cache *cache, const struct xb_index_table *table)
{
    struct xb_index_run *base = xb_index_table_base(table);
    struct xb_index_run *over = xb_index_table_over(table);
    bool wanted = !atomic_load(&base->saved) || (over && !atomic_load(&over->saved));
    if (!wanted) {
        return;
    }
    /* What lies over a base that is not there would never be found. */
    if (save_run(cache, base, BASE) && over) {
        (void)save_run(cache, over, OVER);
    }
    keep_limit(cache);
}
