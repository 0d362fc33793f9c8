#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a folder with everything that is hard to back up.

usage: make_tree.py TARGET [--plain] [--seed N] [--small]
  --plain  only what kopia keeps: files, folders and links with names in UTF-8, no attributes beyond mode, owner, time
  --seed   other data (default 1)
  --small  no file over 1 MB
The same arguments make the same tree, on any machine. Needs root for owners, devices and trusted attributes.
"""
import argparse
import errno
import os
import random
import socket
import stat
import struct

NS = 1_000_000_000


class Tree:
    def __init__(self, top, seed):
        self.top = os.fsencode(top)
        self.random = random.Random(seed)
        os.mkdir(self.top)

    def path(self, name):
        return os.path.join(self.top, os.fsencode(name) if isinstance(name, str) else name)

    def folder(self, name, mode=0o755):
        os.makedirs(self.path(name), exist_ok=True)
        os.chmod(self.path(name), mode)

    def file(self, name, data=b"", mode=0o644):
        with open(self.path(name), "wb") as handle:
            handle.write(data)
        os.chmod(self.path(name), mode)

    def noise(self, size):
        return self.random.randbytes(size)

    def holes(self, name, size, pieces):
        with open(self.path(name), "wb") as handle:
            for offset, data in pieces:
                os.pwrite(handle.fileno(), data, offset)
            handle.truncate(size)

    def attribute(self, name, key, value):
        try:
            os.setxattr(self.path(name), key, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
            print(f"make_tree: this file system keeps no {key}")

    def time(self, name, ns):
        os.utime(self.path(name), ns=(ns, ns), follow_symlinks=False)


def acl(entries):
    """The kernel's form of an access control list: version 2, then tag, rights, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACL_OF_FILE = [(1, 6, NOBODY), (2, 7, 1234), (4, 4, NOBODY), (16, 7, NOBODY), (32, 4, NOBODY)]
ACL_OF_FOLDER = [(1, 7, NOBODY), (4, 5, NOBODY), (8, 5, 77), (16, 5, NOBODY), (32, 5, NOBODY)]


def long_link(tree):
    """As long as the file system takes it: XFS takes 1023 bytes."""
    try:
        os.symlink("t" * 4000, tree.path("long link"))
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        os.symlink("t" * 1000, tree.path("long link"))


def plain(tree, small):
    tree.folder("a/b/c")
    tree.folder("empty")
    tree.folder("name with space")
    tree.folder("closed", 0o000)
    tree.folder("sticky", 0o1777)
    tree.folder("group", 0o2775)
    tree.folder("/".join(["deep"] + [str(level) for level in range(40)]))
    tree.file("deep/" + "/".join(str(level) for level in range(40)) + "/end", b"end\n")
    tree.file("a/hello", b"hello\n")
    tree.file("a/zero")
    tree.file("a/b/one", b"1")
    tree.file("a/b/big.bin", tree.noise(900_001 if small else 13_000_001))
    tree.file("a/b/zeros", bytes(700_000 if small else 9_000_000))
    tree.file("a/b/text", b"the same line again and again\n" * (20_000 if small else 100_000))
    for number in range(60 if small else 300):
        tree.file(f"a/b/c/f{number}", f"file {number}\n".encode())
    tree.file("setuid", b"#!/bin/false\n", 0o4755)
    tree.file("setgid", b"#!/bin/false\n", 0o2711)
    tree.file("unreadable", b"not for everyone", 0o000)
    for name in ("quote'\"name", "back\\slash", "-rf", "...", " ", "~", "$(true)", "%s%n", "tab\tname", "line\nbreak",
                 "\x01\x7f", "<&>\u2028", "größe", "日本語", "🦌", "x" * 255, "é" * 127):
        tree.file(name, name.encode())
    os.symlink("../nowhere/x", tree.path("a/link"))
    os.symlink("/", tree.path("link to root"))
    long_link(tree)
    os.symlink("a", tree.path("link to folder"))
    os.chown(tree.path("a/zero"), 12345, 54321)
    os.chown(tree.path("empty"), 4294967294, 99999)
    os.lchown(tree.path("a/link"), 7, 8)


def evil(tree, small):
    tree.file(b"bad\xff\xfename", b"bad")
    tree.file(b"bad\xfe\xffname", b"bad the other way round")
    tree.file(b"\xff" * 255, b"long and bad")
    tree.folder(b"bad folder \xc3")
    tree.file(b"bad folder \xc3/inside \xa0", b"inside")
    os.symlink(b"target \xff\xfe", tree.path("link to bad"))
    os.link(tree.path("a/hello"), tree.path("a/b/hard"))
    os.link(tree.path("a/hello"), tree.path("hard"))
    os.link(tree.path("link to bad"), tree.path("hard link to link"))
    size = 3_000_000 if small else 50_000_000
    tree.holes("hole in front and behind", size, [(size * 2 // 5, b"middle")])
    tree.holes("hole only", size, [])
    tree.holes("hole behind", size, [(0, tree.noise(70_000))])
    tree.holes("many holes", 64 * 65536, [(at * 65536 * 2, b"data") for at in range(32)])
    tree.attribute("a/hello", "user.text", b"bar")
    tree.attribute("a/hello", "user.bytes", b"\0\1\xff")
    tree.attribute("a/hello", "user.empty", b"")
    tree.attribute("a/hello", "trusted.x", b"y")
    tree.attribute("a/b", "user.of folder", b"d" * 2000)
    tree.attribute("a/link", "trusted.of.link", b"l")
    tree.attribute("a/b/big.bin", "system.posix_acl_access", acl(ACL_OF_FILE))
    tree.attribute("group", "system.posix_acl_default", acl(ACL_OF_FOLDER))
    os.mkfifo(tree.path("fifo"), 0o640)
    for name, kind, device in (("char", stat.S_IFCHR, (1, 3)), ("block", stat.S_IFBLK, (7, 77))):
        os.mknod(tree.path(name), kind | 0o660, os.makedev(*device))
    tree.attribute("fifo", "trusted.of.fifo", b"f")
    os.chown(tree.path("fifo"), 21, 22)
    here = os.getcwd()
    os.chdir(tree.top)  # a socket's path is short
    socket.socket(socket.AF_UNIX).bind("socket")
    os.chdir(here)


def times(tree):
    tree.time("a/hello", 981173106 * NS + 123456789)
    tree.time("a/link", 915148800 * NS + 987654321)
    tree.time("a/b/zeros", 0)
    tree.time("setuid", -304_541_694 * NS - 500_000_000)
    tree.time("a/b/one", 4_102_444_800 * NS + 1)
    for number, (folder, _, _) in enumerate(sorted(os.walk(tree.top), reverse=True)):
        os.utime(folder, ns=(0, 1_286_705_410 * NS + number * 101_010_101))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.umask(0)
    tree = Tree(args.target, args.seed)
    plain(tree, args.small)
    if not args.plain:
        evil(tree, args.small)
    times(tree)


main()
