"""All models of a run in one view: speed in every mode, what was converted, accuracy beside the published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from bench.published import is_as_published
from bench.report.cells import figure, ratio
from bench.report.comparison import Column, Comparison
from bench.report.converted import by_weight, is_plumbing
from bench.report.grid import DOUBT, NO_VALUE
from bench.report.listing import Listing, make_listing

EXPECTED_SHARE = 0.9  # of the nodes: what the TF-TRT guide expects of the models that it verified
ACCURACY = ("top1", "map")
GIST = f"speed-up in brackets; ± is an interval of 95 %; {DOUBT} not valid"
FEWEST = 2  # models or batch sizes: one has its own table

Tell = Callable[[Column], str]


def overview_listings(comparisons: Sequence[Comparison]) -> list[Listing]:
    """A row for each model and batch size, a column for each mode; nothing where there is but one row."""
    if len(comparisons) < FEWEST:
        return []
    labels = list(dict.fromkeys(column.label for comparison in comparisons for column in comparison.columns))
    return [
        *_table("Throughput with several batches in flight, images/s", GIST,
                comparisons, labels, lambda column: _speed(column, "throughput_fps", "throughput_speedup")),
        *_table("Median latency of a batch, ms", GIST,
                comparisons, labels, lambda column: _speed(column, "median_latency_ms", "speedup")),
        *_table("Nodes converted", "and the engines that replace them", comparisons, labels, _converted),
        *_left_in_tensorflow(comparisons),
        *_accuracy(comparisons, labels),
    ]  # fmt: skip


def overview_table(listing: Listing) -> Table:
    """The same for the screen."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"{listing.title} ({listing.gist})")
    table.title_justify, table.title_style = "left", "bold"
    for number, name in enumerate(listing.head):
        table.add_column(Text(name), justify="right" if number in listing.numbers else "left", overflow="fold")
    for row in listing.rows:
        table.add_row(*map(Text, row))
    return table


def _table(
    title: str, gist: str, comparisons: Sequence[Comparison], labels: Sequence[str], tell: Tell
) -> list[Listing]:
    rows = []
    for comparison in comparisons:
        found = {column.label: tell(column) for column in comparison.columns}
        cells = [found.get(label, NO_VALUE) for label in labels]
        if any(cell != NO_VALUE for cell in cells):
            rows.append((comparison.model, str(comparison.batch_size), *cells))
    return make_listing(title, gist, ("model", "batch", *labels), rows, tuple(range(1, 2 + len(labels))))


def _speed(column: Column, name: str, relative: str) -> str:
    if column.failed:
        return _failure(column)
    if name not in column.summary.values:
        return NO_VALUE
    text = figure(column, name) + (" broken" if column.broken else "")
    times = ratio(column, relative)
    return f"{text} ({times})" if times else text


def _failure(column: Column) -> str:
    failure = column.record.failure
    return f"{failure.kind}: {failure.phase}" if failure else NO_VALUE


def _converted(column: Column) -> str:
    conversion = column.record.conversion
    if conversion is None or conversion.share_converted is None:
        return NO_VALUE
    engines = "" if conversion.engines is None else f" ({conversion.engines})"
    return f"{100 * conversion.share_converted:.1f} %{engines}"


def _left_in_tensorflow(comparisons: Sequence[Comparison]) -> list[Listing]:
    """Where less is converted than is expected, the operations that prevent it."""
    rows: list[tuple[str, ...]] = [
        (comparison.model, str(comparison.batch_size), column.label, f"{item.count} {item.op}", item.reason)
        for comparison in comparisons
        for column in comparison.columns
        if (conversion := column.record.conversion) is not None
        and conversion.share_converted is not None
        and conversion.share_converted < EXPECTED_SHARE
        for item in by_weight(conversion.left_out)
        if not is_plumbing(item)
    ]
    head = ("model", "batch", "mode", "operations", "reason")
    title = f"Left in TensorFlow where less than {100 * EXPECTED_SHARE:.0f} % is converted"
    return make_listing(title, "reasons in TF-TRT's words", head, rows, (1,))


def _accuracy(comparisons: Sequence[Comparison], labels: Sequence[str]) -> list[Listing]:
    """What was measured and what is published, a model each; of random weights the latter alone.

    Batch sizes share a row where nothing differs between them but which modes they have.
    """
    told: dict[tuple[str, str, str], list[tuple[list[str], dict[str, str]]]] = {}  # batch sizes, and cells by label
    for comparison in comparisons:
        for name in ACCURACY:
            cells = {column.label: _accuracy_of(column, name) for column in comparison.columns}
            cells = {label: text for label, text in cells.items() if text != NO_VALUE}
            if cells:
                alike = told.setdefault((comparison.model, comparison.dataset, name), [])
                _join(alike, str(comparison.batch_size), cells)
    rows = [
        (model, name, ", ".join(batches), *(cells.get(label, NO_VALUE) for label in labels))
        for (model, _, name), alike in told.items()
        for batches, cells in alike
    ]
    gist = "measured / published elsewhere, of a trained model, for the same mode"
    head = ("model", "statistic", "batch", *labels)
    return make_listing("Accuracy", gist, head, rows, tuple(range(2, len(head))))


def _join(rows: list[tuple[list[str], dict[str, str]]], batch: str, cells: Mapping[str, str]) -> None:
    """Add a batch size to the first row that it does not contradict, else as a row of its own."""
    for batches, known in rows:
        if all(known.get(label, text) == text for label, text in cells.items()):
            batches.append(batch)
            known.update(cells)
            return
    rows.append(([batch], dict(cells)))


def _accuracy_of(column: Column, name: str) -> str:
    case, value = column.record.case, column.summary.values.get(name)
    published = case.model.published
    figures = {}
    if published is not None and is_as_published(case):
        figures = published.figures.get(case.optimization.precision_mode, {})
    if value is None and name not in figures:
        return NO_VALUE
    ours = figure(column, name) + (" broken" if column.broken else "")
    return f"{ours} / {figures[name]:.4f}" if name in figures else ours
