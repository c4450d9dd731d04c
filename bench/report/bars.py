"""Bars of one statistic: a bar per case, a heading per comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.comparison import Column, Comparison
from bench.report.grid import NO_VALUE, difference, significant
from bench.report.marks import fill, hatch, wrap
from bench.statistics import ACCURACY_METRICS

LABEL_WIDTH = 34
LINE_INCHES = 0.17


@dataclass(frozen=True)
class Bars:
    """What a picture of bars shows: a bar's length, and a second figure as a mark on it."""

    title: str
    axis: str
    length: Callable[[Column], float | None]
    mark: Callable[[Column], float | None] = lambda column: None
    mark_text: str = ""
    mark_symbol: str = ""
    remark: Callable[[Column, Comparison], str] = lambda column, comparison: ""
    only_measured: bool = False


def _value(name: str) -> Callable[[Column], float | None]:
    return lambda column: column.summary.values.get(name)


def _accuracy(column: Column) -> float | None:
    values = column.summary.values
    return next((values[name] for name in ACCURACY_METRICS if name in values), None)


def _to_native(column: Column, comparison: Comparison) -> str:
    mine = _accuracy(column)
    native = next((_accuracy(other) for other in comparison.columns if other.record is comparison.native), None)
    if mine is None or native is None or column.record is comparison.native:
        return ""
    return f" ({difference(mine - native)})"


LATENCY = Bars(
    "Latency of one batch",
    "mean latency (ms), less is better",
    _value("avg_latency_ms"),
    _value("p90_latency_ms"),
    "90th percentile (second figure)",
    "|",
)
THROUGHPUT = Bars(
    "Throughput",
    "images/s, one batch at a time, more is better",
    _value("avg_throughput_fps"),
    _value("throughput_fps"),
    "with several batches in flight (second figure)",
    "D",
)
ACCURACY = Bars(
    "Accuracy",
    "COCO mAP at IoU 0.50:0.95, or top-1; in brackets the difference to native",
    _accuracy,
    remark=_to_native,
    only_measured=True,
)


@dataclass(frozen=True)
class _Place:
    """Where one line of the picture goes: a heading, or a case's bar."""

    y: float
    text: str
    comparison: Comparison
    column: Column | None = None


def draw_bars(comparisons: Sequence[Comparison], bars: Bars) -> Figure | None:
    """A bar per case, longest names and all; None where no case has the statistic."""
    shown = [c for c in comparisons if not bars.only_measured or any(bars.length(x) is not None for x in c.columns)]
    if not any(bars.length(column) is not None for comparison in shown for column in comparison.columns):
        return None
    places = list(_places(shown))
    bottom = places[-1].y + 0.5 * _height(places[-1].text)
    figure = Figure(figsize=(7.5, 1.5 + LINE_INCHES * bottom), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, places, bars)
    axes.set_ylim(bottom + 0.5, -0.5)
    title = bars.title if len(shown) > 1 else f"{bars.title}: {shown[0].title}"
    figure.suptitle(wrap(title, 80), fontsize=11)
    return figure


def _places(comparisons: Sequence[Comparison]) -> Iterator[_Place]:
    y = 0.0
    for comparison in comparisons:
        if len(comparisons) > 1:
            heading = wrap(comparison.title, 90)
            y += 0.5 * _height(heading)
            yield _Place(y, heading, comparison)
            y += 0.5 * _height(heading)
        for column in comparison.columns:
            label = wrap(column.label, LABEL_WIDTH)
            y += 0.5 * _height(label)
            yield _Place(y, label, comparison, column)
            y += 0.5 * _height(label)


def _height(text: str) -> float:
    return 0.8 + len(text.splitlines())


def _draw(axes: Axes, places: Sequence[_Place], bars: Bars) -> None:
    cases = [(place, place.column) for place in places if place.column is not None]
    lengths = [bars.length(column) or 0 for _, column in cases]
    span = max(*lengths, *(bars.mark(column) or 0 for _, column in cases), 1e-12)
    for place, column in cases:
        _draw_case(axes, place, column, bars, span)
    for place in places:
        if place.column is None:
            axes.text(0.008, place.y, place.text, transform=axes.get_yaxis_transform(), va="center", weight="bold")
    axes.set_yticks([place.y for place, _ in cases], [place.text for place, _ in cases])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.3 * span)
    axes.set_xlabel(bars.axis)
    axes.grid(axis="x")
    if any(bars.mark(column) is not None for _, column in cases):
        handle = Line2D([], [], **_mark_look(bars))
        axes.figure.legend(handles=[handle], labels=[bars.mark_text], loc="outside lower right", frameon=False)


def _draw_case(axes: Axes, place: _Place, column: Column, bars: Bars, span: float) -> None:
    length, mark = bars.length(column), bars.mark(column)
    if length is None and mark is None:
        failure = column.record.failure
        text = f"failed: {failure.kind} in {failure.phase}" if failure else "not measured"
        axes.text(0.01 * span, place.y, text, va="center", style="italic")
        return
    if length is not None:
        axes.barh(place.y, length, height=1.1, color=fill(column), hatch=hatch(column), edgecolor="#222222")
    if mark is not None:
        axes.plot([mark], [place.y], **_mark_look(bars))
    text = " / ".join(NO_VALUE if value is None else significant(value) for value in (length, mark))
    text = text.removesuffix(f" / {NO_VALUE}") + bars.remark(column, place.comparison)
    axes.text(max(length or 0, mark or 0) + 0.02 * span, place.y, text, va="center")


def _mark_look(bars: Bars) -> dict[str, Any]:
    size = 10 if bars.mark_symbol == "|" else 5
    look: dict[str, Any] = {"color": "#000000", "markerfacecolor": "white", "linestyle": "none", "clip_on": False}
    return {**look, "marker": bars.mark_symbol, "markersize": size, "markeredgewidth": 1.5}
