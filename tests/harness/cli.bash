# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of the xebec command share: counting, a work folder that goes away with its mounts and processes, running
# xebec and real kopia on repositories by name. To be sourced with bash's -u.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${XB_BUILD:-build/release}
case $build in /*) ;; *) build=$root/$build ;; esac
xebec=$build/xebec
harness=$root/tests/harness
work=$(mktemp -d)
passed=0 failed=0 skipped=0
pids=() mounts=() beside_pids=() beside_count=0
if [ ! -x "$xebec" ]; then
    echo "there is no $xebec: build it, or set XB_BUILD" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "these tests need root: they make devices, owners and mounts" >&2
    exit 1
fi
export XEBEC_PASSWORD=a-password-of-the-tests XEBEC_CACHE_DIR=$work/xebec-cache
export KOPIA_CHECK_FOR_UPDATES=false KOPIA_LOG_DIR=$work/kopia/log
export KOPIA_PERSIST_CREDENTIALS_ON_CONNECT=false LC_ALL=C.UTF-8
# kopia's cache holds the format of a repository: each needs a cache of its own (see k).
unset XEBEC_REPOSITORY XEBEC_NO_URING KOPIA_CACHE_DIRECTORY

# ---- counting ----

ok() { passed=$((passed + 1)); echo "ok - $*"; }
not_ok() { failed=$((failed + 1)); echo "not ok - $*"; }
skip() { skipped=$((skipped + 1)); echo "skip - $*"; }
note() { tail -n 20 "${1:--}" | sed 's/^/    /'; }

# check TEXT COMMAND...: passes if the command does; shows what it printed if not.
check() {
    local text=$1
    shift
    if "$@" >"$work/.check" 2>&1; then ok "$text"; else not_ok "$text"; note "$work/.check"; fi
}

# status TEXT EXPECTED COMMAND...: passes if the command's exit status is the expected one. Its output stays in $work/.out
# and $work/.err.
status() {
    local text=$1 want=$2 got
    shift 2
    "$@" >"$work/.out" 2>"$work/.err"
    got=$?
    if [ $got -eq "$want" ]; then ok "$text"; return; fi
    not_ok "$text (exit status $got, not $want)"
    cat "$work/.out" "$work/.err" | note
    return 1
}

# says TEXT PATTERN: the last command of `status` said something that matches.
says() {
    if grep -qE -- "$2" "$work/.out" "$work/.err"; then ok "$1"; else not_ok "$1"; cat "$work/.out" "$work/.err" | note; fi
}

# same TEXT EXPECTED GOT
same() {
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1"; printf 'expected: %s\ngot:      %s\n' "$2" "$3" | note; fi
}

# wait_until SECONDS COMMAND...: polls; fails when the time is over.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.02
    done
}

# Every repository that a test leaves is proven by real kopia, outlives its maintenance with and without safety margins, and is
# proven by both again; but for those that the test has damaged, which it names in spoilt=().
spoilt=()
outlives_kopia() {
    local name
    for name in "$work"/*/kopia.repository.f; do
        [ -e "$name" ] || continue
        name=$(basename "$(dirname "$name")")
        case " ${spoilt[*]:-} " in *" $name "*) continue ;; esac
        [ -x "${kopia:-}" ] || need_kopia
        # The test may have changed it behind kopia's back, and for another owner.
        rm -rf "$work/kopia/$name.config" "$work/kopia/cache-$name"
        check "in the end kopia keeps $name" kopia_keeps "$name"
    done
}

kopia_keeps() {
    k "$1" snapshot verify --verify-files-percent=100 && k "$1" maintenance set --owner=me && k "$1" maintenance run --full &&
        k "$1" maintenance run --full --safety=none && k "$1" snapshot verify --verify-files-percent=100 && x "$1" verify
}

report() {
    outlives_kopia
    if [ $skipped -gt 0 ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
    [ $failed -eq 0 ] && [ $passed -gt 0 ]
}

finish() {
    local pid i
    # What runs beside cleans up behind itself.
    for pid in "${beside_pids[@]}"; do kill "$pid"; done 2>/dev/null
    for pid in "${beside_pids[@]}"; do wait "$pid"; done 2>/dev/null
    for pid in "${pids[@]}"; do kill -9 "$pid" && wait "$pid"; done 2>/dev/null
    for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do umount -l "${mounts[$i]}"; done 2>/dev/null
    # Nothing is deleted below a mount that could not be taken away.
    rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- tests side by side ----

# beside FUNCTION ARGS...: runs it beside this script, with a work folder and counts of its own; as many at once as there are
# cores. together waits for all of them, prints what they printed in order, and adds their counts.
beside() {
    local gone still pid
    while [ ${#beside_pids[@]} -ge "$(nproc)" ]; do
        wait -n -p gone "${beside_pids[@]}"
        still=()
        for pid in "${beside_pids[@]}"; do [ "$pid" = "${gone:-}" ] || still+=("$pid"); done
        beside_pids=("${still[@]}")
    done
    mkdir "$work/beside-$beside_count"
    (
        counts=$work/beside-$beside_count.counts
        work=$work/beside-$beside_count
        passed=0 failed=0 skipped=0 pids=() mounts=() beside_pids=()
        KOPIA_LOG_DIR=$work/kopia/log
        trap finish EXIT
        trap 'exit 130' INT TERM
        cd "$work" || exit 1
        "$@"
        echo "$passed $failed $skipped" >"$counts"
    ) >"$work/beside-$beside_count.log" 2>&1 &
    beside_pids+=($!)
    beside_count=$((beside_count + 1))
}

together() {
    local i p f s
    [ ${#beside_pids[@]} -eq 0 ] || wait "${beside_pids[@]}"
    for ((i = 0; i < beside_count; i++)); do
        cat "$work/beside-$i.log"
        if read -r p f s 2>/dev/null <"$work/beside-$i.counts"; then
            passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
        else
            not_ok "one of the tests that run beside each other has died"
        fi
        rm -f "$work/beside-$i."*
    done
    beside_pids=() beside_count=0
}

# mounted FOLDER ARGS...: mounts onto the folder until the end of the test.
mounted() {
    local folder=$1
    shift
    mkdir -p "$folder"
    mount "$@" "$folder" && mounts+=("$folder")
}

# ---- trees ----

make_tree() { python3 "$harness/make_tree.py" "$@"; }
compare() { python3 "$harness/compare_trees.py" "$@"; }

# json FILE EXPRESSION: what a Python expression makes of the document `d`.
json() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }

# ---- programs on a repository NAME: a folder $work/NAME, or what urls says ----

declare -A urls=()
url() { echo "${urls[$1]:-file://$work/$1}"; }

# x NAME COMMAND...: xebec on it.
x() {
    local name=$1
    shift
    XEBEC_REPOSITORY=$(url "$name") "$xebec" "$@"
}

# start NAME COMMAND...: xebec on it in the background; $! is its process. Output as with `status`.
start() {
    local name=$1
    shift
    XEBEC_REPOSITORY=$(url "$name") "$xebec" "$@" >"$work/.out" 2>"$work/.err" &
    pids+=($!)
}

# new_repository NAME ARGS...
new_repository() {
    local name=$1
    shift
    x "$name" repository create --owner root@test "$@" >/dev/null
}

# backup NAME PATH ARGS...: backs up as root@test and prints the snapshot's id.
backup() {
    local name=$1 path=$2
    shift 2
    x "$name" backup --host test --user root --json "$@" "$path" >"$work/backup.json" || return
    json "$work/backup.json" 'd["snapshot"]'
}

# Where NAME is, in kopia's words. A bucket's server and keys are those of s3.bash.
k_place() {
    local place=${urls[$1]:-}
    case $place in
    s3://*)
        place=${place#s3://} place=${place%%\?*}
        echo "s3 --bucket=${place%%/*} --prefix=${place#*/} --endpoint=127.0.0.1:$s3_port --disable-tls --access-key=$s3_access" \
            "--secret-access-key=$s3_secret --region=$s3_region" ;;
    *) echo "filesystem --path=$work/$1" ;;
    esac
}

# k NAME COMMAND...: kopia on it, as root@test. It is connected at the first use.
k() {
    local name=$1 config=$work/kopia/$1.config
    shift
    if [ ! -e "$config" ] && [ "${1:-} ${2:-}" != "repository create" ]; then
        mkdir -p "$work/kopia"
        # shellcheck disable=SC2046
        KOPIA_PASSWORD=$XEBEC_PASSWORD "$kopia" --config-file "$config" repository connect $(k_place "$name") --override-hostname test \
            --override-username root --cache-directory "$work/kopia/cache-$name" --max-list-cache-duration=0s \
            >"$work/kopia/connect.log" 2>&1 ||
            { cat "$work/kopia/connect.log" >&2; return 1; }
    fi
    KOPIA_PASSWORD=$XEBEC_PASSWORD "$kopia" --config-file "$config" "$@"
}

# Sets $kopia to the real program; ends the test without it.
need_kopia() {
    kopia=$("$root/tests/tools/build" kopia 2>"$work/.tools" | tail -n 1)/kopia
    if [ ! -x "$kopia" ]; then
        not_ok "the real kopia can be built"
        note "$work/.tools"
        report
        exit 1
    fi
}

# The id of kopia's newest snapshot.
k_latest() { k "$1" snapshot list --all --json >"$work/list.json" && json "$work/list.json" 'sorted(d, key=lambda s: s["startTime"])[-1]["id"]'; }
