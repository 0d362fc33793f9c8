# SPDX-License-Identifier: Apache-2.0
"""compare_crds.py THEIRS OURS: whether Velero's definitions (a YAML file) are contained in ours (a folder).

Every kind, version and field path of theirs must be in ours with the same type, format, nullability, required fields, defaults and
list kinds; enumerations may be wider. Prints what is not so, and on lines that begin with + what only ours has; fails if something
of theirs is missing, or if what only ours has is not in EXTRA.
"""
import os
import sys

import yaml

# Fields and values of Velero 1.19, whose command line may send them.
EXTRA = {
    "backups.spec.metadata.annotations", "backups.spec.backupType", "schedules.spec.template.metadata.annotations",
    "schedules.spec.template.backupType", "restores.spec.skipDefaultResourceModifier", "podvolumebackups.spec.parentSnapshot",
    "downloadrequests.status.message", "downloadrequests.status.phase=Failed",
}
SAME = ("type", "format", "nullable", "default", "minItems", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-map-type",
        "x-kubernetes-list-type", "pattern", "maxLength", "maximum", "minimum")
KNOWN = {*SAME, "properties", "items", "additionalProperties", "required", "enum", "description"}


def definitions(text):
    found = {}
    for document in yaml.safe_load_all(text):
        for one in (document or {}).get("items", [document]):
            if one and one.get("kind") == "CustomResourceDefinition":
                found[one["metadata"]["name"]] = one
    return found


def compare(theirs, ours, path):
    for word in set(theirs) | set(ours):
        if word not in KNOWN:
            yield f"{path}: {word} is not known to this test"
    for word in SAME:
        if theirs.get(word) != ours.get(word):
            yield f"{path}: {word} is {ours.get(word)!r}, theirs {theirs.get(word)!r}"
    if sorted(theirs.get("required", [])) != sorted(ours.get("required", [])):
        yield f"{path}: required {ours.get('required')}, theirs {theirs.get('required')}"
    if ("enum" in theirs) != ("enum" in ours) or set(theirs.get("enum", [])) - set(ours.get("enum", [])):
        yield f"{path}: enum {ours.get('enum')}, theirs {theirs.get('enum')}"
    for value in sorted(set(ours.get("enum", [])) - set(theirs.get("enum", []))):
        yield f"+{path}={value}"
    fields = (theirs.get("properties", {}), ours.get("properties", {}))
    for name in sorted(set(fields[0]) | set(fields[1])):
        if name not in fields[1]:
            yield f"{path}.{name}: missing"
        elif name not in fields[0]:
            yield f"+{path}.{name}"
        else:
            yield from compare(fields[0][name], fields[1][name], f"{path}.{name}")
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if word in theirs and word in ours:
            yield from compare(theirs[word], ours[word], path + mark)
        elif word in theirs or word in ours:
            yield f"{path}: {word} only on one side"


def main():
    with open(sys.argv[1], encoding="utf-8") as handle:
        theirs = definitions(handle.read())
    ours = {}
    for name in sorted(os.listdir(sys.argv[2])):
        if name.endswith(".yaml"):
            with open(os.path.join(sys.argv[2], name), encoding="utf-8") as handle:
                ours.update(definitions(handle.read()))
    found = []
    if len(theirs) != 13 or set(theirs) != set(ours):
        found.append(f"kinds: theirs {sorted(theirs)}, ours {sorted(ours)}")
    for name in sorted(set(theirs) & set(ours)):
        left, right = theirs[name]["spec"], ours[name]["spec"]
        for word in ("group", "scope", "names"):
            if left[word] != right[word]:
                found.append(f"{name}: {word} {right[word]}, theirs {left[word]}")
        versions = [{v["name"]: v for v in side["versions"]} for side in (left, right)]
        if set(versions[0]) != set(versions[1]):
            found.append(f"{name}: versions {sorted(versions[1])}, theirs {sorted(versions[0])}")
            continue
        for version, one in versions[0].items():
            two = versions[1][version]
            for word in ("served", "storage"):
                if one[word] != two[word]:
                    found.append(f"{name}: {word} differs")
            if one.get("subresources") or two.get("subresources"):
                found.append(f"{name}: a subresource")
            columns = [[c["name"] for c in v.get("additionalPrinterColumns", [])] for v in (one, two)]
            for column in set(columns[0]) - set(columns[1]):
                found.append(f"{name}: printer column '{column}' missing")
            found += compare(one["schema"]["openAPIV3Schema"], two["schema"]["openAPIV3Schema"], name.split(".")[0])
    extra = {line[1:] for line in found if line.startswith("+")}
    print("\n".join(found))
    bad = [line for line in found if not line.startswith("+")] + [f"not expected: {line}" for line in sorted(extra ^ EXTRA)]
    print("\n".join(bad), file=sys.stderr)
    sys.exit(1 if bad else 0)


main()
