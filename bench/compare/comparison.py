"""What a comparison says: a row for every statistic of every case that a rule is about, and one verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.compare.rules import Judged, adverse
from bench.history.measured import Measurement
from bench.history.series import Key

Outcome = Literal["passed", "improved", "inconclusive", "regressed", "broken"]
Against = Literal["", "run", "history", "golden", "bound"]
Settled = Literal["", "confirmed", "not confirmed", "undecided"]
ORDER: tuple[Outcome, ...] = ("passed", "improved", "inconclusive", "regressed", "broken")


@dataclass(frozen=True)
class Row:
    """One statistic of one case held against a baseline; `metric` is empty of what is said of the whole case."""

    case: str
    series: str
    metric: str
    outcome: Outcome
    note: str = ""  # why, where numbers do not say it
    old: float | None = None
    new: float | None = None
    interval: tuple[float, float] | None = None  # of `new` less `old`, as a share of `old`
    interval_of: str = ""  # what its spread is
    threshold: str = ""  # in words
    rule: str = ""  # where the threshold comes from
    gates: bool = True
    reference: Path | None = None  # the run that stands for the baseline where records are looked at
    against: Against = ""  # whose tolerance applied; a "bound" is on the value itself
    second: float | None = None  # the value when it was measured again
    settled: Settled = ""  # what the second measurement said

    @property
    def change(self) -> float | None:
        """As a share of the old value."""
        if self.old is None or self.new is None or not self.old:
            return None
        return self.new / self.old - 1

    @property
    def is_flagged(self) -> bool:
        """Whether it became worse, or breaks a bound, and that counts."""
        return self.outcome == "regressed" and self.gates


@dataclass(frozen=True)
class Cause:
    """Why one case became worse, or better: what was found, the largest contributors first."""

    case: str
    metrics: tuple[str, ...]  # that changed
    reference: str  # the run that it was held against
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A run held against a baseline."""

    baseline: str  # in words
    candidate: str
    rows: tuple[Row, ...]
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    environment: tuple[tuple[str, str, str], ...] = ()  # what differs: name, there, here
    remarks: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    unexplained: int = 0  # further cases that changed

    @property
    def verdict(self) -> Outcome:
        """The worst of its rows; inconclusive where nothing could be compared."""
        found = {row.outcome for row in self.rows if row.gates}
        if self.vanished:
            found.add("broken")
        if not any(row.metric for row in self.rows):
            found.add("inconclusive")
        return max(found, key=ORDER.index, default="passed")

    @property
    def flagged(self) -> tuple[tuple[str, str], ...]:
        """Series and statistics that became worse, or may have: not what breaks a bound, as it may have done before."""
        worse = (row for row in self.rows if row.is_flagged or (row.gates and row.settled == "undecided"))
        rows = (row for row in worse if row.old is not None)
        return tuple((row.series, row.metric) for row in rows)


@dataclass(frozen=True)
class Pair:
    """A case of two runs, or of one of them."""

    old: Measurement | None
    new: Measurement | None


def match(old: Sequence[Measurement], new: Sequence[Measurement]) -> list[Pair]:
    """Cases that measure the same, then those of the same name: their difference is said."""
    rest = list(old)
    found: dict[int, Measurement] = {}
    for by in ("series", "name"):
        for index, mine in enumerate(new):
            same = (each for each in rest if getattr(each, by) == getattr(mine, by))
            other = next(same, None) if index not in found else None
            if other is not None:
                found[index] = other
                rest.remove(other)
    return [*(Pair(found.get(index), mine) for index, mine in enumerate(new)), *(Pair(each, None) for each in rest)]


def case_row(measurement: Measurement, outcome: Outcome, note: str) -> Row:
    """What is said of a whole case."""
    return Row(measurement.name, measurement.series_id, "", outcome, note)


def broken_row(measurement: Measurement) -> Row | None:
    """A case that failed, or whose figures are not what they are said to be."""
    why = measurement.failure or measurement.broken
    return None if why is None else case_row(measurement, "broken", why)


def not_comparable(old: Measurement, new: Measurement) -> str | None:
    """Why two cases are not held against each other."""
    if old.methodology != new.methodology:
        return f"measured in another way: methodology {old.methodology} -> {new.methodology}"
    if old.series != new.series:
        return "not the same measurement: " + _few(old.series, new.series)
    if old.segment != new.segment:
        return "not the same hardware: " + _few(old.segment, new.segment)
    return None


def _few(old: Key, new: Key) -> str:
    told = old.differences(new)
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")


def bounds(measurement: Measurement, judged: Iterable[Judged]) -> list[Row]:
    """Rows of bounds on values themselves that do not hold, or of which there is no telling."""
    rows = (_bound(measurement, each) for each in judged if each.bounds)
    return [row for row in rows if row is not None]


def _bound(measurement: Measurement, judged: Judged) -> Row | None:
    """None where it holds, or is about a statistic that the case is not to have."""
    metric, value = judged.metric, measurement.value(judged.metric)
    row = Row(measurement.name, measurement.series_id, metric, "inconclusive", new=value, threshold=judged.bounds,
              rule=judged.source, gates=judged.gates, against="bound")  # fmt: skip
    if value is None:
        return replace(row, note=measurement.lacks(metric, "this run")) if metric in measurement.absent else None
    if metric in measurement.doubts:
        return replace(row, note=f"not valid: {measurement.doubts[metric]}")
    broken = judged.bound_broken(value)
    return None if broken is None else replace(row, outcome="regressed", threshold=broken)


def outcome_of(judged: Judged, old: float, new: float, against: Against) -> Outcome:
    """What a change comes to by its threshold alone."""
    worse, threshold = adverse(judged.metric, old, new), judged.threshold(old, against)
    if worse > threshold:
        return "regressed"
    return "improved" if -worse > threshold else "passed"


def between_processes(old: Sequence[float], new: Sequence[float]) -> tuple[float, float] | None:
    """A 95 % interval of the change as a share, from processes' logarithms; None of one process (Welch)."""
    if min(len(old), len(new)) < 2 or min(*old, *new) <= 0:
        return None
    from scipy.special import stdtrit

    logs = [[math.log(value) for value in values] for values in (old, new)]
    means = [math.fsum(each) / len(each) for each in logs]
    parts = [sum((v - m) ** 2 for v in each) / (len(each) - 1) / len(each) for each, m in zip(logs, means, strict=True)]
    if not sum(parts):
        return None
    degrees = sum(parts) ** 2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, logs, strict=True))
    half = float(stdtrit(degrees, 0.975)) * math.sqrt(sum(parts))
    return math.expm1(means[1] - means[0] - half), math.expm1(means[1] - means[0] + half)
