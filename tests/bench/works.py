# SPDX-License-Identifier: Apache-2.0
"""The works that the programs do side by side: each knows its commands, what it needs at least, and whether what came back is right."""
import os
import shutil
import subprocess

import limits
import volumes
from measuring import ROOT

FIRST, UNCHANGED, VERIFY, RESTORE = "first backup", "unchanged", "verify", "restore"


class Folder:
    """A folder, and a new folder that it is restored into. `size`, `entries` and `files` say what is in it."""
    steps = (FIRST, RESTORE)
    only = None      # the programs that can do it; None: all
    limit_s = None   # longer than that nobody is waited for
    proof_percent = 100

    def __init__(self, path, size, packs=0):
        self.path, self.size, self.packs = path, size, packs
        self.target = path + ".target"

    def command(self, peer, step):
        if step == RESTORE:
            return peer.restore(self.path, self.target)
        return peer.backup(self.path)

    def clear(self):
        """Nothing is left of what was restored."""
        shutil.rmtree(self.target, ignore_errors=True)

    def wrong(self):
        """What is wrong with what was restored; None: nothing."""
        tree = subprocess.run([os.path.join(ROOT, "tests/harness/compare_trees.py"), self.path, self.target], check=False,
                              stdout=subprocess.PIPE, text=True)
        return tree.stdout if tree.returncode else None

    def ideal(self, step, stages, status):
        """CPU seconds of the stages alone; status: xebec's repository afterwards."""
        how, stored = limits.Format(status), status["packedBytes"]
        if step == FIRST:
            return limits.first(stages, how, self.size, stored) + limits.packing(stages, self.packs)
        return limits.restore(stages, how, self.size, stored) if step == RESTORE else None


class Tree(Folder):
    steps = (FIRST, UNCHANGED, RESTORE)

    def __init__(self, path, entries, files, size):
        super().__init__(path, size)
        self.entries, self.files = entries, files

    def ideal(self, step, stages, status):
        how, stored = limits.Format(status), status["packedBytes"]
        if step == FIRST:
            return limits.first_tree(stages, how, self.entries, self.files, self.size, stored)
        if step == UNCHANGED:
            return limits.unchanged_tree(stages, self.entries)
        return limits.restore_tree(stages, how, self.files, self.size, stored)


class Device(Folder):
    """A loop device that xebec reads and one that it writes; kopia gets the image below as a file, and makes a file."""
    steps = (FIRST, UNCHANGED, RESTORE)
    only = ("xebec", "kopia")

    def __init__(self, image, size, full):
        super().__init__(image, size)
        self.full = full
        self.loops = []
        self.target = image + ".target"
        with open(self.target, "wb") as handle:
            handle.truncate(size)

    def __enter__(self):
        for path in (self.path, self.target):
            run = subprocess.run(["losetup", "--find", "--show", path], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if run.returncode:
                self.__exit__()
                raise SystemExit(f"compare: no loop device, which needs root and /dev/loop-control: {run.stderr.strip()}")
            self.loops.append(run.stdout.strip())
        return self

    def __exit__(self, *_):
        for loop in self.loops:
            subprocess.run(["losetup", "--detach", loop], check=False)
        self.loops = []
        for path in (self.target, self.target + ".file"):
            if os.path.exists(path):
                os.unlink(path)

    def command(self, peer, step):
        if peer.name == "xebec":
            if step == RESTORE:
                return peer.restore(None, self.loops[1])
            return peer.backup(self.loops[0]) + (["--full"] if self.full else [])
        return peer.restore(self.path, self.target + ".file") if step == RESTORE else peer.backup(self.path)

    def clear(self):
        if os.path.exists(self.target + ".file"):
            os.unlink(self.target + ".file")
        subprocess.run(["blkdiscard", "--zeroout", "--force", self.loops[1]], check=True, stderr=subprocess.DEVNULL)

    def wrong(self):
        command = ["cmp", self.path, self.target] if self.full else [os.path.join(ROOT, "tests/harness/compare_used.py"), "ext", self.path, self.target]
        run = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return run.stdout if run.returncode else None

    def ideal(self, step, stages, status):
        how, stored = limits.Format(status, limits.FIXED), status["packedBytes"]
        if not self.full:
            return None
        if step == FIRST:
            return limits.first(stages, how, self.size, stored)
        if step == UNCHANGED:
            return limits.first(stages, how, self.size, 0)
        return limits.restore(stages, how, self.size, stored)


class Sparse(Folder):
    """A huge image that is a hole for the most part."""
    steps = (FIRST, UNCHANGED, VERIFY, RESTORE)
    only = ("xebec", "kopia")
    proof_percent = 0  # kopia would read all of its zeros

    def __init__(self, path, size, limit_s):
        super().__init__(path, size)
        self.limit_s = limit_s

    def command(self, peer, step):
        return peer.verify_all() if step == VERIFY else super().command(peer, step)

    def clear(self):
        if os.path.exists(self.target):
            os.unlink(self.target)

    def wrong(self):
        return None if volumes.same_data(self.path, self.target) else f"{self.target} differs"

    def ideal(self, step, stages, status):
        return None
