/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/mapping.h"

#include <string.h>

enum { IMAGE_BYTES_MAX = 16 << 10 };

struct mapping {
    xb_json *data;
    xb_restore_mapped_fn *mapped;
    void *context;
};

static const char *text_of(xb_json *value)
{
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static size_t length(xb_json *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* ---- storage classes ---- */

static int map_class(const struct mapping *mapping, xb_json *claim, struct xb_error *err)
{
    const char *from = xb_json_str(claim, "spec.storageClassName", "");
    xb_json *to = NULL;
    if (!from[0] || !json_object_is_type(mapping->data, json_type_object) ||
        !json_object_object_get_ex(mapping->data, from, &to) || !text_of(to)[0]) {
        return 0;
    }
    int r = mapping->mapped(mapping->context, from, text_of(to), err);
    return r < 0 ? r : xb_json_set_str(claim, "spec.storageClassName", text_of(to), err);
}

static bool is_stateful_set(const char *resource)
{
    return strcmp(resource, "statefulsets.apps") == 0;
}

bool xb_restore_has_classes(const char *resource)
{
    return strcmp(resource, "persistentvolumes") == 0 ||
           strcmp(resource, "persistentvolumeclaims") == 0 || is_stateful_set(resource);
}

int xb_restore_map_classes(xb_json *data, const char *resource, xb_json *object,
                           xb_restore_mapped_fn *mapped, void *context, struct xb_error *err)
{
    const struct mapping mapping = {.data = data, .mapped = mapped, .context = context};
    if (!xb_restore_has_classes(resource)) {
        return 0;
    }
    if (!is_stateful_set(resource)) {
        return map_class(&mapping, object, err);
    }
    xb_json *templates = xb_json_get(object, "spec.volumeClaimTemplates");
    int r = 0;
    for (size_t i = 0; r == 0 && i < length(templates); i++) {
        r = map_class(&mapping, json_object_array_get_idx(templates, i), err);
    }
    return r;
}

/* ---- images ---- */

/* A row's part without the blanks around it. */
struct part {
    const char *text;
    size_t len;
};

static struct part trimmed(const char *text, size_t len)
{
    static const char blanks[] = " \t\r\n";
    while (len > 0 && strchr(blanks, *text)) {
        text++;
        len--;
    }
    while (len > 0 && strchr(blanks, text[len - 1])) {
        len--;
    }
    return (struct part){.text = text, .len = len};
}

static const char *find(const char *text, const struct part *part)
{
    return memmem(text, strlen(text), part->text, part->len);
}

/* Whether a row says something about the image. A row without anything behind its comma does not.
 */
static bool read_row(const char *row, const char *image, struct part *from, struct part *to)
{
    const char *comma = strchr(row, ',');
    if (!comma || !comma[1]) {
        return false;
    }
    *from = trimmed(row, (size_t)(comma - row));
    *to = trimmed(comma + 1, strlen(comma + 1));
    return from->len > 0 && find(image, from);
}

static int replace_all(const char *image, const struct part *from, const struct part *to,
                       struct xb_buf *out, struct xb_error *err)
{
    int r = 0;
    for (const char *at; r == 0 && (at = find(image, from)) != NULL; image = at + from->len) {
        r = xb_buf_append(out, image, (size_t)(at - image), err);
        r = r < 0 ? r : xb_buf_append(out, to->text, to->len, err);
    }
    return r < 0 ? r : xb_buf_append_str(out, image, err);
}

static int map_image(const struct mapping *mapping, xb_json *container, struct xb_error *err)
{
    const char *image = xb_json_str(container, "image", "");
    struct part from, to;
    if (!image[0] || !json_object_is_type(mapping->data, json_type_object)) {
        return 0;
    }
    json_object_object_foreach(mapping->data, key, row)
    {
        (void)key;
        if (read_row(text_of(row), image, &from, &to)) {
            XB_CLEANUP(xb_buf_free) struct xb_buf changed = XB_BUF_INIT(IMAGE_BYTES_MAX);
            int r = replace_all(image, &from, &to, &changed, err);
            const char *name = changed.data ? changed.data : "";
            if (r < 0 || (r = mapping->mapped(mapping->context, image, name, err)) < 0) {
                return r;
            }
            return xb_json_set_str(container, "image", name, err);
        }
    }
    return 0;
}

static int map_images(const struct mapping *mapping, xb_json *spec, struct xb_error *err)
{
    static const char *const lists[] = {"containers", "initContainers"};
    int r = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        xb_json *containers = xb_json_get(spec, lists[i]);
        for (size_t k = 0; r == 0 && k < length(containers); k++) {
            r = map_image(mapping, json_object_array_get_idx(containers, k), err);
        }
    }
    return r;
}

const char *xb_restore_pod_spec(const char *resource)
{
    static const char *const paths[][2] = {
        {"pods", "spec"},
        {"cronjobs.batch", "spec.jobTemplate.spec.template.spec"},
        {"deployments.apps", "spec.template.spec"},
        {"statefulsets.apps", "spec.template.spec"},
        {"daemonsets.apps", "spec.template.spec"},
        {"replicasets.apps", "spec.template.spec"},
        {"replicationcontrollers", "spec.template.spec"},
        {"jobs.batch", "spec.template.spec"},
        /* Of a StatefulSet or DaemonSet. Were its template another one than this says, all pods
         * would be replaced as soon as they are back, and the data in them lost. */
        {"controllerrevisions.apps", "data.spec.template.spec"},
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (strcmp(resource, paths[i][0]) == 0) {
            return paths[i][1];
        }
    }
    return NULL;
}

bool xb_restore_has_images(const char *resource)
{
    return xb_restore_pod_spec(resource) != NULL;
}

int xb_restore_map_images(xb_json *data, const char *resource, xb_json *object,
                          xb_restore_mapped_fn *mapped, void *context, struct xb_error *err)
{
    const struct mapping mapping = {.data = data, .mapped = mapped, .context = context};
    const char *path = xb_restore_pod_spec(resource);
    return path ? map_images(&mapping, xb_json_get(object, path), err) : 0;
}
