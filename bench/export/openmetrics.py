"""OpenMetrics text: gauges, which the node exporter's textfile collector and Prometheus's own parser read too.

A statistic is a sample only where it is valid; `bench_statistic_valid` and `bench_case_status` say so of all others,
so that an alert on them sees what a dashboard's missing line does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bench.compare.comparison import ORDER, Comparison
from bench.export.run import STATUSES, ExportedCase, ExportedRun, Figure
from bench.report.figures import plain
from bench.verdict import EXIT_CODES

Labels = Mapping[str, str]
PREFIX = "bench"
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")


@dataclass
class Family:
    """One metric: its help and its samples."""

    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)


def openmetrics(run: ExportedRun) -> str:
    """All families, each with its samples together."""
    families: dict[str, Family] = {}
    for name, text, labels, value in (*_run(run), *_cases(run), *_comparison(run)):
        families.setdefault(_name(name), Family(text)).samples.append(({"suite": run.suite, **labels}, value))
    return "".join(f"{line}\n" for name, family in families.items() for line in _lines(name, family)) + "# EOF\n"


Sample = tuple[str, str, Labels, float]  # name, help, labels, value


def _run(run: ExportedRun) -> Iterator[Sample]:
    environment = run.environment
    versions = {} if environment is None else {"host": environment.hostname, "driver": environment.driver or ""}
    yield "run_info", "The run, as labels of a 1.", {"run": run.name, "commit": run.commit, **versions}, 1
    yield "run_started_seconds", "When the run began, in seconds since 1970 UTC.", {}, run.started.timestamp()
    for verdict in EXIT_CODES:
        yield "run_verdict", "1 for the run's verdict, 0 for others.", {"verdict": verdict}, verdict == run.verdict
    for status in STATUSES:
        count = sum(case.status == status for case in run.cases)
        yield "cases", "Cases of the run by status.", {"status": status}, count


def _cases(run: ExportedRun) -> Iterator[Sample]:
    for case in run.cases:
        labels = _labels(case)
        for status in STATUSES:
            told = "1 for the case's status, 0 for others."
            yield "case_status", told, {**labels, "status": status}, status == case.status
        for figure in case.figures:
            yield from _figure(figure, labels)


def _figure(figure: Figure, labels: Labels) -> Iterator[Sample]:
    metric = figure.metric
    text = f"{metric.text}{f', in {metric.unit}' if metric.unit else ''}"
    told = "1 if a statistic of a case is valid, else 0 and no sample of it."
    yield "statistic_valid", told, {**labels, "statistic": metric.name}, figure.is_valid
    if figure.is_valid and figure.value is not None:
        yield metric.name, text, labels, figure.value
        for end, bound in zip(("low", "high"), figure.bounds or (), strict=False):
            yield f"{metric.name}_{end}", f"{end} end of the 95 % interval: {text}", labels, bound


def _comparison(run: ExportedRun) -> Iterator[Sample]:
    found = run.comparison
    if found is None:
        return
    labels = {"baseline": found.baseline}
    for outcome in ORDER:
        yield (
            "comparison_rows",
            "Rows of the comparison by outcome.",
            {**labels, "outcome": outcome},
            _count(found, outcome),
        )
    yield "comparison_vanished", "Cases that the baseline has and this run has not.", labels, len(found.vanished)
    for row in found.rows:
        which = {"case": row.case, "statistic": row.metric, "against": row.against, "gates": str(row.gates).lower()}
        if row.change is not None and row.outcome not in ("inconclusive", "broken"):
            yield "change_ratio", "Change against the baseline, as a share of its value.", which, row.change
        yield "changes", "Rows by case, statistic and outcome.", {**which, "outcome": row.outcome}, 1


def _count(comparison: Comparison, outcome: str) -> int:
    return sum(row.outcome == outcome for row in comparison.rows)


def _labels(case: ExportedCase) -> dict[str, str]:
    if case.record is None:
        return {"case": case.id}
    what = case.record.case
    return {
        "case": case.id,
        "model": what.model.name,
        "backend": what.optimization.backend,
        "precision": what.optimization.precision_mode,
        "dataset": what.dataset.name,
        "batch_size": str(what.batch_size),
    }


def _name(name: str) -> str:
    return f"{PREFIX}_{_NOT_IN_NAMES.sub('_', name)}"


def _lines(name: str, family: Family) -> Iterator[str]:
    yield f"# HELP {name} {_escaped(family.help)}"
    yield f"# TYPE {name} gauge"
    for labels, value in _distinct(family.samples):
        pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{pairs}}} {float(value)!r}"


def _distinct(samples: Iterable[tuple[Labels, float]]) -> Iterator[tuple[Labels, float]]:
    """The first of several samples with the same labels: a series has one value at a time."""
    seen = set()
    for labels, value in samples:
        if (key := tuple(labels.items())) not in seen:
            seen.add(key)
            yield labels, value


def _escaped(text: str) -> str:
    flat = " ".join(plain(text).split())
    return flat.replace("\\", "\\\\").replace('"', '\\"')
