#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares two images of a file system block by block, by what the file system's own tools say is free.

usage: compare_used.py ext|xfs SOURCE RESTORED

Every block that is not free must be equal; a free one must be equal or zeros. Prints how many bytes of the free ones were
left out, that is, are zeros where the source has something. Exit status 0 only if all of that holds."""
import re
import subprocess
import sys


def tool(*words):
    run = subprocess.run(words, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(words)}: {run.stderr}")
    return run.stdout


def free_ext(path):
    text = tool("dumpe2fs", path)
    block = int(re.search(r"^Block size:\s+(\d+)", text, re.M).group(1))
    for line in re.findall(r"^ +Free blocks: (.*)$", text, re.M):
        for part in filter(None, line.replace(" ", "").split(",")):
            first, _, last = part.partition("-")
            yield int(first) * block, (int(last or first) + 1) * block


def free_xfs(path):
    numbers = {key: int(re.search(rf"^{key} = (\d+)", tool("xfs_db", "-r", "-c", "sb 0", "-c", "p", path), re.M).group(1))
               for key in ("blocksize", "agblocks")}
    block = numbers["blocksize"]
    for agno, start, count in re.findall(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s*$", tool("xfs_db", "-r", "-c", "freesp -d", path), re.M):
        first = int(agno) * numbers["agblocks"] + int(start)
        yield first * block, (first + int(count)) * block


def main():
    kind, source, restored = sys.argv[1:]
    with open(source, "rb") as a, open(restored, "rb") as b:
        want, got = a.read(), b.read()
    if len(want) != len(got):
        sys.exit(f"{len(want)} bytes and {len(got)}")
    free = sorted((free_ext if kind == "ext" else free_xfs)(source))
    at = left_out = all_free = 0
    for start, end in free + [(len(want), len(want))]:
        if want[at:start] != got[at:start]:
            where = next(i for i in range(at, start) if want[i] != got[i])
            sys.exit(f"byte {where} is used and differs")
        all_free += end - start
        for i in range(start, end, 512):
            if got[i:i + 512] != want[i:i + 512]:
                if any(got[i:i + 512]):
                    sys.exit(f"byte {i} is free, and neither as it was nor zero")
                left_out += 512
        at = end
    print(all_free, left_out)


main()
