"""All cases of a run in one table, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.report.cells import figure
from bench.report.comparison import Column, Comparison
from bench.statistics.metrics import METRICS

SHOWN = (
    "median_latency_ms", "p99_latency_ms", "compute_ms", "throughput_fps", "speedup", "map", "top1", "agreement",
)  # fmt: skip


class Figure(NamedTuple):
    """A statistic as it is shown, and the number by which a table is sorted."""

    text: str
    value: str


class Line(NamedTuple):
    """A case: where the page tells more of it, and its main figures."""

    anchor: str
    label: str
    comparison: str
    state: str
    figures: tuple[Figure, ...]


class AllCases(NamedTuple):
    """The statistics that any case has, as name and unit, and a line a case."""

    head: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]


def all_cases(comparisons: Sequence[Comparison]) -> AllCases:
    """Of all cases of all comparisons, in their order."""
    columns = [column for comparison in comparisons for column in comparison.columns]
    names = [name for name in SHOWN if any(name in column.summary.values for column in columns)]
    return AllCases(
        head=tuple((name, METRICS[name].unit) for name in names),
        lines=tuple(
            Line(anchor(number, place), column.label, comparison.title, _state(column), _figures(column, names))
            for number, comparison in enumerate(comparisons, 1)
            for place, column in enumerate(comparison.columns, 1)
        ),
    )


def anchor(comparison: int, case: int) -> str:
    """The name of a case's place on the page, both counted from 1."""
    return f"case-{comparison}-{case}"


def _state(column: Column) -> str:
    if column.failed:
        return "failed"
    if column.broken:
        return "broken"
    return "not valid" if column.problems else "measured"


def _figures(column: Column, names: Sequence[str]) -> tuple[Figure, ...]:
    return tuple(_figure(column, name) for name in names)


def _figure(column: Column, name: str) -> Figure:
    value = column.summary.values.get(name)
    return Figure(figure(column, name), "" if value is None else repr(value))
