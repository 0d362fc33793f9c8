#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares a folder with a list of what it must hold: path, mode with kind, owner, size, time, hash, target of links.

usage: check_manifest.py MANIFEST.json FOLDER [--no-folder-times]
  --no-folder-times  when folders were changed does not matter: kopia's restore gives them the newest time below them
The root's own attributes are not in the list. Prints what differs and a line that counts; exit status 1 if anything does.
"""
import hashlib
import json
import os
import sys


def facts(path, like):
    st = os.lstat(path)
    found = {"path": like["path"], "mode": oct(st.st_mode), "uid": st.st_uid, "gid": st.st_gid}
    if "size" in like:
        found["size"] = st.st_size
    if "mtime_ns" in like:
        found["mtime_ns"] = st.st_mtime_ns
    if "target" in like:
        found["target"] = os.readlink(path)
    if "sha256" in like:
        with open(path, "rb") as handle:
            found["sha256"] = hashlib.sha256(handle.read()).hexdigest()
    return found


def main():
    with open(sys.argv[1], encoding="utf-8") as handle:
        wanted = {entry["path"]: entry for entry in json.load(handle)}
    for entry in wanted.values():
        if "--no-folder-times" in sys.argv[3:] and entry["mode"].startswith("0o4"):
            entry.pop("mtime_ns", None)
    top = sys.argv[2]
    there = {os.path.relpath(os.path.join(folder, name), top)
             for folder, folders, files in os.walk(top) for name in folders + files}
    problems = [f"{path!r} is missing" for path in sorted(wanted.keys() - there)]
    problems += [f"{path!r} should not be there" for path in sorted(there - wanted.keys())]
    for path in sorted(wanted.keys() & there):
        found = facts(os.path.join(top, path), wanted[path])
        problems += [f"{path!r}: {key} {wanted[path].get(key)!r} -> {found.get(key)!r}"
                     for key in wanted[path] if wanted[path][key] != found.get(key)]
    for line in problems[:40]:
        print(line)
    print(f"{len(wanted)} entries, {len(problems)} differences")
    sys.exit(1 if problems or not wanted else 0)


main()
