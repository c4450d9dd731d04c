"""Pictures of single samples and of accuracy against throughput."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.comparison import Column, Comparison
from bench.report.grid import DOUBT
from bench.report.marks import (
    DASHES,
    LONGEST_WHISKER,
    NOT_VALID,
    interval_text,
    label_of,
    logarithmic_where_it_is_wide,
    marks,
    titled,
    wrap,
)
from bench.statistics.metrics import ACCURACY_METRICS
from bench.statistics.uncertainty import PERCENTS

PANELS_ACROSS = 2
DISTRIBUTED = ("median_latency_ms",)  # what stands and falls with the samples
AXIS_NAMES = {"map": "COCO mAP at IoU 0.50:0.95", "top1": "top-1 accuracy"}


def draw_distribution(comparison: Comparison) -> Figure | None:
    """The share of batches that took at most so long, a line per case; None where nothing was timed."""
    timed = [(column, _sorted_ms(column)) for column in comparison.columns]
    timed = [(column, times) for column, times in timed if times]
    if not timed:
        return None
    looks = marks(column.label for column in comparison.columns)
    named = [label_of(column, DISTRIBUTED) for column, _ in timed]
    labels = [wrap(f"{name} ({len(times)} batches)", 90) for name, (_, times) in zip(named, timed, strict=True)]
    across = 2 if max(map(len, labels)) < 45 else 1
    figure = Figure(figsize=(7.5, 3.9 + _legend_inches(labels, across)), layout="constrained")
    axes = figure.add_subplot()
    for number, ((column, times), label) in enumerate(zip(timed, labels, strict=True)):
        shares = [rank / len(times) for rank in range(len(times) + 1)]
        axes.step(
            [times[0], *times], shares, where="post", label=label, linestyle=DASHES[number % len(DASHES)],
            linewidth=1.6, markersize=5, markevery=_marked(len(times), number), **looks[column.label],
        )  # fmt: skip
        _draw_intervals(axes, column, looks[column.label]["color"])
    _label_distribution(axes, timed)
    titled(figure, "Distribution of latency", comparison.title)
    if axes.collections:
        axes.vlines([], 0, 0, color="#666666", linewidth=3, label="95 % interval of a percentile, within this run")
    if any(name.endswith(DOUBT) for name in named):
        axes.plot([], [], linestyle="none", label=NOT_VALID)
    figure.legend(loc="outside lower center", ncols=across, frameon=False, handlelength=4)
    return figure


def draw_trade_off(comparisons: Sequence[Comparison]) -> Figure | None:
    """Accuracy against throughput, a panel per comparison, a mark per mode; None where no case has both."""
    shown = [(comparison, _points(comparison)) for comparison in comparisons]
    shown = [(comparison, points) for comparison, points in shown if points]
    if not shown:
        return None
    looks = marks(column.label for _, points in shown for column, _, _ in points)
    across = min(PANELS_ACROSS, len(shown))
    down = math.ceil(len(shown) / across)
    names = [wrap(label, 60) for label in looks]
    legend_columns = (4 if across > 1 else 2) if max(map(len, names)) < 20 else 1
    height = 0.8 + 2.9 * down + _legend_inches(names, legend_columns)
    figure = Figure(figsize=(max(5.5, 3.75 * across), height), layout="constrained")
    for number, (comparison, points) in enumerate(shown, 1):
        _draw_panel(figure.add_subplot(down, across, number), comparison, points, looks, 44 if across > 1 else 66)
    titled(figure, "Accuracy against throughput")
    handles = [Line2D([], [], linestyle="none", markersize=8, **look) for look in looks.values()]
    remarks = _remarks([column for _, points in shown for column, _, _ in points])
    handles += [Line2D([], [], color="#666666", linestyle=style) for style in remarks.values()]
    figure.legend(handles, [*names, *remarks], loc="outside lower center", ncols=legend_columns, frameon=False)
    return figure


def _sorted_ms(column: Column) -> list[float]:
    latency = column.record.latency
    return [] if latency is None else sorted(time / 1e6 for time in latency.times_ns)


def _draw_intervals(axes: Axes, column: Column, color: str) -> None:
    """Bars at the percentiles, from end to end of their intervals."""
    for name, percent in PERCENTS.items():
        if name in column.first_process.bounds:
            axes.hlines(percent / 100, *column.first_process.bounds[name], color=color, linewidth=3, alpha=0.4)


def _legend_inches(labels: Sequence[str], across: int) -> float:
    return math.ceil(len(labels) / across) * (0.07 + 0.15 * max(len(label.splitlines()) for label in labels))


def _marked(count: int, number: int) -> tuple[int, int]:
    """Some ten marks on a line, at other places than its neighbour's."""
    step = max(1, count // 10)
    return (number * step // 5) % step, step


def _label_distribution(axes: Axes, timed: Sequence[tuple[Column, Sequence[float]]]) -> None:
    logarithmic_where_it_is_wide(axes, "x", [time for _, times in timed for time in (times[0], times[-1])])
    axes.set_xlabel("latency of one batch (ms)")
    axes.set_ylabel("share of batches that took at most so long")
    axes.set_ylim(0, 1.02)
    axes.grid()


def _points(comparison: Comparison) -> list[tuple[Column, float, float]]:
    """The cases that have both figures: throughput, accuracy."""
    found = []
    for column in comparison.columns:
        values = column.summary.values
        name = _accuracy_name(column)
        speed = values.get(_speed_name(column))
        if name and speed is not None:
            found.append((column, speed, values[name]))
    return found


def _speed_name(column: Column) -> str:
    return "throughput_fps" if "throughput_fps" in column.summary.values else "avg_throughput_fps"


def _remarks(columns: Sequence[Column]) -> dict[str, Any]:
    """What the picture's lines and marks beside the points are, with the style of the line."""
    intervals = {name for column in columns for name in column.summary.bounds}
    timed = [interval_text(columns)] if intervals & {_speed_name(column) for column in columns} else []
    judged = ["of accuracy: over the images"] if intervals & {_accuracy_name(column) for column in columns} else []
    doubtful = any(_is_doubtful(column) for column in columns)
    return {**dict.fromkeys([*timed, *judged], "-"), **({f"{DOUBT} not valid": "none"} if doubtful else {})}


def _is_doubtful(column: Column) -> bool:
    return bool(column.doubtful & {_speed_name(column), _accuracy_name(column)})


def _accuracy_name(column: Column) -> str:
    return next((name for name in ACCURACY_METRICS if name in column.summary.values), "")


def _draw_panel(
    axes: Axes,
    comparison: Comparison,
    points: Sequence[tuple[Column, float, float]],
    looks: dict[str, dict[str, Any]],
    width: int,
) -> None:
    for column, speed, accuracy in points:
        bounds, look = column.summary.bounds, {"color": looks[column.label]["color"], "linewidth": 1.2}
        axes.hlines(accuracy, *bounds.get(_speed_name(column), (speed, speed)), **look)
        axes.vlines(speed, *bounds.get(_accuracy_name(column), (accuracy, accuracy)), **look)
        axes.plot([speed], [accuracy], linestyle="none", markersize=8, **looks[column.label])
        if _is_doubtful(column):
            axes.annotate(DOUBT, (speed, accuracy), xytext=(6, 4), textcoords="offset points")
    axes.set_title(wrap(comparison.title, width), fontsize=9)
    in_flight = all("throughput_fps" in column.summary.values for column, _, _ in points)
    axes.set_xlabel("images/s, several batches in flight" if in_flight else "images/s")
    axes.set_ylabel(AXIS_NAMES[_accuracy_name(points[0][0])])
    fastest = max(speed for _, speed, _ in points)
    ends = [column.summary.bounds.get(_speed_name(column), (speed, speed))[1] for column, speed, _ in points]
    axes.set_xlim(0, 1.12 * max(fastest, min(max(ends), LONGEST_WHISKER * fastest)))
    reach = [column.summary.bounds.get(_accuracy_name(column), (a, a)) for column, _, a in points]
    lowest, highest = min(low for low, _ in reach), max(high for _, high in reach)
    margin = max(0.15 * (highest - lowest), 0.005)
    axes.set_ylim(lowest - margin, highest + margin)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid()
