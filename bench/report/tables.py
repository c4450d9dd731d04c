"""Comparisons on the screen, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.record import Check, Environment
from bench.report.comparison import Column, Comparison
from bench.report.converted import conversion_listings
from bench.report.facts import environment_facts
from bench.report.grid import SCREEN, Cell, Grid, lay_out, plain
from bench.report.listing import Listing
from bench.report.loads import load_listings, load_remarks, load_table
from bench.report.markup import escape, markdown_table
from bench.report.profiled import profile_listings
from bench.report.story import making, ran, stories
from bench.statistics import BOUNDED, METRICS

CSV_CASE = (
    "case_id", "comparison", "model", "backend", "requested_backend", "precision", "dataset", "batch_size", "failure",
)  # fmt: skip
COLUMNS_ON_SCREEN = 4
LONGEST_NUMBER = 10
KINDS, KERNELS, ROWS, LONGEST_TEXT = 6, 5, 10, 110  # in Markdown: of ops, kernels, lines of a table; letters
SCREEN_OF_MANY = ("median_latency_ms", "throughput_fps", "map", "top1", "speedup")
TIE = "\xa0"
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s|[KMG]iB|bytes|nodes?|engines?)(?!\w))")


@dataclass(frozen=True)
class _Hanging:
    """A paragraph as wide as the screen, whose further lines are indented; numbers stay with their units."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for paragraph in self.text.splitlines():
            tied = _UNIT.sub(TIE, paragraph)
            lines = textwrap.wrap(tied, options.max_width, subsequent_indent="  ", break_on_hyphens=False)
            yield from (Text(line.replace(TIE, " "), style=self.style) for line in lines)


@dataclass(frozen=True)
class _Fitting:
    """A table with its intervals beside the values, or below them where the screen is too narrow for that."""

    beside: Table
    below: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update(max_width=10_000)
        fits = Measurement.get(console, unlimited, self.beside).maximum <= options.max_width
        yield self.beside if fits else self.below


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
        parts.append("## Environment\n\n" + markdown_table([[escape(cell) for cell in pair] for pair in pairs]))
    return "\n\n".join(part for part in parts if part) + "\n"


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """One line per case: what it was, and every statistic in full precision; then the ends of the intervals."""
    columns = [column for comparison in comparisons for column in comparison.columns]
    others = {name for column in columns for name in column.summary.values if name not in METRICS}
    metrics = [*METRICS, *sorted(others)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = [(name, end) for name in metrics if name in BOUNDED for end in ("low", "high")]
    writer.writerow([*CSV_CASE, *metrics, *(f"{name}_{end}" for name, end in ends)])
    for column in columns:
        values, bounds = column.summary.values, column.summary.bounds
        figures = [repr(values[name]) if name in values else "" for name in metrics]
        figures += [repr(bounds[name][end == "high"]) if name in bounds else "" for name, end in ends]
        writer.writerow([*_csv_case(column), *figures])
    return text.getvalue()


def _screen(comparison: Comparison) -> Iterator[RenderableType]:
    wide = len(comparison.columns) > COLUMNS_ON_SCREEN
    grid = lay_out(comparison, SCREEN_OF_MANY if wide else SCREEN)
    yield Text(plain(comparison.title), style="bold")
    dress = _one_line_per_case if wide else _one_column_per_case
    yield _Fitting(dress(grid, " "), dress(grid, "\n"))
    for line in grid.broken:
        yield _Hanging(f"BROKEN {line}", style="bold")
    notes = (f"note: {note}" for note in grid.notes)
    yield from map(_Hanging, (*grid.legend, *grid.footnotes, *grid.failures, *notes))
    for listing in load_listings(comparison.columns):
        yield load_table(listing)
        yield from map(_Hanging, load_remarks(comparison.columns))
    yield from (_Hanging(f"{labels}: {text}") for labels, text in stories(comparison.columns, brief=wide))
    yield Text("")


def _one_column_per_case(grid: Grid, joint: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for label in grid.labels:
        table.add_column(Text(label), justify="right", overflow="fold")
    room = [_room(cells) for cells in zip(*(line.cells for line in grid.lines), strict=True)]
    for line in grid.lines:
        cells = (_rich(cell, joint, wide) for cell, wide in zip(line.cells, room, strict=True))
        table.add_row(Text(line.name), line.unit, *cells)
    return table


def _one_line_per_case(grid: Grid, joint: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", overflow="fold")
    width = LONGEST_NUMBER if joint == "\n" else None
    for line in grid.lines:
        table.add_column(Text(line.name.replace("_", " ")), justify="right", width=width, min_width=LONGEST_NUMBER)
    room = [_room(line.cells) for line in grid.lines]
    for number, label in enumerate(grid.labels):
        cells = (_rich(line.cells[number], joint, wide) for line, wide in zip(grid.lines, room, strict=True))
        table.add_row(Text(label), *cells)
    return table


def _room(cells: Iterable[Cell]) -> int:
    return max((len(cell.spread) for cell in cells), default=0)


def _rich(cell: Cell, joint: str, room: int) -> Text:
    """A value and its interval; beside it, the value stands above those without an interval."""
    text = Text(cell.text, style="bold" if cell.best else "")
    spread = cell.spread.rjust(room) if joint == " " else cell.spread
    return text.append(f"{joint}{spread}", style="not bold dim") if spread else text


def _verdict(verdict: str, checks: Sequence[Check]) -> str:
    heading = f"**Verdict: {escape(verdict)}**" if verdict else ""
    if not checks:
        return heading
    head = ["case", "assertion", "outcome", "explanation"]
    rows = [[escape(text) for text in (c.case_id, c.expression, c.outcome, c.explanation)] for c in checks]
    return f"{heading}\n\n{markdown_table([head, *rows])}".strip()


def _section(comparison: Comparison) -> str:
    grid = lay_out(comparison)
    head = ["", "unit", *(escape(label) for label in grid.labels)]
    rows = [[escape(line.name), line.unit, *(_strong(cell) for cell in line.cells)] for line in grid.lines]
    broken = (f"Broken: {line}" for line in grid.broken)
    remarks = [*broken, *grid.legend, *grid.footnotes, *grid.failures, *grid.notes]
    parts = [f"## {escape(comparison.title)}", markdown_table([head, *rows], range(2, len(head)))]
    parts += ["\n".join(f"- {escape(remark)}" for remark in remarks)] if remarks else []
    parts += [_listing(listing) for listing in load_listings(comparison.columns)]
    parts += ["\n".join(f"- {escape(remark)}" for remark in load_remarks(comparison.columns))]
    parts += [part for column in comparison.columns for part in _case(column)]
    return "\n\n".join(part for part in parts if part)


def _case(column: Column) -> Iterator[str]:
    """What was converted and what ran, in bounded tables."""
    record = column.record
    lines = [text for text in (ran(record), making(record)) if text]
    lines += [] if record.conversion is None else record.conversion.warnings[:ROWS]
    if not lines:
        return
    yield f"### {escape(column.label)}: what ran"
    yield "\n".join(f"- {escape(line)}" for line in lines)
    listings = [
        *conversion_listings(record.conversion, ops=KINDS, longest=LONGEST_TEXT),
        *profile_listings(record, kernels=KERNELS, longest=LONGEST_TEXT),
    ]
    yield from (_listing(listing.bounded(ROWS)) for listing in listings)


def _listing(listing: Listing) -> str:
    rows = [[escape(cell) for cell in row] for row in (listing.head, *listing.rows)]
    return f"{escape(listing.title)} ({escape(listing.gist)}):\n\n{markdown_table(rows, listing.numbers)}"


def _strong(cell: Cell) -> str:
    text = f"**{escape(cell.text)}**" if cell.best else escape(cell.text)
    return f"{text} ({cell.interval})" if cell.interval else text


def _csv_case(column: Column) -> Iterable[str]:
    case, failure = column.record.case, column.record.failure
    optimization = case.optimization
    reason = plain(f"broken: {column.broken}") if column.broken else ""
    if failure is not None:
        reason = plain(f"{failure.kind} in phase {failure.phase}: {failure.message}")
    return (
        case.id, case.comparison, case.model.name, optimization.backend, optimization.requested_backend,
        optimization.precision_mode, case.dataset.name, str(case.batch_size), reason,
    )  # fmt: skip
