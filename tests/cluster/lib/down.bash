# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Taking a bed down, and saying what is left of one. Sourced by up, down and check-clean.

# This script, and whatever waits for it, may itself run in the bed: move it out so that the cgroups become empty.
leave_groups() {
    local top pid
    for top in $HIERARCHIES; do
        for pid in $(own_pids); do
            if grep -qsE "^$pid\$" "$top/$GROUP/cgroup.procs"; then echo "$pid" >"$top/cgroup.procs"; fi
        done
    done 2>/dev/null
}

# A frozen process (cgroup v1) dies only once it is thawed.
thaw_groups() {
    local dir file
    for dir in $(bed_groups); do
        if [ -e "$dir/freezer.state" ] || [ -e "$dir/cgroup.freeze" ]; then
            while read -r file; do
                case $file in *.state) echo THAWED >"$file" ;; *) echo 0 >"$file" ;; esac
            done < <(find "$dir" \( -name freezer.state -o -name cgroup.freeze \) 2>/dev/null)
        fi
    done 2>/dev/null
}

kill_processes() {
    local pids deadline=$((SECONDS + 60))
    while pids=$(bed_pids) && [ -n "$pids" ]; do
        [ $SECONDS -lt $deadline ] || { warn "cannot kill: ${pids//$'\n'/ }"; return 1; }
        thaw_groups
        # shellcheck disable=SC2086 # a list of numbers
        kill -KILL $pids 2>/dev/null
        sleep 0.05
    done
}

# rmdir is refused for a moment after the last process died.
remove_groups() {
    local dir deadline=$((SECONDS + 60))
    for dir in $(bed_groups); do
        while [ -d "$dir" ] && [ $SECONDS -lt $deadline ]; do
            find "$dir" -depth -type d -exec rmdir {} \; 2>/dev/null
            [ ! -d "$dir" ] || sleep 0.05
        done
    done
}

bed_mounts() { # below the folder, in this mount namespace, innermost first
    awk '{ print $5 }' /proc/self/mountinfo | while read -r at; do
        at=$(printf '%b' "$at")
        case $at in "$BED"/*) printf '%s\n' "$at" ;; esac
    done | tac
}

bed_loops() { # loop devices whose file lies in the folder
    losetup --list --noheadings --raw --output NAME,BACK-FILE 2>/dev/null | while read -r device file; do
        case $(printf '%b' "$file") in "$BED"/*) echo "$device" ;; esac
    done
}

remove_mounts() {
    local at device
    bed_mounts | while read -r at; do umount -- "$at" || umount --lazy -- "$at"; done
    for device in $(bed_loops); do losetup --detach "$device"; done
}

# Mount namespaces vanish a moment after their last process, and a folder mounted there is busy until then.
remove_folder() {
    local deadline=$((SECONDS + 60))
    [ -e "$BED" ] || return 0
    if [ ! -e "$BED/.xebec-bed" ]; then
        [ ! -d "$BED" ] || [ -z "$(ls -A "$BED")" ] || { warn "$BED is not a test bed: left alone"; return 1; }
    fi
    [ -z "$(bed_mounts)" ] || { warn "still mounted below $BED: left alone"; return 1; }
    until rm -rf --one-file-system -- "$BED" 2>/dev/null; do
        [ $SECONDS -lt $deadline ] || { rm -rf --one-file-system -- "$BED"; return 1; }
        sleep 0.1
    done
}

take_down() {
    local deadline
    leave_groups
    kill_processes
    remove_mounts
    remove_groups
    remove_folder
    # The kernel lets a loop device go a moment after the mount that had it.
    deadline=$((SECONDS + 30))
    while [ -n "$(leftovers)" ]; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

# Everything that is left, one a line.
leftovers() {
    local pid
    for pid in $(bed_pids); do
        echo "process $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-100)"
    done
    bed_mounts | sed 's/^/mount /'
    bed_loops | sed 's/^/loop device /'
    bed_groups | sed 's/^/cgroup /'
    if [ -e "$BED" ]; then echo "files $BED"; fi
}
