#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What docs/databases.md says of SQLite's write lock: while a connection holds it, nobody changes the write-ahead log, whatever kind of
checkpoint others ask for; and what checkpoints change in the database meanwhile is in that log, so that a copy whose pages of
these were read while they were being written opens as it should."""
import os
import shutil
import sqlite3
import sys

PAGE = 4096


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    os.chdir(sys.argv[1])
    path, log = "held.db", "held.db-wal"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("CREATE TABLE t (x BLOB)")
    writer.execute("CREATE INDEX i ON t (x)")
    for _ in range(300):
        writer.execute("INSERT INTO t VALUES (randomblob(700))")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    before, held = read(path), read(log)
    other = sqlite3.connect(path, isolation_level=None, timeout=0.2)
    for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
        print(kind, other.execute(f"PRAGMA wal_checkpoint({kind})").fetchall())
        assert read(log) == held, "the log has changed"
    try:
        other.execute("INSERT INTO t VALUES (1)")
        raise AssertionError("somebody could write")
    except sqlite3.OperationalError as error:
        print("a writer:", error)
    after = read(path)
    torn, pages = bytearray(after), 0
    for at in range(0, len(after), PAGE):
        if before[at : at + PAGE] != after[at : at + PAGE]:
            torn[at + PAGE // 2 : at + PAGE] = b"\xee" * (PAGE // 2)
            pages += 1
    assert pages > 50, pages
    with open("copy.db", "wb") as file:
        file.write(torn)
    shutil.copy(log, "copy.db-wal")
    copy = sqlite3.connect("copy.db")
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert copy.execute("SELECT count(*) FROM t").fetchone() == (300,)
    print(pages, "pages were read half written, and are whole in the copy")


main()
