"""Comparisons on the screen, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.record import Check, Environment
from bench.report.by_class import changed_classes
from bench.report.comparison import Column, Comparison
from bench.report.converted import conversion_listings
from bench.report.facts import environment_facts, loop_facts
from bench.report.figures import plain
from bench.report.grid import NO_VALUE, SCREEN, Cell, Grid, lay_out
from bench.report.listing import Listing
from bench.report.loads import load_listings, load_remarks, load_table
from bench.report.markup import escape, markdown_table
from bench.report.overview import overview_listings, overview_table
from bench.report.profiled import profile_listings
from bench.report.story import making, ran, stories
from bench.statistics.metrics import BOUNDED, BOUNDED_ACCURACY, METRICS

CSV_CASE = (
    "case_id", "comparison", "model", "backend", "requested_backend", "precision", "dataset", "batch_size", "failure",
    "methodology", "valid", "not_valid_because", "doubtful", "cached", "random_weights",
)  # fmt: skip
COLUMNS_ON_SCREEN = 4
FEW, OVERVIEWS = 2, 3  # with more comparisons than the first, the screen ends in so many tables of all
LONGEST_NUMBER = 10
KINDS, KERNELS, ROWS, LONGEST_TEXT = 6, 5, 10, 110  # in Markdown: of ops, kernels, lines of a table; letters
CLASSES = 5  # in Markdown: that lost most, and that gained most
NO_INTERVAL = "No interval: too few samples, or too few independent ones; see comparison.md."
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
    """The main figures of all comparisons, for an 80-column screen; what is true of all is said once, at the end."""
    wide = [len(comparison.columns) > COLUMNS_ON_SCREEN for comparison in comparisons]
    grids = [lay_out(c, SCREEN_OF_MANY if is_wide else SCREEN) for c, is_wide in zip(comparisons, wide, strict=True)]
    everywhere = _everywhere(grids)
    legend = [*dict.fromkeys(line for grid in grids for line in grid.legend)]
    end = [*legend, *([NO_INTERVAL] if any(grid.unbounded for grid in grids) else []), *everywhere]
    parts: list[RenderableType] = []
    for comparison, grid, is_wide in zip(comparisons, grids, wide, strict=True):
        parts += _screen(comparison, grid, is_wide, everywhere)
    if len(comparisons) > FEW:
        parts += map(overview_table, overview_listings(comparisons)[:OVERVIEWS])
    if end:  # below a single table with what else is said of it
        parts = [*(parts[:-1] if len(grids) == 1 else parts), *_hanging(end), Text("")]
    return Group(*parts)


def markdown(
    comparisons: Sequence[Comparison],
    environment: Environment | None,
    verdict: str = "",
    checks: Sequence[Check] = (),
) -> str:
    """All figures of all comparisons, with the verdict first and the environment last."""
    overview = [_listing(listing) for listing in overview_listings(comparisons)]
    parts = [_verdict(verdict, checks), *(["## Overview", *overview] if overview else [])]
    parts += [_section(comparison) for comparison in comparisons]
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
    ends = [(name, end) for name in metrics if name in (*BOUNDED, *BOUNDED_ACCURACY) for end in ("low", "high")]
    writer.writerow([*CSV_CASE, *metrics, *(f"{name}_{end}" for name, end in ends)])
    for column in columns:
        values, bounds = column.summary.values, column.summary.bounds
        figures = [repr(values[name]) if name in values else "" for name in metrics]
        figures += [repr(bounds[name][end == "high"]) if name in bounds else "" for name, end in ends]
        writer.writerow([*_csv_case(column), *figures])
    return text.getvalue()


def _everywhere(grids: Sequence[Grid]) -> list[str]:
    """What is to be said of every comparison."""
    said = [_said(grid) for grid in grids]
    return [line for line in said[0] if all(line in other for other in said)] if said else []


def _said(grid: Grid) -> list[str]:
    return [*grid.unseen, *(f"note: {note}" for note in grid.notes)]


def _screen(comparison: Comparison, grid: Grid, wide: bool, elsewhere: Collection[str]) -> Iterator[RenderableType]:
    yield Text(plain(comparison.title), style="bold")
    dress = _one_line_per_case if wide else _one_column_per_case
    yield _Fitting(dress(grid, " "), dress(grid, "\n"))
    yield from (_Hanging(f"BROKEN {line}", style="bold") for line in grid.broken)
    yield from (_Hanging(f"WARNING {line}", style="bold") for line in grid.warnings)
    said = (line for line in _said(grid) if line not in elsewhere)
    yield from _hanging((*grid.doubts, *grid.footnotes, *grid.failures, *said))
    for listing in load_listings(comparison.columns):
        yield load_table(listing)
        yield from _hanging(load_remarks(comparison.columns))
    yield from _hanging(f"{labels}: {text}" for labels, text in stories(comparison.columns, brief=wide))
    yield Text("")


def _hanging(lines: Iterable[str]) -> Iterator[RenderableType]:
    return map(_Hanging, lines)


def _one_column_per_case(grid: Grid, joint: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for label in grid.labels:
        table.add_column(Text(label), justify="right", overflow="fold")
    columns = [_rich(cells, joint) for cells in zip(*(line.cells for line in grid.lines), strict=True)]
    for number, line in enumerate(grid.lines):
        table.add_row(Text(line.name), line.unit, *(column[number] for column in columns))
    return table


def _one_line_per_case(grid: Grid, joint: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", overflow="fold")
    width = LONGEST_NUMBER if joint == "\n" else None
    for line in grid.lines:
        table.add_column(Text(line.name.replace("_", " ")), justify="right", width=width, min_width=LONGEST_NUMBER)
    columns = [_rich(line.cells, joint) for line in grid.lines]
    for number, label in enumerate(grid.labels):
        table.add_row(Text(label), *(column[number] for column in columns))
    return table


def _rich(cells: Sequence[Cell], joint: str) -> list[Text]:
    """Values and their marks and intervals; numbers stand below each other, whatever follows them."""
    spreads, marks = max(len(cell.spread) for cell in cells), max(len(cell.doubt) for cell in cells)
    texts = []
    for cell in cells:
        text = Text(cell.text, style="bold" if cell.best else "").append(cell.doubt.ljust(marks), style="not bold")
        spread = cell.spread.rjust(spreads) if joint == " " else f"{cell.spread}{' ' * marks}"
        texts.append(text.append(f"{joint}{spread}", style="not bold dim") if cell.spread else text)
    return texts


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
    remarks = [*grid.doubts, *grid.legend, *grid.footnotes, *grid.unseen, *grid.unbounded, *grid.failures, *grid.notes]
    parts = [f"## {escape(comparison.title)}"]
    parts += [f"**Warning: {escape(line)}**" for line in grid.warnings]
    parts += [markdown_table([head, *rows], range(2, len(head)))]
    remarks = [*(f"Broken: {line}" for line in grid.broken), *remarks]
    parts += ["\n".join(f"- {escape(remark)}" for remark in remarks)] if remarks else []
    parts += [_listing(listing) for listing in load_listings(comparison.columns)]
    parts += ["\n".join(f"- {escape(remark)}" for remark in load_remarks(comparison.columns))]
    parts += [_listing(listing) for listing in changed_classes(comparison.columns, CLASSES)]
    parts += _loops(comparison.columns)
    parts += [part for column in comparison.columns for part in _case(column)]
    return "\n\n".join(part for part in parts if part)


def _loops(columns: Sequence[Column]) -> Iterator[str]:
    """How long each loop of each case went on, and why it ended."""
    facts = [dict(loop_facts(column.record)) for column in columns]
    names = list(dict.fromkeys(name for each in facts for name in each))
    if names:
        head = ["", *(column.label for column in columns)]
        rows = [[name, *(each.get(name, NO_VALUE) for each in facts)] for name in names]
        yield "How the loops ended:"
        yield markdown_table([[escape(cell) for cell in row] for row in (head, *rows)])


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
    text = (f"**{escape(cell.text)}**" if cell.best else escape(cell.text)) + cell.doubt
    return f"{text} ({cell.interval})" if cell.interval else text


def _csv_case(column: Column) -> Iterable[str]:
    case, failure, conversion = column.record.case, column.record.failure, column.record.conversion
    optimization = case.optimization
    reason = plain(f"broken: {column.broken}") if column.broken else ""
    if failure is not None:
        reason = plain(f"{failure.kind} in phase {failure.phase}: {failure.message}")
    return (
        case.id, case.comparison, case.model.name, optimization.backend, optimization.requested_backend,
        optimization.precision_mode, case.dataset.name, str(case.batch_size), reason,
        str(column.record.methodology_version), "" if column.failed else str(not column.problems),
        plain("; ".join(problem.reason for problem in column.problems)), " ".join(sorted(column.doubtful)),
        "" if conversion is None or conversion.cached is None else str(conversion.cached),
        str(case.model.random_weights),
    )  # fmt: skip
