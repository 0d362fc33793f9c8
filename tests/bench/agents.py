# SPDX-License-Identifier: Apache-2.0
"""Several volumes at once: in one real agent (see `agent`), and beside it as many kopias at once, which is how Velero does it."""
import json
import os
import shutil
import subprocess

import limits
import volumes
from figures import Row
from measuring import ROOT, measure
from peers import VELERO, Kopia

COUNT = 4
NOTHING = {"wall": 0.0, "user": 0.0, "system": 0.0}  # all of them open the repository while others work: that is not told apart


def compare(bench, size):
    source = os.path.join(bench.work, "volumes")
    folders = [os.path.join(source, str(number + 1)) for number in range(COUNT)]
    for number, folder in enumerate(folders):
        volumes.mixed(folder, size, number + 10)
    title = f"{COUNT} volumes of {size / 1e9:.2f} GB at once, half noise, half text; one agent, {COUNT} kopias (added up); openings included: {VELERO}"
    bench.table.head(title)
    rows = [Row(title, "first backups", who) for who in ("xebec", "kopia")]
    for _ in range(bench.args.runs):
        rows[0].add(agent(bench, source), NOTHING)
        peer = Kopia(bench.work, bench.kopia)
        peer.create(VELERO)
        rows[1].add(measure([peer.backup(folder) for folder in folders], peer.environment, 1.0), NOTHING)
        peer.close()
    how = limits.Format({"hash": "BLAKE2B-256-128", "encryption": "AES256-GCM-HMAC-SHA256", "splitter": "DYNAMIC-4M-BUZHASH"})
    rows[0].ideal = limits.first(bench.machine, how, COUNT * size, COUNT * size // 2 + size // 2)
    rows[0].cpus = bench.cpus
    bench.table.compare(rows)
    shutil.rmtree(source)


def agent(bench, source):
    figures = os.path.join(bench.work, "figures")
    run = subprocess.run([os.path.join(ROOT, "tests/bench/agent"), "--volumes", str(COUNT), "--source", source, "--figures", figures],
                         env=dict(os.environ, TMPDIR=bench.work), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    bench.table.check(run.returncode == 0, f"the agent\n{run.stdout}")
    if run.returncode:
        raise SystemExit("the agent did not carry its orders out")
    with open(figures, encoding="utf-8") as handle:
        return json.load(handle)
