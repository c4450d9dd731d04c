"""JSON of github-action-benchmark: its tools `customSmallerIsBetter` and `customBiggerIsBetter`, a file each.

The action compares a value with the one before by name, and skips a name that is not there. What is not valid is left
out, and counted in an entry of its own: 0 where all is well, so that any other value raises the action's alert.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from bench.compare.rules import DEFAULTS
from bench.export.run import ExportedCase, ExportedRun, Figure
from bench.report.figures import plain, significant

INVALID, VALID = "cases without a valid result", "cases with a valid result"


def smaller_is_better(run: ExportedRun) -> str:
    """For `tool: customSmallerIsBetter`: times, sizes, fallbacks."""
    return _document(run, False, _entry(run, INVALID, len(run.cases) - _valid(run), "cases", _left_out(run)))


def bigger_is_better(run: ExportedRun) -> str:
    """For `tool: customBiggerIsBetter`: rates, accuracy, shares. Fewer cases with a result are worse."""
    return _document(run, True, _entry(run, VALID, _valid(run), "cases", _left_out(run)))


def _document(run: ExportedRun, higher_is_better: bool, first: dict[str, object]) -> str:
    names = {*DEFAULTS, *(run.config.get("compare_config") or {}).get("rules", {})}
    figures = [
        _figure(run, case, figure)
        for case in run.cases
        for figure in case.figures
        if figure.is_valid and figure.metric.name in names and figure.metric.higher_is_better is higher_is_better
    ]
    return json.dumps([first, *figures], indent=1, ensure_ascii=False) + "\n"


def _figure(run: ExportedRun, case: ExportedCase, figure: Figure) -> dict[str, object]:
    value = figure.value or 0.0
    entry = _entry(run, f"{case.id}: {figure.metric.name}", value, figure.metric.unit, [f"verdict: {run.verdict}"])
    if figure.bounds is not None:
        half = max(figure.bounds[1] - value, value - figure.bounds[0], 0.0)
        entry["range"] = f"± {significant(half)}"
    return entry


def _entry(run: ExportedRun, name: str, value: float, unit: str, extra: list[str]) -> dict[str, object]:
    lines = [f"run: {run.name}", *([f"commit: {run.commit}"] if run.commit else []), *extra]
    return {"name": plain(f"{run.suite}: {name}"), "unit": unit, "value": value, "extra": plain("\n".join(lines))}


def _left_out(run: ExportedRun) -> list[str]:
    return [f"verdict: {run.verdict}", *_reasons(run)]


def _reasons(run: ExportedRun) -> Iterator[str]:
    return (f"{case.id}: {case.status}: {case.reason}" for case in run.cases if case.status != "valid")


def _valid(run: ExportedRun) -> int:
    return sum(case.status == "valid" for case in run.cases)
