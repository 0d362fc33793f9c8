/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/versions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/json.h"

struct xb_restore_versions {
    struct xb_restore_served served;
    char *priorities;
    xb_json *kinds; /* resource: {"versions": [...], "preferred": ..., "chosen": ...} */
};

/* ---- rank ---- */

enum { STAGE_OTHER, STAGE_ALPHA, STAGE_BETA, STAGE_STABLE };

struct rank {
    int stage;
    unsigned long major, minor;
};

static bool read_number(const char **at, unsigned long *ret)
{
    char *end = NULL;
    if (**at < '0' || **at > '9') {
        return false;
    }
    *ret = strtoul(*at, &end, 10);
    *at = end;
    return true;
}

static struct rank rank_of(const char *version)
{
    const char *at = version + (version[0] == 'v');
    struct rank rank = {.stage = STAGE_STABLE};
    if (version[0] != 'v' || !read_number(&at, &rank.major)) {
        return (struct rank){.stage = STAGE_OTHER};
    }
    if (!at[0]) {
        return rank;
    }
    rank.stage = strncmp(at, "beta", 4) == 0 ? STAGE_BETA : STAGE_ALPHA;
    size_t word = rank.stage == STAGE_BETA ? 4 : 5;
    if (rank.stage == STAGE_ALPHA && strncmp(at, "alpha", 5) != 0) {
        return (struct rank){.stage = STAGE_OTHER};
    }
    at += word;
    return read_number(&at, &rank.minor) && !at[0] ? rank : (struct rank){.stage = STAGE_OTHER};
}

int xb_restore_version_compare(const char *a, const char *b)
{
    struct rank left = rank_of(a);
    struct rank right = rank_of(b);
    if (left.stage != right.stage) {
        return right.stage - left.stage;
    }
    if (left.major != right.major) {
        return left.major > right.major ? -1 : 1;
    }
    if (left.minor != right.minor) {
        return left.minor > right.minor ? -1 : 1;
    }
    return strcmp(a, b);
}

/* ---- what the record has ---- */

int xb_restore_versions_new(const struct xb_restore_served *served, const char *priorities,
                            struct xb_restore_versions **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_restore_versions_freep)
    struct xb_restore_versions *versions = calloc(1, sizeof *versions);
    if (versions) {
        versions->served = *served;
        versions->kinds = json_object_new_object();
        versions->priorities = strdup(priorities ? priorities : "");
    }
    if (!versions || !versions->kinds || !versions->priorities) {
        return xb_error_no_memory(err, "the versions of a record");
    }
    *ret = XB_TAKE(versions);
    return 0;
}

void xb_restore_versions_free(struct xb_restore_versions *versions)
{
    if (versions) {
        json_object_put(versions->kinds);
        free(versions->priorities);
        free(versions);
    }
}

static bool has(xb_json *kind, const char *version, size_t len)
{
    xb_json *all = json_object_object_get(kind, "versions");
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        const char *one = json_object_get_string(json_object_array_get_idx(all, i));
        if (strlen(one) == len && memcmp(one, version, len) == 0) {
            return true;
        }
    }
    return false;
}

int xb_restore_versions_seen(struct xb_restore_versions *versions, const char *resource,
                             const char *version, bool preferred, struct xb_error *err)
{
    xb_json *kind = json_object_object_get(versions->kinds, resource);
    if (!kind) {
        if (json_object_object_length(versions->kinds) >= XB_RESTORE_KINDS_MAX) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "the record has more than %d kinds of objects",
                                XB_RESTORE_KINDS_MAX);
        }
        kind = json_object_new_object();
        json_object_object_add(kind, "versions", json_object_new_array());
        json_object_object_add(versions->kinds, resource, kind);
    }
    if (preferred && !json_object_object_get(kind, "preferred")) {
        json_object_object_add(kind, "preferred", json_object_new_string(version));
    }
    if (has(kind, version, strlen(version))) {
        return 0;
    }
    xb_json *all = json_object_object_get(kind, "versions");
    if (json_object_array_length(all) >= XB_RESTORE_VERSIONS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the record has %.100s in more than %d versions", resource,
                            XB_RESTORE_VERSIONS_MAX);
    }
    json_object_array_add(all, json_object_new_string(version));
    return 0;
}

/* ---- the choice ---- */

static bool serves(const struct xb_restore_versions *versions, const char *resource,
                   const char *version)
{
    return versions->served.serves(versions->served.context, resource, version);
}

/* The user's list for a kind, what follows the '='; NULL: there is none. */
static const char *user_list(const struct xb_restore_versions *versions, const char *resource)
{
    size_t len = strlen(resource);
    const char *line = versions->priorities;
    while (line) {
        line += strspn(line, " \t\r\n");
        if (strncmp(line, resource, len) == 0) {
            const char *at = line + len + strspn(line + len, " \t");
            if (*at == '=') {
                return at + 1;
            }
        }
        line = strchr(line, '\n');
    }
    return NULL;
}

/* The first of the user's versions that both have. */
static const char *users_choice(const struct xb_restore_versions *versions, const char *resource,
                                xb_json *kind)
{
    const char *at = user_list(versions, resource);
    xb_json *all = json_object_object_get(kind, "versions");
    while (at && *at && *at != '\n') {
        at += strspn(at, " \t\r,");
        size_t len = strcspn(at, " \t\r\n,");
        for (size_t i = 0; len > 0 && i < json_object_array_length(all); i++) {
            const char *one = json_object_get_string(json_object_array_get_idx(all, i));
            if (strlen(one) == len && memcmp(one, at, len) == 0 &&
                serves(versions, resource, one)) {
                return one;
            }
        }
        at += len;
    }
    return NULL;
}

static const char *best_common(const struct xb_restore_versions *versions, const char *resource,
                               xb_json *kind)
{
    const char *best = NULL;
    xb_json *all = json_object_object_get(kind, "versions");
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        const char *one = json_object_get_string(json_object_array_get_idx(all, i));
        if (serves(versions, resource, one) &&
            (!best || xb_restore_version_compare(one, best) < 0)) {
            best = one;
        }
    }
    return best;
}

static const char *choose(const struct xb_restore_versions *versions, const char *resource,
                          xb_json *kind)
{
    const char *source = json_object_get_string(json_object_object_get(kind, "preferred"));
    const char *here = versions->served.preferred(versions->served.context, resource);
    const char *chosen = here ? users_choice(versions, resource, kind) : NULL;
    if (!here || chosen) {
        return chosen ? chosen : source;
    }
    if (has(kind, here, strlen(here))) {
        return here;
    }
    if (source && serves(versions, resource, source)) {
        return source;
    }
    chosen = best_common(versions, resource, kind);
    return chosen ? chosen : source;
}

const char *xb_restore_versions_chosen(struct xb_restore_versions *versions, const char *resource)
{
    xb_json *kind = json_object_object_get(versions->kinds, resource);
    if (!kind) {
        return NULL;
    }
    if (!json_object_object_get(kind, "chosen")) {
        const char *chosen = choose(versions, resource, kind);
        if (!chosen) {
            return NULL;
        }
        json_object_object_add(kind, "chosen", json_object_new_string(chosen));
    }
    return json_object_get_string(json_object_object_get(kind, "chosen"));
}
