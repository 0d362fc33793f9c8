#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What damage to a blob hits, worked out from what real kopia says of the sound repository.

usage: damage_map.py make KOPIA CONFIG >MAP          ask kopia: where contents lie, and what files are made of
       damage_map.py packs MAP                       the packs, one per line: name, and end of the last content
       damage_map.py check MAP REPORT BLOB [--quick] [--from N [--to M]]
           BLOB is a pack of which the bytes N to M (all; to the end) are not what they were, or an index blob that
           cannot be read. REPORT is what `xebec verify --json` said. Prints what differs; exit status 1 if anything does.
"""
import argparse
import base64
import gzip
import json
import re
import subprocess
import sys


def ask(kopia, *arguments):
    run = subprocess.run([*kopia, *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return run.stdout


def show(kopia, ids):
    """The contents' bytes that are one line of JSON each."""
    lines = []
    for start in range(0, len(ids), 100):
        lines += ask(kopia, "content", "show", *ids[start:start + 100]).decode().splitlines()
    assert len(lines) == len(ids), (len(lines), len(ids))
    return dict(zip(ids, map(json.loads, lines)))


def content_of(obj):
    return obj.lstrip("I")


def name_of(entry):
    if "x-name" in entry:
        return base64.b64decode(entry["x-name"]).decode(errors="replace")
    return entry["name"]


def make(kopia):
    contents = {c["contentID"]: (c["packFile"], c["packOffset"], c["packOffset"] + c["length"])
                for c in json.loads(ask(kopia, "content", "list", "--json"))}
    documents = show(kopia, [c for c in contents if c[0] in "kx"])
    manifests = {}  # snapshot: the content that tells of it
    for content in contents:
        if content[0] == "m":
            for entry in json.loads(gzip.decompress(ask(kopia, "content", "show", content)))["entries"]:
                manifests.setdefault(entry["id"], []).append(content)
    return {"contents": contents, "documents": documents, "manifests": manifests,
            "roots": {s["id"]: s["rootEntry"]["obj"] for s in json.loads(ask(kopia, "snapshot", "list", "--all", "--json"))}}


class Hits:
    def __init__(self, known, bad):
        self.known, self.bad, self.found = known, bad, []

    def is_hit(self, obj):
        content = content_of(obj)
        if content in self.bad:
            return True
        if obj.startswith("I"):
            return any(self.is_hit(entry["o"]) for entry in self.known["documents"][content]["entries"])
        return False

    def look(self, snapshot, path, obj, folder):
        if self.is_hit(obj):
            self.found.append((snapshot, path))
        elif folder:
            for entry in self.known["documents"][content_of(obj)]["entries"] or []:
                below = (path + "/" if path else "") + name_of(entry)
                self.look(snapshot, below, entry["obj"], entry["type"] == "d")


def expected(known, arguments):
    """Paths that are hit, contents of manifests and blobs of indexes that are, packs that nothing names any more."""
    session = arguments.blob.split("-")[1]
    if arguments.blob.startswith("x"):
        bad = {c for c, place in known["contents"].items() if place[0].split("-")[1] == session}
        unnamed = {known["contents"][c][0] for c in bad}
        read = lambda content: False  # what is in no index is not tried
    else:
        end = arguments.to if arguments.to is not None else 1 << 60
        bad = {c for c, (pack, first, last) in known["contents"].items()
               if pack == arguments.blob and first < end and last > arguments.start}
        unnamed = set()
        read = lambda content: True
        if arguments.quick and arguments.to is not None:
            bad = {c for c in bad if c[0] in "kxm"}  # only those are read
    hits = Hits(known, bad)
    for snapshot, root in known["roots"].items():
        if not all(m in bad for m in known["manifests"][snapshot]):
            hits.look(snapshot, "", root, True)
    indexes = {c for c in bad if c[0] == "m" and read(c)} | ({arguments.blob} if arguments.blob[0] == "x" else set())
    return hits.found, indexes, unnamed


def plain(path):
    return re.sub("\ufffd+", "\ufffd", path)


def check(known, report, arguments):
    paths, indexes, unnamed = expected(known, arguments)
    wanted = sorted((s, plain(p)) for s, p in paths)
    got = sorted((d["snapshot"], plain(d["path"])) for d in report["damage"] if not d["index"])
    told = sorted(d["index"] for d in report["damage"] if d["index"])
    warned = {w["blob"] for w in report["warnings"] if "no index names" in w["text"]}
    if wanted != got:
        print("not named:", [p for p in wanted if p not in got][:10])
        print("named, and sound:", [p for p in got if p not in wanted][:10])
    if told != sorted(indexes):
        print("indexes and manifests:", told, "instead of", sorted(indexes))
    if warned != unnamed:
        print("packs without an index:", sorted(warned), "instead of", sorted(unnamed))
    for damage in report["damage"]:
        if damage["content"] in known["contents"] and damage["pack"] not in ("", known["contents"][damage["content"]][0]):
            print("wrong pack:", damage)
    return wanted == got and told == sorted(indexes) and warned == unnamed and report["ok"] == (not wanted and not told)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "packs", "check"])
    parser.add_argument("map")
    parser.add_argument("report", nargs="?")
    parser.add_argument("blob", nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--from", dest="start", type=int, default=0)
    parser.add_argument("--to", type=int)
    arguments = parser.parse_args()
    if arguments.what == "make":
        json.dump(make([arguments.map, "--config-file", arguments.report]), sys.stdout)
        return 0
    with open(arguments.map, encoding="utf-8") as handle:
        known = json.load(handle)
    if arguments.what == "packs":
        ends = {}
        for pack, _, last in known["contents"].values():
            ends[pack] = max(ends.get(pack, 0), last)
        print("\n".join(f"{pack} {last}" for pack, last in sorted(ends.items())))
        return 0
    with open(arguments.report, encoding="utf-8") as handle:
        return 0 if check(known, json.load(handle), arguments) else 1


if __name__ == "__main__":
    sys.exit(main())
