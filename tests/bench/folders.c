/* SPDX-License-Identifier: Apache-2.0
 *
 * What an entry of a folder costs: `bench_folders decode|encode [ENTRIES [ROUNDS]]`, to be run
 * under `perf stat -e instructions:u`; with 0 rounds it only makes the entries.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/directory.h"

static struct xb_entry make_entry(size_t number)
{
    struct xb_entry entry = {.type = XB_ENTRY_FILE,
                             .mode = 0644,
                             .size = 1000 + number * 7919 % 100000,
                             .mtime_ns = INT64_C(1790000000123456789) + (int64_t)number * 97,
                             .uid = 1000,
                             .gid = 1000,
                             .inode = 7000000 + number,
                             .ctime_ns = INT64_C(1790000003987654321) + (int64_t)number * 89};
    char name[32];
    snprintf(name, sizeof name, "file-%07zu.c", number);
    entry.name = strdup(name);
    snprintf(entry.object.text, sizeof entry.object.text, "%032zx", number * 0x9e3779b97f4a7c15);
    return entry;
}

static void must(int r, const struct xb_error *err)
{
    if (r < 0) {
        fprintf(stderr, "bench_folders: %s\n", err->text);
        exit(1);
    }
}

static void make_text(size_t count, struct xb_buf *text)
{
    struct xb_error err = XB_ERROR_INIT;
    must(xb_buf_append_str(text, "{\"stream\":\"kopia:directory\",\"entries\":[", &err), &err);
    for (size_t i = 0; i < count; i++) {
        struct xb_entry entry = make_entry(i);
        must(i ? xb_buf_append_str(text, ",", &err) : 0, &err);
        must(xb_entry_encode(&entry, text, &err), &err);
        xb_entry_free(&entry);
    }
    must(xb_buf_append_str(text, "],\"summary\":{\"size\":0}}\n", &err), &err);
}

static void encode(const struct xb_directory *directory, size_t bytes)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(2 * bytes);
    for (size_t i = 0; i < directory->count; i++) {
        must(xb_entry_encode(&directory->entries[i], &out, &err), &err);
    }
    xb_buf_free(&out);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "decode";
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 10;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf text = XB_BUF_INIT((size_t)1 << 30);
    struct xb_directory *directory = NULL;
    make_text(count, &text);
    must(xb_directory_decode(text.data, text.len, &directory, &err), &err);
    for (size_t i = 0; i < rounds; i++) {
        if (strcmp(what, "encode") == 0) {
            encode(directory, text.len);
            continue;
        }
        xb_directory_free(directory);
        must(xb_directory_decode(text.data, text.len, &directory, &err), &err);
    }
    printf("%s: %zu entries of %zu bytes, %zu rounds\n", what, count, text.len / (count + !count),
           rounds);
    xb_directory_free(directory);
    xb_buf_free(&text);
    return 0;
}
