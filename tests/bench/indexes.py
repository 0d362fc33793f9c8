# SPDX-License-Identifier: Apache-2.0
"""What the index of a repository of millions of contents costs, beside real kopia on the same repository.

The repository is made by bench_index through xebec's own encoder; its contents do not exist, but for a few. Memory: "anon" is the peak, in
which scrypt's 64 MiB stand for a moment; "open anon" is what stays once the repository is open. A table in a file is not anonymous: the
kernel can drop it.
"""
import os
import shutil
import subprocess

from limits import BUILD
from measuring import MIB, PASSWORD, XEBEC, measure

PER_BLOB = 65536


def compare(table, work, kopia, contents):
    title = f"a repository of {contents} contents"
    folder = os.path.join(work, "index")
    repository, cache, bench = os.path.join(folder, "repository"), os.path.join(folder, "cache"), os.path.join(BUILD, "bench_index")
    environment = dict(os.environ, XEBEC_PASSWORD=PASSWORD, KOPIA_PASSWORD=PASSWORD, KOPIA_CHECK_FOR_UPDATES="false", TMPDIR=folder,
                       KOPIA_LOG_DIR=os.path.join(folder, "log"), XEBEC_REPOSITORY="file://" + repository)
    os.makedirs(repository)
    subprocess.run([bench, "make", repository, str(contents), str(PER_BLOB)], env=environment, check=True)
    print(f"\n{title}\n  {'what':52} {'program':8} {'wall':>7} {'CPU':>7} {'anon':>6} {'file':>6}", flush=True)

    def row(who, what, command):
        run = measure(command, environment)
        facts = {"volume": title, "what": what, "program": who, "wall": run["wall"], "cpu": run["user"] + run["system"], "anon": run["anon"],
                 "file": run["file"]}
        table.facts.append(facts)
        print(f"  {what:52} {who:8} {facts['wall']:7.2f} {facts['cpu']:7.2f} {run['anon'] / MIB:6.0f} {run['file'] / MIB:6.0f}", flush=True)

    for what, where in (("snapshots, nowhere to keep an index", ""), ("snapshots, an empty cache", cache), ("snapshots, with the cache", cache)):
        row("xebec", what, [XEBEC, "snapshots", "--cache-dir", where])
    row("xebec", "repository status (every entry), with the cache", [XEBEC, "repository", "status", "--cache-dir", cache])
    flags = ["--config-file", os.path.join(folder, "kopia.config"), "--no-progress"]
    row("kopia", "repository connect, an empty cache",
        [kopia, "repository", "connect", "filesystem", "--path", repository, "--cache-directory", os.path.join(folder, "kopia"),
         "--override-hostname", "test", "--override-username", "root"] + flags)
    row("kopia", "snapshot list", [kopia, "snapshot", "list", "--all"] + flags)
    row("kopia", "content stats (every entry)", [kopia, "content", "stats"] + flags)
    for what, where in (("nowhere to keep it", ""), ("with the cache", cache)):
        figures(table, title, what, measure([bench, "measure", repository, where], environment), contents)
    shutil.rmtree(folder)


def figures(table, title, what, run, contents):
    got = dict(word.split("=") for word in run["output"].split() if "=" in word)
    flush = [float(word.split("=")[1]) for word in run["output"].split() if word.startswith("flush_cpu_s=")]
    print(f"  {what}: {got['contents']} contents in {got['blobs']} index blobs, {got['packs']} packs; open {got['open_s']} s "
          f"({got['open_cpu_s']} CPU-s, scrypt's 0.2 s with it), open anon {got['anon_mib']} MiB; a look-up {got.get('hit_ns', '-')} ns "
          f"({got.get('miss_ns', '-')} ns for what is not there); writing and flushing 1000 contents {1000 * sum(flush) / len(flush):.1f} CPU-ms",
          flush=True)
    table.facts.append({"volume": title, "what": f"within the process, {what}", "program": "xebec", **got})
    table.check(int(got["contents"]) >= contents, f"{got['contents']} contents are there, {contents} were made")
