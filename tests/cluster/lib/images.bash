# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Images without a registry: made here, put on the nodes by hand.
PAUSE_IMAGE=docker.io/xebec/pause:1
BUSYBOX_IMAGE=docker.io/library/busybox:1

node_ctr() { # number args...: containerd's client on a node
    local number=$1
    shift
    nsenter --target "$(pid_of "node$number")" --mount --net -- \
        ctr --address /run/containerd/containerd.sock --namespace k8s.io "$@"
}

# Read from stdin, because the file may lie where the node has folders of its own.
import_on_node() { # number file...
    local number=$1 file log
    shift
    log=$BED/log/import$number.log
    for file in "$@"; do
        if ! node_ctr "$number" images import - <"$file" >>"$log" 2>&1; then
            warn "node$number does not take $file: $(tail -n 1 "$log")"
            return 1
        fi
    done
}

import_images() { # file...
    local first status
    import_on_node 1 "$@" 8>&- &
    first=$!
    import_on_node 2 "$@"
    status=$?
    wait "$first" && [ $status -eq 0 ]
}

busybox_tree() { # dir
    local applet
    mkdir -p "$1"/{bin,etc,root,tmp,usr/bin,var} || return 1
    chmod 1777 "$1/tmp"
    install -m 0755 "$(command -v busybox)" "$1/bin/busybox" || return 1
    for applet in $(busybox --list); do
        if [ "$applet" != busybox ]; then ln -s busybox "$1/bin/$applet" || return 1; fi
    done
    ln -s ../../bin/busybox "$1/usr/bin/env"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
    echo 'root:x:0:' >"$1/etc/group"
}

# The sandbox image, whose process is called pause as everywhere, and the one that test pods use, from the distribution's static busybox.
base_images() {
    local dir=$BED/images
    mkdir -p "$dir/pause/bin" || return 1
    install -m 0755 "$(command -v busybox)" "$dir/pause/bin/sh" && ln -s sh "$dir/pause/bin/sleep" &&
        printf '#!/bin/sh\nwhile sleep 2147483647; do :; done\n' >"$dir/pause/pause" && chmod 0755 "$dir/pause/pause" &&
        busybox_tree "$dir/busybox" &&
        "$HERE/mkimage" "$PAUSE_IMAGE" "$dir/pause" "$dir/pause.tar" /pause &&
        "$HERE/mkimage" "$BUSYBOX_IMAGE" "$dir/busybox" "$dir/busybox.tar" sh
}
