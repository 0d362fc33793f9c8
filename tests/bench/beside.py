#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tests/bench/freeze_beside_velero has seen: how long an application stood still in one backup, and all of them in a table.

usage: beside.py note WORK WHO CASE RUN TIMES BEGAN ENDED LOAD <BACKUP'S-PODVOLUMEBACKUPS
       beside.py table WORK FILES
  TIMES         what the writer and the hooks noted, see writer.c
  BEGAN, ENDED  of the whole backup, in seconds since 1970
  FILES         how many the volumes with many files have
"""
import json
import os
import sys

MS = 1e6
# What it is, and for how many ms an application may stand still.
CASES = {"btrfs": ("{} files on btrfs", 100), "file": ("one file on XFS", 100), "tree": ("{} files on XFS", 1500)}


def standstill(times, began, ended):
    """ms: from the pre hook's end to the post hook's beginning, the writer's gap around it, and its longest other one."""
    found = {"pre": [], "post": [], "held": [], "slow": []}
    with open(times, encoding="ascii") as handle:
        for line in handle:
            what, *at = line.split()
            if began * 1e9 <= int(at[0]) <= ended * 1e9:
                found[what].append([int(one) for one in at])
    if not len(found["pre"]) == len(found["post"]) == len(found["held"]) == 1:
        sys.exit(f"each hook has to run once: {found}")
    gaps = {what: max((to - since for since, to in found[what]), default=0) / MS for what in ("held", "slow")}
    return {"hooks": (found["post"][0][0] - found["pre"][0][0]) / MS, **gaps}


def note(work, who, case, run, times, began, ended, load):
    orders = json.load(sys.stdin)["items"]
    if len(orders) != 1 or orders[0]["status"].get("phase") != "Completed":
        sys.exit(f"one volume has to be backed up: {[order['status'] for order in orders]}")
    point = json.loads(orders[0]["metadata"].get("annotations", {}).get("xebec.io/point-in-time", "{}"))
    facts = {"who": who, "case": case, "run": run, "method": point.get("method", "none"), "reason": point.get("reason", ""),
             "consistency": point.get("consistency", "while held"), "bytes": orders[0]["status"]["progress"].get("totalBytes", 0),
             "wall": float(ended) - float(began), "load": float(load), **standstill(times, float(began), float(ended))}
    if "copyMicroseconds" in point:
        facts["copy"] = point["copyMicroseconds"] / 1000
    print(facts)
    with open(os.path.join(work, "figures"), "a", encoding="utf-8") as handle:
        handle.write(json.dumps(facts) + "\n")


def ms(value):
    return f"{value / 1000:.1f} s" if value >= 10000 else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def print_case(title, goal_ms, rows):
    print(f"\n{title}, {rows[0]['bytes'] / 1e9:.2f} GB\n  {'backup':6} {'by':7} {'method':13} {'consistency':11} {'hooks':>9} {'writer':>9} {'copy':>9} {'other':>9}"
          f" {'whole':>8} {'x hooks':>8} {'x writer':>8} {'x whole':>8}")
    for row in rows:
        theirs = next((one for one in rows if one["who"] == "Velero" and one["run"] == row["run"] and row["who"] == "Xebec"), None)
        ratios = "".join(f" {theirs[key] / max(row[key], 0.01):8.1f}" for key in ("hooks", "held", "wall")) if theirs else ""
        copy = ms(row["copy"]) if "copy" in row else ""
        print(f"  {row['run']:6} {row['who']:7} {row['method']:13} {row['consistency']:11} {ms(row['hooks']):>9} {ms(row['held']):>9} {copy:>9} {ms(row['slow']):>9}"
              f" {row['wall']:6.1f} s{ratios}")
    worst = max((row["hooks"] for row in rows if row["who"] == "Xebec"), default=None)
    if worst is not None:
        print(f"  goal: at most {goal_ms} ms: {'met' if worst <= goal_ms else 'NOT MET'}")
    for reason in sorted({row["reason"] for row in rows if row["reason"]}):
        print(f"  why no better method: {reason}")


def table(work, files):
    with open(os.path.join(work, "figures"), encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    loads = [row["load"] for row in rows]
    print(f"\nload average {min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} CPUs; caches dropped before each backup\n"
          "hooks: from the pre hook's end to the post hook's beginning, in the application's container; writer: from its last write before to its\n"
          "first one after, each on the disk; copy: what the agent says of it; other: the writer's longest other gap while the backup ran")
    for case, (title, goal_ms) in CASES.items():
        mine = [row for row in rows if row["case"] == case]
        if mine:
            print_case(title.format(f"{int(files):,}"), goal_ms, mine)


if sys.argv[1] == "note":
    note(*sys.argv[2:])
else:
    table(*sys.argv[2:])
