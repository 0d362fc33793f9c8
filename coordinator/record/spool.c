/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/record/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/buf.h"

struct group {
    char *name;
    FILE *file;
};

struct xb_spool {
    char *folder;
    struct group *groups;
    size_t count;
};

/* A record: four lengths, then version, namespace, name and JSON. */
struct record_head {
    uint32_t version, namespace, name, json;
};

static void group_path(const struct xb_spool *spool, size_t index, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/group-%zu", spool->folder, index);
}

/* What an earlier life left there: files of ours only. */
static int remove_groups(const char *folder, struct xb_error *err)
{
    XB_CLEANUP(xb_closedirp) DIR *dir = opendir(folder);
    if (!dir) {
        return xb_error_errno(err, errno, "cannot look into scratch folder %s", folder);
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir))) {
        if (strncmp(entry->d_name, "group-", 6) == 0 &&
            unlinkat(dirfd(dir), entry->d_name, 0) < 0) {
            return xb_error_errno(err, errno, "cannot empty scratch folder %s", folder);
        }
    }
    return 0;
}

int xb_spool_new(const char *folder, struct xb_spool **ret, struct xb_error *err)
{
    struct xb_spool *spool = calloc(1, sizeof *spool);
    if (spool) {
        spool->folder = strdup(folder);
        spool->groups = calloc(XB_SPOOL_GROUPS_MAX, sizeof *spool->groups);
    }
    if (!spool || !spool->folder || !spool->groups) {
        xb_spool_free(spool);
        return xb_error_no_memory(err, "a spool");
    }
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        int saved = errno;
        xb_spool_free(spool);
        return xb_error_errno(err, saved, "cannot make scratch folder %s", folder);
    }
    int r = remove_groups(folder, err);
    if (r < 0) {
        xb_spool_free(spool);
        return r;
    }
    *ret = spool;
    return 0;
}

static int group_for(struct xb_spool *spool, const char *name, size_t *ret, struct xb_error *err)
{
    for (size_t i = 0; i < spool->count; i++) {
        if (strcmp(spool->groups[i].name, name) == 0) {
            *ret = i;
            return 0;
        }
    }
    if (spool->count == XB_SPOOL_GROUPS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d kinds of resources",
                            XB_SPOOL_GROUPS_MAX);
    }
    char path[PATH_MAX];
    struct group *group = &spool->groups[spool->count];
    group_path(spool, spool->count, path);
    group->name = strdup(name);
    group->file = fopen(path, "w+e");
    if (!group->name || !group->file) {
        int saved = errno;
        free(group->name);
        xb_fclosep(&group->file);
        *group = (struct group){.name = NULL};
        return xb_error_errno(err, saved, "cannot create scratch file %s", path);
    }
    *ret = spool->count++;
    return 0;
}

int xb_spool_add(struct xb_spool *spool, const struct xb_tarball_item *item, const char *json,
                 size_t len, struct xb_error *err)
{
    size_t index;
    int r = group_for(spool, item->resource, &index, err);
    if (r < 0) {
        return r;
    }
    struct group *group = &spool->groups[index];
    struct record_head head = {.version = (uint32_t)strlen(item->version),
                               .namespace = (uint32_t)strlen(item->namespace),
                               .name = (uint32_t)strlen(item->name),
                               .json = (uint32_t)len};
    if (fwrite(&head, sizeof head, 1, group->file) != 1 ||
        fwrite(item->version, 1, head.version, group->file) != head.version ||
        fwrite(item->namespace, 1, head.namespace, group->file) != head.namespace ||
        fwrite(item->name, 1, head.name, group->file) != head.name ||
        fwrite(json, 1, len, group->file) != len) {
        return xb_error_errno(err, errno, "cannot write to scratch folder %s", spool->folder);
    }
    return 0;
}

size_t xb_spool_group_count(const struct xb_spool *spool)
{
    return spool->count;
}

const char *xb_spool_group_name(const struct xb_spool *spool, size_t index)
{
    return spool->groups[index].name;
}

/* Reads one record; *ret_end at the end of the file. */
static int read_record(FILE *file, struct record_head *head, struct xb_buf *text, bool *ret_end,
                       struct xb_error *err)
{
    xb_buf_clear(text);
    if (fread(head, sizeof *head, 1, file) != 1) {
        *ret_end = true;
        return ferror(file) ? xb_error_errno(err, EIO, "cannot read a scratch file") : 0;
    }
    /* Our own file: the sizes are those that xb_spool_add wrote, each part ended by a NUL here. */
    const uint32_t sizes[] = {head->version, head->namespace, head->name, head->json};
    for (int i = 0; i < 4; i++) {
        int r = xb_buf_reserve(text, (size_t)sizes[i] + 1, err);
        if (r < 0) {
            return r;
        }
        if (fread(text->data + text->len, 1, sizes[i], file) != sizes[i]) {
            return xb_error_errno(err, EIO, "a scratch file is cut short");
        }
        text->len += sizes[i];
        text->data[text->len++] = '\0';
    }
    *ret_end = false;
    return 0;
}

int xb_spool_read(struct xb_spool *spool, size_t index, xb_tarball_item_fn *fn, void *context,
                  struct xb_error *err)
{
    struct group *group = &spool->groups[index];
    struct xb_buf text = XB_BUF_INIT(XB_TARBALL_ITEM_BYTES_MAX + 4096);
    int r = fflush(group->file) == 0
                ? 0
                : xb_error_errno(err, errno, "cannot write to scratch folder %s", spool->folder);
    rewind(group->file);
    bool end = false;
    while (r == 0) {
        struct record_head head;
        r = read_record(group->file, &head, &text, &end, err);
        if (r < 0 || end) {
            break;
        }
        const char *version = text.data;
        const char *namespace = version + head.version + 1;
        const char *name = namespace + head.namespace + 1;
        const char *json = name + head.name + 1;
        struct xb_tarball_item item = {
            .resource = group->name, .version = version, .namespace = namespace, .name = name};
        r = fn(context, &item, json, head.json, err);
    }
    xb_buf_free(&text);
    fseek(group->file, 0, SEEK_END);
    return r;
}

void xb_spool_free(struct xb_spool *spool)
{
    if (!spool) {
        return;
    }
    for (size_t i = 0; spool->groups && i < spool->count; i++) {
        char path[PATH_MAX];
        group_path(spool, i, path);
        fclose(spool->groups[i].file);
        unlink(path);
        free(spool->groups[i].name);
    }
    if (spool->folder) {
        rmdir(spool->folder);
    }
    free(spool->groups);
    free(spool->folder);
    free(spool);
}
