/* SPDX-License-Identifier: Apache-2.0
 *
 * A repository with an index of any size, and what its index costs: made by
 * `index make FOLDER CONTENTS PER-BLOB`, and measured by `index measure FOLDER CACHE` ("" for
 * none), one line of figures. The contents themselves do not exist, but for a few. Printed, never
 * asserted; tests/bench/compare --only index prints kopia's figures beside them.
 */
#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/harness/index_maker.h"

#include "shared/base/secret.h"

/* Made are multiples of MADE_OF; what else is there are the contents of earlier flushes. */
enum { LOOKUPS = 2000000, FLUSHES = 3, FLUSH_CONTENTS = 1000, MADE_OF = 100000 };

#define PASSWORD "a-password-of-the-tests"
#define SEED 20260101

static void fail(const struct xb_error *err)
{
    fprintf(stderr, "index: %s\n", err->text);
    exit(1);
}

static double now_s(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A line of /proc/self/status, in MiB. */
static double memory(const char *key)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtod(line + strlen(key) + 1, NULL);
        }
    }
    if (file) {
        (void)fclose(file);
    }
    return kib / 1024;
}

static struct xb_store *open_store(const char *folder, bool create)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_store *store = NULL;
    const struct xb_store_open_options options = {.create = create};
    if (xb_store_open(folder, &options, &store, &err) < 0 ||
        xb_repository_layout(store, create, &store, &err) < 0) {
        fail(&err);
    }
    return store;
}

static struct xb_repository *open_repository(const char *folder, const char *cache)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_repository *repository = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    const struct xb_repository_open_options options = {
        .cache_folder = cache && cache[0] ? cache : NULL, .cache_wanted = true};
    if (xb_secret_new(PASSWORD, strlen(PASSWORD), &password, &err) < 0 ||
        xb_repository_open(open_store(folder, false), password, &options, &repository, &err) < 0) {
        fail(&err);
    }
    return repository;
}

static void make(const char *folder, uint64_t contents, size_t per_blob)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    const struct xb_repository_create_options options = {.hash = "BLAKE2B-256-128",
                                                         .encryption = "AES256-GCM-HMAC-SHA256",
                                                         .splitter = "DYNAMIC-4M-BUZHASH"};
    if (xb_secret_new(PASSWORD, strlen(PASSWORD), &password, &err) < 0 ||
        xb_repository_create(open_store(folder, true), password, &options, &err) < 0) {
        fail(&err);
    }
    struct xb_repository *repository = open_repository(folder, NULL);
    const struct index_maker maker = {.repository = repository, .seed = SEED, .per_blob = per_blob};
    if (index_maker_put(&maker, 0, contents, &err) < 0) {
        fail(&err);
    }
    xb_repository_free(repository);
}

/* Nanoseconds per lookup of ids that are there, and of some that are not. */
static void look_up(struct xb_repository *repository, uint64_t contents)
{
    const struct index_maker maker = {.repository = repository, .seed = SEED};
    XB_CLEANUP(xb_index_table_unrefp)
    struct xb_index_table *table = xb_repository_table(repository);
    struct xb_content_id *ids = calloc(LOOKUPS, sizeof *ids);
    for (int there = 1; ids && there >= 0; there--) {
        uint64_t found = 0;
        size_t number = 0;
        for (uint64_t i = 0; i < LOOKUPS; i++) {
            uint64_t content = index_maker_number(1, i) % contents;
            index_maker_id(&maker, there ? content : content + contents, &ids[i]);
        }
        double start = now_s(CLOCK_PROCESS_CPUTIME_ID);
        for (uint64_t i = 0; i < LOOKUPS; i++) {
            found += xb_index_table_find(table, &ids[i], &number);
        }
        double took = now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
        printf(" %s_ns=%.0f", there ? "hit" : "miss", took * 1e9 / LOOKUPS);
        if (found != (there ? LOOKUPS : 0)) {
            fprintf(stderr, "index: %llu of %d found\n", (unsigned long long)found, LOOKUPS);
            exit(1);
        }
    }
    free(ids);
    malloc_trim(0);
}

static void flush_some(struct xb_repository *repository, unsigned round)
{
    struct xb_error err = XB_ERROR_INIT;
    for (unsigned i = 0; i < FLUSH_CONTENTS; i++) {
        char text[60];
        struct xb_content_write_result result;
        snprintf(text, sizeof text, "content %u of round %u at %.9f", i, round,
                 now_s(CLOCK_REALTIME));
        if (xb_content_write(repository, 0, text, strlen(text), XB_COMPRESSION_NONE, &result,
                             &err) < 0) {
            fail(&err);
        }
    }
    if (xb_repository_flush(repository, &err) < 0) {
        fail(&err);
    }
}

static void measure(const char *folder, const char *cache)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_repository_info info;
    double wall = now_s(CLOCK_MONOTONIC);
    struct xb_repository *repository = open_repository(folder, cache);
    wall = now_s(CLOCK_MONOTONIC) - wall;
    double cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    double anon = memory("RssAnon");
    double peak = memory("VmHWM");
    double shared = memory("RssShmem");
    if (xb_repository_info(repository, &info, &err) < 0) {
        fail(&err);
    }
    printf("contents=%llu blobs=%llu packs=%llu open_s=%.2f open_cpu_s=%.2f anon_mib=%.1f "
           "peak_mib=%.0f shmem_mib=%.0f",
           (unsigned long long)info.contents, (unsigned long long)info.index_blobs,
           (unsigned long long)info.packs, wall, cpu, anon, peak, shared);
    fflush(stdout);
    if (info.contents >= MADE_OF) {
        look_up(repository, info.contents - info.contents % MADE_OF);
    }
    for (unsigned i = 0; i < FLUSHES; i++) {
        wall = now_s(CLOCK_MONOTONIC);
        cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
        flush_some(repository, i);
        printf(" flush_s=%.3f flush_cpu_s=%.3f", now_s(CLOCK_MONOTONIC) - wall,
               now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    }
    printf(" anon_after_mib=%.1f\n", memory("RssAnon"));
    xb_repository_free(repository);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "make") == 0) {
        make(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    } else if (argc == 4 && strcmp(argv[1], "measure") == 0) {
        measure(argv[2], argv[3]);
    } else {
        fprintf(stderr,
                "usage: index make FOLDER CONTENTS PER-BLOB | index measure FOLDER CACHE\n");
        return 2;
    }
    return 0;
}
