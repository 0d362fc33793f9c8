# SPDX-License-Identifier: Apache-2.0
# Xebec on the test bed: its image, its objects, and a workload to back up. Sourced by the tests in this folder and by the
# quickstart; needs $root (the project) and $XEBEC_BED.

bed() { "$root/tests/cluster/$1" "${@:2}"; }
# In a new namespace pods can be made a moment later, when the controller has made its account.
kubectl() {
    bed kubectl "$@" || return
    [ "${1:-} ${2:-}" != "create namespace" ] || until_true 90 bed kubectl -n "$3" get serviceaccount default
}
velero() { bed velero "$@"; }

# Builds the image from build/release and puts it on both nodes. The same programs make the same image, and to make it costs ten
# seconds of a processor: it is kept beside the real peers, for the next test. They are copied first: somebody may be building.
xebec_image() { # work folder
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/xebec/images key
    mkdir -p "$cache" "$1/programs" &&
        cp "${XB_BUILD:-$root/build/release}"/{xebec,xebec-coordinator,velero-entry,velero-restore-helper} "$1/programs/" || return 1
    key=$({ cat "$1"/programs/* "$root/deploy/image/build" &&
        stat -c %Y /var/lib/dpkg/status /etc/ssl/certs/ca-certificates.crt 2>/dev/null; } | sha256sum | cut -c1-20)
    (
        flock 9 && find "$cache" -name '*.tar*' -mmin +240 -delete
        if [ ! -e "$cache/$key.tar" ]; then
            "$root/deploy/image/build" --programs "$1/programs" "$cache/$key.tar.part" >/dev/null && mv "$cache/$key.tar.part" "$cache/$key.tar"
        fi && touch "$cache/$key.tar" && { ln -f "$cache/$key.tar" "$1/xebec.tar" 2>/dev/null || cp "$cache/$key.tar" "$1/xebec.tar"; }
    ) 9>"$cache/lock" && bed import "$1/xebec.tar"
}

xebec_install() { # overlay: a name, or a folder (default testbed)
    local overlay=$root/deploy/overlays/${1:-testbed}
    [[ ${1:-} != */* ]] || overlay=$1
    kubectl apply -k "$root/deploy/crds" >/dev/null &&
        kubectl wait --for=condition=Established crd --all --timeout=180s >/dev/null &&
        kubectl apply -k "$overlay" >/dev/null &&
        kubectl -n velero rollout status deploy/xebec-coordinator --timeout=180s >/dev/null &&
        kubectl -n velero rollout status ds/node-agent --timeout=180s >/dev/null
}

# Waits until a command succeeds; $1 seconds at most.
until_true() { # seconds command...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.3
    done
}

location_is() { [ "$(kubectl -n velero get bsl default -o 'jsonpath={.status.phase}')" = "$1" ]; }
phase_of() { kubectl -n velero get "$1" "$2" -o 'jsonpath={.status.phase}' 2>/dev/null; }
phase_in() { case " $3 " in *" $(phase_of "$1" "$2") "*) return 0 ;; esac; return 1; }

# A class and volumes of plain local folders: a pair per node, and a spare pair for what a restore makes anew.
make_local_volumes() {
    local node copy name
    {
        cat <<Y
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
Y
        for node in 1 2; do
            for copy in a b c; do
                name=local-$node-$copy
                mkdir -p "$XEBEC_BED/node$node/local/$name"
                cat <<Y
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local
  local: {path: /var/lib/xebec-local/$name}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node$node]}]
Y
            done
        done
    } | kubectl apply -f - >/dev/null
}

# The workload of the main job: a Deployment on node 1 and a StatefulSet on node 2, each with an emptyDir and a claim.
make_workload() { # namespace
    local ns=$1
    kubectl create namespace "$ns" >/dev/null &&
        kubectl -n "$ns" apply -f - >/dev/null <<Y
apiVersion: v1
kind: ServiceAccount
metadata: {name: app}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: "blue", text: "a <b> & \"c\"\nline two"}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {password: "s3cret"}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: web-data}
spec: {accessModes: [ReadWriteOnce], storageClassName: local, resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: app
      nodeSelector: {kubernetes.io/hostname: node1}
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: docker.io/library/busybox:1
          imagePullPolicy: Never
          command: [sh, -c, "sleep 1000000"]
          volumeMounts: [{name: scratch, mountPath: /scratch}, {name: data, mountPath: /data}, {name: settings, mountPath: /settings}]
      volumes:
        - {name: scratch, emptyDir: {}}
        - {name: data, persistentVolumeClaim: {claimName: web-data}}
        - {name: settings, configMap: {name: settings}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      nodeSelector: {kubernetes.io/hostname: node2}
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: docker.io/library/busybox:1
          imagePullPolicy: Never
          command: [sh, -c, "sleep 1000000"]
          volumeMounts: [{name: cache, mountPath: /cache}, {name: data, mountPath: /data}]
      volumes: [{name: cache, emptyDir: {}}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], storageClassName: local, resources: {requests: {storage: 1Gi}}}
Y
    kubectl -n "$ns" rollout status deploy/web --timeout=180s >/dev/null && kubectl -n "$ns" rollout status sts/db --timeout=180s >/dev/null
}

# The folder of a pod's volume, as this machine sees it through the node.
volume_path() { # namespace label volume-folder-pattern
    local node uid
    read -r node uid < <(kubectl -n "$1" get pod -l "app=$2" --field-selector=status.phase=Running \
        -o 'jsonpath={.items[0].spec.nodeName} {.items[0].metadata.uid}{"\n"}')
    echo "${node#node} /var/lib/kubelet/pods/$uid/volumes/$3"
}

# Runs a command in the node with the volume's path as its last argument.
in_volume() { # namespace label pattern command...
    local node path ns=$1 label=$2 pattern=$3
    shift 3
    read -r node path < <(volume_path "$ns" "$label" "$pattern")
    bed node "$node" bash -c 'p=$(echo '"$path"'); shift 0; "$@" "$p"' run "$@"
}
