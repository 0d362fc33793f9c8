/* SPDX-License-Identifier: Apache-2.0
 *
 * What each splitter makes of two versions of a file: how fast it cuts, how many chunks there are,
 * and how many bytes of the second version the first does not have.
 *   bench_splitter OLD NEW
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/crypto/hash.h"
#include "shared/repository/splitter.h"

enum { ID_BYTES = 16, CHUNKS_MAX = 1 << 20 };

struct file {
    const unsigned char *data;
    size_t len;
};

struct chunk {
    unsigned char id[ID_BYTES];
    size_t len;
};

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* CPU time, so that what else runs here does not count. */
static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static struct file map(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0) {
        fail(path);
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED) {
        fail(path);
    }
    return (struct file){data, (size_t)st.st_size};
}

static size_t cut(const struct xb_splitter *splitter, const struct file *file, struct chunk *chunks)
{
    struct xb_splitter_state state = {.scanned = 0};
    size_t count = 0;
    for (size_t start = 0; start < file->len;) {
        size_t len = xb_splitter_feed(splitter, &state, file->data + start, file->len - start);
        len = len ? len : file->len - start;
        if (count == CHUNKS_MAX) {
            fail("too many chunks");
        }
        chunks[count++].len = len;
        start += len;
    }
    return count;
}

static void identify(const struct xb_hash *hash, const struct file *file, struct chunk *chunks,
                     size_t count)
{
    struct xb_error err = XB_ERROR_INIT;
    size_t at = 0;
    for (size_t i = 0; i < count; at += chunks[i++].len) {
        if (xb_hash_compute(hash, file->data + at, chunks[i].len, chunks[i].id, &err) < 0) {
            fail(err.text);
        }
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, ID_BYTES);
}

/* Bytes of `fresh` whose chunks `old` does not have; each only once. Both get sorted. */
static size_t new_bytes(struct chunk *old, size_t old_count, struct chunk *fresh, size_t count)
{
    size_t sum = 0;
    qsort(old, old_count, sizeof *old, compare);
    qsort(fresh, count, sizeof *fresh, compare);
    for (size_t i = 0; i < count; i++) {
        bool again = i > 0 && compare(&fresh[i - 1], &fresh[i]) == 0;
        if (!again && !bsearch(&fresh[i], old, old_count, sizeof *old, compare)) {
            sum += fresh[i].len;
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {
        "FIXED-128K",         "FIXED-1M",           "FIXED-4M",           "DYNAMIC-128K-BUZHASH",
        "DYNAMIC-1M-BUZHASH", "DYNAMIC-2M-BUZHASH", "DYNAMIC-4M-BUZHASH", "DYNAMIC-8M-BUZHASH"};
    static struct chunk old[CHUNKS_MAX], fresh[CHUNKS_MAX];
    if (argc != 3) {
        fail("usage: bench_splitter OLD NEW");
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_hash *hash = NULL;
    struct file files[2] = {map(argv[1]), map(argv[2])};
    if (xb_hash_new("HMAC-SHA256-128", "key", 3, &hash, &err) < 0) {
        fail(err.text);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct xb_splitter splitter;
        if (xb_splitter_parse(names[i], &splitter, &err) < 0) {
            fail(err.text);
        }
        size_t old_count = cut(&splitter, &files[0], old);
        int64_t start = cpu_ns();
        size_t count = cut(&splitter, &files[1], fresh);
        double took = (double)(cpu_ns() - start + 1);
        identify(hash, &files[0], old, old_count);
        identify(hash, &files[1], fresh, count);
        size_t sum = new_bytes(old, old_count, fresh, count);
        printf("  %-22s %7zu chunks %9.1f MB new (%5.1f %%)", names[i], count, (double)sum / 1e6,
               100.0 * (double)sum / (double)files[1].len);
        if (splitter.mask) {
            printf(" %6.2f GB/s", (double)files[1].len / took);
        }
        printf("\n");
    }
    xb_hash_free(hash);
    return 0;
}
