"""Throughput against latency over the batch sizes of one model: what a larger batch gains, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from bench.report.comparison import Column, Comparison
from bench.report.filenames import files
from bench.report.grid import DOUBT
from bench.report.labels import case_label
from bench.report.marks import (
    DASHES,
    LONGEST_WHISKER,
    NOT_VALID,
    interval_text,
    logarithmic_where_it_is_wide,
    marks,
    titled,
)

LATENCY, IN_FLIGHT, ALONE = "median_latency_ms", "throughput_fps", "avg_throughput_fps"
CORNERS = ((6, -12), (-6, 6))  # points right below or left above, in turn: lines rise from left to right
OUTLINE = (withStroke(linewidth=2.5, foreground="white"),)


class Point(NamedTuple):
    """A case of one batch size."""

    batch_size: int
    column: Column


class Group(NamedTuple):
    """One model and its data: a line for each mode, a point for each batch size."""

    title: str
    lines: dict[str, list[Point]]


def batch_size_drawings(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, Callable[[], Figure | None]]]:
    """A picture for every model and dataset that was measured at several batch sizes."""
    groups = list(_groups(comparisons))
    for name, group in zip(files([group.title for group in groups], "throughput-latency"), groups, strict=True):
        yield name, partial(_draw, group)


def _groups(comparisons: Sequence[Comparison]) -> Iterator[Group]:
    found: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in comparisons:
        found.setdefault((comparison.model, comparison.dataset), []).append(comparison)
    for (model, dataset), those in found.items():
        lines = {label: points for label, points in _lines(those).items() if len({p.batch_size for p in points}) > 1}
        if lines:
            yield Group(f"{model}, {dataset}", lines)


def _lines(comparisons: Sequence[Comparison]) -> dict[str, list[Point]]:
    """Cases of one mode, the smallest batch first; of one way of measuring, and with the settings in one order."""
    several = len({version for comparison in comparisons for version in comparison.methodologies}) > 1
    lines: dict[str, list[Point]] = {}
    for comparison in comparisons:
        seen: list[str] = []
        for column in comparison.columns:
            label = case_label(column.record)
            label += f", methodology {column.record.methodology_version}" if several else ""
            seen.append(label)
            label += f" ({seen.count(label)})" if seen.count(label) > 1 else ""
            if LATENCY in column.summary.values and ALONE in column.summary.values:
                lines.setdefault(label, []).append(Point(comparison.batch_size, column))
    return {label: sorted(points, key=lambda point: point.batch_size) for label, points in lines.items()}


def _draw(group: Group) -> Figure:
    columns = [point.column for points in group.lines.values() for point in points]
    speed = IN_FLIGHT if all(IN_FLIGHT in column.summary.values for column in columns) else ALONE
    figure = Figure(figsize=(7.5, 4.2 + 0.2 * math.ceil(len(group.lines) / 2)), layout="constrained")
    axes, looks = figure.add_subplot(), marks(group.lines)
    limits = {name: LONGEST_WHISKER * max(c.summary.values[name] for c in columns) for name in (LATENCY, speed)}
    for number, (label, points) in enumerate(group.lines.items()):
        places = [(p.column.summary.values[LATENCY], p.column.summary.values[speed]) for p in points]
        axes.plot(*zip(*places, strict=True), linestyle=DASHES[number % len(DASHES)], label=label, **looks[label])
        for point in points:
            _draw_whiskers(axes, point.column, limits, looks[label]["color"])
            _draw_size(axes, point, speed, CORNERS[number % len(CORNERS)], looks[label]["color"])
    _label(axes, columns, speed)
    titled(figure, "Throughput against latency; numbers are batch sizes", group.title)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, handlelength=4)
    return figure


def _draw_whiskers(axes: Axes, column: Column, limits: dict[str, float], color: str) -> None:
    """Both intervals of a point, as far as the picture goes."""
    (latency, speed), values, bounds = limits, column.summary.values, column.summary.bounds
    if latency in bounds:
        low, high = bounds[latency]
        axes.hlines(values[speed], low, min(high, limits[latency]), color=color, linewidth=1.2)
    if speed in bounds:
        low, high = bounds[speed]
        axes.vlines(values[latency], low, min(high, limits[speed]), color=color, linewidth=1.2)


def _draw_size(axes: Axes, point: Point, speed: str, corner: tuple[int, int], color: str) -> None:
    mark = f" {DOUBT}" if point.column.doubtful & {LATENCY, speed} else ""
    place = point.column.summary.values[LATENCY], point.column.summary.values[speed]
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": color, "path_effects": OUTLINE}
    side = "left" if corner[0] > 0 else "right"
    axes.annotate(f"{point.batch_size}{mark}", place, xytext=corner, horizontalalignment=side, **look)


def _label(axes: Axes, columns: Sequence[Column], speed: str) -> None:
    logarithmic_where_it_is_wide(axes, "x", [column.summary.values[LATENCY] for column in columns])
    logarithmic_where_it_is_wide(axes, "y", [column.summary.values[speed] for column in columns])
    axes.set_xlabel("median latency of one batch (ms)")
    axes.set_ylabel("images/s, several batches in flight" if speed == IN_FLIGHT else "images/s, one batch at a time")
    axes.margins(0.08)
    axes.grid()
    if any({LATENCY, speed} & column.summary.bounds.keys() for column in columns):
        axes.plot([], [], color="#666666", linewidth=1.2, label=interval_text(columns))
    if any(column.doubtful & {LATENCY, speed} for column in columns):
        axes.plot([], [], linestyle="none", label=NOT_VALID)
