#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads what the runs of Velero's own suite reported (Ginkgo's JSON), and says it beside one another.

    report.py groups SPECS KIND|GROUP...      a line per group that is asked for: name, seconds, label filter
    report.py table SPECS FOLDER SUBJECT,SUBJECT KIND|GROUP...
                                              FOLDER/SUBJECT-GROUP.json, the newest counts; a table spec | SUBJECT..., the
                                              specs that do not run here and why, a line that counts. Status 1 if a spec
                                              passes for the first subject and not for the last, if one that is asked for
                                              was not run, or if nothing was run
"""
import collections
import glob
import json
import os
import re
import sys

PLAIN_TEXT = "Run E2E test case"  # what most specs of the suite are called


class Group:
    """A line of the list: specs that are run together, or that are not run."""

    def __init__(self, line):
        columns = [part.strip().replace("\0", "||") for part in line.replace("||", "\0").split("|")]
        self.kind, self.name, minutes, self.labels, self.about = columns
        self.seconds = int(minutes) * 60
        words = re.sub(r"\w+", lambda word: f"({word[0]!r} in labels)", self.labels)
        words = words.replace("&&", " and ").replace("||", " or ").replace("!", " not ")
        self.code = compile(words, self.name, "eval")

    def has(self, labels):
        return eval(self.code, {"labels": labels})  # a line of our own file

    def is_asked(self, asked):
        return self.kind in asked or self.name in asked


def read_groups(path):
    with open(path, encoding="utf-8") as handle:
        return [Group(line) for line in map(str.strip, handle) if line and not line.startswith("#")]


class Spec:
    def __init__(self, report, number):
        """NUMBER: of those that the report has under the same texts and labels, in the order in which the suite has them."""
        self.number = number
        self.labels = sum((labels or [] for labels in report["ContainerHierarchyLabels"] or []), [])
        self.labels += report["LeafNodeLabels"] or []
        self.container = " ".join(report["ContainerHierarchyTexts"] or [])
        self.text = report["LeafNodeText"]
        self.key = (" ".join(self.labels), self.container, self.text, number)

    def name(self, same):
        """Its labels; and its text where others have the same labels, and its number where they have the same text."""
        if len([one for one in same if one.labels == self.labels]) == 1:
            return self.key[0]
        alike = len([one for one in same if one.key[:3] == self.key[:3]])
        number = f" ({self.number} of {alike})" if alike > 1 else ""
        return f"{self.key[0]}: {self.text if self.text != PLAIN_TEXT else self.container}{number}"


def outcome(report):
    """None for a spec that was not asked for."""
    failure = report.get("Failure") or {}
    seconds = report["RunTime"] / 1e9
    if report["State"] == "passed":
        return "passed", f"passed {seconds:4.0f} s", ""
    if report["State"] == "skipped":
        return ("skipped", "skipped", failure["Message"]) if failure.get("Message") else None
    if report["State"] == "pending":
        return None
    return "failed", f"{report['State'].upper()} {seconds:4.0f} s", failure.get("Message", "")


def read_reports(folder, subject):
    """All specs there are, and what became of those that were run."""
    specs, outcomes = {}, {}
    for path in sorted(glob.glob(os.path.join(folder, f"{subject}-*.json")), key=os.path.getmtime):
        with open(path, encoding="utf-8") as handle:
            suites = json.load(handle)
        alike = collections.Counter()
        for report in (one for suite in suites for one in suite["SpecReports"] or []):
            if report["LeafNodeType"] == "It":
                texts = Spec(report, 0).key
                alike[texts] += 1
                spec = Spec(report, alike[texts])
                specs[spec.key] = spec
                if outcome(report):
                    outcomes[spec.key] = outcome(report)
            elif report["State"] not in ("passed", "skipped"):
                print(f"{os.path.basename(path)}: {report['LeafNodeType']}: {(report.get('Failure') or {}).get('Message', '')[:300]}")
    return specs, outcomes


def print_failures(names, outcomes, subject):
    for key, name in names.items():
        what, _, why = outcomes.get(key, ("", "", ""))
        if what == "failed" or (what == "skipped" and why):
            first = [line.strip() for line in why.splitlines() if line.strip()][:6]
            print(f"{subject}, {name}: " + " / ".join(first)[:500])


def print_others(specs, names, groups, shown):
    """Every spec of the suite that was not run: a line of the list must say why."""
    unlisted, not_asked = 0, 0
    print("\ncannot run here:")
    for key, name in names.items():
        group = next((group for group in groups if group.has(specs[key].labels)), None)
        if key in shown:
            continue
        if group and group.kind != "never":
            not_asked += 1
            continue
        unlisted += group is None
        print(f"  {name}: {group.about if group else 'IS NOT IN THE LIST'}")
    print(f"{not_asked} more specs were not asked for")
    return unlisted


def was_asked(groups, asked, spec):
    never = any(group.has(spec.labels) for group in groups if group.kind == "never")
    return not never and any(group.has(spec.labels) for group in groups if group.is_asked(asked))


def judge(outcomes):
    """What a row counts for: the last subject is measured by the first one, where there are two."""
    first, last = outcomes[0], outcomes[-1]
    if "none" in outcomes:
        return "failed"
    if last == "passed":
        return "passed"
    alone = len(outcomes) == 1
    return "failed" if first == "passed" or (alone and last == "failed") else "skipped"


def table(groups, folder, subjects, asked):
    specs, results = {}, {}
    for subject in subjects:
        found, results[subject] = read_reports(folder, subject)
        specs.update(found)
    names = {key: spec.name(specs.values()) for key, spec in sorted(specs.items())}
    shown = [key for key in names if was_asked(groups, asked, specs[key]) or any(key in results[one] for one in subjects)]
    width = max((len(names[key]) for key in shown), default=4)
    print("\n" + " | ".join([f"{'spec':{width}}"] + [f"{subject:13}" for subject in subjects]))
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for key in shown:
        cells = [results[subject].get(key, ("none", "was not run", "")) for subject in subjects]
        print(" | ".join([f"{names[key]:{width}}"] + [f"{cell[1]:13}" for cell in cells]))
        counts[judge([cell[0] for cell in cells])] += 1
    print()
    for subject in subjects:
        print_failures({key: names[key] for key in shown}, results[subject], subject)
    counts["failed"] += print_others(specs, names, groups, shown)
    print(f"\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


def print_groups(groups, asked):
    never = " || ".join(f"({group.labels})" for group in groups if group.kind == "never")
    for group in groups:
        if group.is_asked(asked):
            print(f"{group.name}|{group.seconds}|({group.labels}) && !({never})")


def main():
    groups = read_groups(sys.argv[2])
    if sys.argv[1] == "groups":
        print_groups(groups, sys.argv[3:])
        return 0
    return table(groups, sys.argv[3], sys.argv[4].split(","), sys.argv[5:])


if __name__ == "__main__":
    sys.exit(main())
