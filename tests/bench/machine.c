/* SPDX-License-Identifier: Apache-2.0
 *
 * What this machine can do at best, on one core: the least that any program pays for moving bytes
 * and for touching files. The benchmarks set the engine's figures against it. Printed, never
 * asserted.
 *
 * usage: bench_machine FOLDER [--json]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 256 << 20, BLOCK = 256 << 10, FILES = 20000, SMALL = 4096, ROUNDS = 3 };

static int folder_fd;
static char *buffer;
static bool json, any;

static void die(const char *what)
{
    fprintf(stderr, "bench_machine: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void must(bool good, const char *what)
{
    if (!good) {
        die(what);
    }
}

/* CPU time, so that what else runs here does not count. */
static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void row(const char *name, const char *unit, double value)
{
    if (json) {
        printf("%s\"%s\": %.4f", any ? ", " : "{", name, value);
        any = true;
    } else {
        printf("%-12s %-36s %7.2f %s\n", "machine", name, value, unit);
    }
    fflush(stdout);
}

typedef void work_fn(void);

/* The shortest of a few rounds. */
static double best_ns(work_fn *work, work_fn *undo)
{
    int64_t best = INT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = cpu_ns();
        work();
        int64_t took = cpu_ns() - start;
        best = took < best ? took : best;
        if (undo) {
            undo();
        }
    }
    return (double)best;
}

static void copy_memory(void)
{
    for (int i = 0; i < FILE_BYTES / BLOCK; i++) {
        memcpy(buffer + (size_t)(i % 64) * BLOCK, buffer + (size_t)(64 + i % 64) * BLOCK, BLOCK);
        __asm__ volatile("" ::: "memory");
    }
}

static void write_large(void)
{
    int fd = openat(folder_fd, "large", O_WRONLY | O_CREAT | O_EXCL, 0600);
    must(fd >= 0, "large");
    for (int i = 0; i < FILE_BYTES / BLOCK; i++) {
        must(write(fd, buffer, BLOCK) == BLOCK, "writing");
    }
    close(fd);
}

static void remove_large(void)
{
    must(unlinkat(folder_fd, "large", 0) == 0, "large");
}

static void read_large(void)
{
    int fd = openat(folder_fd, "large", O_RDONLY);
    must(fd >= 0, "large");
    for (int i = 0; i < FILE_BYTES / BLOCK; i++) {
        must(pread(fd, buffer + (size_t)(i % 16) * BLOCK, BLOCK, (off_t)i * BLOCK) == BLOCK,
             "reading");
    }
    close(fd);
}

static const char *name_of(int i)
{
    static char name[32];
    snprintf(name, sizeof name, "a-file-%d", i);
    return name;
}

static void make_small(void)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    for (int i = 0; i < FILES; i++) {
        int fd = openat(folder_fd, name_of(i), O_WRONLY | O_CREAT | O_EXCL, 0644);
        must(fd >= 0 && write(fd, buffer, SMALL) == SMALL && futimens(fd, times) == 0 &&
                 close(fd) == 0,
             "making a small file");
    }
}

static void remove_small(void)
{
    for (int i = 0; i < FILES; i++) {
        must(unlinkat(folder_fd, name_of(i), 0) == 0, "removing");
    }
}

static void read_small(void)
{
    struct stat st;
    for (int i = 0; i < FILES; i++) {
        int fd = openat(folder_fd, name_of(i), O_RDONLY);
        must(fd >= 0 && fstat(fd, &st) == 0 && read(fd, buffer, SMALL) == SMALL && close(fd) == 0,
             "reading a small file");
    }
}

static void walk(void)
{
    struct stat st;
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    must(dir != NULL, "listing");
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        must(fstatat(folder_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0, "looking");
    }
    closedir(dir);
}

static double gbps(double ns)
{
    return (double)FILE_BYTES / ns;
}

static double per_ms(double ns)
{
    return FILES / ns * 1e6;
}

int main(int argc, char **argv)
{
    json = argc == 3 && strcmp(argv[2], "--json") == 0;
    if (argc < 2 || (argc > 2 && !json)) {
        fprintf(stderr, "usage: bench_machine FOLDER [--json]\n");
        return 2;
    }
    folder_fd = open(argv[1], O_RDONLY | O_DIRECTORY);
    must(folder_fd >= 0, argv[1]);
    must(mkdirat(folder_fd, "machine", 0700) == 0, "machine");
    int at = openat(folder_fd, "machine", O_RDONLY | O_DIRECTORY);
    must(at >= 0, "machine");
    int top = folder_fd;
    folder_fd = at;
    buffer = malloc((size_t)128 * BLOCK);
    must(buffer != NULL, "memory");
    memset(buffer, 'x', (size_t)128 * BLOCK);

    row("memcpy", "GB/s", gbps(best_ns(copy_memory, NULL)));
    row("write a new file", "GB/s", gbps(best_ns(write_large, remove_large)));
    write_large();
    row("read a file of the page cache", "GB/s", gbps(best_ns(read_large, NULL)));
    remove_large();
    row("make a small file", "files per ms", per_ms(best_ns(make_small, remove_small)));
    make_small();
    row("read a small file", "files per ms", per_ms(best_ns(read_small, NULL)));
    row("list and stat", "entries per ms", per_ms(best_ns(walk, NULL)));
    remove_small();
    if (json) {
        printf("}\n");
    }
    must(unlinkat(top, "machine", AT_REMOVEDIR) == 0, "machine");
    return 0;
}
