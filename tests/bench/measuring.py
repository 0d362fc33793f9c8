# SPDX-License-Identifier: Apache-2.0
"""Runs a program and says what it cost: time, processor, memory. For the benchmarks beside it."""
import os
import resource
import subprocess
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
XEBEC = os.path.join(ROOT, os.environ.get("XB_BUILD", "build/release"), "xebec")
PASSWORD = "a-password-of-the-tests"
MIB = 1 << 20
LOOK_EVERY_S = 0.01


class Group:
    """A control group for one run; its peak is None where there is no memory controller."""

    def __init__(self):
        self.path = self.peak_file = None
        for top, peak in (("/sys/fs/cgroup/memory", "memory.max_usage_in_bytes"), ("/sys/fs/cgroup", "memory.peak")):
            path = os.path.join(top, f"xebec-bench-{os.getpid()}")
            try:
                os.mkdir(path)
            except OSError:
                continue
            if os.path.exists(os.path.join(path, peak)):
                self.path, self.peak_file = path, os.path.join(path, peak)
                return
            os.rmdir(path)

    def join(self):
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as handle:
                handle.write(str(os.getpid()))

    def end(self):
        if not self.path:
            return None
        with open(self.peak_file, encoding="ascii") as handle:
            peak = int(handle.read())
        for _ in range(100):
            try:
                os.rmdir(self.path)
                break
            except OSError:
                time.sleep(0.05)
        return peak


def status_kib(pid):
    """The fields of /proc/PID/status that are sizes."""
    found = {}
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as handle:
            for line in handle:
                words = line.split()
                if len(words) == 3 and words[2] == "kB":
                    found[words[0].rstrip(":")] = int(words[1])
    except OSError:
        pass
    return found


def measure(command, environment, settled_s=0.0):
    """Runs the command, which must end well. Bytes and seconds:
    wall, user, system   of it and its children
    anon, file, rss      the most that was seen, looked at every 10 ms (rss is the kernel's own peak)
    settled              the most anonymous memory later than settled_s after its start; None: it was over before
    cgroup               the most that a control group of its own was charged with, page cache included
    """
    group = Group()
    peaks = {"RssAnon": 0, "RssFile": 0, "VmHWM": 0}
    settled = None
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL, preexec_fn=group.join)
        while child.poll() is None:
            now = status_kib(child.pid)
            for key in peaks:
                peaks[key] = max(peaks[key], now.get(key, 0))
            if settled_s and time.monotonic() - started > settled_s:
                settled = max(settled or 0, now.get("RssAnon", 0))
            time.sleep(LOOK_EVERY_S)
        wall = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = group.end()
        output.seek(0)
        text = output.read().decode(errors="replace")
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {child.returncode}\n{text}")
    return {"wall": wall, "user": after.ru_utime - before.ru_utime, "system": after.ru_stime - before.ru_stime,
            "anon": peaks["RssAnon"] * 1024, "file": peaks["RssFile"] * 1024, "rss": peaks["VmHWM"] * 1024,
            "settled": None if settled is None else settled * 1024, "cgroup": peak, "output": text}


def real(name, program=None):
    """The path of a real program that tests/tools builds; None if it cannot be built."""
    run = subprocess.run([os.path.join(ROOT, "tests/tools/build"), name], check=False, stdout=subprocess.PIPE, text=True)
    lines = run.stdout.split("\n")
    path = os.path.join(lines[-2], program or name) if run.returncode == 0 and len(lines) > 1 else None
    return path if path and os.access(path, os.X_OK) else None
