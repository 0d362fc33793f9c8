# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The parts of a cluster: how each is started, and how one sees that it is ready. Sourced by up.

# The name of a node in Kubernetes; its folder, its daemons and its files stay node1 and node2.
node_name() { # number
    local names
    read -ra names <<<"${XEBEC_BED_NODES:-node1 node2}"
    echo "${names[$(($1 - 1))]:-}"
}
node_address() { echo "10.99.0.1$1"; }

# Starts a daemon of the bed: away from this terminal, output to its log, pid recorded, the lock not inherited.
start() { # name command...
    local name=$1
    shift
    setsid -- "$@" </dev/null >"$BED/log/$name.log" 2>&1 8>&- &
    echo $! >"$BED/run/$name.pid"
    disown # or bash reports its end when it is taken down
}

in_net() { nsenter --net="/proc/$(pid_of net)/ns/net" -- "$@"; }
start_in_net() { local name=$1; shift; start "$name" nsenter --net="/proc/$(pid_of net)/ns/net" -- "$@"; }
start_on_node() { # number name command...
    local number=$1 name=$2
    shift 2
    start "$name" nsenter --target "$(pid_of "node$number")" --mount --uts --net -- "$@"
}
admin() { HOME=$BED/home in_net "$BIN/kubectl" --kubeconfig="$BED/pki/admin.kubeconfig" "$@"; }

# Asks again and again until the command succeeds, the daemon it asks dies, or the time is over.
wait_for() { # daemon seconds command...
    local name=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ! pid_of "$name" >/dev/null; then warn "$name has ended"; show_log "$name"; return 1; fi
        if [ $SECONDS -ge $deadline ]; then warn "$name is not ready in time"; show_log "$name"; return 1; fi
        sleep 0.1
    done
}

show_log() { tail -n 15 "$BED/log/$1.log" | cut -c1-300 | sed "s/^/    /" >&2; }

record_namespace() { # kind daemon
    echo "$1 $(readlink "/proc/$(pid_of "$2")/ns/$1")" >>"$BED/run/namespaces"
}

start_namespaces() {
    local number
    start net unshare --net -- "$HERE/lib/net-init" "$BED/run/net.ready" "$API_ADDRESS" "$HOST_ADDRESS" \
        "$(node_address 1)" "$(node_address 2)"
    wait_for net 60 test -e "$BED/run/net.ready" || return 1
    record_namespace net net
    for number in 1 2; do
        start_in_net "node$number" unshare --mount --uts --propagation private -- \
            "$HERE/lib/node-init" "$BED" "node$number"
    done
    for number in 1 2; do
        wait_for "node$number" 60 test -e "$BED/node$number/ready" || return 1
        record_namespace mnt "node$number"
    done
}

start_etcd() {
    start_in_net etcd etcd --name bed --data-dir "$BED/etcd" --unsafe-no-fsync --logger zap --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster bed=http://127.0.0.1:2380
}

start_apiserver() {
    start_in_net apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
        --bind-address=0.0.0.0 --secure-port=443 --advertise-address="$HOST_ADDRESS" \
        --service-cluster-ip-range=10.96.0.0/24 --cert-dir="$BED/run" \
        --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
        --client-ca-file="$PKI/ca.crt" --kubelet-certificate-authority="$PKI/ca.crt" \
        --kubelet-client-certificate="$PKI/to-kubelet.crt" --kubelet-client-key="$PKI/to-kubelet.key" \
        --kubelet-preferred-address-types=InternalIP \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$PKI/service-accounts.key" \
        --service-account-signing-key-file="$PKI/service-accounts.key" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true
}

start_controllers() {
    start_in_net controllers "$BIN/kube-controller-manager" --kubeconfig="$PKI/controllers.kubeconfig" \
        --service-account-private-key-file="$PKI/service-accounts.key" --root-ca-file="$PKI/ca.crt" \
        --use-service-account-credentials=true --bind-address=127.0.0.1 --cert-dir="$BED/run" --leader-elect=false
    start_in_net scheduler "$BIN/kube-scheduler" --kubeconfig="$PKI/scheduler.kubeconfig" \
        --bind-address=127.0.0.1 --cert-dir="$BED/run" --leader-elect=false
}

# Each node is a bridge of its own; both lie in one namespace, so that the kernel routes between them.
cni_config() { # number
    cat <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{
  "type": "bridge", "bridge": "pods$1", "isGateway": true, "ipMasq": false,
  "ipam": {"type": "host-local", "dataDir": "/var/lib/cni/networks",
           "ranges": [[{"subnet": "10.24$1.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
}

# restrict_oom_score_adj: where lowering a score is refused, no sandbox would start without it.
containerd_config() { # number
    cat <<END
version = 2
root = "/var/lib/containerd"
state = "/run/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$BED/node$1/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
END
}

# What a test kills again and again is there again in a second each time.
kubelet_config() { # number
    cat <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_address "$1")
healthzPort: 0
readOnlyPort: 0
authentication: {x509: {clientCAFile: $PKI/ca.crt}, anonymous: {enabled: false}, webhook: {enabled: true}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/node$1.crt
tlsPrivateKeyFile: $PKI/node$1.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
volumePluginDir: /var/lib/kubelet/volume-plugins
${XEBEC_BED_STATIC:+staticPodPath: $BED/node$1/static}
cgroupDriver: cgroupfs
cgroupRoot: /$GROUP-node$1
cgroupsPerQOS: true
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
resolvConf: ""
clusterDomain: cluster.local
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi}
localStorageCapacityIsolation: false
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
END
}

# kubelet wants its root in every hierarchy; a cpuset of version 1 starts empty, and nothing can run in it then.
make_node_groups() { # number
    local top file
    for top in $HIERARCHIES; do
        mkdir -p "$top/$GROUP-node$1" || return 1
        for file in cpuset.cpus cpuset.mems; do
            if [ -e "$top/$file" ]; then
                cat "$top/$file" >"$top/$GROUP-node$1/$file" || return 1
            fi
        done
    done
}

start_containerd() { # number
    local node=$BED/node$1
    mkdir -p "$node/cni" "$node/static" && cni_config "$1" >"$node/cni/10-pods.conflist" &&
        containerd_config "$1" >"$node/containerd.toml" && make_node_groups "$1" || return 1
    start_on_node "$1" "containerd$1" containerd --config "$node/containerd.toml"
}

start_kubelet() { # number
    local node=$BED/node$1
    kubelet_config "$1" >"$node/kubelet.yaml" || return 1
    start_on_node "$1" "kubelet$1" "$BIN/kubelet" --config="$node/kubelet.yaml" --kubeconfig="$PKI/node$1.kubeconfig" \
        --root-dir=/var/lib/kubelet --cert-dir="$node/pki" --hostname-override="$(node_name "$1")" --node-ip="$(node_address "$1")"
}

nodes_ready() {
    [ "$(admin get nodes -o 'jsonpath={range .items[*]}{.metadata.name}{.status.conditions[?(@.type=="Ready")].status}{.spec.taints[*].key};{end}')" \
        = "$(node_name 1)True;$(node_name 2)True;" ] && admin get serviceaccount default
}
