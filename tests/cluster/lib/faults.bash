# SPDX-License-Identifier: Apache-2.0
# What the tests of faults share: counting checks, making pods and orders, catching a daemon in the middle of its work.
# Sourced after lib/xebec.bash; needs $root, $work and $XEBEC_BED.

EMPTY='kubernetes.io~empty-dir'
passed=0 failed=0 cleanups=()

finish() {
    local status=$? one
    trap - EXIT INT TERM
    for one in "${cleanups[@]}"; do eval "$one" >/dev/null 2>&1; done
    if [ -z "${XEBEC_TEST_BED:-}" ]; then bed down >/dev/null 2>&1; fi
    rm -rf "$work"
    echo "$passed passed, $failed failed"
    if [ $failed -ne 0 ] || [ $passed -eq 0 ] || [ $status -ne 0 ]; then exit 1; fi
}

check() { # what command...
    local what=$1 began=$SECONDS
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1)); echo "ok    $what ($((SECONDS - began)) s)"
    else
        failed=$((failed + 1)); echo "FAIL  $what ($((SECONDS - began)) s)"; sed 's/^/      /' "$work/out" | tail -n 25
    fi
}

must() { # what command...: nothing goes on without it
    local before=$failed
    check "$@"
    if [ $failed -ne "$before" ]; then
        kubectl -n velero logs deploy/xebec-coordinator --tail=30 2>/dev/null
        kubectl -n velero logs ds/node-agent --tail=15 --all-pods 2>/dev/null
        exit 1
    fi
}

says() { # text command...: the command succeeds and its output holds the text
    local text=$1 got
    shift
    got=$("$@" 2>&1) || { echo "$got"; return 1; }
    echo "$got"
    grep -qF -- "$text" <<<"$got"
}

# The image, the installation, the coordinator on node 1: the tests need to know where it is. What stands still for minutes, as tests
# have it, is not started anew.
install_on_bed() { # [component's folder...]
    mkdir -p "$work/overlay" && cat >"$work/overlay/kustomization.yaml" <<Y
resources: ["$(realpath --relative-to="$work/overlay" "$root/deploy/overlays/testbed")"]
components: [$([ $# -eq 0 ] || realpath --relative-to="$work/overlay" "$@" | paste -sd,)]
patches:
  - target: {kind: Deployment, name: xebec-coordinator}
    patch: '[{"op": "add", "path": "/spec/template/spec/nodeSelector", "value": {"kubernetes.io/hostname": "node1"}}]'
  - target: {group: apps}
    patch: '[{"op": "replace", "path": "/spec/template/spec/containers/0/livenessProbe/failureThreshold", "value": 20}]'
Y
    xebec_image "$work" && xebec_install "$work/overlay"
}

# A new file system at NAME in the nodes' folder for volumes, on node 1, in a file there that grows as it is written, to no more than
# MB.
local=/var/lib/xebec-local # on the node; $XEBEC_BED/node1/local from here
on_node() { bed node 1 "$@"; }
file_system() { # name type MB image [mount options]
    on_node truncate -s "$3M" "$local/$4" && on_node mkdir -p "$local/$1" && on_node "mkfs.$2" -q "$local/$4" >/dev/null &&
        on_node mount -o "loop,noatime${5:+,$5}" "$local/$4" "$local/$1" && cleanups=("on_node umount -l $local/$1" "${cleanups[@]}")
}

# So many coordinators, or none at all; comes back when that is so.
scale() { kubectl -n velero scale deploy/xebec-coordinator --replicas="$1" && until_true 90 replicas_are "$1"; } # replicas
replicas_are() {
    [ "$(kubectl -n velero get deploy xebec-coordinator -o 'jsonpath={.status.readyReplicas}')" = "${1/#0/}" ] &&
        { [ "$1" -gt 0 ] || [ -z "$(process_of 1 xebec-coordinator)" ]; }
}

# Agents without a bracket guard, as from the manifests of `velero install`: one that is stopped or killed by a test stays what holds
# the application. With a guard: guard_test.
without_guard() {
    kubectl -n velero set env ds/node-agent -c node-agent XEBEC_GUARD_SOCKET- >/dev/null &&
        kubectl -n velero rollout status ds/node-agent --timeout=180s
}

# ---- pods and their volumes ----

make_pod() { # namespace name node: a pod with one emptyDir, `data`
    kubectl get namespace "$1" >/dev/null 2>&1 || kubectl create namespace "$1" >/dev/null || return 1
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: $2, namespace: $1, labels: {app: $2}}
spec:
  nodeSelector: {kubernetes.io/hostname: node$3}
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: docker.io/library/busybox:1
      imagePullPolicy: Never
      command: [sh, -c, "sleep 1000000"]
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
Y
}

pods_run() { kubectl -n "$1" wait --for=condition=Ready pod --all --timeout=180s; } # namespace
uid_of() { kubectl -n "$1" get "$2" "$3" -o 'jsonpath={.metadata.uid}'; }           # namespace kind name

# The folder of a pod's emptyDir, from this machine; whether the pod runs or only waits.
data_of() { # namespace pod
    local uid
    uid=$(uid_of "$1" pod "$2") && ls -d "$XEBEC_BED"/node[12]/lib/kubelet/pods/"$uid/volumes/$EMPTY/data"
}

# Bytes that no repository has yet: the middle of writing them lasts a while.
fill_big() { # folder MB
    local i
    mkdir -p "$1/big" && for ((i = 0; i < $2 / 8; i++)); do head -c 8M /dev/urandom >"$1/big/$i" || return 1; done
}

# The restore helper of Velero takes its marker away when the pod starts, which can be a moment after the restore has ended.
same() { # want got: a volume's folders
    until_true 30 [ ! -e "$2/.velero" ]
    python3 "$root/tests/harness/compare_trees.py" "$1" "$2" --no-devices --no-privileged
}

# ---- backups, restores and how they end ----

backup() { # name namespace [more of the spec, JSON members]
    kubectl create -f - >/dev/null <<Y
{"apiVersion": "velero.io/v1", "kind": "Backup", "metadata": {"name": "$1", "namespace": "velero"},
 "spec": {"includedNamespaces": ["$2"], "defaultVolumesToFsBackup": true${3:+, $3}}}
Y
}

restore() { # name backup from-namespace to-namespace
    kubectl create -f - >/dev/null <<Y
{"apiVersion": "velero.io/v1", "kind": "Restore", "metadata": {"name": "$1", "namespace": "velero"},
 "spec": {"backupName": "$2", "namespaceMapping": {"$3": "$4"}}}
Y
}

ended() { phase_in "$1" "$2" "Completed PartiallyFailed Failed FailedValidation Canceled"; } # kind name

# Waits for the end; it must be one of the phases, and text must be in the object or in its record.
ends() { # kind name phases [text]
    local folder=$1s
    until_true 300 ended "$1" "$2"
    { kubectl -n velero get "$1" "$2" -o json | python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin).get("status"), indent=1))'
        bed node 1 find "/var/lib/xebec-store/$folder/$2" -name '*-results.gz' -exec zcat {} +; } >"$work/end" 2>&1
    cat "$work/end"
    phase_in "$1" "$2" "$3" && { [ $# -lt 4 ] || grep -qF -- "$4" "$work/end"; }
}

counted() { # restore warnings errors: as many in its status as there are lines in its results
    kubectl -n velero get restore "$1" -o json >"$work/restore.json" && zcat "$XEBEC_BED/store/restores/$1/restore-$1-results.gz" >"$work/results" &&
        python3 - "$work/restore.json" "$work/results" "$2" "$3" <<'P'
import json, sys
status = json.load(open(sys.argv[1]))["status"]
results = json.load(open(sys.argv[2]))
print(status, results)
lines = {name: sum(len(part) for part in (one.get("velero") or [], one.get("cluster") or [], *(one.get("namespaces") or {}).values())) for name, one in results.items()}
assert lines == {"warnings": status.get("warnings", 0), "errors": status.get("errors", 0)} == {"warnings": int(sys.argv[3]), "errors": int(sys.argv[4])}, lines
P
}

# What one volume's order says.
orders_of() { kubectl -n velero get podvolumebackups -l "velero.io/backup-name=$1" -o "jsonpath=$2"; } # backup jsonpath
location_says() { # phase text
    says "$2" kubectl -n velero get bsl default -o 'jsonpath={.status}' && location_is "$1"
}

# Every file below a folder with its size, time and number: equal before and after means that nothing was written.
listing() { (cd "$1" && find . -type f -printf '%p %s %T@ %i\n' | sort); } # folder
unchanged() { listing "$2" | diff "$1" -; }                               # earlier listing, folder

# ---- daemons ----

# The processes of a program in the pods of a node: every node's, and those of other beds, are seen here.
process_of() { # node program
    local group pid
    # shellcheck disable=SC1091
    group=$(. "$XEBEC_BED/state.env" && echo "$XEBEC_BED_CGROUP")
    for pid in $(pgrep "^${2:0:15}$"); do
        if grep -qsF "/$group-node$1/" "/proc/$pid/cgroup"; then echo "$pid"; fi
    done
}

# Comes before all others on the processors: who waits for a moment that soon is over must not sleep through it on a busy machine.
urgently() { # command...
    local status
    renice -n -15 -p $BASHPID >/dev/null 2>&1
    "$@"
    status=$?
    renice -n 0 -p $BASHPID >/dev/null 2>&1
    return $status
}

# Stops the agent as soon as a file of some size appears below a folder: it then is in the middle of its work.
stop_in_middle() { urgently stop_agent_at "$@"; } # node folder, or a pattern of folders that come only now
stop_agent_at() {
    local pid end=$((SECONDS + 120))
    pid=$(process_of "$1" xebec) && [ -n "$pid" ] || return 1
    # shellcheck disable=SC2086 # the pattern
    until [ -n "$(find $2 -type f -size +3M -cnewer "$work/stamp" -print -quit 2>/dev/null)" ]; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.01
    done
    kill -STOP "$pid" && echo "$pid" >"$work/stopped"
}
# The volumes of all pods of a node, of those to come, too.
data_on() { echo "$XEBEC_BED/node$1/lib/kubelet/pods/*/volumes/$EMPTY/data"; } # node
go_on() { kill -CONT "$(cat "$work/stopped")"; }
kill_stopped() { kill -KILL "$(cat "$work/stopped")"; }
stamp() { touch "$work/stamp"; sleep 0.02; }
