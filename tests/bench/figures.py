# SPDX-License-Identifier: Apache-2.0
"""The table of the benchmark: what each program needed for each work, run by run, beside kopia and beside what the machine allows."""
from statistics import median

from measuring import MIB


class Row:
    """One work of one program, in as many runs as there were."""

    def __init__(self, volume, what, who):
        self.volume, self.what, self.who = volume, what, who
        self.results, self.opened = [], []
        self.ideal = None  # CPU seconds of the stages alone, or None
        self.cpus = 1

    def add(self, result, opened):
        self.results.append(result)
        self.opened.append(opened)

    @property
    def late(self):
        return any(result["late"] for result in self.results)

    @staticmethod
    def cpu(result):
        return result["user"] + result["system"]

    def all(self, key):
        """Seconds of every run: "wall", "cpu", or without the opening "net wall", "net cpu"."""
        take = self.cpu if key.endswith("cpu") else lambda result: result["wall"]
        opening = [take(opened) if key.startswith("net") else 0 for opened in self.opened]
        return [max(take(result) - less, 0.01) for result, less in zip(self.results, opening)]

    def peak(self, key):
        found = [result[key] for result in self.results if result[key] is not None]
        return max(found) if found else None

    def share(self):
        """How much of the time, the opening left out, the stages alone would take on all cores; None if it is not known."""
        return self.ideal / self.cpus / median(self.all("net wall")) if self.ideal and not self.late else None

    def facts(self, kopia):
        wall, cpu, opened = self.all("wall"), self.all("cpu"), [one["wall"] for one in self.opened]
        facts = {"volume": self.volume, "what": self.what, "program": self.who, "runs": len(wall), "late": self.late,
                 "wall": median(wall), "wall_min": min(wall), "wall_max": max(wall), "cpu": median(cpu), "open": median(opened),
                 "anon": self.peak("anon"), "settled": self.peak("settled"), "rss": self.peak("rss"), "ideal_cpu": self.ideal,
                 "limit_share": self.share(), "x_wall": None, "x_cpu": None, "x_wall_min": None, "x_wall_max": None}
        if kopia and kopia is not self and not self.late:
            ratios = [theirs / ours for theirs, ours in zip(kopia.all("net wall"), self.all("net wall"))]
            facts.update(x_wall=median(kopia.all("net wall")) / median(self.all("net wall")),
                         x_cpu=median(kopia.all("net cpu")) / median(self.all("net cpu")),
                         x_wall_min=min(ratios), x_wall_max=max(ratios))
        return facts


class Table:
    def __init__(self):
        self.facts = []
        self.passed = 0
        self.failed = []

    @staticmethod
    def head(title):
        print(f"\n{title}\n  {'what':24} {'program':8} {'wall':>8} {'min':>7} {'max':>7} {'CPU':>7} {'open':>5} {'anon':>5} {'later':>6}"
              f" {'x wall':>7} {'min':>5} {'max':>5} {'x CPU':>6} {'limit':>6}", flush=True)

    def compare(self, rows):
        """Prints the rows of one work, each beside kopia's."""
        kopia = next((row for row in rows if row.who == "kopia" and row.results), None)
        for row in rows:
            if not row.results:
                continue
            facts = row.facts(kopia)
            self.facts.append(facts)
            later = f"{facts['settled'] / MIB:6.0f}" if facts["settled"] is not None else f"{'-':>6}"
            # kopia was stopped: what it needed is more than that
            least = ">" if kopia and kopia.late else " "
            ratio = (f"{least}{facts['x_wall']:6.1f} {facts['x_wall_min']:5.1f} {facts['x_wall_max']:5.1f} {facts['x_cpu']:6.1f}"
                     if facts["x_wall"] else " " * 26)
            share = f"{100 * facts['limit_share']:5.0f}%" if facts["limit_share"] else ""
            print(f"  {row.what:24} {row.who:8} {'>' if row.late else ' '}{facts['wall']:7.2f} {facts['wall_min']:7.2f} {facts['wall_max']:7.2f} "
                  f"{facts['cpu']:7.2f} {facts['open']:5.2f} {facts['anon'] / MIB:5.0f} {later} {ratio} {share}".rstrip(), flush=True)

    def check(self, good, what):
        self.passed += bool(good)
        if not good:
            self.failed.append(what)
            print(f"  NOT RIGHT: {what}", flush=True)
