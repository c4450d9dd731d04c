"""Tidy CSV: one row for every statistic of every case, with a unit, what it is worth, and what a comparison said."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from bench.compare.comparison import Row
from bench.export.run import ExportedCase, ExportedRun, Figure
from bench.report.figures import plain
from bench.statistics.metrics import BOUNDED_ACCURACY

OF_RUN = ("suite", "run", "started", "commit", "verdict")
OF_CASE = (
    "case_id", "model", "random_weights", "backend", "requested_backend", "precision", "dataset", "batch_size",
    "processes",
)  # fmt: skip
OF_FIGURE = ("statistic", "unit", "better", "value", "low", "high", "interval_of", "valid", "reason")
OF_ROW = (
    "baseline", "against", "outcome", "baseline_value", "new_value", "change", "change_low", "change_high",
    "expected_low", "expected_high", "tolerated", "rule", "gates", "note",
)  # fmt: skip
HEAD = (*OF_RUN, *OF_CASE, *OF_FIGURE, *OF_ROW)
NO_ROW: Sequence[Row | None] = (None,)
BETTER = {True: "higher", False: "lower", None: ""}


def tidy_csv(run: ExportedRun) -> str:
    """A case without figures, and what a comparison says of a whole case, has a row without a statistic."""
    of_run = (run.suite, run.name, run.started.isoformat(), run.commit, run.verdict)
    judged = _judged(run)
    rows = [(*of_run, *rest) for case in run.cases for rest in _rows(case, judged, run)]
    known = {case.id for case in run.cases}
    gone = [Row(name, "", "", "broken", "vanished") for name in (run.comparison.vanished if run.comparison else ())]
    rows += [
        (*of_run, row.case, *[""] * (len(OF_CASE) - 1), *_no_figure(row.note), *_row(row, run))
        for row in (*gone, *(row for rows in judged.values() for row in rows if row.case not in known))
    ]
    return csv_of(HEAD, rows)


def csv_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Text that a spreadsheet takes for no formula, in lines that end with a line feed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_flat(cell) for cell in row] for row in rows)
    return text.getvalue()


def _flat(cell: str) -> str:
    flat = " ".join(plain(cell).split())
    return f"'{flat}" if flat[:1] in ("=", "@") else flat


def _judged(run: ExportedRun) -> dict[tuple[str, str], list[Row]]:
    """Rows of the comparison by case and statistic: a bound on a value has one beside that of its change."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in run.comparison.rows if run.comparison is not None else ():
        found.setdefault((row.case, row.metric), []).append(row)
    return found


def _rows(case: ExportedCase, judged: dict[tuple[str, str], list[Row]], run: ExportedRun) -> Iterator[tuple[str, ...]]:
    facts = _facts(case)
    said = judged.get((case.id, ""), [])
    if said or not case.figures or case.status in ("failed", "broken"):
        yield from ((*facts, *_no_figure(case.reason), *_row(row, run)) for row in said or NO_ROW)
    shown = set()
    for figure in case.figures:
        shown.add(figure.metric.name)
        for row in judged.get((case.id, figure.metric.name)) or NO_ROW:
            yield (*facts, *_figure(figure, case.processes), *_row(row, run))
    for (name, metric), rows in judged.items():  # a statistic that only the baseline has
        if name == case.id and metric and metric not in shown:
            why = "this run does not have it"
            yield from ((*facts, metric, "", "", "", "", "", "", "False", why, *_row(row, run)) for row in rows)


def _facts(case: ExportedCase) -> tuple[str, ...]:
    if case.record is None:
        return (case.id, *[""] * (len(OF_CASE) - 2), "0")
    what = case.record.case
    optimization = what.optimization
    return (
        case.id, what.model.name, str(what.model.random_weights), optimization.backend, optimization.requested_backend,
        optimization.precision_mode, what.dataset.name, str(what.batch_size), str(case.processes),
    )  # fmt: skip


def _no_figure(reason: str) -> tuple[str, ...]:
    return (*[""] * (len(OF_FIGURE) - 2), "False" if reason else "", reason)


def _figure(figure: Figure, processes: int) -> tuple[str, ...]:
    low, high = figure.bounds or (None, None)
    kind = "between processes" if processes > 1 else "within the run"
    if figure.metric.name in BOUNDED_ACCURACY:
        kind = "over the images"
    return (
        figure.metric.name, figure.metric.unit, BETTER[figure.metric.higher_is_better], _number(figure.value),
        _number(low), _number(high), kind if figure.bounds else "", str(figure.is_valid), figure.doubt,
    )  # fmt: skip


def _row(row: Row | None, run: ExportedRun) -> tuple[str, ...]:
    if row is None or run.comparison is None:
        return ("",) * len(OF_ROW)
    ends = tuple(map(_number, row.interval or (None, None)))
    of_change, expected = (("", ""), ends) if row.against == "history" else (ends, ("", ""))
    return (
        run.comparison.baseline, row.against, row.outcome, _number(row.old), _number(row.new), _number(row.change),
        *of_change, *expected, row.threshold, row.rule, str(row.gates), row.note,
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
