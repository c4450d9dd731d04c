"""What tests of the second measurement share."""

from __future__ import annotations

from collections.abc import Callable

from bench.case import Case
from bench.compare.comparison import Comparison, Row
from bench.record import Record

METRIC = "median_latency_ms"
Second = Callable[[Case], Record]  # what measuring a case again gives
Gate = Callable[..., Comparison]  # the baseline's records, the run's, Second; keys of compare_config


def row(comparison: Comparison, metric: str = METRIC) -> Row:
    (found,) = (each for each in comparison.rows if each.metric == metric)
    return found
