/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a fuzz target over every file of the folders and files given, once each: the corpus as a
 * test, in builds without libFuzzer.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_BYTES_MAX = 16 * 1024 * 1024, PATH_BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int failed(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return -1;
}

/* 1: replayed; negative: could not be read. */
static int replay_file(const char *path, size_t len)
{
    if (len > INPUT_BYTES_MAX) {
        errno = EFBIG;
        return failed(path);
    }
    FILE *file = fopen(path, "rb");
    if (!file) {
        return failed(path);
    }
    /* Exactly as long as the input, so that a sanitizer sees each byte too far. */
    uint8_t *data = malloc(len ? len : 1);
    size_t got = data ? fread(data, 1, len, file) : 0;
    fclose(file);
    if (!data || got != len) {
        free(data);
        errno = data ? EIO : ENOMEM;
        return failed(path);
    }
    fprintf(stderr, "%s\n", path); /* the last one named is the one that crashed */
    LLVMFuzzerTestOneInput(data, len);
    free(data);
    return 1;
}

/* The number of inputs replayed, or negative. */
static int replay(const char *path, int depth)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        return failed(path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return replay_file(path, (size_t)st.st_size);
    }
    DIR *dir = depth > 0 ? opendir(path) : NULL;
    if (!dir) {
        return failed(path);
    }
    int count = 0;
    for (struct dirent *entry; count >= 0 && (entry = readdir(dir)) != NULL;) {
        char child[PATH_BYTES_MAX];
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        int more = replay(child, depth - 1);
        count = more < 0 ? more : count + more;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        int more = replay(argv[i], 8);
        if (more < 0) {
            return 1;
        }
        count += more;
    }
    fprintf(stderr, "%d inputs replayed\n", count);
    if (count == 0) {
        fprintf(stderr, "usage: %s FOLDER|FILE...: no input is no test\n", argv[0]);
        return 1;
    }
    return 0;
}
