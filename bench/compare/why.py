"""Why something became worse, or better: a row's two records held against each other, the largest contributors first.

First where the time went: stages, the profiled inference, kernels, phases, each as a part of the whole change. Then
what differs besides: what ran, the machine, the versions. The second is what may be the reason of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.compare.clock import by_clock
from bench.compare.comparison import ORDER, Cause, Comparison, Row
from bench.compare.contributions import (
    Change,
    Parts,
    compute_parts,
    kernel_parts,
    launches,
    names_all_kernels,
    phase_parts,
    profile_parts,
    stage_parts,
)
from bench.compare.differing import SM_CLOCK, machine, versions, what_ran
from bench.compare.rules import adverse
from bench.compare.sides import Side, Sides
from bench.errors import ConfigError
from bench.history.measured import Run
from bench.load.statistics import SCENARIO_OF
from bench.record import Record
from bench.report.words import clipped
from bench.statistics.metrics import METRICS, SPEEDUPS
from bench.statistics.summary import CONVERSION_PHASES, summarize

MOST_CASES, MOST_LINES, MOST_KERNELS = 10, 12, 3
LONGEST_NAME, LONGEST_LINE = 80, 240
ON_DEVICE = {"compute_ms", "throughput_fps", "compute_speedup", "throughput_speedup"}  # in which copies have no part
LEAST = 0.05  # of the whole's change: a part that moved by less is not named
SHOWN = 0.25  # of the statistic's change: parts that moved by less, as a share, do not show it
OF_TIME = {name for name, metric in METRICS.items() if metric.unit in ("ms", "images/s", "x")} | set(SCENARIO_OF)


def explained(comparison: Comparison, new: Run) -> Comparison:
    """The comparison with the causes of what became worse or better; a side that cannot be read is said to be so."""
    groups: dict[tuple[str, Path], list[Row]] = {}
    for row in sorted(comparison.rows, key=lambda row: (not row.gates, -ORDER.index(row.outcome))):
        if row.reference is not None and _is_looked_into(row):
            groups.setdefault((row.series, row.reference), []).append(row)
    sides = Sides(new)
    shown = list(groups.items())[:MOST_CASES]
    causes = tuple(_cause(sides, series, reference, rows) for (series, reference), rows in shown)
    return replace(comparison, causes=causes, unexplained=len(groups) - len(shown))


def _is_looked_into(row: Row) -> bool:
    return row.outcome in ("regressed", "improved") or (row.settled == "undecided" and None not in (row.old, row.new))


def _cause(sides: Sides, series: str, reference: Path, rows: Sequence[Row]) -> Cause:
    metrics = tuple(dict.fromkeys(row.metric for row in rows))
    try:
        old, new = sides.pair(series, reference)
        telling = next((row for row in rows if row.metric in OF_TIME), rows[0])
        lines = reasons(old, new, rows, _worse_by(telling))
    except (ConfigError, OSError) as error:
        lines = [f"the records cannot be held against each other: {error}"]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"and {len(lines) - MOST_LINES + 1} more"]
    name = f"{reference.parent.name}/{reference.name}"
    return Cause(rows[0].case, metrics, name, tuple(clipped(line, LONGEST_LINE) for line in lines))


def _worse_by(row: Row) -> float:
    """As a share of the old value; below 0 where it became better."""
    assert row.old is not None and row.new is not None
    return adverse(row.metric, row.old, row.new) / abs(row.old) if row.old else 0.0


def reasons(old: Side, new: Side, rows: Sequence[Row], worse: float) -> list[str]:
    """All that is found of a change by a share, the largest contributors first."""
    metrics = tuple(row.metric for row in rows)
    clock = next((line for row in rows if (line := by_clock(old.record, new.record, row))), None)
    timed = bool(OF_TIME & set(metrics))
    times = _times_on_device if OF_TIME & set(metrics) <= ON_DEVICE else _times
    where = [*times(old.record, new.record, worse)] if timed else []
    if "conversion_s" in metrics:
        where += _named("phases", phase_parts(old.record, new.record, CONVERSION_PHASES), worse)
    where += _native(old, new, metrics)
    ran = what_ran(old.record, new.record)
    host = machine(old.record, new.record, "" if clock is None else SM_CLOCK) if timed else []
    beneath = versions(old.record, new.record)
    if clock is not None:  # what held it down is next to it
        return [clock, *host, *where, *ran, *beneath]
    if not ran and not host and not beneath:
        beneath = ["nothing else that was recorded differs"]
    return [*where, *ran, *host, *beneath]


def _times(old: Record, new: Record, worse: float) -> Iterator[str]:
    yield from _named("stages", stage_parts(old, new), worse)
    yield from _named("under the profiler", profile_parts(old, new), worse)
    kernels = kernel_parts(old, new)
    if kernels is not None and _shows(kernels, worse):
        yield from _kernels(kernels, old, new)


def _times_on_device(old: Record, new: Record, worse: float) -> Iterator[str]:
    """Without what the host does with images before and after, which wanders by more than this changed."""
    compute, kernels = compute_parts(old, new), kernel_parts(old, new)
    if compute is not None and _shows(compute, worse):
        dispatch = compute.changes[0]
        yield f"stages: compute {_ms(compute.whole.by)}" + (
            f", of which dispatch {_ms(dispatch.by)}" if _matters(dispatch, compute) else ""
        )
    elif compute is not None:
        yield f"stages: do not show it, compute changed by {_ms(compute.whole.by)}"
    if kernels is not None and _shows(kernels, worse):
        yield from _kernels(kernels, old, new)
    elif kernels is not None:
        yield f"under the profiler: do not show it, the kernels changed by {_ms(kernels.whole.by)}"


def _kernels(parts: Parts, old: Record, new: Record) -> Iterator[str]:
    named = [each for each in parts.ordered() if _matters(each, parts)]
    yield from (_kernel(each, old, new, parts) for each in named[:MOST_KERNELS])


def _shows(parts: Parts, worse: float) -> bool:
    by = parts.whole.by
    return by * worse > 0 and abs(by) >= SHOWN * abs(worse) * parts.whole.old


def _named(words: str, parts: Parts | None, worse: float) -> Iterator[str]:
    """The parts that moved the whole, in order; that they do not show the change is said too."""
    if parts is None:
        return
    by = parts.whole.by
    if not _shows(parts, worse):
        yield f"{words}: do not show it, {parts.whole.name} changed by {_ms(by)}"
        return
    first, *rest = parts.ordered()
    others = "".join(f"; {each.name} {_ms(each.by)}" for each in rest if _matters(each, parts) or _opposes(each, parts))
    yield f"{words}: {first.name} {_ms(first.by)} of {_ms(by)}{others}"


def _matters(change: Change, parts: Parts) -> bool:
    return change.by * parts.whole.by > 0 and abs(change.by) >= LEAST * abs(parts.whole.by)


def _opposes(change: Change, parts: Parts) -> bool:
    return change.by * parts.whole.by < 0 and abs(change.by) >= LEAST * abs(parts.whole.by)


def _kernel(change: Change, old: Record, new: Record, parts: Parts) -> str:
    if not change.old:
        how = "new" if names_all_kernels(old) else "was not among the longest"
    elif not change.new:
        how = "gone" if names_all_kernels(new) else "is no longer among the longest"
    else:
        how = f"{change.new / change.old:.2f} times as long"
    counts = [launches(each, change.name) for each in (old, new)]
    if counts[0] is not None and counts[1] is not None and counts[0] != counts[1]:
        how += f", launches an inference {counts[0]:.4g} -> {counts[1]:.4g}"
    return f"kernel {clipped(change.name, LONGEST_NAME)}: {how}, {_ms(change.by)} of {_ms(parts.whole.by)}"


def _native(old: Side, new: Side, metrics: Sequence[str]) -> Iterator[str]:
    """What the native case did, where a statistic is relative to it."""
    if old.native is None or new.native is None:
        return
    before, now = summarize(old.native).values, summarize(new.native).values
    for name in dict.fromkeys(SPEEDUPS[metric] for metric in metrics if metric in SPEEDUPS):
        if name in before and name in now and before[name]:
            change = 100 * (now[name] / before[name] - 1)
            yield f"native's {name} {before[name]:.4g} -> {now[name]:.4g} ({change:+.2f} %)"


def _ms(value: float) -> str:
    """Signed, to the microsecond; seconds where it is long."""
    return f"{value / 1e3:+.2f} s" if abs(value) >= 1e4 else f"{value:+.3f} ms"
