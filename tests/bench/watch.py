#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at a running agent until its orders have ended, and prints in JSON what it needed.

usage: watch.py PID LOG SECONDS FOLDER... [--by-instants]
  LOG            what the agent logs; it says "order ended" once for each of the volumes
  SECONDS        longer than that nobody waits: exit status 1
  FOLDER         of each volume, as the agent sees it
  --by-instants  the agent is held still for every look and runs in between, so that none of its states is longer than 20 ms unseen

anon      the most anonymous memory, in bytes
settled   the most from the instant on when a file of every volume had been seen open: all of them have opened the repository then
together  of how many volumes files were open at once
wall, user, system   seconds from the first volume's opening to the last order's end
"""
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from measuring import status_kib

EVERY_S = 0.02


def fields(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as handle:
        return handle.read().rpartition(")")[2].split()


def cpu(pid):
    found, tick = fields(pid), os.sysconf("SC_CLK_TCK")
    return int(found[11]) / tick, int(found[12]) / tick


def hold(pid):
    os.kill(pid, signal.SIGSTOP)
    for _ in range(1000):
        if fields(pid)[0] in "TtZX":
            return
        time.sleep(0.0005)


def open_paths(pid):
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        try:
            yield os.readlink(f"{folder}/{name}")
        except OSError:
            pass  # closed meanwhile


def ended(log):
    with open(log, encoding="utf-8", errors="replace") as handle:
        return sum("order ended" in line for line in handle)


def watch(pid, log, limit_s, folders, by_instants):
    seen, together, anon, settled, samples = set(), 0, 0, 0, 0
    began = None
    give_up = time.monotonic() + limit_s
    while ended(log) < len(folders):
        if time.monotonic() > give_up:
            sys.exit(f"the orders have not ended after {limit_s} s: {ended(log)} of {len(folders)}")
        time.sleep(EVERY_S)
        if by_instants:
            hold(pid)
        try:
            paths = list(open_paths(pid))
            reading = {folder for folder in folders if any(path.startswith(folder + "/") for path in paths)}
            if began is None and any(path == folder for folder in folders for path in paths):
                began = time.monotonic(), cpu(pid)
            now = status_kib(pid).get("RssAnon", 0)
            seen |= reading
            together, anon = max(together, len(reading)), max(anon, now)
            if len(seen) == len(folders):
                settled, samples = max(settled, now), samples + 1
        finally:
            if by_instants:
                os.kill(pid, signal.SIGCONT)
    if began is None:
        sys.exit("the agent opened no volume")
    user, system = cpu(pid)
    return {"wall": time.monotonic() - began[0], "user": user - began[1][0], "system": system - began[1][1], "anon": anon * 1024,
            "settled": settled * 1024 if samples else None, "rss": status_kib(pid).get("VmHWM", 0) * 1024, "samples": samples,
            "together": together, "late": False}


def main():
    words = [word for word in sys.argv[1:] if word != "--by-instants"]
    print(json.dumps(watch(int(words[0]), words[1], float(words[2]), words[3:], "--by-instants" in sys.argv)))


main()
