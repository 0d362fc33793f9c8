# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by every script of the test bed: where the bed lies, what it is called, who belongs to it, how to enter it.
#
# A bed is one folder ($BED) and one cgroup tree ($GROUP, named after the folder), so several can run side by side.
# Nothing is mounted on the host: the network namespace and the two nodes' mount namespaces live only as long as
# processes hold them, and every process of the bed is in its cgroups. To take a bed down is therefore: kill what is
# in its cgroups, remove these, remove the folder. That needs no record, and works after a crash of anything.
set -u -o pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # these three are for those who source this
REPO=$(cd "$HERE/../.." && pwd) API_ADDRESS=10.96.0.1 HOST_ADDRESS=10.99.0.1
DAEMONS="net node1 node2 etcd apiserver controllers scheduler containerd1 containerd2 kubelet1 kubelet2"

say() { printf 'bed: %s\n' "$*"; }
warn() { printf 'bed: %s\n' "$*" >&2; }
die() { warn "$*"; exit 1; }

# Sets BED, GROUP and HOME_GROUP (the cgroup folder that daemons start in).
name_bed() {
    local id
    [ "$(id -u)" -eq 0 ] || die "needs root: namespaces, mounts, cgroups"
    BED=$(realpath -m -- "${XEBEC_BED:-/var/tmp/xebec-bed-$(id -u)}")
    [[ $BED =~ ^[A-Za-z0-9._/@+-]+$ ]] || die "$BED: only letters, digits and ._/@+- please"
    # Every node has these folders to itself, so that the host's are out of sight there.
    case $BED/ in
    / | /run/* | /var/run/* | /var/lib/* | /var/log/*) die "$BED: a bed cannot lie below /run, /var/lib or /var/log" ;;
    esac
    id=$(printf %s "$BED" | sha256sum | cut -c1-10)
    GROUP=xebec-bed-$id
    HIERARCHIES=$(awk '$3 ~ /^cgroup2?$/ && $2 ~ "^/sys/fs/cgroup(/|$)" { print $2 }' /proc/self/mounts)
    [ -n "$HIERARCHIES" ] || die "no cgroups below /sys/fs/cgroup"
    HOME_GROUP=$(awk '$3 == "cgroup2" && $2 ~ "^/sys/fs/cgroup(/|$)" { print $2; exit }' /proc/self/mounts)
    HOME_GROUP=${HOME_GROUP:-$(head -n 1 <<<"$HIERARCHIES")}/$GROUP
}

# For the scripts that take --dir: parse it, refuse anything else.
name_bed_from_args() {
    while [ $# -gt 0 ]; do
        case $1 in
        --dir) [ $# -ge 2 ] || die "--dir needs a folder"; XEBEC_BED=$2; shift 2 ;;
        *) die "unknown argument '$1' (only --dir DIR)" ;;
        esac
    done
    name_bed
}

# The bed's cgroup folders, one per hierarchy for the daemons and one per node.
bed_groups() {
    local top dir
    for top in $HIERARCHIES; do
        for dir in "$top/$GROUP" "$top/$GROUP-node1" "$top/$GROUP-node2"; do
            if [ -d "$dir" ]; then echo "$dir"; fi
        done
    done
}

running() { # pid: exists and is no zombie
    ! grep -qsE '^State:[[:space:]]*[ZX]' "/proc/$1/status" && [ -d "/proc/$1" ]
}

in_bed() { # pid: is it in one of the bed's cgroups?
    grep -qsE ":/(.*/)?$GROUP(-node[12])?(/|\$)" "/proc/$1/cgroup"
}

pids_in_groups() {
    grep -lsE ":/(.*/)?$GROUP(-node[12])?(/|\$)" /proc/[0-9]*/cgroup | cut -d/ -f3
}

# Processes outside the cgroups that entered one of the bed's namespaces by themselves. A recorded namespace counts
# only while a process of the bed still holds it: the kernel gives the number of a dead one to somebody else.
pids_in_namespaces() { # pids in the bed's cgroups
    local kind number pid
    while read -r kind number; do
        for pid in "$@"; do
            if [ "$(readlink "/proc/$pid/ns/$kind" 2>/dev/null)" = "$number" ]; then
                find /proc -maxdepth 3 -path "/proc/[0-9]*/ns/$kind" -printf '%l %p\n' 2>/dev/null |
                    awk -v number="$number" '$1 == number { split($2, part, "/"); print part[3] }'
                break
            fi
        done
    done < <(cat "$BED/run/namespaces" 2>/dev/null)
}

# This script and those that wait for it.
own_pids() {
    local pid=$$
    while [ "${pid:-0}" -gt 1 ]; do
        echo "$pid"
        pid=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
    done
}

# Every live process of the bed, except this script and those that wait for it.
bed_pids() {
    local inside own pid
    inside=$(pids_in_groups)
    own=" $(own_pids | tr '\n' ' ') $BASHPID "
    # shellcheck disable=SC2086 # a list of numbers
    for pid in $( (echo "$inside"; pids_in_namespaces $inside) | sort -un); do
        if [[ $own != *" $pid "* ]] && running "$pid"; then echo "$pid"; fi
    done
}

pid_of() { # daemon: its recorded pid, if that process still is the bed's
    local pid
    pid=$(cat "$BED/run/$1.pid" 2>/dev/null) && running "$pid" && in_bed "$pid" && echo "$pid"
}

daemons_alive() {
    local name
    for name in $DAEMONS; do pid_of "$name" >/dev/null || return 1; done
}

# One up or down at a time. The lock lies in the folder that `down` removes, so look again after getting it.
lock_bed() {
    while :; do
        exec 8>>"$BED/lock" || die "cannot write $BED/lock"
        flock -w 180 8 || die "another up or down has been working on $BED for three minutes"
        if [ "$BED/lock" -ef /proc/self/fd/8 ]; then return; fi
        [ -d "$BED" ] || make_folder
    done
}

# The predictable name below /var/tmp may be somebody else's, and a typo may name a folder full of other things.
make_folder() {
    if [ -e "$BED" ]; then
        if [ ! -d "$BED" ] || [ ! -O "$BED" ]; then die "$BED exists and is not a folder of ours"; fi
        if [ ! -e "$BED/.xebec-bed" ] && [ -n "$(ls -A "$BED")" ]; then die "$BED holds other things"; fi
    fi
    if ! { mkdir -p -- "$BED" && chmod 0700 "$BED" && touch "$BED/.xebec-bed"; }; then die "cannot make $BED"; fi
}

# What the wrappers need: the state that `up` left, and their own process in the bed, so that `down` finds it.
use_bed() {
    name_bed
    [ -r "$BED/state.env" ] || die "no test bed runs in $BED; start one: $HERE/up"
    # shellcheck disable=SC1091 # written by up
    . "$BED/state.env"
    pid_of net >/dev/null || die "the test bed in $BED has died; start it again: $HERE/up"
    echo $$ >"$HOME_GROUP/cgroup.procs" || die "cannot join $HOME_GROUP"
}
