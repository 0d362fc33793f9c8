# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts of this folder share: counting, a work folder that goes away, roots to chroot into. To be sourced.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${XEBEC_BUILD:-$root/build/release}
work=$(mktemp -d)
passed=0 failed=0 skipped=0
pids=()

ok() { passed=$((passed + 1)); echo "ok - $*"; }
not_ok() { failed=$((failed + 1)); echo "not ok - $*"; }
skip() { skipped=$((skipped + 1)); echo "skip - $*"; }
note() { sed 's/^/    /' "${1:--}"; }

# check TEXT COMMAND...: passes if the command does; shows what it printed if not.
check() {
    local text=$1
    shift
    if "$@" >"$work/check.out" 2>&1; then ok "$text"; else not_ok "$text"; note "$work/check.out"; fi
}

# check_not TEXT COMMAND...: passes if the command fails.
check_not() {
    local text=$1
    shift
    if "$@" >"$work/check.out" 2>&1; then not_ok "$text"; note "$work/check.out"; else ok "$text"; fi
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
        sleep 0.1
    done
}

# Copies a program and the shared libraries that it needs below a folder, at the same paths.
into_root() { # program folder
    mkdir -p "$2"
    cp "$1" "$2/"
    ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' | while read -r lib; do
        mkdir -p "$2${lib%/*}"
        cp -L "$lib" "$2$lib"
    done
}

# The folder of a set of real programs (see tests/tools/build), built if need be. Fails without go.
real() { "$root/tests/tools/build" "$1" 2>>"$work/tools.log" | tail -n 1; }

finish() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
    rm -rf "$work"
}
trap finish EXIT

report() {
    if [ $skipped -gt 0 ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
    [ $failed -eq 0 ] && [ $passed -gt 0 ]
}
