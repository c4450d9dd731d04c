"""Trends on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bench.history.acknowledged import Acknowledged
from bench.history.changepoints import ChangePoint
from bench.history.level import level_of
from bench.history.trend import Trend
from bench.report.figures import plain, significant
from bench.report.words import counted
from bench.statistics.metrics import METRICS

MOST_DIFFERENCES = 6


def show_trends(trends: Sequence[Trend], nights: int) -> None:
    """A line a series, and the last nights of each where they are asked for."""
    console = Console()
    unit = METRICS[trends[0].metric].unit if trends else ""
    metric = f"{trends[0].metric}{f', {unit}' if unit else ''}" if trends else ""
    values = (Column(name, no_wrap=True, justify="right") for name in ("last", "usual", "change", "spread"))
    table = Table(Column("series", overflow="fold"), *values, title=metric, title_justify="left", box=box.SIMPLE_HEAD)
    for trend in trends:
        table.add_row(*(Text(plain(cell)) for cell in _line(trend)))
    console.print(table)
    for trend in trends if nights else ():
        console.print(f"{trend.series.name} {trend.series.id}", markup=False, highlight=False)
        for night, value in list(zip(trend.nights, trend.values, strict=True))[-nights:]:
            console.print(f"  {night.run}  {significant(value)}", markup=False, highlight=False, soft_wrap=True)


def _line(trend: Trend) -> tuple[str, ...]:
    series, found = trend.series, level_of(trend)
    more = f", {trend.left_out} left out" if trend.left_out else ""
    more += ", random weights" if series.random_weights else ""
    return (
        f"{series.name}\n  {series.id}, {series.suite}, {counted(len(trend.nights), 'night')}{more}",
        significant(found.last),
        "" if found.usual is None else significant(found.usual),
        "" if found.change is None else f"{100 * found.change:+.2f} %",
        "" if found.spread is None else f"{100 * found.spread:.2f} %",
    )


def show_changes(trends: Sequence[Trend], known: Sequence[Acknowledged]) -> int:
    """Every change of every series, the last first; gives how many for the worse nobody has acknowledged."""
    console, open_ones = Console(), 0
    found = [(trend, point) for trend in trends for point in trend.changes.points]
    for trend, point in sorted(found, key=lambda pair: pair[0].nights[pair[1].index].started, reverse=True):
        accepted = trend.acknowledged(point, known)
        open_ones += trend.is_worse(point) and accepted is None
        for line in _told(trend, point, accepted):
            console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
    for trend in trends:
        for index in trend.changes.outliers:
            line = f"outlier: {trend.series.name}: {significant(trend.values[index])} in {trend.nights[index].run}"
            console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(found)} changes in {len(trends)} series; {open_ones} for the worse are not acknowledged")
    return open_ones


def _told(trend: Trend, point: ChangePoint, accepted: Acknowledged | None) -> list[str]:
    unit = METRICS[trend.metric].unit
    word = trend.word(point)
    levels = f"{significant(point.before)} -> {significant(point.after)} {unit}".rstrip()
    tentative = ", tentative: few nights since" if point.tentative else ""
    lines = [
        f"{100 * point.change:+.1f} % ({word}){tentative}  {trend.series.name}  {trend.series.id}",
        f"    {trend.metric} {levels}, chance {point.chance:.2g}",
        f"    first night {trend.nights[point.index].run}, the one before {trend.nights[point.index - 1].run}",
    ]
    differing = [f"{name} {old} -> {new}" for name, old, new in trend.sides(point)]
    more = f" and {len(differing) - MOST_DIFFERENCES} more" if len(differing) > MOST_DIFFERENCES else ""
    lines.append(f"    differs: {', '.join(differing[:MOST_DIFFERENCES]) or 'nothing that is recorded'}{more}")
    if accepted is not None:
        lines.append(f"    acknowledged{f' by {accepted.by}' if accepted.by else ''}: {accepted.reason}")
    return lines
