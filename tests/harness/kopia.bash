# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests with real kopia share, beside cli.bash, which is to be sourced first.

# k_create NAME ARGS...: a repository that kopia makes. kopia may believe a list of index blobs for 30 s, and so not see what xebec
# has just written; here it always looks.
k_create() {
    local name=$1
    shift
    mkdir -p "$work/kopia"
    k "$name" repository create filesystem --path "$work/$name" --override-hostname test --override-username root \
        --cache-directory "$work/kopia/cache-$name" --max-list-cache-duration=0s "$@"
}

k_verifies() { check "$2" k "$1" snapshot verify --verify-files-percent=100; }
x_verifies() { check "$2" x "$1" verify; }

# x_restores NAME SNAPSHOT TREE TEXT [compare's flags]
x_restores() {
    local name=$1 id=$2 tree=$3 text=$4 target=$work/restored
    shift 4
    rm -rf "$target"
    status "$text: restores" 0 x "$name" restore "$id" "$target" --devices --privileged-attributes
    check "$text: is equal" compare "$tree" "$target" "$@"
}

# k_restores NAME SNAPSHOT TREE TEXT: what kopia can hold of it is equal.
k_restores() {
    local target=$work/restored
    rm -rf "$target"
    check "$4: kopia restores" k "$1" snapshot restore "$2" "$target"
    check "$4: is equal" compare --kopia "$3" "$target"
}

# The contents that hold the bytes of files, with the index contents of files of several chunks; one id per line.
data_contents() { k "$1" content list --json 2>/dev/null | python3 -c '
import json, sys
print("\n".join(sorted(c["contentID"] for c in json.load(sys.stdin)
                       if not c.get("deleted") and c["contentID"][0] not in "km")))'; }

# no_new_data TEXT NAME BEFORE: the same contents as before, and there are some.
no_new_data() {
    local now
    now=$(data_contents "$2")
    if [ -z "$3" ]; then not_ok "$1 (there was none before)"; return; fi
    if [ "$3" = "$now" ]; then ok "$1"; return; fi
    not_ok "$1"
    diff <(echo "$3") <(echo "$now") | note
}

# k_maintains NAME TEXT: kopia's full maintenance, in its safe form and in the one that keeps nothing it need not keep.
k_maintains() {
    check "$2: kopia's full maintenance" k "$1" maintenance run --full
    check "$2: and without its safety margins" k "$1" maintenance run --full --safety=none
}
