"""Comparisons on the screen, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.record import Check, Environment
from bench.report.comparison import Column, Comparison
from bench.report.facts import environment_facts
from bench.report.grid import SCREEN, Cell, Grid, lay_out, plain
from bench.statistics import METRICS

CSV_CASE = (
    "case_id", "comparison", "model", "backend", "requested_backend", "precision", "dataset", "batch_size", "failure",
)  # fmt: skip
COLUMNS_ON_SCREEN = 4
LONGEST_NUMBER = 10
SCREEN_OF_MANY = ("median_latency_ms", "throughput_fps", "map", "top1", "speedup")
_MARKDOWN = re.compile(r"([\\`*\[\]|~$#])")


def rich_tables(comparisons: Sequence[Comparison]) -> Group:
    """The main figures of all comparisons, for an 80-column screen."""
    return Group(*(part for comparison in comparisons for part in _screen(comparison)))


def markdown(
    comparisons: Sequence[Comparison],
    environment: Environment | None,
    verdict: str = "",
    checks: Sequence[Check] = (),
) -> str:
    """All figures of all comparisons, with the verdict first and the environment last."""
    parts = [_verdict(verdict, checks), *(_section(comparison) for comparison in comparisons)]
    if environment is not None:
        pairs = [("", ""), *environment_facts(environment)]
        parts.append("## Environment\n\n" + _markdown_table([[_escape(cell) for cell in pair] for pair in pairs]))
    return "\n\n".join(part for part in parts if part) + "\n"


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """One line per case: what it was, and every statistic in full precision."""
    columns = [column for comparison in comparisons for column in comparison.columns]
    others = {name for column in columns for name in column.summary.values if name not in METRICS}
    metrics = [*METRICS, *sorted(others)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CSV_CASE, *metrics])
    for column in columns:
        values = column.summary.values
        writer.writerow([*_csv_case(column), *(repr(values[name]) if name in values else "" for name in metrics)])
    return text.getvalue()


def _screen(comparison: Comparison) -> Iterator[RenderableType]:
    wide = len(comparison.columns) > COLUMNS_ON_SCREEN
    grid = lay_out(comparison, SCREEN_OF_MANY if wide else SCREEN)
    yield Text(plain(comparison.title), style="bold")
    yield _one_line_per_case(grid) if wide else _one_column_per_case(grid)
    yield Text("\n".join((*grid.footnotes, *grid.failures, *(f"note: {note}" for note in grid.notes), "")))


def _one_column_per_case(grid: Grid) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for label in grid.labels:
        table.add_column(Text(label), justify="right", overflow="fold")
    for line in grid.lines:
        table.add_row(Text(line.name), line.unit, *(_rich(cell) for cell in line.cells))
    return table


def _one_line_per_case(grid: Grid) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", overflow="fold")
    for line in grid.lines:
        table.add_column(Text(line.name.replace("_", " ")), justify="right", width=LONGEST_NUMBER)
    for number, label in enumerate(grid.labels):
        table.add_row(Text(label), *(_rich(line.cells[number]) for line in grid.lines))
    return table


def _rich(cell: Cell) -> Text:
    return Text(cell.text, style="bold" if cell.best else "")


def _verdict(verdict: str, checks: Sequence[Check]) -> str:
    heading = f"**Verdict: {_escape(verdict)}**" if verdict else ""
    if not checks:
        return heading
    head = ["case", "assertion", "outcome", "explanation"]
    rows = [[_escape(text) for text in (c.case_id, c.expression, c.outcome, c.explanation)] for c in checks]
    return f"{heading}\n\n{_markdown_table([head, *rows])}".strip()


def _section(comparison: Comparison) -> str:
    grid = lay_out(comparison)
    head = ["", "unit", *(_escape(label) for label in grid.labels)]
    rows = [[_escape(line.name), line.unit, *(_strong(cell) for cell in line.cells)] for line in grid.lines]
    remarks = [*grid.footnotes, *grid.failures, *grid.notes]
    parts = [f"## {_escape(comparison.title)}", _markdown_table([head, *rows], first_number=2)]
    parts += ["\n".join(f"- {_escape(remark)}" for remark in remarks)] if remarks else []
    return "\n\n".join(parts)


def _strong(cell: Cell) -> str:
    text = _escape(cell.text)
    return f"**{text}**" if cell.best else text


def _markdown_table(rows: Sequence[Sequence[str]], first_number: int | None = None) -> str:
    width = len(rows[0])
    left = width if first_number is None else first_number
    rule = ["---"] * left + ["---:"] * (width - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    flat = " ".join(plain(text).split())
    html_free = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", html_free)


def _csv_case(column: Column) -> Iterable[str]:
    case, failure = column.record.case, column.record.failure
    optimization = case.optimization
    reason = "" if failure is None else plain(f"{failure.kind} in phase {failure.phase}: {failure.message}")
    return (
        case.id, case.comparison, case.model.name, optimization.backend, optimization.requested_backend,
        optimization.precision_mode, case.dataset.name, str(case.batch_size), reason,
    )  # fmt: skip
