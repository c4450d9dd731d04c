"""A run as all exports see it: every case, what its figures are worth, and what a comparison said of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from bench.compare.comparison import Comparison
from bench.history.measured import measured_run
from bench.record import Check, Environment, Record
from bench.repeats import merged, processes, variant_of
from bench.report.comparison import Column, compare_cases
from bench.report.comparison import Comparison as Group
from bench.statistics.metric import Metric
from bench.statistics.metrics import METRICS
from bench.store import load_checks, load_records, read_suite
from bench.verdict import broken_because, worst

Status = Literal["valid", "not valid", "failed", "broken"]
STATUSES: tuple[Status, ...] = ("valid", "not valid", "failed", "broken")
LEANING = "relative to a native case that is not valid"


@dataclass(frozen=True)
class Figure:
    """One statistic of a case; `doubt` says why there is no value, or why it is not to be relied on."""

    metric: Metric
    value: float | None
    bounds: tuple[float, float] | None = None
    doubt: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether it may be shown as a result."""
        return self.value is not None and not self.doubt


@dataclass(frozen=True)
class ExportedCase:
    """One variant of a run, over its processes; `record` is None of one that never ended."""

    id: str
    status: Status
    reason: str
    record: Record | None
    figures: tuple[Figure, ...] = ()

    @property
    def processes(self) -> int:
        """How many of them measured it."""
        return 0 if self.record is None else len(processes(self.record))


@dataclass(frozen=True)
class ExportedRun:
    """A run, and what it was held against, if it was."""

    path: Path
    suite: str
    name: str  # the folder's
    started: datetime
    verdict: str
    config: Mapping[str, Any]
    environment: Environment | None
    cases: tuple[ExportedCase, ...]
    checks: tuple[Check, ...]
    groups: tuple[Group, ...]
    comparison: Comparison | None

    @property
    def commit(self) -> str:
        """The git commit that was measured; empty where it is not known."""
        return (self.environment.git_commit if self.environment is not None else None) or ""


def read_export(path: Path, comparison: Comparison | None) -> ExportedRun:
    """A stored run; its verdict counts what the comparison says."""
    suite, records = read_suite(path), load_records(path)
    groups = compare_cases(merged(records), broken_because)
    lost = _lost(suite["cases"], records)
    known = list(exported_cases(groups, lost))
    return ExportedRun(
        path=path,
        suite=str(suite["name"]),
        name=path.resolve().name,
        started=min((each.started for each in records), default=None) or measured_run(path, suite, ()).started,
        verdict=worst([str(suite.get("verdict", "broken")), *(() if comparison is None else (comparison.verdict,))]),
        config=suite.get("config") or {},
        environment=next((record.environment for record in records if record.environment is not None), None),
        cases=(*known, *_never_ended(lost, known)),
        checks=load_checks(path),
        groups=groups,
        comparison=comparison,
    )


def exported_cases(groups: Iterable[Group], lost: Mapping[str, int] | None = None) -> Iterator[ExportedCase]:
    """The cases of compared records; `lost` says how many processes of each have no record."""
    return (_case(column, lost or {}) for group in groups for column in group.columns)


def _lost(cases: Sequence[str], records: Sequence[Record]) -> dict[str, int]:
    """How many processes of a variant have no record."""
    ids, lost = {record.case.id for record in records}, dict[str, int]()
    for case in cases:
        if case not in ids:
            lost[variant_of(case)] = lost.get(variant_of(case), 0) + 1
    return lost


def _never_ended(lost: Iterable[str], known: Sequence[ExportedCase]) -> Iterator[ExportedCase]:
    names = {case.id for case in known}
    why = "it has no record: the run was cut off"
    return (ExportedCase(name, "failed", why, None) for name in lost if name not in names)


def _case(column: Column, lost: Mapping[str, int]) -> ExportedCase:
    record = column.record
    status, reason = _status(column, lost.get(record.case.variant, 0))
    touched = "" if status in ("valid", "not valid") else f"{status}: {reason}"
    return ExportedCase(record.case.variant, status, reason, record, tuple(_figures(column, touched)))


def _status(column: Column, lost: int) -> tuple[Status, str]:
    failure = column.record.failure
    if failure is not None:
        return "failed", f"{failure.kind} in phase {failure.phase}: {failure.message}"
    if lost:
        return "failed", f"{lost} of its processes have no record: the run was cut off"
    if column.broken is not None:
        return "broken", column.broken
    if column.problems:
        return "not valid", "; ".join(problem.reason for problem in column.problems)
    return "valid", ""


def _figures(column: Column, touched: str) -> Iterator[Figure]:
    """Every statistic that the case has, or is said to lack; `touched` is why none of them counts."""
    summary = column.summary
    for name in (*METRICS, *sorted({*summary.values, *summary.absent} - {*METRICS})):
        metric, value = METRICS.get(name, Metric(name, "", name)), summary.values.get(name)
        if value is not None:
            yield Figure(metric, value, summary.bounds.get(name), touched or _doubt(name, column))
        elif name in summary.absent:
            yield Figure(metric, None, None, summary.absent[name])


def _doubt(name: str, column: Column) -> str:
    if name not in column.doubtful:
        return ""
    return next((each.reason for each in column.problems if name not in each.spares), LEANING)
