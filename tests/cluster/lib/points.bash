# SPDX-License-Identifier: Apache-2.0
# What the tests of the point in time share: volumes of real file systems on node 1, pods that have them, and what orders say of the
# moment that they are of. Sourced after lib/faults.bash; needs $root, $work and $XEBEC_BED.

# deploy's component for clones of files behind loop devices, with the folder of the test bed.
install_for_all_methods() {
    mkdir -p "$work/component" &&
        sed "s|/var/lib/loop-files|$local|" "$root/deploy/components/reflink-file/kustomization.yaml" >"$work/component/kustomization.yaml" &&
        install_on_bed "$work/component"
}

# A btrfs frees what is written over when it commits; until then a writer that syncs all the time fills it.
file_systems() { # btrfs-MB: a btrfs, an XFS with a folder for a volume, and an ext4 in a file beside that
    file_system btrfs btrfs "$1" btrfs.img commit=2 && file_system xfs xfs 1500 xfs.img && on_node mkdir -p "$local/xfs/data" &&
        file_system inner ext4 300 xfs/inner.img
}

volume() { # name class folder
    cat <<Y
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $1}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: $2
  local: {path: $local/$3}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node1]}]}]}}
Y
}
claim() { # namespace name class
    cat <<Y
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $2, namespace: $1}
spec: {accessModes: [ReadWriteMany], storageClassName: $3, resources: {requests: {storage: 1Gi}}}
Y
}
as_json() { python3 -c 'import json, sys; print(json.dumps(["sh", "-c", sys.argv[1]]))' "$1"; }
hook() { echo "$1.hook.backup.velero.io/command: $(as_json "$2" | python3 -c 'import json, sys; print(json.dumps(sys.stdin.read()))')"; }
pod() { # namespace name annotations claims command: the pod has its claims at /CLAIM, and /calls, which is never backed up
    local mounts="" list="" one
    for one in $4; do
        mounts+="{name: $one, mountPath: /$one}, " list+="{name: $one, persistentVolumeClaim: {claimName: $one}}, "
    done
    cat <<Y
---
apiVersion: v1
kind: Pod
metadata: {name: $2, namespace: $1, labels: {app: $2}, annotations: {backup.velero.io/backup-volumes-excludes: calls, $3}}
spec:
  nodeSelector: {kubernetes.io/hostname: node1}
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers: [{name: main, image: docker.io/library/busybox:1, imagePullPolicy: Never, command: [sh, -c, $(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$5")],
    volumeMounts: [$mounts {name: calls, mountPath: /calls}]}]
  volumes: [$list {name: calls, emptyDir: {}}]
Y
}

# Bytes that no repository has yet: the middle of reading them lasts a while.
fresh_data() { # MB folder...
    local one mb=$1
    for one in "${@:2}"; do on_node dd if=/dev/urandom of="$local/$one/big" bs=1M count="$mb" status=none || return 1; done
}

calls_dir() { echo "$XEBEC_BED"/node1/lib/kubelet/pods/"$(uid_of "$1" pod "$2")/volumes/$EMPTY/calls"; } # namespace pod
calls() { cat "$(calls_dir "$1" "$2")/calls" 2>/dev/null | xargs; }                                      # namespace pod
calls_are() { local got; got=$(calls "$1" "$2"); echo "$got"; [ "$got" = "$3" ]; }
forget() { rm -f "$(calls_dir "$1" "$2")/calls"; }
# Neither a folder with a copy nor a loop device of a clone, which is a file without a name. Loop devices of all beds are seen here,
# and their files go by the same path: those of this one are on its XFS.
no_copies() {
    local disk
    disk=$(on_node mountpoint -d "$local/xfs") || return 1
    ! { on_node sh -c "ls -d $local/*/.xebec-point-in-time/* $local/*/*/.xebec-point-in-time/*" 2>/dev/null
        losetup --list --noheadings --output BACK-MAJ:MIN,BACK-FILE | grep -E "^ *$disk .*deleted"; } | grep .
}
# What the orders of a backup say, by volume: "b btrfs crash, x reflink-tree per-file".
points_of() { # backup
    kubectl -n velero get podvolumebackups -l "velero.io/backup-name=$1" -o json | python3 -c '
import json, sys
for o in sorted(json.load(sys.stdin)["items"], key=lambda o: o["spec"]["volume"]):
    p = json.loads(o["metadata"]["annotations"].get("xebec.io/point-in-time", "{}"))
    assert not p or p["uid"] == o["metadata"]["uid"]
    print(o["spec"]["volume"], p.get("method", "-"), p.get("consistency", "-"), o.get("status", {}).get("phase", "-"))'
}
points_are() { local got; got=$(points_of "$1" | paste -sd,); echo "$got"; [ "$got" = "$2" ]; } # backup words
logs_say() { says "$2" velero backup logs "$1" --insecure-skip-tls-verify; }
