# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Beside Xebec on the test bed: an S3 server that nodes and pods reach, and the stock Velero (server, node agent, plugin for S3) in
# Xebec's place. Sourced after lib/xebec.bash and harness/s3.bash; needs $work and pids=().

STOCK_IMAGE=docker.io/xebec/stock-velero:1
bed_address() { bash -c '. "$1/state.env" && echo "$XEBEC_BED_ADDRESS"' bed "$XEBEC_BED"; }

# versitygw in the bed's network, with an authority (a folder, see s3_authority) over TLS. It ends with the bed. Sets s3_url, as
# pods and the command line see it.
bed_s3() { # folder port [authority]
    local address log=$1-$2.log end tls=()
    address=$(bed_address) && s3_folder "$1" || return 1
    s3_url=http${3:+s}://$address:$2
    [ -z "${3:-}" ] || tls=(--cert "$3/server.crt" --key "$3/server.key")
    ROOT_ACCESS_KEY_ID=$s3_access ROOT_SECRET_ACCESS_KEY=$s3_secret bed netns "$versitygw" --port "$address:$2" \
        --region "$s3_region" --keep-alive --quiet "${tls[@]}" posix "$1" >"$log" 2>&1 </dev/null &
    pids+=($!)
    end=$((SECONDS + 90))
    until bed netns curl --silent --insecure --noproxy '*' --output /dev/null "$s3_url"; do
        [ $SECONDS -lt $end ] || { tail -n 5 "$log"; return 1; }
        sleep 0.1
    done
}

# Locations in a bucket each, with the credentials of the Secret that Velero's manifests mount.
bed_s3_secret() {
    s3_credentials "$work/credentials" && kubectl apply -f "$root/deploy/base/namespace.yaml" >/dev/null &&
        kubectl -n velero create secret generic cloud-credentials --from-file=cloud="$work/credentials" >/dev/null
}
bed_s3_location() { # name bucket prefix [authority [Secret, or none]]
    local credential='"credential": {"name": "'${5:-cloud-credentials}'", "key": "cloud"}, '
    [ "${5:-}" != none ] || credential=''
    kubectl apply -f - >/dev/null <<Y
{"apiVersion": "velero.io/v1", "kind": "BackupStorageLocation", "metadata": {"name": "$1", "namespace": "velero"},
 "spec": {"provider": "aws", $credential"backupSyncPeriod": "2s",
  "objectStorage": {"bucket": "$2", "prefix": "$3"${4:+, "caCert": "$(base64 -w0 "$4/ca.crt")"}},
  "config": {"region": "$s3_region", "s3Url": "$s3_url", "s3ForcePathStyle": "true"}}}
Y
}
location_available() { [ "$(kubectl -n velero get bsl "$1" -o 'jsonpath={.status.phase}')" = Available ]; } # name

# One image with all of the stock Velero, at the paths that its manifests name.
stock_image() {
    local tree=$work/stock velero plugin
    velero=$("$root/tests/tools/build" velero 2>/dev/null | tail -n 1)
    plugin=$("$root/tests/tools/build" velero-aws 2>/dev/null | tail -n 1)
    mkdir -p "$tree"/{plugins,etc/ssl/certs,tmp,root} &&
        cp "$velero/velero" "$velero/velero-restore-helper" "$tree/" &&
        cp "$plugin/velero-plugin-for-aws" "$tree/plugins/" &&
        echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd" && chmod 1777 "$tree/tmp" &&
        "$root/tests/cluster/mkimage" --env PATH=/ --env HOME=/root "$STOCK_IMAGE" "$tree" "$work/stock.tar" /velero &&
        bed import "$work/stock.tar"
}

# What both of Velero's daemons need, the server and the node agents. As `velero install` would have it, but for images, which are
# never pulled here, and for the plugin, which is in the image.
stock_account() {
    kubectl -n velero apply -f - >/dev/null <<Y
apiVersion: v1
kind: ServiceAccount
metadata: {name: velero}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: velero}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: velero, namespace: velero}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: restore-helper, labels: {velero.io/plugin-config: "", velero.io/pod-volume-restore: RestoreItemAction}}
data: {image: "$STOCK_IMAGE"}
Y
}
stock_server() {
    kubectl -n velero apply -f - >/dev/null <<Y && kubectl -n velero rollout status deploy/velero --timeout=180s >/dev/null
apiVersion: apps/v1
kind: Deployment
metadata: {name: velero, labels: {component: velero}}
spec:
  selector: {matchLabels: {deploy: stock}}
  template:
    metadata: {labels: {component: velero, deploy: stock}}
    spec:
      serviceAccountName: velero
      restartPolicy: Always
      containers:
        - name: velero
          image: $STOCK_IMAGE
          imagePullPolicy: Never
          command: [/velero]
          args: [server, --uploader-type=kopia, --backup-sync-period=2s, --store-validation-frequency=5s]
          env:
            - {name: VELERO_SCRATCH_DIR, value: /scratch}
            - {name: VELERO_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
            - {name: AWS_SHARED_CREDENTIALS_FILE, value: /credentials/cloud}
          volumeMounts: [{name: scratch, mountPath: /scratch}, {name: credentials, mountPath: /credentials}]
      volumes: [{name: scratch, emptyDir: {}}, {name: credentials, secret: {secretName: cloud-credentials}}]
Y
}
stock_agents() {
    kubectl -n velero apply -f - >/dev/null <<Y && kubectl -n velero rollout status ds/node-agent --timeout=180s >/dev/null
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: node-agent, labels: {component: velero}}
spec:
  selector: {matchLabels: {name: node-agent}}
  template:
    metadata: {labels: {component: velero, name: node-agent, role: node-agent}}
    spec:
      serviceAccountName: velero
      securityContext: {runAsUser: 0}
      containers:
        - name: node-agent
          image: $STOCK_IMAGE
          imagePullPolicy: Never
          command: [/velero]
          args: [node-agent, server]
          env:
            - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: VELERO_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
            - {name: VELERO_SCRATCH_DIR, value: /scratch}
            - {name: AWS_SHARED_CREDENTIALS_FILE, value: /credentials/cloud}
          volumeMounts:
            - {name: host-pods, mountPath: /host_pods, mountPropagation: HostToContainer}
            - {name: host-plugins, mountPath: /var/lib/kubelet/plugins, mountPropagation: HostToContainer}
            - {name: scratch, mountPath: /scratch}
            - {name: cloud-credentials, mountPath: /credentials}
      volumes:
        - {name: host-pods, hostPath: {path: /var/lib/kubelet/pods}}
        - {name: host-plugins, hostPath: {path: /var/lib/kubelet/plugins}}
        - {name: scratch, emptyDir: {}}
        - {name: cloud-credentials, secret: {secretName: cloud-credentials}}
Y
}

# Xebec's daemons go, Velero's come; the objects and the Secrets stay.
stock_start() {
    kubectl -n velero delete deploy/xebec-coordinator ds/node-agent --wait --timeout=120s >/dev/null &&
        stock_account && stock_server && stock_agents
}

# And back.
stock_stop() {
    kubectl -n velero delete deploy/velero ds/node-agent configmap/restore-helper --wait --timeout=120s >/dev/null &&
        kubectl delete clusterrolebinding velero >/dev/null && xebec_install
}

# What only the store knows of a backup is left: the objects go, as after the loss of a cluster. The coordinator goes first: it would
# find them again.
forget_backups() {
    local one
    kubectl -n velero scale deploy/xebec-coordinator --replicas=0 >/dev/null || return 1
    kubectl -n velero wait --for=delete pod -l deploy=velero --timeout=180s >/dev/null 2>&1 # there may be none any more
    for one in $(kubectl -n velero get backups,restores,podvolumebackups,podvolumerestores,backuprepositories -o name); do
        kubectl -n velero patch "$one" --type merge -p '{"metadata":{"finalizers":null}}' >/dev/null 2>&1
        kubectl -n velero delete "$one" --ignore-not-found --timeout=120s >/dev/null || return 1
    done
}

locations_available() { # Xebec's and Velero's
    [ "$(kubectl get bsl -A -o 'jsonpath={.items[?(@.metadata.name=="s3")].status.phase}')" = "Available Available" ]
}

# The stock Velero's server in a namespace of its own, `stock`, beside Xebec: for what both say of the same objects.
stock_beside() { # bucket [flag of its server]
    kubectl create namespace stock >/dev/null && s3_credentials "$work/credentials" &&
        kubectl -n stock create secret generic cloud-credentials --from-file=cloud="$work/credentials" >/dev/null &&
        kubectl apply -f - >/dev/null <<Y || return 1
apiVersion: v1
kind: ServiceAccount
metadata: {name: velero, namespace: stock}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: stock}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: velero, namespace: stock}]
---
apiVersion: velero.io/v1
kind: BackupStorageLocation
metadata: {name: s3, namespace: stock}
spec:
  provider: aws
  credential: {name: cloud-credentials, key: cloud}
  objectStorage: {bucket: $1}
  config: {region: "$s3_region", s3Url: "$s3_url", s3ForcePathStyle: "true"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: velero, namespace: stock}
spec:
  selector: {matchLabels: {deploy: stock}}
  template:
    metadata: {labels: {component: velero, deploy: stock}}
    spec:
      serviceAccountName: velero
      containers:
        - name: velero
          image: $STOCK_IMAGE
          imagePullPolicy: Never
          command: [/velero]
          args: [server, --backup-sync-period=1h, --store-validation-frequency=5s, --default-backup-storage-location=s3${2:+, $2}]
          env:
            - {name: VELERO_SCRATCH_DIR, value: /scratch}
            - {name: VELERO_NAMESPACE, value: stock}
            - {name: AWS_SHARED_CREDENTIALS_FILE, value: /credentials/cloud}
          volumeMounts: [{name: scratch, mountPath: /scratch}, {name: credentials, mountPath: /credentials}]
      volumes: [{name: scratch, emptyDir: {}}, {name: credentials, secret: {secretName: cloud-credentials}}]
Y
    kubectl -n stock rollout status deploy/velero --timeout=180s >/dev/null
}
