"""A statistic of a case in one cell, for tables that have a line or a cell for a whole case."""

from __future__ import annotations

from bench.report.comparison import Column
from bench.report.figures import significant, spread
from bench.report.grid import DOUBT, NO_VALUE
from bench.statistics.metrics import BOUNDED_ACCURACY


def figure(column: Column, name: str) -> str:
    """The value, marked where it is not valid, and how far its interval reaches: "2.251† ±4.2 %"."""
    value = column.summary.values.get(name)
    if value is None:
        return NO_VALUE
    text = f"{value:.4f}" if name in BOUNDED_ACCURACY else significant(value)
    return " ".join(filter(None, (text + _doubt(column, name), _reach(column, name, value))))


def ratio(column: Column, name: str) -> str:
    """A speed-up in the same way, "1.92x ±21 %"; empty of the native case itself, and where there is none."""
    value = column.summary.values.get(name)
    if value is None or column.native is column.record:
        return ""
    return " ".join(filter(None, (f"{significant(value, 3)}x{_doubt(column, name)}", _reach(column, name, value))))


def _doubt(column: Column, name: str) -> str:
    return DOUBT if name in column.doubtful else ""


def _reach(column: Column, name: str, value: float) -> str:
    """To the side where it reaches farther; of fractions as it is, of all others as a share."""
    bounds = column.summary.bounds.get(name)
    if bounds is None or not value:
        return ""
    if name in BOUNDED_ACCURACY:
        return f"±{max(bounds[1] - value, value - bounds[0], 0):.4f}"
    return spread(value, bounds)
