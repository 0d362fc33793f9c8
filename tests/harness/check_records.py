#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that every backup with a commit marker in a store is whole.

usage: check_records.py STORE [--watch]
  --watch  look again and again, at each marker right when it appears, until SIGTERM
A marker is backups/NAME/velero-backup.json. Where it is there, every file of the record must be: valid gzip, valid JSON or
tar, and no volume's order still open. Prints what is not, and a line that counts. Exit status 1 if anything is not.
"""
import argparse
import gzip
import json
import os
import signal
import sys
import tarfile
import time

JSON_FILES = ("-podvolumebackups.json.gz", "-volumesnapshots.json.gz", "-itemoperations.json.gz", "-volumeinfo.json.gz",
              "-resource-list.json.gz", "-results.gz")


def problems(store, name):
    folder = os.path.join(store, "backups", name)

    def path(suffix):
        return os.path.join(folder, name + suffix)

    try:
        with open(os.path.join(folder, "velero-backup.json"), encoding="utf-8") as handle:
            marker = json.load(handle)
        phase = marker["status"]["phase"]
        if phase not in ("Completed", "PartiallyFailed") or marker["metadata"]["name"] != name:
            yield f"the marker says {phase} of {marker['metadata']['name']}"
        loaded = {}
        for suffix in JSON_FILES:
            with gzip.open(path(suffix)) as handle:
                loaded[suffix] = json.load(handle)
        with gzip.open(path("-logs.gz")) as handle:
            if not handle.read():
                yield "an empty log"
        with tarfile.open(path(".tar.gz"), "r:gz") as archive:
            members = [member.name for member in archive]
            if "metadata/version" not in members:
                yield f"no version among {len(members)} members of the tarball"
        for order in loaded["-podvolumebackups.json.gz"] or []:
            ended = order.get("status", {}).get("phase")
            if ended not in ("Completed", "Failed", "Canceled") or phase == "Completed" and ended != "Completed":
                yield f"order {order['metadata']['name']} is {ended} in a backup that is {phase}"
    except (OSError, ValueError, KeyError, EOFError, tarfile.TarError) as error:
        yield f"{type(error).__name__}: {error}"


def look(store, seen):
    """Checks the markers that are new; how many of them are bad."""
    bad = 0
    try:
        names = os.listdir(os.path.join(store, "backups"))
    except FileNotFoundError:
        return 0
    for name in names:
        try:
            marker = os.stat(os.path.join(store, "backups", name, "velero-backup.json"))
        except OSError:
            continue
        if seen.get(name) == (marker.st_ino, marker.st_mtime_ns):
            continue
        seen[name] = (marker.st_ino, marker.st_mtime_ns)
        for text in problems(store, name):
            bad += 1
            print(f"backup {name}: {text}", flush=True)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("store")
    parser.add_argument("--watch", action="store_true")
    args = parser.parse_args()
    ending = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    seen = {}
    bad = look(args.store, seen)
    while args.watch and not ending:
        time.sleep(0.02)
        bad += look(args.store, seen)
    seen_when_they_appeared = len(seen)
    bad += look(args.store, {})  # and once more, as they are now
    print(f"{seen_when_they_appeared} records, {bad} problems")
    return 1 if bad or not seen else 0


sys.exit(main())
