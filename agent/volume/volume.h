/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.h - where a pod's volume is on this node.
 *
 * What for:  from a pod and a volume's name to an open descriptor of its folder. Only folders below
 *            the pods' roots (/host_pods) are ever opened, and for a hostPath those below a folder
 *            that an administrator named; no link is followed on the way. A raw block device is
 *            found by the kubelet's link to it.
 * Ownership: the caller closes the descriptor and frees the path.
 * Threads:   any.    Blocking: yes (file system; API requests are the caller's).
 * Errors:    NOT_FOUND: no such volume in the pod, or its folder is not there; INVALID: a volume of
 *            a type that cannot be backed up, or a hostile name; CONFLICT: more than one folder
 *            fits.
 * Source:    velero-contract section 3, "Finding the data on the node"; the kubelet's annotations
 *            kubernetes.io/config.mirror and kubernetes.io/config.hash.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "shared/codec/json.h"

enum { XB_VOLUME_CLAIM_BYTES = 512, XB_VOLUME_DRIVERS_MAX = 2 };

/* What the API says of a volume. */
struct xb_volume_source {
    char claim[XB_VOLUME_CLAIM_BYTES]; /* name of its PVC; empty: inline. A generic ephemeral volume
                                          has one, named after pod and volume */
    bool csi;                          /* an inline CSI volume */
    bool ephemeral;                    /* the claim is the pod's own */
    const char *host_path;             /* a hostPath's; NULL: it is none. Lent by the pod */
    const char *refused;               /* why it cannot be backed up; NULL: it can */
};

/* Finds the volume in the pod's spec (pure). */
int xb_volume_source(xb_json *pod, const char *volume, struct xb_volume_source *ret,
                     struct xb_error *err) XB_MUST_CHECK;

/* Whether a PersistentVolume's folder has "/mount" below it, by its own word (pure). */
bool xb_volume_is_csi(xb_json *persistent_volume);
/* Provisioners that its annotations name: where one of them is a CSI driver of the cluster, the
 * folder has "/mount" below it, too (pure). Returns how many; lent by the object. */
size_t xb_volume_drivers(xb_json *persistent_volume, const char *ret[XB_VOLUME_DRIVERS_MAX]);
/* Whether it is a raw block device (pure). */
bool xb_volume_is_device(xb_json *persistent_volume);
/* The path of one that is a hostPath; NULL: it is none (pure). Lent by the object. */
const char *xb_volume_host_path(xb_json *persistent_volume);
/* The same of a hostPath or `local`, if it says by affinity on which nodes it is. */
const char *xb_volume_node_path(xb_json *persistent_volume);
/* Why a claim is not to be believed that this is its volume; NULL: it is bound to it, and each says
 * so (pure). A claim may name any volume that its author likes. */
const char *xb_volume_binding_doubt(xb_json *claim, xb_json *persistent_volume);
/* The same of a generic ephemeral volume's claim and its pod (pure). */
const char *xb_volume_ownership_doubt(xb_json *claim, xb_json *pod);
/* Whether a container of the pod mounts the volume as a folder, or has it as a device (pure). */
bool xb_volume_mounted(xb_json *pod, const char *volume);
/* The volume in which the container that waits for a restore looks for the sign that `volume` is
 * back: that itself, or one in the place of a device, which has no room for it (pure). NULL: no
 * such container waits for it. Lent by the pod. */
const char *xb_volume_sign(xb_json *pod, const char *volume);
/* Whether a container of the pod runs: then its kubelet has given it all its volumes (pure). */
bool xb_volume_pod_started(xb_json *pod);

/* The uid under which the kubelet has the pod's folder and its containers (pure), lent by the pod.
 * For a static pod, of which the API has a mirror with a uid of its own, that is in an annotation,
 * which is believed only of a mirror that could be real: the two annotations are the same, and no
 * API object's uid; the pod's node is its controller; and it runs, which only a kubelet can say,
 * and says of a mirror only if it has that very static pod. INVALID: of any other. */
int xb_volume_pod_uid(xb_json *pod, const char **ret, struct xb_error *err) XB_MUST_CHECK;
/* Whether one of its annotations names that uid (pure). */
bool xb_volume_mirrors(xb_json *pod, const char *uid);

/* A folder of the node itself. That it may be opened is the caller's to know. */
struct xb_volume_host {
    const char *root; /* "/host_paths": the node's "/a/b" is at "/host_paths/a/b" */
    const char *path; /* "/a/b/c"; NULL: the volume is none of the node's folders */
    size_t allowed;   /* so much of it is the administrator's, "/a/b", where links are followed */
};

struct xb_volume_place {
    const char *pods_root; /* "/host_pods"; several kubelets' folders with colons between them */
    const char *pod_uid;   /* NULL: no pod has it; only with a host's path */
    const char *folder;    /* name of the volume, or of the PV */
    bool csi;
    /* Of a raw block device: where the node's /dev is, "/host_dev"; NULL: the volume is none. The
     * descriptor that is opened only names it (O_PATH). */
    const char *devices;
    struct xb_volume_host host; /* then the pod must be there, but has no folder of the volume */
};

struct xb_volume {
    int fd;
    char *path; /* for status and messages */
    struct stat st;
};

int xb_volume_open(const struct xb_volume_place *place, struct xb_volume *ret,
                   struct xb_error *err) XB_MUST_CHECK;
void xb_volume_close(struct xb_volume *volume);

/* Whether the same folder is still there: a deleted pod's volume is gone or another one. */
int xb_volume_still_there(const struct xb_volume_place *place, const struct xb_volume *volume,
                          struct xb_error *err) XB_MUST_CHECK;
