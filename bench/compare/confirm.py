"""Gate B: what a comparison flags is measured again, in fresh processes, before it counts.

The new values alone are judged as the first were. Where each process took turns with a twin on the baseline's engine,
the ratios of the two say more: whatever the machine does now is in both, so that they tell the model from the machine.
What both say is kept: the first values in the run, the second in its folder `again/`, which no history reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console

from bench.compare.again import Plan, plan
from bench.compare.comparison import Comparison, Outcome, Row, Settled
from bench.compare.rules import Judged, adverse, rules
from bench.compare.sides import Sides
from bench.errors import StoreError
from bench.history.measured import Measurement, Run, measurements
from bench.preflight import make_ready
from bench.progress import Progress
from bench.record import Record
from bench.report.figures import significant
from bench.report.words import counted
from bench.running import run_cases
from bench.sitting import Sitting, begun
from bench.statistics.metrics import SPEEDUPS
from bench.statistics.turns import paired_speedups
from bench.store import save_suite
from bench.suite import Suite

FOLDER = "again"  # in the run's
SURE = 0.99  # one-sided
PAIRED = {source: name for name, source in SPEEDUPS.items()}
OUTCOMES: Mapping[Settled, Outcome] = {
    "confirmed": "regressed", "undecided": "inconclusive", "not confirmed": "passed",
}  # fmt: skip
Judge = Callable[[Run], Comparison]


@dataclass(frozen=True)
class InTurn:
    """By what share a statistic is worse than on the baseline's engine, measured in turn; with a one-sided bound."""

    worse: float
    at_least: float
    processes: int


def confirmed(
    found: Comparison, suite: Suite, new: Run, judge: Judge, console: Console, is_ready: bool = True
) -> Comparison:
    """The comparison after a second measurement of what it flagged; `judge` holds a run against the same baseline.

    `is_ready` is False of a suite whose data was not made and checked in this process.
    """
    processes = suite.compare.confirm_processes
    flagged = [row for row in found.rows if row.is_flagged]
    if not flagged or not processes:
        return found
    names, most = _most_changed_first(flagged), suite.compare.confirm_max_cases
    planned = plan([row for row in flagged if row.case in names[:most]], suite.cases, Sides(new), processes)
    beyond = "" if len(names) <= most else _left_open(len(names), most)
    console.print(
        f"Measured again before it counts: {', '.join(names[:most])}; {processes} processes each"
        + (f"; {beyond}" if beyond else ""),
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    folder = _made(new.path)
    asked = replace(suite, cases=planned.cases, is_whole=False)
    records = _measure(asked if is_ready else make_ready(asked), folder, console)
    measured = measurements([records[case.id] for case in planned.cases if case.id not in planned.of_twins])
    second = {each.name: each for each in measured}
    again = judge(replace(new, measurements=tuple(_grafted(each, second.get(each.name)) for each in new.measurements)))
    judged = {each.metric: each for each in rules(suite.compare)}
    first = {each.name: each for each in new.measurements}

    def settled(row: Row) -> Row:
        if beyond and row.case not in second:
            return _told(row, "undecided", beyond)
        turns, why = in_turn(row, planned, records), _unusable(row, first, second)
        return _settle(row, again, judged[row.metric], turns, second.get(row.case), why)

    rows = [settled(row) if row.is_flagged else row for row in found.rows]
    told = [*_remarks(planned, records, folder), *([beyond.capitalize()] if beyond else [])]
    return replace(found, rows=tuple(rows), remarks=(*found.remarks, *told))


def _most_changed_first(flagged: Sequence[Row]) -> list[str]:
    """The cases; those that changed by no share, as with a broken bound or a first fallback, before all others."""
    by: dict[str, float] = {}
    for row in flagged:
        by[row.case] = max(by.get(row.case, 0.0), math.inf if row.change is None else abs(row.change))
    return sorted(by, key=lambda name: -by[name])


def _left_open(flagged: int, most: int) -> str:
    return f"not measured again: {flagged - most} of {flagged} cases (compare_config.confirm_max_cases is {most})"


def as_stored(comparison: Comparison) -> dict[str, Any]:
    """What a run keeps of a comparison: what was found worse, and what became of it when it was measured again."""
    again = [
        {"case": row.case, "metric": row.metric, "against": row.against, "first": row.new, "second": row.second,
         "settled": row.settled}
        for row in comparison.rows if row.settled
    ]  # fmt: skip
    return {
        "baseline": comparison.baseline,
        "flagged": [{"series": series, "metric": metric} for series, metric in comparison.flagged],
        "again": again,
    }


def _made(run: Path) -> Path:
    """A new folder in the run's; what was cut off earlier keeps its own."""
    folder = next(path for n in count(1) if not (path := run / (FOLDER if n == 1 else f"{FOLDER}-{n}")).exists())
    try:
        folder.mkdir()
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {error.strerror}") from error
    return folder


def _measure(suite: Suite, folder: Path, console: Console) -> dict[str, Record]:
    """The records by case, kept in a folder of their own; Ctrl-C ends it all, and what was found first stands."""
    ids = [case.id for case in suite.cases]

    def save(verdict: str) -> None:
        save_suite(folder, suite.name, suite.config, ids, {"verdict": verdict, "whole": False})

    save("broken")  # true until the last case has ended
    records = run_cases(suite, Sitting(folder, sittings=(begun(),)), Progress(console, len(ids)))
    if len(records) < len(ids) or any(record.is_interrupted for record in records):
        raise KeyboardInterrupt
    save("broken" if any(record.failure is not None for record in records) else "passed")
    return {record.case.id: record for record in records}


def _grafted(first: Measurement, second: Measurement | None) -> Measurement:
    """The measurement with the second values in place of the first, where there are any."""
    if second is None:
        return first
    return replace(
        first, values=second.values, doubts=second.doubts, failure=second.failure, broken=second.broken,
        absent=second.absent,
    )  # fmt: skip


def in_turn(row: Row, planned: Plan, records: Mapping[str, Record]) -> InTurn | None:
    """What the fresh processes and their twins say; None where fewer than two pairs took turns."""
    name = PAIRED.get(row.metric)
    if name is None or row.reference is None or row.reference != planned.references.get(row.case):
        return None
    pairs = [
        paired_speedups(records[case.id], records[planned.twins[case.id]])
        for case in planned.of(row.case)
        if case.id in planned.twins
    ]
    slower = [-math.log(pair[name].value) for pair in pairs if name in pair]
    if len(slower) < 2:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(len(slower) - 1, SURE)) * stdev(slower) / math.sqrt(len(slower))
    sign = -1 if name == "throughput_speedup" else 1  # that of a time; less throughput is a smaller share
    worse, bound = (sign * math.expm1(sign * value) for value in (fmean(slower), fmean(slower) - half))
    return InTurn(worse, bound, len(slower))


def _unusable(row: Row, first: Mapping[str, Measurement], second: Mapping[str, Measurement]) -> str | None:
    """Why the second measurement says nothing of a flagged row: not to be flagged again is then no good news."""
    before, after = first.get(row.case), second.get(row.case)
    if before is None or after is None:
        return "it has no second measurement"
    if after.segment != before.segment:
        return "it was on other hardware"
    if after.value(row.metric) is None:
        return f"it has no {row.metric}"
    doubt = after.doubts.get(row.metric)
    return None if doubt is None else f"not valid: {doubt}"


def _settle(
    row: Row, again: Comparison, judged: Judged, turns: InTurn | None, second: Measurement | None, unusable: str | None
) -> Row:
    """A flagged row, and what the second measurement makes of it."""
    same = [each for each in again.rows if each.series == row.series]
    broken = next((each for each in same if each.outcome == "broken"), None)
    if broken is not None:
        return replace(row, outcome="broken", settled="undecided", note=f"measured again, it failed: {broken.note}")
    fresh = next((each for each in same if (each.metric, each.against) == (row.metric, row.against)), None)
    value = None if second is None else second.value(row.metric)
    row = replace(row, second=value)
    if unusable is not None:
        return _told(row, "undecided", f"measured again, it cannot be told: {unusable}")
    if turns is not None and row.old:
        return _by_turns(row, fresh, judged.threshold(row.old, row.against) / abs(row.old), turns)
    if fresh is not None and fresh.outcome == "regressed":
        return _told(row, "confirmed", "confirmed by fresh processes")
    if fresh is not None and fresh.outcome == "inconclusive":
        return _told(row, "undecided", f"measured again, it cannot be told: {fresh.note}")
    if value is not None and row.old and adverse(row.metric, row.old, value) > judged.threshold(row.old, row.against):
        return _told(row, "undecided", "measured again, it cannot be told: the processes differ by as much")
    return _told(row, "not confirmed", "fresh processes do not confirm it")


def _by_turns(row: Row, fresh: Row | None, tolerated: float, turns: InTurn) -> Row:
    said = (
        f"{100 * turns.worse:+.2f} % worse than the baseline's engine, in turn "
        f"({turns.processes} pairs of processes, at least {100 * turns.at_least:+.2f} %)"
    )
    if turns.worse > tolerated and turns.at_least > 0:
        return _told(row, "confirmed", f"confirmed: {said}")
    if turns.worse > tolerated:
        return _told(row, "undecided", f"measured again, it cannot be told: {said}")
    if fresh is not None and fresh.outcome == "regressed":
        return _told(row, "undecided", f"the baseline's engine is as slow now, so the machine may have changed: {said}")
    return _told(row, "not confirmed", f"not confirmed: {said}")


def _told(row: Row, settled: Settled, note: str) -> Row:
    second = "" if row.second is None else f"; second value {significant(row.second)}"
    notes = "; ".join(part for part in (row.note, note + second) if part)
    return replace(row, outcome=OUTCOMES[settled], settled=settled, note=notes)


def _remarks(planned: Plan, records: Mapping[str, Record], folder: Path) -> list[str]:
    processes = counted(len(records), "process", "processes")
    remarks = [f"Measured again in {processes}; the records are in {folder.name}/."]
    remarks += [f"{name}: not in turn with the baseline's engine: {why}" for name, why in planned.alone.items()]
    failed = {
        records[twin].case.variant: records[twin].failure or records[twin].not_interleaved
        for twin in planned.twins.values()
        if records[twin].failure is not None or records[twin].not_interleaved
    }
    for name, why in failed.items():
        said = why if isinstance(why, str) or why is None else f"{why.kind} in phase {why.phase}: {why.message}"
        remarks.append(f"{name}: took no turns: {said}")
    return remarks
