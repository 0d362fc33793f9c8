# SPDX-License-Identifier: Apache-2.0
"""What a work needs at least on this machine: the sum of its stages, each measured alone on one core by bench_machine and bench_algorithms.

A first backup reads, cuts, hashes, seals and writes; a restore reads, opens and writes; an entry of an unchanged tree is listed and
looked at. What is stored already is neither sealed nor written. Handing over, finding and waiting cost nothing here, and all cores share the
work evenly: no program gets there.
"""
import json
import os
import subprocess

from measuring import ROOT

BUILD = os.path.join(ROOT, os.environ.get("XB_BUILD", "build/release"), "tests")
SMALL = 4096
FIXED = "FIXED-1M"


class Stages:
    """Nanoseconds of CPU per byte, per entry and per file."""

    def __init__(self, work):
        self.algorithms = self._run(["bench_algorithms", "--json"])["rows"]
        self.machine = self._run(["bench_machine", work, "--json"])

    @staticmethod
    def _run(command):
        return json.loads(subprocess.run([os.path.join(BUILD, command[0])] + command[1:], check=True, stdout=subprocess.PIPE).stdout)

    def rate(self, kind, name, size="large"):
        """The fastest way that there is here, several at once included."""
        found = [row[size] for row in self.algorithms if row["kind"] == kind and row["name"] in (name, f"{name}, 4 at once")]
        return 1 / max(found) if found else 0.0

    def read(self):
        return 1 / self.machine["read a file of the page cache"]

    def write(self):
        return 1 / self.machine["write a new file"]

    def each(self, what):
        return 1e6 / self.machine[what]


class Format:
    """The algorithms of a repository, as `xebec repository status --json` names them."""

    def __init__(self, status, splitter=None):
        self.hash, self.encryption = status["hash"], status["encryption"]
        self.splitter = splitter or status["splitter"]


def first(stages, how, size, stored):
    """CPU seconds for a few large files."""
    each = stages.read() + stages.rate("split", how.splitter) + stages.rate("hash", how.hash)
    return (size * each + stored * (stages.rate("seal", how.encryption) + stages.write())) / 1e9


def restore(stages, how, size, stored):
    return (stored * (stages.read() + stages.rate("unseal", how.encryption)) + size * stages.write()) / 1e9


def packing(stages, size):
    """What compression adds: of `size` bytes that shrink."""
    return size * stages.rate("compress", "zstd-fastest, text") / 1e9 if size else 0.0


def first_tree(stages, how, entries, files, size, stored):
    beyond = max(size - files * SMALL, 0)
    each = stages.rate("hash", how.hash, "small")
    return (entries * stages.each("list and stat") + files * stages.each("read a small file") + beyond * stages.read() +
            size * each + stored * (stages.rate("seal", how.encryption, "small") + stages.write())) / 1e9


def unchanged_tree(stages, entries):
    return entries * stages.each("list and stat") / 1e9


def restore_tree(stages, how, files, size, stored):
    beyond = max(size - files * SMALL, 0)
    return (stored * (stages.read() + stages.rate("unseal", how.encryption, "small")) + files * stages.each("make a small file") +
            beyond * stages.write()) / 1e9
