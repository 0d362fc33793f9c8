/* SPDX-License-Identifier: Apache-2.0
 * A restore into the volume of a pod that runs: what its Restore allows, and the folder it goes
 * into. The pod may do with its volume what it likes meanwhile: no link of it is followed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/job/internal.h"
#include "agent/restore/restore.h"
#include "shared/base/file.h"
#include "shared/velero/in_place.h"

/* The claim that the pod's volume must have; "": any. */
static const char *wanted_claim(const struct xb_in_place *allowed)
{
    return allowed->into_claim[0] ? allowed->into_claim : allowed->claim;
}

static int check_claim(const struct xb_order *order, xb_json *pod,
                       const struct xb_in_place *allowed, struct xb_error *err)
{
    const char *claim = wanted_claim(allowed);
    struct xb_volume_source source;
    int r = xb_volume_source(pod, xb_json_str(order->object, "spec.volume", ""), &source, err);
    if (r == 0 && claim[0] && strcmp(source.claim, claim) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                            "the pod's volume has claim '%.100s', and its restore is for '%.100s'",
                            source.claim, claim);
    }
    return r;
}

/* An order is not believed: what it wants must follow from the Restore. */
static int check(const struct xb_order *order, xb_json *restore, const struct xb_in_place *allowed,
                 struct xb_error *err)
{
    bool new_claim = allowed->into_claim[0] != '\0';
    const char *pod = allowed->into_pod[0] ? allowed->into_pod : allowed->pod;
    const struct {
        const char *path, *wanted;
    } texts[] = {{"spec.sourceNamespace", allowed->namespace},
                 {"spec.pod.namespace", xb_in_place_namespace(restore, allowed)},
                 {"spec.pod.name", new_claim ? "" : pod},
                 {"spec.volume", new_claim ? "" : allowed->volume}};
    if (!allowed->wanted) {
        return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                            "its restore is none in place (annotation %s)",
                            XB_IN_PLACE_VOLUME_ANNOTATION);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *got = xb_json_str(order->object, texts[i].path, "");
        if (texts[i].wanted[0] && strcmp(got, texts[i].wanted) != 0) {
            return xb_error_set(err, XB_ERR_INVALID, -EPERM,
                                "%s is '%.100s', and its restore is for '%.100s'", texts[i].path,
                                got, texts[i].wanted);
        }
    }
    return 0;
}

/* ---- the folder ---- */

struct descent {
    struct xb_repository *repository;
    const struct xb_snapshot *snapshot;
    int fd;                            /* of the folder reached */
    char path[XB_IN_PLACE_PATH_BYTES]; /* to it */
};

/* A folder that is missing on the way comes back as it was, or the application could not pass. */
static int make_folder(const struct descent *descent, const char *name, struct xb_error *err)
{
    struct xb_entry entry;
    int r =
        xb_snapshot_find_path(descent->repository, descent->snapshot, descent->path, &entry, err);
    if (r < 0) {
        return r;
    }
    int fd = -1;
    if (mkdirat(descent->fd, name, 0700) < 0 && errno != EEXIST) {
        r = xb_error_errno(err, errno, "making folder '%.300s'", descent->path);
    } else if ((fd = xb_file_open_beneath(descent->fd, name, O_RDONLY | O_DIRECTORY, 0, err)) < 0) {
        r = fd;
    } else if (fchown(fd, entry.uid, entry.gid) < 0 || fchmod(fd, entry.mode) < 0) {
        r = xb_error_errno(err, errno, "setting owner and mode of folder '%.300s'", descent->path);
    }
    xb_entry_free(&entry);
    if (r < 0) {
        xb_closep(&fd);
        return r;
    }
    return fd;
}

static int step_into(struct descent *descent, const char *name, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    size_t used = strlen(descent->path);
    snprintf(descent->path + used, sizeof descent->path - used, "%s%s", used > 0 ? "/" : "", name);
    int fd = xb_file_open_beneath(descent->fd, name, O_RDONLY | O_DIRECTORY, 0, &why);
    if (fd == -ENOENT) {
        fd = make_folder(descent, name, err);
    } else if (fd == -ELOOP) {
        return xb_error_set(err, XB_ERR_INVALID, -ELOOP,
                            "'%.300s' is a link in the volume now, and links are not followed",
                            descent->path);
    } else if (fd < 0) {
        *err = why;
    }
    if (fd < 0) {
        return fd;
    }
    close(descent->fd);
    descent->fd = fd;
    return 0;
}

/* As far as there are folders: a file's own name is the engine's. */
static int descend(struct descent *descent, const char *path, bool folder, struct xb_error *err)
{
    int r = 0;
    for (const char *at = path; r == 0 && *at;) {
        char name[NAME_MAX + 1];
        size_t len = strcspn(at, "/");
        bool last = !at[len];
        if (last && !folder) {
            break;
        }
        if (len > NAME_MAX) {
            return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "path '%.100s'", path);
        }
        memcpy(name, at, len);
        name[len] = '\0';
        at += len + !last;
        r = step_into(descent, name, err);
    }
    return r;
}

int xb_order_open_in_place(struct xb_order *order, const struct xb_order_place *place,
                           const struct xb_snapshot *snapshot, struct xb_order_part *ret,
                           struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *restore = NULL;
    struct xb_in_place allowed;
    struct xb_entry entry;
    int r = xb_order_get_owner(order, "Restore", &restore, err);
    if (r < 0 || (r = xb_in_place_parse(restore, &allowed, err)) < 0 ||
        (r = check(order, restore, &allowed, err)) < 0 ||
        (r = check_claim(order, place->pod, &allowed, err)) < 0 ||
        (r = xb_snapshot_find_path(place->repository, snapshot, allowed.path, &entry, err)) < 0) {
        return r;
    }
    bool folder = entry.type == XB_ENTRY_DIRECTORY;
    xb_entry_free(&entry);
    struct descent descent = {
        .repository = place->repository, .snapshot = snapshot, .fd = dup(place->volume.fd)};
    if (descent.fd < 0) {
        return xb_error_errno(err, errno, "opening the volume");
    }
    r = descend(&descent, allowed.path, folder, err);
    if (r < 0) {
        close(descent.fd);
        return r;
    }
    ret->fd = descent.fd;
    snprintf(ret->path, sizeof ret->path, "%s", allowed.path);
    return 0;
}
