#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares two folders completely: names, kinds, bytes, modes, owners, times, links, holes, attributes, devices.

usage: compare_trees.py WANT GOT [--kopia] [--no-devices] [--no-privileged] [--subset] [--no-holes] [--no-folder-times]
  --kopia          WANT as kopia gives it back: no attributes, hard links, holes or special files; names that are no UTF-8
                   under their stand-ins; times of links in microseconds
  --no-devices     devices of WANT are missing in GOT
  --no-privileged  trusted.* and security.* are missing in GOT
  --subset         something of WANT may be missing, but what is there is whole (folders' own attributes are not looked at)
  --no-holes       where holes are does not matter
  --no-folder-times  nor when folders were changed: kopia's restore gives them the newest time below them
Prints what differs (at most 40 lines) and a line that counts. Exit status 1 if anything does.
"""
import argparse
import hashlib
import os
import re
import stat
import sys


class Node:
    def __init__(self, path, args, want):
        self.path = path
        self.st = st = os.lstat(path)
        self.args = args
        kopia = args.kopia
        self.kind = stat.S_IFMT(st.st_mode)
        self.facts = facts = {}
        self.special = self.kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        facts["type"] = self.kind
        if not (args.subset and self.kind == stat.S_IFDIR):
            facts["mode"] = oct(stat.S_IMODE(st.st_mode))
            facts["owner"] = (st.st_uid, st.st_gid)
            if not (args.no_folder_times and self.kind == stat.S_IFDIR):
                facts["mtime"] = st.st_mtime_ns
        if kopia and self.kind == stat.S_IFLNK:
            facts["mtime"] = (st.st_mtime_ns + 999) // 1000  # Go rounds up
        if self.kind == stat.S_IFREG:
            facts["size"], facts["sha256"] = st.st_size, digest(path)
            if not kopia and not args.no_holes:
                facts["data"] = data_extents(path, st.st_size)
        elif self.kind == stat.S_IFLNK:
            facts["target"] = os.readlink(path)
        elif self.special:
            facts["device"] = st.st_rdev
        if not kopia and "mode" in facts:
            facts["attributes"] = attributes(path, args.no_privileged and want)

    def missing_is_right(self):
        return (self.args.kopia and self.special) or (self.args.no_devices and self.kind in (stat.S_IFCHR, stat.S_IFBLK))


def digest(path):
    sha = hashlib.sha256()
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            sha.update(piece)
    return sha.hexdigest()


def data_extents(path, size):
    """Where a file holds data. Whole files count as one, however their file system puts it."""
    extents = []
    fd = os.open(path, os.O_RDONLY)
    try:
        at = 0
        while at < size:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = os.lseek(fd, start, os.SEEK_HOLE)
            extents.append((start, at))
    except OSError:
        pass  # only a hole is left
    finally:
        os.close(fd)
    return extents


def attributes(path, public_only):
    found = {}
    for key in os.listxattr(path, follow_symlinks=False):
        if public_only and key.startswith(("trusted.", "security.")):
            continue
        found[key] = os.getxattr(path, key, follow_symlinks=False)
    return found


def stand_in(name):
    """What a name that is no UTF-8 looks like for kopia, as a pattern; None if it is text."""
    try:
        name.decode()
        return None
    except UnicodeDecodeError:
        text = name.decode("utf-8", "surrogateescape")
        parts = ["_" if 0xDC80 <= ord(c) <= 0xDCFF else re.escape(c) for c in text]
        pattern = "".join(parts).encode()
        if len(name) > 238:
            pattern = pattern[:100] + b".*"
        return re.compile(pattern + rb"~[0-9a-f]{16}", re.S)


class Comparison:
    def __init__(self, args):
        self.args = args
        self.entries = 0
        self.problems = []
        self.links = ({}, {})

    def differ(self, path, text):
        self.problems.append(f"{os.fsencode(path)!r}: {text}")

    def facts(self, name, want, got):
        keys = [k for k in want.facts if want.facts.get(k) != got.facts.get(k)]
        for key in keys:
            self.differ(name, f"{key} {want.facts.get(key)!r:.150} -> {got.facts.get(key)!r:.150}")

    def nodes(self, name, want_path, got_path):
        self.entries += 1
        want, got = Node(want_path, self.args, True), Node(got_path, self.args, False)
        self.facts(name, want, got)
        for side, node in enumerate((want, got)):
            if node.kind != stat.S_IFDIR and node.st.st_nlink > 1:
                self.links[side].setdefault(node.st.st_ino, set()).add(name)
        if want.kind == got.kind == stat.S_IFDIR:
            self.folders(name, want_path, got_path)

    def partner(self, name, want_path, got_path, free):
        """The name in GOT that stands for this one."""
        if name in free:
            return name
        pattern = stand_in(name) if self.args.kopia else None
        if pattern:
            want = Node(os.path.join(want_path, name), self.args, True)
            for other in sorted(free):
                path = os.path.join(got_path, other)
                if pattern.fullmatch(other) and Node(path, self.args, False).facts == want.facts:
                    return other
        return None

    def folders(self, folder, want_path, got_path):
        free = set(os.listdir(got_path))
        for name in sorted(os.listdir(want_path)):
            path = os.path.join(folder, name)
            other = self.partner(name, want_path, got_path, free)
            if other is not None:
                free.discard(other)
                self.nodes(path, os.path.join(want_path, name), os.path.join(got_path, other))
            elif not self.args.subset and not Node(os.path.join(want_path, name), self.args, True).missing_is_right():
                self.differ(path, "is missing")
        for name in sorted(free):
            self.differ(os.path.join(folder, name), "should not be there")

    def hard_links(self):
        if self.args.kopia or self.args.subset:
            return
        want, got = ({frozenset(names) for names in side.values()} for side in self.links)
        for names in want ^ got:
            self.differ(min(names), f"hard links differ: {sorted(names)!r:.200}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("want")
    parser.add_argument("got")
    for flag in ("kopia", "no-devices", "no-privileged", "subset", "no-holes", "no-folder-times"):
        parser.add_argument("--" + flag, action="store_true")
    args = parser.parse_args()
    run = Comparison(args)
    run.nodes(b"", os.fsencode(args.want), os.fsencode(args.got))
    run.hard_links()
    for line in run.problems[:40]:
        print(line)
    print(f"{run.entries} entries, {len(run.problems)} differences")
    sys.exit(1 if run.problems else 0)


main()
