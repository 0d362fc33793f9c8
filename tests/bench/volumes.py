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


def text(path, size):
    """Lines of a log that say much the same."""
    with open(path, "wb") as handle:
        number = 0
        while handle.tell() < size:
            handle.write(b"".join(b"%012d a line of a log that says much the same as the last one\n" % (number + i) for i in range(10000)))
            number += 10000


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
    """At most `count` files of source code with at most `size` bytes in all, in their own folders. Returns (entries, files, bytes)."""
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
    return files + len(folders), files, total


def many(folder, count, folders, bytes_max=0):
    """`count` files in so many folders; each has up to bytes_max bytes of noise. Returns the bytes."""
    made = random.Random(2)
    total = 0
    for number in range(folders):
        os.makedirs(os.path.join(folder, f"folder-{number}"))
    for number in range(count):
        with open(os.path.join(folder, f"folder-{number % folders}", f"a-file-with-a-usual-name-{number}.txt"), "wb") as handle:
            if bytes_max:
                total += handle.write(made.randbytes(made.randrange(bytes_max // 30, bytes_max)))
    return total


def mixed(folder, size, seed):
    """As an application has it: half noise, half text, and a hundred small files."""
    os.makedirs(folder)
    noise(os.path.join(folder, "noise"), size // 2, seed)
    text(os.path.join(folder, "text"), size // 2)
    made = random.Random(seed)
    for number in range(100):
        with open(os.path.join(folder, f"a-small-file-{number}"), "wb") as handle:
            handle.write(made.randbytes(made.randrange(3000)))


def file_system(image, size, full):
    """An ext4 file system whose files take the given share of it, as if the rest had been used and freed: it holds noise, too."""
    folder = image + ".files"
    os.makedirs(folder)
    noise(image, size, seed=3)
    noise(os.path.join(folder, "noise"), int(size * full) // 2, seed=4)
    archive(os.path.join(folder, "archive.tar"), int(size * full) // 2)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-d", folder, image], check=True, stdin=subprocess.DEVNULL)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)


def sparse(path, size, pieces):
    """An image of that size with so many MiB of noise at random places, none of them aligned."""
    made = random.Random(5)
    with open(path, "wb") as handle:
        handle.truncate(size)
        for _ in range(pieces):
            handle.seek(made.randrange(size - MIB))
            handle.write(made.randbytes(MIB))


def data_of(path):
    """The places of a file that are no holes and what they hold, at most 1 MiB each: (offset, bytes)."""
    with open(path, "rb", buffering=0) as handle:
        end, at = os.fstat(handle.fileno()).st_size, 0
        while at < end:
            try:
                at = os.lseek(handle.fileno(), at, os.SEEK_DATA)
            except OSError:
                return  # nothing but a hole is left
            stop = os.lseek(handle.fileno(), at, os.SEEK_HOLE)
            while at < stop:
                block = at - at % MIB
                length = min(stop, block + MIB) - at
                yield at, os.pread(handle.fileno(), length, at)
                at += length


def same_data(want, got):
    """Two large sparse files: every byte is equal, wherever each of them has its holes."""
    if os.path.getsize(want) != os.path.getsize(got):
        return False
    for one, other in ((want, got), (got, want)):
        with open(other, "rb", buffering=0) as handle:
            if any(os.pread(handle.fileno(), len(data), at) != data for at, data in data_of(one)):
                return False
    return True
