# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of block devices and images share; cli.bash is to be sourced first. Only loop devices over files of the test's own
# folder are ever used, and they go away with it.

loops=()
let_loops_go() {
    local device
    for device in "${loops[@]}"; do losetup -d "$device"; done 2>/dev/null
    loops=()
}
trap 'for folder in "${mounts[@]}"; do umount -l "$folder"; done 2>/dev/null; let_loops_go; finish' EXIT

# loop FILE ARGS...: a loop device over it; its name is in $device.
loop() {
    local file=$1
    shift
    device=$(losetup --find --show "$@" "$file") && loops+=("$device")
}

# noise FILE BYTES: so many bytes that do not compress, always the same ones.
noise() { openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv 0 -in /dev/zero 2>/dev/null | head -c "$2" >"$1"; }

# of DOCUMENT EXPRESSION: `json` of the last `--json` answer of the command that `status` ran.
of() { json "$work/.out" "$1"; }
