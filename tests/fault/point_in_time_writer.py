#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes records in an order that can be checked, and checks what is left of it in a copy.

usage: point_in_time_writer.py write FOLDER        until it is killed
       point_in_time_writer.py check FOLDER WHAT   WHAT: crash, per-file, fuzzy
       point_in_time_writer.py last FOLDER         how many records there are

Record I goes to the end of file I modulo FILES, and is on the disk before the next one is written. Each tenth one is followed by
the file `state`, which is replaced and names it. The file `page` is written over with the same number from its beginning to its end, by
one call each time, and never synced. Of the file `heap`, as of a database, single pages are overwritten in an order that follows from
their numbers.
"""
import hashlib
import os
import signal
import struct
import sys

FILES = 5
PAGE_BYTES = 128 * 1024
HEAP_PAGE_BYTES = 4096
HEAP_PAGES = 512
HEAP_PAGES_PER_RECORD = 4


def record(number):
    return f"{number:010d} {hashlib.sha256(b'%d' % number).hexdigest()}\n".encode()


def heap_page(number):
    """Where the page of that number goes to."""
    return int.from_bytes(hashlib.sha256(b"heap %d" % number).digest()[:4], "little") % HEAP_PAGES


def write(folder):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.makedirs(folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [os.open(f"{folder}/records-{i}", flags, 0o644) for i in range(FILES)]
    page = os.open(f"{folder}/page", os.O_WRONLY | os.O_CREAT, 0o644)
    heap = os.open(f"{folder}/heap", os.O_WRONLY | os.O_CREAT, 0o644)
    os.pwrite(heap, bytes(HEAP_PAGES * HEAP_PAGE_BYTES), 0)
    number = 0
    while True:
        os.write(files[number % FILES], record(number))
        os.fsync(files[number % FILES])
        if number % 2 == 0:
            os.pwrite(page, struct.pack("<Q", number) * (PAGE_BYTES // 8), 0)
        for at in range(number * HEAP_PAGES_PER_RECORD + 1, (number + 1) * HEAP_PAGES_PER_RECORD + 1):
            os.pwrite(heap, struct.pack("<Q", at) * (HEAP_PAGE_BYTES // 8), heap_page(at) * HEAP_PAGE_BYTES)
        if number % 10 == 0:
            with open(f"{folder}/state.new", "w", encoding="ascii") as handle:
                handle.write(f"{number}\n")
                handle.flush()
                os.fsync(handle.fileno())
            os.rename(f"{folder}/state.new", f"{folder}/state")
        number += 1


def content(folder, name):
    try:
        with open(f"{folder}/{name}", "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return b""


def whole_records(folder, index):
    """How many records the file holds; it must be a part from the beginning of what was written."""
    data = content(folder, f"records-{index}")
    count = 0
    while True:
        want = record(count * FILES + index)
        got = data[count * len(want):(count + 1) * len(want)]
        if got != want:
            if want.startswith(got):
                return count, len(got)
            raise SystemExit(f"records-{index}: not what was written as record {count}: {got!r}")
        count += 1


def check_order(folder, counts):
    """All files are of one moment: no record is there without all those before it."""
    total = sum(count for count, _ in counts)
    for index, (count, torn) in enumerate(counts):
        want = (total - index + FILES - 1) // FILES
        if count != want:
            raise SystemExit(f"records-{index} has {count} records, and {want} of {total} would be in order")
        if torn and total % FILES != index:
            raise SystemExit(f"records-{index} has a part of a record that was not the next one")
    state = int(content(folder, "state") or -1)
    if state >= total:
        raise SystemExit(f"the state was written after record {state}, of which there are only {total}")


def check_page(folder):
    data = content(folder, "page")
    if data and (len(data) != PAGE_BYTES or data != data[:8] * (PAGE_BYTES // 8)):
        raise SystemExit("the page is of several moments")


def check_heap(folder):
    """Its pages are of one moment: no page is there without all those before it."""
    data = content(folder, "heap")
    if not data:
        return
    pages = [data[at:at + HEAP_PAGE_BYTES] for at in range(0, len(data), HEAP_PAGE_BYTES)]
    numbers = [struct.unpack("<Q", page[:8])[0] for page in pages]
    want = [0] * HEAP_PAGES
    for number in range(1, max(numbers) + 1):
        want[heap_page(number)] = number
    if numbers != want or any(page != page[:8] * (HEAP_PAGE_BYTES // 8) for page in pages):
        raise SystemExit("the heap is of several moments")


def main():
    action, folder = sys.argv[1:3]
    if action == "write":
        write(folder)
    counts = [whole_records(folder, index) for index in range(FILES)]
    if action == "last":
        print(sum(count for count, _ in counts))
        return
    if sys.argv[3] == "crash":
        check_order(folder, counts)
    if sys.argv[3] == "per-file":
        check_page(folder)
    if sys.argv[3] != "fuzzy":
        check_heap(folder)
    if sum(count for count, _ in counts) == 0:
        raise SystemExit("there are no records at all")


main()
