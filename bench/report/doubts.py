"""Which figures of a case are in doubt: those that its own problems touch, and those relative to a native case's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.record import Record
from bench.statistics.metrics import ACCURACY_METRICS, METRICS, RELATIVE
from bench.validity import Problem, judge


def difference_to_native(name: str) -> str:
    """The name of the row that holds a statistic less that of the native case."""
    return f"{name} - native"


def doubtful(problems: Sequence[Problem], record: Record, native: Record | None) -> frozenset[str]:
    """The statistics that a case's problems touch, and the relative ones that the native case's touch."""
    own, theirs = _touched(problems), _touched(judge(native, record) if native is not None else ())
    relative = theirs & RELATIVE
    differences = {difference_to_native(name) for name in ACCURACY_METRICS if name in own | theirs}
    return frozenset(own | relative | differences)


def methodologies(records: Iterable[Record]) -> tuple[int, ...]:
    """The ways of measuring of several records, in order; figures of different ones are not compared."""
    return tuple(sorted({record.methodology_version for record in records}))


def _touched(problems: Sequence[Problem]) -> set[str]:
    return {name for name in METRICS for problem in problems if name not in problem.spares}
