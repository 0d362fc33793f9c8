#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Harms an agent as soon as something can be seen from outside, and looks how long an application then stands still.

usage: strike.py PID GROUP HOW STEP TICKS OVER

PID, GROUP    the agent and its container's folder in the memory cgroup
HOW           kill, stop (for HELD_S, then it goes on), starve (its container is out of memory)
STEP          there=PATTERN: such a path exists; gone=PATTERN: it did, and does no longer; blob=FOLDER: a file of a megabyte is there
              that is newer than this process
TICKS         a file that grows as long as the application works
OVER          a file that ends all waiting

Prints how long it took from the harm until the application works.
"""
import errno
import glob
import itertools
import os
import signal
import sys
import time

LOOK_S, HELD_S, END_S = 0.002, 1.6, 60
MIB = 1 << 20


def seen(step, began):
    kind, _, pattern = step.partition("=")
    if kind == "blob":
        return any(entry.is_file() and entry.stat().st_size > MIB and entry.stat().st_mtime > began
                   for folder, _, _ in os.walk(pattern) for entry in os.scandir(folder))
    return bool(glob.glob(pattern, include_hidden=True))


def wait_for_step(step, over):
    began = time.time()
    end = time.monotonic() + END_S
    was_there = not step.startswith("gone=")
    while time.monotonic() < end and not os.path.exists(over):
        there = seen(step, began)
        if was_there and there != step.startswith("gone="):
            return
        was_there = was_there or there
        time.sleep(LOOK_S)
    raise SystemExit("the step was never seen")


def usage(group):
    with open(group + "/memory.stat", encoding="ascii") as file:
        return int(dict(line.split() for line in file)["total_rss"])


def eat(group, go):
    """In the container's group: its memory is limited to what it uses, and a bit that is then used. The kernel takes the agent, whose
    oom_score_adj is that of its pod."""
    with open(group + "/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    os.read(go, 1)
    for limit in itertools.count(usage(group) + 8 * MIB, 4 * MIB):  # refused below what cannot be given back at once
        try:
            with open(group + "/memory.limit_in_bytes", "w", encoding="ascii") as file:
                file.write(str(limit))
            break
        except OSError as err:
            if err.errno != errno.EBUSY:
                raise
    block, hold = os.urandom(MIB), []
    while len(hold) < 300:
        with open(group + "/memory.oom_control", encoding="ascii") as file:
            if "oom_kill 0" not in file.read():
                break
        hold.append(bytearray(block))
    os._exit(0)


def main():
    pid, group, how, step, ticks, over = sys.argv[1:]
    hurry, go = os.pipe()
    eater = os.fork() if how == "starve" else None
    if eater == 0:
        eat(group, hurry)
    wait_for_step(step, over)
    before, struck, works, stopped = os.stat(ticks).st_size, time.monotonic(), None, how == "stop"
    if how == "starve":
        os.write(go, b"x")
    else:
        os.kill(int(pid), signal.SIGSTOP if stopped else signal.SIGKILL)
    while stopped or (works is None and time.monotonic() < struck + END_S and not os.path.exists(over)):
        if works is None and os.stat(ticks).st_size != before:
            works = time.monotonic()
        if stopped and time.monotonic() > struck + HELD_S:
            os.kill(int(pid), signal.SIGCONT)
            stopped = False
        time.sleep(LOOK_S)
    if eater:
        os.waitpid(eater, 0)
    print("after", -1 if works is None else round((works - struck) * 1000), "ms")


main()
