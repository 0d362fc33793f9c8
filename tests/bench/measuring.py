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


def look(pids, peaks):
    """What the processes have now, together; raises the peaks. Returns their anonymous memory in KiB."""
    total = dict.fromkeys(peaks, 0)
    for pid in pids:
        now = status_kib(pid)
        for key in peaks:
            total[key] += now.get(key, 0)
    for key in peaks:
        peaks[key] = max(peaks[key], total[key])
    return total["RssAnon"]


def measure(command, environment, settled_s=0.0, limit_s=None):
    """Runs the command, or a list of commands all at once, which must end well; what they need is added up. Bytes and seconds:
    wall, user, system   of it and its children
    anon, file, rss      the most that was seen, looked at every 10 ms (rss is the kernel's own peak)
    settled              the most anonymous memory later than settled_s after its start; None: it was over before
    cgroup               the most that a control group of its own was charged with, page cache included
    late                 it was ended because it took longer than limit_s
    """
    group = Group()
    peaks = {"RssAnon": 0, "RssFile": 0, "VmHWM": 0}
    settled = None
    late = False
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        commands = command if isinstance(command[0], list) else [command]
        children = [subprocess.Popen(one, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL, preexec_fn=group.join)
                    for one in commands]
        try:
            while any([child.poll() is None for child in children]):  # a list: each of them is asked
                anon = look([child.pid for child in children if child.returncode is None], peaks)
                if settled_s and anon and time.monotonic() - started > settled_s:  # what has just ended has none
                    settled = max(settled or 0, anon)
                if limit_s and time.monotonic() - started > limit_s:
                    late = True
                    break
                time.sleep(LOOK_EVERY_S)
        finally:
            for child in children:
                child.kill()
                child.wait()
        wall = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = group.end()
        output.seek(0)
        text = output.read().decode(errors="replace")
        for child in children:
            if child.returncode and not late:
                raise SystemExit(f"{' '.join(child.args)} ended with {child.returncode}\n{text}")
    return {"wall": wall, "user": after.ru_utime - before.ru_utime, "system": after.ru_stime - before.ru_stime,
            "anon": peaks["RssAnon"] * 1024, "file": peaks["RssFile"] * 1024, "rss": peaks["VmHWM"] * 1024,
            "settled": None if settled is None else settled * 1024, "cgroup": peak, "output": text, "late": late}


def real(name, program=None):
    """The path of a real program that tests/tools builds; None if it cannot be built."""
    run = subprocess.run([os.path.join(ROOT, "tests/tools/build"), name], check=False, stdout=subprocess.PIPE, text=True)
    lines = run.stdout.split("\n")
    path = os.path.join(lines[-2], program or name) if run.returncode == 0 and len(lines) > 1 else None
    return path if path and os.access(path, os.X_OK) else None
