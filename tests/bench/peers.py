# SPDX-License-Identifier: Apache-2.0
"""The programs that the benchmarks run side by side: each makes a repository, backs a folder up, restores it and lists snapshots."""
import json
import os
import shutil
import subprocess

from measuring import PASSWORD, XEBEC

VELERO = "Velero's defaults"  # BLAKE2B-256-128, AES-256-GCM, DYNAMIC-4M-BUZHASH, nothing compressed
OWN = "own choice"            # what a program takes when nothing is said, nothing compressed
PACKED = "compressed"         # the same with its usual fast compression


class Server:
    """An S3 server's address and keys, for a repository in its bucket."""

    def __init__(self, port, bucket, access, secret, region):
        self.port, self.bucket, self.access, self.secret, self.region = port, bucket, access, secret, region
        self.folder = None  # where the bucket's objects lie


class Peer:
    name = program = ""

    def __init__(self, work, program, server=None):
        self.work = os.path.join(work, self.name)
        self.program, self.server = program, server
        self.repository = os.path.join(self.work, "repository")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "KOPIA_", "RESTIC_", "XEBEC_"))}
        self.environment["TMPDIR"] = self.work
        if server:
            self.environment.update(AWS_ACCESS_KEY_ID=server.access, AWS_SECRET_ACCESS_KEY=server.secret)
        os.makedirs(self.work)

    def quiet(self, command):
        run = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        if run.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {run.returncode}\n{run.stdout}")
        return run.stdout

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)
        if self.server:
            shutil.rmtree(os.path.join(self.server.folder, self.name), ignore_errors=True)


class Xebec(Peer):
    name = "xebec"

    def __init__(self, work, server=None):
        super().__init__(work, XEBEC, server)
        where = f"s3://{server.bucket}/xebec?endpoint=http://127.0.0.1:{server.port}&region={server.region}" if server else \
            "file://" + self.repository
        self.environment.update(XEBEC_PASSWORD=PASSWORD, XEBEC_REPOSITORY=where, XDG_CACHE_HOME=os.path.join(self.work, "cache"))
        self.options = []

    def create(self, kind):
        algorithms = ["--hash", "BLAKE2B-256-128", "--encryption", "AES256-GCM-HMAC-SHA256", "--splitter", "DYNAMIC-4M-BUZHASH"]
        self.quiet([self.program, "repository", "create", "--owner", "root@bench"] + (algorithms if kind == VELERO else []))
        self.options = ["--compression", "zstd" if kind == PACKED else "none"]

    def backup(self, folder):
        return [self.program, "backup", folder] + self.options

    def restore(self, _, target):
        return [self.program, "restore", "latest", target]

    def open(self):
        return [self.program, "snapshots"]

    def verify_all(self):
        return [self.program, "verify"]

    def status(self):
        return json.loads(self.quiet([self.program, "repository", "status", "--json"]))


class Kopia(Peer):
    name = "kopia"

    def __init__(self, work, program, server=None):
        super().__init__(work, program, server)
        self.environment.update(KOPIA_PASSWORD=PASSWORD, KOPIA_CHECK_FOR_UPDATES="false", KOPIA_LOG_DIR=os.path.join(self.work, "log"))
        self.base = [program, "--config-file", os.path.join(self.work, "config")]

    def _at(self, verb, repository, server):
        cache = ["--cache-directory", os.path.join(self.work, "cache"), "--override-username", "root", "--override-hostname", "bench"]
        if server:
            return self.base + ["repository", verb, "s3", "--bucket", server.bucket, "--prefix", f"{repository}/", "--endpoint",
                                f"127.0.0.1:{server.port}", "--disable-tls", "--region", server.region] + cache
        return self.base + ["repository", verb, "filesystem", "--path", repository] + cache

    def create(self, kind):
        self.quiet(self._at("create", self.name if self.server else self.repository, self.server))
        if kind == PACKED:
            self.quiet(self.base + ["policy", "set", "--global", "--compression=zstd-fastest"])

    def backup(self, folder):
        return self.base + ["snapshot", "create", folder]

    def restore(self, folder, target):
        return self.base + ["snapshot", "restore", folder, target]

    def open(self):
        return self.base + ["snapshot", "list", "--all"]

    def verify_all(self):
        return self.base + ["snapshot", "verify", "--verify-files-percent=100", "--file-parallelism=4"]

    def verify(self, peer, percent=100):
        """Proves another program's repository: every byte of so many of the files is read."""
        self.quiet(self._at("connect", peer.name if peer.server else peer.repository, peer.server))
        text = self.quiet(self.base + ["snapshot", "verify", f"--verify-files-percent={percent}", "--file-parallelism=4"])
        self.quiet(self.base + ["repository", "disconnect"])
        return text


class Restic(Peer):
    name = "restic"

    def __init__(self, work, program, server=None):
        super().__init__(work, program, server)
        self.where = f"s3:http://127.0.0.1:{server.port}/{server.bucket}/restic" if server else self.repository
        self.environment.update(RESTIC_PASSWORD=PASSWORD, RESTIC_REPOSITORY=self.where,
                                RESTIC_CACHE_DIR=os.path.join(self.work, "cache"), RESTIC_PROGRESS_FPS="0.1")
        self.options = []

    def create(self, kind):
        self.quiet([self.program, "init"])
        self.options = ["--compression", "auto" if kind == PACKED else "off"]

    def backup(self, folder):
        return [self.program, "backup", folder] + self.options

    def restore(self, _, target):
        return [self.program, "restore", "latest", "--target", target]

    def open(self):
        return [self.program, "snapshots"]
