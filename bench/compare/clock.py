"""Whether the GPU's clock accounts for a change: what follows it takes longer by as much as the clock is lower."""

from __future__ import annotations

import math
from statistics import median

from bench.compare.comparison import Row
from bench.compare.differing import CLOCK, SM_CLOCK
from bench.record import Record
from bench.repeats import processes
from bench.statistics.metrics import METRICS, RELATIVE
from bench.validity import OF_COMPUTE, OF_LATENCY

FOLLOWS = (OF_LATENCY | OF_COMPUTE | {"throughput_fps"}) - RELATIVE  # native's clock is in what is relative to it
ABOUT = (0.5, 2.0)  # times the change, in logarithms: a clock that changed by less or more is named without a claim


def clock_mhz(record: Record) -> float | None:
    """The GPU's clock while it measured, the median over the processes; None where none was read."""
    windows = [each.telemetry.window() for each in processes(record) if each.telemetry is not None]
    found = [window.fields[SM_CLOCK].median for window in windows if window and SM_CLOCK in window.fields]
    return median(found) if found else None


def by_clock(old: Record, new: Record, row: Row) -> str | None:
    """That the clock accounts for most of a row's change, in words; None where it does not, or no clock is known."""
    if row.metric not in FOLLOWS or not row.old or not row.new:
        return None
    before, now = clock_mhz(old), clock_mhz(new)
    if not before or not now or abs(now / before - 1) <= CLOCK:
        return None
    times = row.old / row.new if METRICS[row.metric].higher_is_better else row.new / row.old
    share = math.log(before / now) / math.log(times) if times != 1 else 0.0
    if not ABOUT[0] <= share <= ABOUT[1]:
        return None
    changes = [f"{100 * (ratio - 1):+.1f} %" for ratio in (now / before, before / now, times)]
    return (
        f"the GPU's clock accounts for most of it: {before:.0f} -> {now:.0f} MHz ({changes[0]}), "
        f"so that work which follows it takes {changes[1]}, and this takes {changes[2]}"
    )
