"""A run against one other: statistic by statistic, by the rules' tolerances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.compare.comparison import (
    Against,
    Comparison,
    Pair,
    Row,
    between_processes,
    bounds,
    broken_row,
    case_row,
    match,
    not_comparable,
    outcome_of,
)
from bench.compare.rules import Judged
from bench.history.measured import Measurement, Run
from bench.history.series import covariate_differences


def compare_runs(old: Run, new: Run, judged: Sequence[Judged], against: Against = "run") -> Comparison:
    """`new` against `old`; `against` names the tolerance: of a "run", or of the "golden" one."""
    pairs = match(old.measurements, new.measurements)
    found = [row for pair in pairs if pair.new is not None for row in _rows(pair.old, pair.new, judged, against)]
    rows = [replace(row, reference=old.path) if row.old is not None else row for row in found]
    gone = tuple(pair.old.name for pair in pairs if pair.new is None and pair.old is not None)
    added = tuple(pair.new.name for pair in pairs if pair.new is not None and pair.old is None)
    return Comparison(
        baseline=f"{'golden: ' if against == 'golden' else ''}{old.name}",
        candidate=new.name,
        rows=tuple(rows),
        appeared=added if old.whole else (),
        vanished=gone if new.whole else (),
        environment=covariate_differences(old.covariates, new.covariates),
        remarks=_remarks(pairs, () if new.whole else gone, () if old.whole else added),
    )


def _rows(old: Measurement | None, new: Measurement, judged: Sequence[Judged], against: Against) -> list[Row]:
    broken = broken_row(new)
    if broken is not None:
        return [broken]
    limits = bounds(new, judged)
    if old is None:
        return limits
    why = not_comparable(old, new)
    if why is None and (old.failure or old.broken):
        why = f"the baseline has no result: {old.failure or old.broken}"
    if why is not None:
        return [*limits, case_row(new, "inconclusive", why)]
    rows = (_row(old, new, each, against) for each in judged)
    return [*limits, *(row for row in rows if row is not None)]


def _row(old: Measurement, new: Measurement, judged: Judged, against: Against) -> Row | None:
    """None where neither has the statistic in any process, or no tolerance is about it."""
    metric = judged.metric
    before, now = old.value(metric), new.value(metric)
    if (before is None and now is None and metric not in new.doubts) or not judged.text(against):
        return None
    row = Row(new.name, new.series_id, metric, "inconclusive", old=before, new=now, threshold=judged.text(against),
              rule=judged.source, gates=judged.gates, against=against)  # fmt: skip
    if before is None or now is None:
        return replace(row, note=new.lacks(metric, "this run") or old.lacks(metric, "the baseline"))
    interval = between_processes(old.values[metric], new.values[metric])
    outcome, note = outcome_of(judged, before, now, against), ""
    doubt = new.doubts.get(metric) or (old.doubts.get(metric) and f"the baseline: {old.doubts[metric]}")
    if doubt:
        outcome, note = "inconclusive", f"not valid: {doubt}"
    elif outcome in ("regressed", "improved") and interval is not None and interval[0] <= 0 <= interval[1]:
        outcome, note = "inconclusive", "the processes differ among themselves by as much"
    return replace(row, outcome=outcome, note=note, interval=interval, interval_of="between processes")


def _remarks(pairs: Sequence[Pair], left_out: Sequence[str], not_there: Sequence[str]) -> tuple[str, ...]:
    """The cases that --select left out: of this run, and of the baseline."""
    remarks = []
    compared = [pair for pair in pairs if pair.old is not None and pair.new is not None]
    alone = [p for p in compared if p.old and p.new and min(_processes(p.old), _processes(p.new)) < 2]
    if alone:
        remarks.append(
            "One process on a side says nothing of how runs differ: benchmark_config.repeats, or the history, does."
        )
    if left_out:
        remarks.append(f"Left out by --select: {', '.join(left_out)}")
    if not_there:
        remarks.append(f"Left out of the baseline by --select: {', '.join(not_there)}")
    return tuple(remarks)


def _processes(measurement: Measurement) -> int:
    return max(map(len, measurement.values.values()), default=0)
