"""A comparison as one HTML page: its verdict, what changed, why, what differs besides, and what stayed as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from bench.compare.comparison import Comparison, Row
from bench.compare.table import cells, ordered, summary
from bench.report.pages import render

WIDTH, HEIGHT = 160, 20
REACHES = (0.01, 0.02, 0.05, 0.1, 0.2)  # as shares: a change beyond the last is drawn at the edge, as an arrow


class Line(NamedTuple):
    """A row of the comparison as the page shows it; the numbers are those by which a table is sorted."""

    row: Row
    cells: tuple[str, ...]
    numbers: tuple[float | None, ...]  # of baseline, now and change
    picture: Markup


def comparison_page(comparison: Comparison) -> str:
    """The page of a comparison."""
    rows = ordered(comparison)
    reach = _reach(rows)
    lines = [Line(row, cells(row), (row.old, row.new, row.change), picture(row, reach)) for row in rows]
    kinds = sorted({row.interval_of for row in rows if row.interval is not None})
    return render(
        "comparison.html.j2",
        title=f"{comparison.candidate} against {comparison.baseline}",
        comparison=comparison,
        summary=summary(comparison),
        changed=[line for line in lines if line.row.outcome != "passed"],
        same=[line for line in lines if line.row.outcome == "passed"],
        reach=reach,
        intervals="; ".join(kinds),
    )


def picture(row: Row, reach: float) -> Markup:
    """A change and its interval as a dot and a line over a scale from -`reach` to +`reach`; nothing without one."""
    if row.change is None:
        return Markup("")
    low, high = row.interval or (row.change, row.change)
    middle, y = WIDTH / 2, HEIGHT / 2
    x, left, right = (_place(value, reach) for value in (row.change, low, high))
    mark = f"M{x:.1f} {y}h0" if abs(row.change) <= reach else _arrow(x, y, row.change)
    name = "nights" if abs(row.change) <= reach else "outliers"
    return Markup(
        '<svg viewBox="0 0 {} {}" aria-hidden="true"><path class="zero" d="M{} 0V{}"/>'
        '<path class="levels" d="M{} {}H{}"/><path class="{}" d="{}"/></svg>'
    ).format(WIDTH, HEIGHT, middle, HEIGHT, f"{left:.1f}", y, f"{right:.1f}", name, mark)


def _reach(rows: Sequence[Row]) -> float:
    """Of the scale that all rows share."""
    ends = [abs(end) for row in rows if row.change is not None for end in (row.change, *(row.interval or ()))]
    return next((reach for reach in REACHES if reach >= max(ends, default=0.0)), REACHES[-1])


def _place(value: float, reach: float) -> float:
    share = min(max(value / reach, -1.0), 1.0)
    return WIDTH / 2 + share * (WIDTH / 2 - 6)


def _arrow(x: float, y: float, change: float) -> str:
    step = 5 if change > 0 else -5
    return f"M{x - step:.1f} {y - 5:.1f}l{step} 5l{-step} 5"
