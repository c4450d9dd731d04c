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
LONGEST_WHISKER = 1.5  # times the largest figure: an interval that knows no upper end does not flatten the bars
_WHISKER: dict[str, Any] = {"colors": "#a11717", "linewidth": 1.6}


@dataclass(frozen=True)
class Bars:
    """What a picture of bars shows: a bar's length, a second figure as a mark on it, and whiskers on either."""

    title: str
    axis: str
    length: Callable[[Column], float | None]
    mark: Callable[[Column], float | None] = lambda column: None
    mark_text: str = ""
    mark_symbol: str = ""
    remark: Callable[[Column, Comparison], str] = lambda column, comparison: ""
    only_measured: bool = False
    bounded: tuple[str, ...] = ()  # the statistics whose intervals are drawn


def _value(name: str) -> Callable[[Column], float | None]:
    return lambda column: column.summary.values.get(name)


def _bounds(column: Column, bars: Bars) -> list[tuple[float, float]]:
    return [column.summary.bounds[name] for name in bars.bounded if name in column.summary.bounds]


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
    bounded=("avg_latency_ms", "p90_latency_ms"),
)
THROUGHPUT = Bars(
    "Throughput",
    "images/s, one batch at a time, more is better",
    _value("avg_throughput_fps"),
    _value("throughput_fps"),
    "with several batches in flight (second figure)",
    "D",
    bounded=("avg_throughput_fps", "throughput_fps"),
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
    figures = (figure(column) or 0 for _, column in cases for figure in (bars.length, bars.mark))
    limit = LONGEST_WHISKER * max(*figures, 1e-12)
    span = max(*(_end(column, bars, limit) for _, column in cases), 1e-12 * limit)
    for place, column in cases:
        _draw_case(axes, place, column, bars, span, limit)
    for place in places:
        if place.column is None:
            axes.text(0.008, place.y, place.text, transform=axes.get_yaxis_transform(), va="center", weight="bold")
    axes.set_yticks([place.y for place, _ in cases], [place.text for place, _ in cases])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.3 * span)
    axes.set_xlabel(bars.axis)
    axes.grid(axis="x")
    handles = list(_handles([column for _, column in cases], bars))
    if handles:
        axes.figure.legend(handles=handles, loc="outside lower right", frameon=False, ncols=2)


def _draw_case(axes: Axes, place: _Place, column: Column, bars: Bars, span: float, limit: float) -> None:
    length, mark = bars.length(column), bars.mark(column)
    if length is None and mark is None:
        failure = column.record.failure
        text = f"failed: {failure.kind} in {failure.phase}" if failure else "not measured"
        axes.text(0.01 * span, place.y, text, va="center", style="italic")
        return
    if length is not None:
        axes.barh(place.y, length, height=1.1, color=fill(column), hatch=hatch(column), edgecolor="#222222")
    for low, high in _bounds(column, bars):
        axes.hlines(place.y, low, min(high, limit), **_WHISKER)
        axes.vlines([end for end in (low, high) if end <= limit], place.y - 0.25, place.y + 0.25, **_WHISKER)
    if mark is not None:
        axes.plot([mark], [place.y], **_mark_look(bars))
    text = " / ".join(NO_VALUE if value is None else significant(value) for value in (length, mark))
    text = text.removesuffix(f" / {NO_VALUE}") + bars.remark(column, place.comparison)
    axes.text(_end(column, bars, limit) + 0.02 * span, place.y, text, va="center")


def _end(column: Column, bars: Bars, limit: float) -> float:
    """Where all that is drawn for a case ends; a whisker that is cut off at the limit has no cap."""
    ends = [min(high, limit) for _, high in _bounds(column, bars)]
    return max(bars.length(column) or 0, bars.mark(column) or 0, *ends)


def _handles(columns: Sequence[Column], bars: Bars) -> Iterator[Line2D]:
    if any(_bounds(column, bars) for column in columns):
        look = {"color": _WHISKER["colors"], "linewidth": _WHISKER["linewidth"]}
        yield Line2D([], [], label="95 % interval within this run", **look)
    if any(bars.mark(column) is not None for column in columns):
        yield Line2D([], [], label=bars.mark_text, **_mark_look(bars))


def _mark_look(bars: Bars) -> dict[str, Any]:
    size = 10 if bars.mark_symbol == "|" else 5
    look: dict[str, Any] = {"color": "#000000", "markerfacecolor": "white", "linestyle": "none", "clip_on": False}
    return {**look, "marker": bars.mark_symbol, "markersize": size, "markeredgewidth": 1.5}
