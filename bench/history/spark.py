"""A trend as a small picture in a page: SVG of bounded size, readable without colour.

A dot is a night, a line a level between changes, a cross an outlier, a triangle the first night of a new level (filled
where nobody has accepted it), a diamond the golden run, a tick at the foot a night on another environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from bench.history.acknowledged import Acknowledged
from bench.history.trend import Trend
from bench.report.figures import plain

WIDTH, HEIGHT = 600, 110
EDGE, TOP, FOOT = 8.0, 20.0, 12.0
MOST_POINTS = 600
MOST_TICKS = 60

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """From a night and a value to a place in the picture."""

    first: float
    last: float
    low: float
    high: float

    def x(self, moment: float) -> float:
        """Time runs to the right."""
        share = (moment - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return EDGE + share * (WIDTH - 2 * EDGE)

    def y(self, value: float) -> float:
        """Greater values stand higher; what lies beyond the scale stands at its edge."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return HEIGHT - FOOT - min(max(share, 0.0), 1.0) * (HEIGHT - TOP - FOOT)


def spark(
    trend: Trend, label: str, known: Sequence[Acknowledged], golden: float | None, ticks: Sequence[int]
) -> Markup:
    """The picture; `ticks` are nights by place whose environment was not that of the night before."""
    scale = _scale(trend, golden)
    at = [scale.x(night.started.timestamp()) for night in trend.nights]
    odd = set(trend.changes.outliers)
    dots = [(x, scale.y(value)) for i, (x, value) in enumerate(zip(at, trend.values, strict=True)) if i not in odd]
    parts = [
        *_golden(scale, golden),
        _path("nights", (f"M{x:.1f} {y:.1f}h0" for x, y in thinned(dots, MOST_POINTS))),
        _path("levels", (_level(at, scale, level) for level in trend.changes.levels)),
        _path("ticks", (f"M{at[i]:.1f} {HEIGHT}v-8" for i in ticks[-MOST_TICKS:])),
        _path("outliers", (_cross(at[i], scale.y(trend.values[i])) for i in sorted(odd))),
        *(_change(trend, number, at, known) for number in range(len(trend.changes.points))),
    ]
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, plain(label), Markup("").join(parts)
    )


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """No more than so many points: of as many stretches as half of that, the lowest and the highest."""
    if len(points) <= most:
        return list(points)
    ends = [round(number * len(points) / (most // 2)) for number in range(most // 2 + 1)]
    found: list[Point] = []
    for first, last in pairwise(ends):
        stretch = points[first:last]
        found += sorted({min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])})
    return found


def _scale(trend: Trend, golden: float | None) -> Scale:
    """Of all nights but outliers, which would flatten the rest."""
    odd = set(trend.changes.outliers)
    values = [value for index, value in enumerate(trend.values) if index not in odd]
    values += [] if golden is None else [golden]
    low, high = min(values), max(values)
    room = (high - low) * 0.05
    times = [night.started.timestamp() for night in trend.nights]
    return Scale(times[0], times[-1], low - room, high + room)


def _path(name: str, steps: Iterable[str]) -> Markup:
    drawn = "".join(steps)
    return Markup('<path class="{}" d="{}"/>').format(name, drawn) if drawn else Markup("")


def _level(at: Sequence[float], scale: Scale, level: tuple[int, int, float]) -> str:
    first, last, value = level
    return f"M{at[first]:.1f} {scale.y(value):.1f}H{at[last - 1]:.1f}"


def _cross(x: float, y: float) -> str:
    return f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"


def _golden(scale: Scale, value: float | None) -> list[Markup]:
    if value is None:
        return []
    y = scale.y(value)
    return [
        _path("golden line", [f"M0 {y:.1f}H{WIDTH}"]),
        _path("golden", [f"M{EDGE:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"]),
    ]


def _change(trend: Trend, number: int, at: Sequence[float], known: Sequence[Acknowledged]) -> Markup:
    """A triangle that points where the level went, on a line through the first night of it."""
    point = trend.changes.points[number]
    x = at[point.index]
    accepted = trend.acknowledged(point, known) is not None
    triangle = f"M{x - 6:.1f} 12l6 -10l6 10z" if point.change > 0 else f"M{x - 6:.1f} 2l6 10l6 -10z"
    name = f"change {trend.word(point)}{' accepted' if accepted else ''}"
    line = _path("at", [f"M{x:.1f} 12V{HEIGHT - FOOT:g}"])
    return Markup('<g class="{}">{}{}</g>').format(name, line, _path("mark", [triangle]))
