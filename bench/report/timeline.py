"""One case's latencies in the order in which they were taken, with what the machine did meanwhile below them.

Seconds count from the first timed batch. Batches are placed by the sum of the times before them, from where the
telemetry says that the loop began: what passes between two batches is the loop itself, well below a thousandth.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.record import Record
from bench.report.comparison import Column
from bench.report.grid import DOUBT
from bench.report.marks import label_of, logarithmic_where_it_is_wide, titled
from bench.telemetry import NO_THROTTLING, Telemetry, reasons_of
from bench.validity import BLOCKS, LEAST_IN_BLOCK

OF = ("median_latency_ms",)  # what is not valid where this picture is not
LOOP, WARM_UP = "measure: latency", "warm-up"
BEFORE, DURING, LEVEL, THROTTLED = "#9a9a9a", "#0072b2", "#d55e00", "#f3c4c4"
CURVES = ("#000000", "#007f5f", "#b0508c")


class Panel(NamedTuple):
    """What one axis below the latencies shows: keys of the trace, and what each is called there."""

    axis: str
    keys: dict[str, str]


GPU = (
    Panel("SM clock\n(MHz)", {"sm_clock_mhz": ""}),
    Panel("power\n(W)", {"power_w": ""}),
    Panel("GPU\n(°C)", {"temperature_c": ""}),
)
CLOCK = Panel("CPU clock\n(MHz)", {"cpu_mhz": ""})
CORES = Panel("cores", {"busy_cores": "busy", "worker_cores": "by this case", "stolen_cores": "stolen"})


@dataclass(frozen=True)
class Machine:
    """The trace of the machine around the loop, seconds from the loop's beginning."""

    seconds: tuple[float, ...]
    columns: dict[str, tuple[float | None, ...]]
    panels: tuple[Panel, ...]


def draw_timeline(title: str, column: Column) -> Figure | None:
    """A dot for each batch over time, and below it the machine where that is known; None where nothing was timed."""
    record = column.record
    if record.latency is None or not record.latency.times_ns:
        return None
    warm, timed = batches(record)
    machine = around(record, warm[0][0] if warm else 0.0, timed[-1][0])
    heights = [3.0, *(1.0 for _ in machine.panels)]
    figure = Figure(figsize=(7.5, 3.2 + 0.95 * len(machine.panels)), layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    _draw_latencies(axes[0], column, warm, timed)
    for below, panel in zip(axes[1:], machine.panels, strict=True):
        _draw_panel(below, panel, machine)
    shaded = [_shade(each, machine) for each in axes]
    if any(shaded):
        axes[0].fill_between([], [], color=THROTTLED, label="clocks held down")
    axes[-1].set_xlabel("seconds since the first timed batch" + ("; grey: warm-up" if warm else ""))
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 0.99), ncols=4, frameon=False, fontsize=8)
    processes = f" (the first of {len(record.repeats) + 1} processes)" if record.repeats else ""
    titled(figure, f"Latency over time: {label_of(column, OF)}{processes}", title, *_doubts(column))
    return figure


def _doubts(column: Column) -> list[str]:
    return [f"{DOUBT} not valid: {problem.reason}" for problem in column.problems if set(OF) - problem.spares]


def batches(record: Record) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """When each batch ended, in seconds, and how long it took, in ms: of the warm-up, and of the timed loop."""
    latency = record.latency
    if latency is None:
        return [], []
    windows = {window.name: window for window in record.telemetry.windows} if record.telemetry is not None else {}
    loop, warming = windows.get(LOOP), windows.get(WARM_UP)
    warm_s = sum(latency.warmup_ns) / 1e9
    began = warming.begin_s - loop.begin_s if loop is not None and warming is not None else -warm_s
    return _placed(latency.warmup_ns, min(began, -warm_s)), _placed(latency.times_ns, 0.0)


def around(record: Record, begin_s: float, end_s: float) -> Machine:
    """What the trace knows of these seconds; no panel for what it does not know, or knows at one moment only."""
    telemetry = record.telemetry
    window = telemetry.window(LOOP) if telemetry is not None else None
    if telemetry is None or window is None:
        return Machine((), {}, ())
    trace = telemetry.trace
    moments = [time - window.begin_s for time in trace.times_s]
    kept = [i for i, moment in enumerate(moments) if begin_s <= moment <= end_s]
    columns = {key: tuple(values[i] for i in kept) for key, values in trace.columns.items()}
    known = {key: values for key, values in columns.items() if sum(v is not None for v in values) > 1}
    return Machine(tuple(moments[i] for i in kept), known, tuple(_panels(telemetry, known)))


def _panels(telemetry: Telemetry, known: dict[str, tuple[float | None, ...]]) -> Iterator[Panel]:
    """A GPU's, where there is one; else the CPU's, but for a clock that a virtual machine only names."""
    gpu = [panel for panel in GPU if panel.keys.keys() & known.keys()]
    clock = [] if telemetry.cpu_mhz_source == "/proc/cpuinfo" else [CLOCK]
    yield from gpu or [panel for panel in (*clock, CORES) if panel.keys.keys() & known.keys()]


def _placed(times_ns: Sequence[int], begin_s: float) -> list[tuple[float, float]]:
    ends = itertools.accumulate(times_ns)
    return [(begin_s + end / 1e9, time / 1e6) for end, time in zip(ends, times_ns, strict=True)]


def _draw_latencies(
    axes: Axes, column: Column, warm: Sequence[tuple[float, float]], timed: Sequence[tuple[float, float]]
) -> None:
    for points, color in ((warm, BEFORE), (timed, DURING)):
        if points:
            axes.plot(*zip(*points, strict=True), linestyle="none", marker=".", markersize=2.5, color=color)
    if levels := list(_levels(timed)):
        look: dict[str, Any] = {"color": LEVEL, "linewidth": 1.6, "label": f"medians of {BLOCKS} blocks"}
        axes.step(*zip(*levels, strict=True), where="pre", **look)
    summary = column.first_process
    axes.axhline(summary.values["median_latency_ms"], color="#000000", linewidth=0.8, label="median")
    if bounds := summary.bounds.get("median_latency_ms"):
        axes.axhspan(*bounds, color="#000000", alpha=0.15, linewidth=0, label="its 95 % interval within this run")
    logarithmic_where_it_is_wide(axes, "y", [time for _, time in (*warm, *timed)])
    axes.set_ylabel("latency of one batch (ms)")
    axes.grid()


def _levels(timed: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Where each of the blocks ends that drift is judged by, and its median; first where they begin."""
    size = len(timed) // BLOCKS
    if size < LEAST_IN_BLOCK:
        return
    rest = len(timed) - BLOCKS * size
    for first in range(rest, len(timed), size):
        level = median(time for _, time in timed[first : first + size])
        if first == rest:
            yield timed[rest - 1][0] if rest else 0.0, level
        yield timed[first + size - 1][0], level


def _draw_panel(axes: Axes, panel: Panel, machine: Machine) -> None:
    for (key, name), color in zip(panel.keys.items(), CURVES, strict=False):
        values = machine.columns.get(key, ())
        points = [(s, value) for s, value in zip(machine.seconds, values, strict=False) if value is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=color, linewidth=1.3, label=name or None)
    axes.set_ylabel(panel.axis)
    axes.margins(y=0.15)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid()
    if any(panel.keys.values()):
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.5 * (high - low))  # room for the legend
        axes.legend(loc="upper right", ncols=3, frameon=False, fontsize=8, borderaxespad=0)


def _shade(axes: Axes, machine: Machine) -> bool:
    """Shade the times in which something held the clocks down."""
    masks = machine.columns.get("event_reasons", ())
    found = False
    for (begin, end), mask in zip(itertools.pairwise(machine.seconds), masks[1:], strict=False):
        if mask is not None and set(reasons_of(int(mask))) - set(NO_THROTTLING):
            axes.axvspan(begin, end, color=THROTTLED, linewidth=0, zorder=0)
            found = True
    return found
