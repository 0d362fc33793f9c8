# SPDX-License-Identifier: Apache-2.0
"""Makes the volumes that the benchmarks back up, from a seed and from source code that lies on this machine."""
import os
import random
import subprocess
import tarfile

MIB = 1 << 20


def source_roots():
    """Folders of source code: Go's modules, which tests/tools has fetched, then whatever the system has."""
    run = subprocess.run(["go", "env", "GOMODCACHE"], check=False, stdout=subprocess.PIPE, text=True) if _has("go") else None
    found = [run.stdout.strip()] if run and run.returncode == 0 else []
    return [path for path in found + ["/usr/include", "/usr/share", "/usr/lib/python3"] if path and os.path.isdir(path)]


def _has(program):
    return any(os.access(os.path.join(path, program), os.X_OK) for path in os.environ.get("PATH", "").split(":"))


def source_files():
    """Paths and sizes, always in the same order; the modules' own download cache, which is compressed, is left out."""
    for root in source_roots():
        for folder, folders, files in os.walk(root):
            folders.sort()
            if folder == root and "cache" in folders:
                folders.remove("cache")
            for name in sorted(files):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    yield path, os.stat(path).st_size


def noise(path, size, seed=1):
    made = random.Random(seed)
    with open(path, "wb") as handle:
        for at in range(0, size, 4 * MIB):
            handle.write(made.randbytes(min(4 * MIB, size - at)))


def archive(path, size):
    """An archive of source code, cut off at `size`; less if there is not so much. Returns its size."""
    total = 0
    with tarfile.open(path, "w") as out:
        for name, length in source_files():
            out.add(name, recursive=False)
            total += length + 1024
            if total > size:
                break
    if os.path.getsize(path) > size:
        os.truncate(path, size)
    return os.path.getsize(path)


def large(folder, size):
    """Two files: one noise, one an archive of source code. Returns the bytes."""
    os.makedirs(folder)
    half = archive(os.path.join(folder, "archive.tar"), size // 2)
    noise(os.path.join(folder, "noise"), half)
    return 2 * half


def tree(folder, count, size):
    """At most `count` files of source code with at most `size` bytes in all, in their own folders. Returns (entries, bytes)."""
    files = total = 0
    folders = set()
    for path, length in source_files():
        if files == count or total + length > size:
            break
        target = folder + path
        at = os.path.dirname(target)
        os.makedirs(at, exist_ok=True)
        while len(at) >= len(folder):
            folders.add(at)
            at = os.path.dirname(at)
        with open(path, "rb") as source, open(target, "wb") as out:
            out.write(source.read())
        files, total = files + 1, total + length
    return files + len(folders), total


def many(folder, count, folders, bytes_max=0):
    """`count` files in so many folders; each has up to bytes_max bytes of noise."""
    made = random.Random(2)
    for number in range(folders):
        os.makedirs(os.path.join(folder, f"folder-{number}"))
    for number in range(count):
        with open(os.path.join(folder, f"folder-{number % folders}", f"a-file-with-a-usual-name-{number}.txt"), "wb") as handle:
            if bytes_max:
                handle.write(made.randbytes(made.randrange(bytes_max // 30, bytes_max)))
