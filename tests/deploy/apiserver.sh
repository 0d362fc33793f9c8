# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A real kube-apiserver with its etcd, in a network namespace of its own (loopback only). To be sourced after lib.sh.
#   apiserver_start BIN    starts both; BIN holds kube-apiserver and kubectl
#   kubectl ARGS           talks to it as an administrator
#   inside COMMAND         runs a command in its network namespace
# lib.sh ends both processes, and with the last process the namespace goes.

inside() { nsenter --net="/proc/$net_pid/ns/net" "$@"; }
kubectl() { inside "$kube_bin/kubectl" --kubeconfig="$work/kubeconfig" "$@"; }

apiserver_start() {
    kube_bin=$1
    local token
    unshare --net sleep 86400 &
    net_pid=$!
    pids+=("$net_pid")
    wait_until 10 bash -c "[ \"\$(readlink /proc/$net_pid/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]" || return 1
    inside ip link set lo up || return 1

    mkdir -p "$work/etcd" "$work/certs"
    # Not through the function: $! must be the process itself, or it would outlive the test.
    nsenter --net="/proc/$net_pid/ns/net" etcd --data-dir "$work/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 >"$work/etcd.log" 2>&1 &
    pids+=($!)

    token=$(openssl rand -hex 16)
    (
        umask 077
        openssl genrsa -out "$work/certs/sa.key" 2048 2>/dev/null
        echo "$token,admin,admin,system:masters" >"$work/certs/tokens"
        cat >"$work/kubeconfig" <<KUBECONFIG
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: $token}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
KUBECONFIG
    )
    nsenter --net="/proc/$net_pid/ns/net" "$kube_bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --bind-address=127.0.0.1 --secure-port=6443 \
        --advertise-address=127.0.0.1 --service-cluster-ip-range=10.96.0.0/24 --cert-dir="$work/certs" \
        --token-auth-file="$work/certs/tokens" --authorization-mode=RBAC --allow-privileged=true \
        --endpoint-reconciler-type=none --disable-admission-plugins=ServiceAccount \
        --service-account-key-file="$work/certs/sa.key" --service-account-signing-key-file="$work/certs/sa.key" \
        --service-account-issuer=https://kubernetes.default.svc >"$work/apiserver.log" 2>&1 &
    pids+=($!)
    wait_until 120 kubectl get --raw /readyz && return 0
    tail -n 20 "$work/etcd.log" "$work/apiserver.log" | note
    return 1
}

crds_apply() { # folder: applies the definitions in it and waits until they are served
    kubectl apply -k "$1" && kubectl wait --for=condition=Established --timeout=60s crd --all
}
