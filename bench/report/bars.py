"""Bars of one statistic: a bar per case, a heading per comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.comparison import Column, Comparison
from bench.report.figures import difference, significant
from bench.report.grid import NO_VALUE
from bench.report.marks import LONGEST_WHISKER, NOT_VALID, fill, hatch, interval_text, label_of, titled, wrap
from bench.statistics.metrics import ACCURACY_METRICS
from bench.telemetry import Energy

LABEL_WIDTH = 34
LINE_INCHES = 0.17
FAR_APART = 8  # times the figures of another comparison: on one scale the bars of that are hard to see
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
    margins: Callable[[Column], list[tuple[float, float]]] | None = None  # what is drawn in place of these
    margin_text: str = ""  # what whiskers are; none: intervals of what was timed
    of: tuple[str, ...] = ()  # the statistics that it depends on


def _value(name: str) -> Callable[[Column], float | None]:
    return lambda column: column.summary.values.get(name)


def _intervals(column: Column, bars: Bars) -> list[tuple[float, float]]:
    if bars.margins is not None:
        return bars.margins(column)
    return [column.summary.bounds[name] for name in bars.bounded if name in column.summary.bounds]


def _accuracy(column: Column) -> float | None:
    values = column.summary.values
    return next((values[name] for name in ACCURACY_METRICS if name in values), None)


def _to_native(column: Column, comparison: Comparison) -> str:
    mine = _accuracy(column)
    native = next((_accuracy(other) for other in comparison.columns if other.record is column.native), None)
    if mine is None or native is None or column.record is column.native:
        return ""
    return f" ({difference(mine - native)})"


def _energies(column: Column) -> dict[str, Energy]:
    """By loop, where it is known."""
    telemetry = column.record.telemetry
    found = telemetry.energy if telemetry is not None else ()
    return {energy.loop: energy for energy in found if energy.joules_per_image is not None}


def _joules(loop: str) -> Callable[[Column], float | None]:
    return lambda column: _energies(column)[loop].joules_per_image if loop in _energies(column) else None


def _energy_margins(column: Column) -> list[tuple[float, float]]:
    """One update of the energy counter more or less."""
    known = [_energies(column).get(loop) for loop in ("latency", "throughput")]
    return [
        (e.joules_per_image * (1 - (e.error_share or 0)), e.joules_per_image * (1 + (e.error_share or 0)))
        for e in known
        if e is not None and e.joules_per_image is not None
    ]


def _without_idle(column: Column, comparison: Comparison) -> str:
    energies = _energies(column)
    net = [energies[loop].net_joules_per_image for loop in ("latency", "throughput") if loop in energies]
    known = " / ".join(significant(value, 3) for value in net if value is not None)
    return f" ({known})" if known else ""


LATENCY = Bars(
    "Latency of one batch",
    "mean latency (ms), less is better",
    _value("avg_latency_ms"),
    _value("p90_latency_ms"),
    "90th percentile (second figure)",
    "|",
    bounded=("avg_latency_ms", "p90_latency_ms"),
    of=("avg_latency_ms", "p90_latency_ms"),
)
THROUGHPUT = Bars(
    "Throughput",
    "images/s, one batch at a time, more is better",
    _value("avg_throughput_fps"),
    _value("throughput_fps"),
    "with several batches in flight (second figure)",
    "D",
    bounded=("avg_throughput_fps", "throughput_fps"),
    of=("avg_throughput_fps", "throughput_fps"),
)
ACCURACY = Bars(
    "Accuracy",
    "COCO mAP at IoU 0.50:0.95, or top-1; in brackets the difference to native",
    _accuracy,
    remark=_to_native,
    only_measured=True,
    bounded=ACCURACY_METRICS,
    margin_text="95 % interval over the images",
    of=ACCURACY_METRICS,
)
ENERGY = Bars(
    "Energy for an image",
    "J of the whole GPU, less is better; in brackets without the idle GPU's",
    _joules("latency"),
    _joules("throughput"),
    "with several batches in flight (second figure)",
    "D",
    remark=_without_idle,
    only_measured=True,
    margins=_energy_margins,
    margin_text="one update of the energy counter more or less",
    of=("avg_throughput_fps", "throughput_fps"),
)


@dataclass(frozen=True)
class _Place:
    """Where one line of the picture goes: a heading, or a case's bar, drawn in parts of so many units."""

    y: float
    text: str
    comparison: Comparison
    column: Column | None = None
    unit: float = 1


def draw_bars(comparisons: Sequence[Comparison], bars: Bars) -> Figure | None:
    """A bar per case, longest names and all; None where no case has the statistic."""
    shown = [c for c in comparisons if not bars.only_measured or any(_is_known(column, bars) for column in c.columns)]
    if not any(_is_known(column, bars) for comparison in shown for column in comparison.columns):
        return None
    places = list(_places(shown, bars))
    bottom = places[-1].y + 0.5 * _height(places[-1].text)
    figure = Figure(figsize=(7.5, 1.5 + LINE_INCHES * bottom), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, places, bars)
    axes.set_ylim(bottom + 0.5, -0.5)
    titled(figure, bars.title, shown[0].title if len(shown) == 1 else "")
    return figure


def _is_known(column: Column, bars: Bars) -> bool:
    return bars.length(column) is not None or bars.mark(column) is not None


def _places(comparisons: Sequence[Comparison], bars: Bars) -> Iterator[_Place]:
    y = 0.0
    for comparison, unit in zip(comparisons, _units(comparisons, bars), strict=True):
        if len(comparisons) > 1:
            heading = wrap(comparison.title, 90)
            y += 0.5 * _height(heading)
            yield _Place(y, heading, comparison)
            y += 0.5 * _height(heading)
        for column in comparison.columns:
            label = wrap(label_of(column, bars.of), LABEL_WIDTH)
            y += 0.5 * _height(label)
            yield _Place(y, label, comparison, column, unit)
            y += 0.5 * _height(label)


def _units(comparisons: Sequence[Comparison], bars: Bars) -> list[float]:
    """1 for each, or its largest figure, so that its bars are seen beside those of far larger ones."""
    largest = [max(0, *(max(_figures(column, bars)) for column in each.columns)) for each in comparisons]
    known = [value for value in largest if value > 0]
    if not known or max(known) <= FAR_APART * min(known):
        return [1.0] * len(largest)
    return [value or 1.0 for value in largest]


def _figures(column: Column, bars: Bars) -> tuple[float, float]:
    return bars.length(column) or 0, bars.mark(column) or 0


def _height(text: str) -> float:
    return 0.8 + len(text.splitlines())


def _draw(axes: Axes, places: Sequence[_Place], bars: Bars) -> None:
    cases = [(place, place.column) for place in places if place.column is not None]
    limit = LONGEST_WHISKER * max(1e-12, *(max(_figures(column, bars)) / place.unit for place, column in cases))
    span = max(1e-12 * limit, *(_end(place, column, bars, limit) for place, column in cases))
    for place, column in cases:
        _draw_case(axes, place, column, bars, span, limit)
    for place in places:
        if place.column is None:
            axes.text(0.008, place.y, place.text, transform=axes.get_yaxis_transform(), va="center", weight="bold")
    axes.set_yticks([place.y for place, _ in cases], [place.text for place, _ in cases])
    axes.tick_params(axis="y", length=0, pad=7)
    longest = max(len(_text(column, place.comparison, bars)) for place, column in cases)
    axes.set_xlim(0, max(1.3, 1.06 + 0.014 * longest) * span)
    if all(place.unit == 1 for place in places):
        axes.set_xlabel(bars.axis)
        axes.grid(axis="x")
    else:
        axes.set_xlabel(f"{bars.axis}\n(the bars under each heading to a scale of their own)")
        axes.set_xticks([])
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
        style = "--" if column.doubtful & set(bars.of) or column.broken else "-"
        look: dict[str, Any] = {
            "color": fill(column),
            "hatch": hatch(column),
            "edgecolor": "#222222",
            "linestyle": style,
        }
        axes.barh(place.y, length / place.unit, height=1.1, alpha=1.0 if style == "-" else 0.45, **look)
    for low, high in _bounds(place, column, bars):
        axes.hlines(place.y, low, min(high, limit), **_WHISKER)
        axes.vlines([end for end in (low, high) if end <= limit], place.y - 0.25, place.y + 0.25, **_WHISKER)
    if mark is not None:
        axes.plot([mark / place.unit], [place.y], **_mark_look(bars))
    text = _text(column, place.comparison, bars)
    axes.text(_end(place, column, bars, limit) + 0.02 * span, place.y, text, va="center")


def _bounds(place: _Place, column: Column, bars: Bars) -> list[tuple[float, float]]:
    return [(low / place.unit, high / place.unit) for low, high in _intervals(column, bars)]


def _text(column: Column, comparison: Comparison, bars: Bars) -> str:
    figures = (bars.length(column), bars.mark(column))
    text = " / ".join(NO_VALUE if value is None else significant(value) for value in figures)
    return text.removesuffix(f" / {NO_VALUE}") + bars.remark(column, comparison)


def _end(place: _Place, column: Column, bars: Bars, limit: float) -> float:
    """Where all that is drawn for a case ends; a whisker that is cut off at the limit has no cap."""
    ends = [min(high, limit) for _, high in _bounds(place, column, bars)]
    return max(max(_figures(column, bars)) / place.unit, *ends, 0)


def _handles(columns: Sequence[Column], bars: Bars) -> Iterator[Line2D]:
    if any(_intervals(column, bars) for column in columns):
        look: dict[str, Any] = {"color": _WHISKER["colors"], "linewidth": _WHISKER["linewidth"]}
        yield Line2D([], [], label=bars.margin_text or interval_text(columns), **look)
    if any(bars.mark(column) is not None for column in columns):
        yield Line2D([], [], label=bars.mark_text, **_mark_look(bars))
    if any(column.doubtful & set(bars.of) for column in columns):
        yield Line2D([], [], linestyle="none", label=NOT_VALID)


def _mark_look(bars: Bars) -> dict[str, Any]:
    size = 10 if bars.mark_symbol == "|" else 5
    look: dict[str, Any] = {"color": "#000000", "markerfacecolor": "white", "linestyle": "none", "clip_on": False}
    return {**look, "marker": bars.mark_symbol, "markersize": size, "markeredgewidth": 1.5}
