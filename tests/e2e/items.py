#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what two backups of the same specification hold.

usage: items.py FOLDER FOLDER NAME      FOLDER is a bucket's, with the backup under backups/NAME; the first is what is expected

Every difference is a line; none is exit status 0. Compared are the names of all items, the resource lists, and the content of the
objects that filters_test makes: others may change between two backups. Events, and the backups themselves, come and are left out.
"""
import gzip
import json
import re
import sys
import tarfile

OWN = re.compile(r"/namespaces/fa-[^/]+/|/cluster/(fa-[^/]+|gadgets\.filters\.example\.com)\.json$")


def items(folder, name):
    found = {}
    with tarfile.open(f"{folder}/backups/{name}/{name}.tar.gz") as tarball:
        for member in tarball:
            if not member.name.startswith(("resources/events/", "resources/backups.velero.io/")):
                found[member.name] = tarball.extractfile(member).read()
    return found


def resource_list(folder, name):
    with gzip.open(f"{folder}/backups/{name}/{name}-resource-list.json.gz") as file:
        return {f"{kind} {one}" for kind, names in json.load(file).items() if kind not in ("v1/Event", "velero.io/v1/Backup") for one in names}


def differences(expected, got):
    yield from (f"missing: {one}" for one in sorted(set(expected) - set(got)))
    yield from (f"not expected: {one}" for one in sorted(set(got) - set(expected)))


def main(first, second, name):
    expected, got = items(first, name), items(second, name)
    found = list(differences(expected, got))
    found += [f"resource list, {one}" for one in differences(resource_list(first, name), resource_list(second, name))]
    for path in sorted(set(expected) & set(got)):
        if not path.startswith("resources/"):
            same = expected[path] == got[path]
        else:
            same = not OWN.search(path) or json.loads(expected[path]) == json.loads(got[path])
        if not same:
            found.append(f"other content: {path}")
        twin = re.sub(r"/[^/]+-preferredversion/", "/", path)
        if got[path] != got.get(twin):
            found.append(f"not the same bytes twice: {path}")
    print(f"{len(expected)} files", *found, sep="\n")
    return bool(found)


sys.exit(main(*sys.argv[1:]))
