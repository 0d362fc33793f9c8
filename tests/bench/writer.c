/* SPDX-License-Identifier: Apache-2.0
 *
 * An application that is held still between its hooks, for tests/bench/freeze_beside_velero.
 *
 *   bench_writer write FOLDER FILE...  overwrites pages of the files, each on the disk before the
 *                                      next; stands still while FOLDER says so
 *   bench_writer pre FOLDER            the pre hook: says so, and waits until it stands still
 *   bench_writer post FOLDER           the post hook: lets it go on
 *
 * All note times of the wall clock, in ns, in FOLDER/times: "pre T", "post T", "held T T" from the
 * last write before to the first one after, "slow T T" for other writes. Linked statically: it runs
 * in a container that has nothing but busybox.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE_BYTES = 4096,
    PAUSE_NS = 1000000,
    LOOK_NS = 200000,
    SLOW_NS = 20000000,
    ACKNOWLEDGE_S = 60,
};
#define NS_PER_S INT64_C(1000000000)

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void pause_ns(long ns)
{
    const struct timespec time = {.tv_nsec = ns};
    nanosleep(&time, NULL);
}

static _Noreturn void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static int open_or_end(int folder, const char *name, int flags)
{
    int fd = openat(folder, name, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        give_up(name);
    }
    return fd;
}

static bool is_there(int folder, const char *name)
{
    return faccessat(folder, name, F_OK, 0) == 0;
}

/* One write, so that the lines of several processes stay whole. */
static void note(int folder, const char *what, int64_t from_ns, int64_t to_ns)
{
    char line[80];
    int fd = open_or_end(folder, "times", O_WRONLY | O_CREAT | O_APPEND);
    int len =
        to_ns ? snprintf(line, sizeof line, "%s %" PRId64 " %" PRId64 "\n", what, from_ns, to_ns)
              : snprintf(line, sizeof line, "%s %" PRId64 "\n", what, from_ns);
    if (write(fd, line, (size_t)len) != len) {
        give_up("times");
    }
    close(fd);
}

static int pre(int folder)
{
    int64_t until_ns = now_ns() + ACKNOWLEDGE_S * NS_PER_S;
    close(open_or_end(folder, "hold", O_WRONLY | O_CREAT));
    while (!is_there(folder, "held")) {
        if (now_ns() > until_ns) {
            fprintf(stderr, "the writer does not stand still\n");
            return 1;
        }
        pause_ns(LOOK_NS);
    }
    note(folder, "pre", now_ns(), 0);
    return 0;
}

static int post(int folder)
{
    note(folder, "post", now_ns(), 0);
    return unlinkat(folder, "hold", 0) < 0 ? 1 : 0;
}

/* A page in the middle of a file that is there: what a database does. */
static void overwrite(const char *path, uint64_t random)
{
    char page[PAGE_BYTES];
    struct stat st;
    int fd = open_or_end(AT_FDCWD, path, O_WRONLY);
    if (fstat(fd, &st) < 0) {
        give_up(path);
    }
    uint64_t pages = (uint64_t)st.st_size / PAGE_BYTES;
    off_t at = pages ? (off_t)(random % pages * PAGE_BYTES) : 0;
    memset(page, (int)(random & 0xff), sizeof page);
    memcpy(page, &random, sizeof random);
    if (pwrite(fd, page, sizeof page, at) != (ssize_t)sizeof page || fdatasync(fd) < 0) {
        give_up(path);
    }
    close(fd);
}

static void stand_still(int folder)
{
    close(open_or_end(folder, "held", O_WRONLY | O_CREAT));
    while (is_there(folder, "hold")) {
        pause_ns(LOOK_NS);
    }
    (void)unlinkat(folder, "held", 0);
}

static _Noreturn void write_on(int folder, char **files, uint64_t count)
{
    uint64_t random = 88172645463325252U;
    int64_t last_ns = now_ns();
    for (;;) {
        bool held = is_there(folder, "hold");
        if (held) {
            stand_still(folder);
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        overwrite(files[random % count], random / count);
        int64_t written_ns = now_ns();
        if (held || written_ns - last_ns > SLOW_NS) {
            note(folder, held ? "held" : "slow", last_ns, written_ns);
        }
        last_ns = written_ns;
        pause_ns(PAUSE_NS);
    }
}

int main(int argc, char **argv)
{
    const char *command = argc >= 3 ? argv[1] : "";
    int folder = argc >= 3 ? open_or_end(AT_FDCWD, argv[2], O_RDONLY | O_DIRECTORY) : -1;
    if (strcmp(command, "write") == 0 && argc > 3) {
        write_on(folder, argv + 3, (uint64_t)argc - 3);
    }
    if (strcmp(command, "pre") == 0) {
        return pre(folder);
    }
    if (strcmp(command, "post") == 0) {
        return post(folder);
    }
    fprintf(stderr, "usage: bench_writer write|pre|post FOLDER [FILE...]\n");
    return 2;
}
