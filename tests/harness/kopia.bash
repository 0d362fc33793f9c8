# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests with real kopia share, beside cli.bash, which is to be sourced first.

# The contents that hold files' data, one id per line.
data_contents() { k "$1" content list --non-prefixed --json 2>/dev/null | python3 -c '
import json, sys
print("\n".join(sorted(c["contentID"] for c in json.load(sys.stdin) if not c.get("deleted"))))'; }

# no_new_data TEXT NAME BEFORE: the same contents as before, and there are some.
no_new_data() {
    if [ -n "$3" ]; then same "$1" "$3" "$(data_contents "$2")"; else not_ok "$1 (there was none before)"; fi
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

# k_create NAME ARGS...
k_create() {
    local name=$1
    shift
    mkdir -p "$work/kopia"
    k "$name" repository create filesystem --path "$work/$name" --override-hostname test --override-username root \
        --cache-directory "$work/kopia/cache-$name" "$@" >"$work/create.log" 2>&1
}
