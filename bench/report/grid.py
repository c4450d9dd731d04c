"""A comparison as cells of text, which the screen, Markdown and HTML then dress in their own way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.repeats import processes
from bench.report.comparison import Column, Comparison, Row
from bench.report.figures import byte_scale, difference, interval, plain, significant, spread
from bench.report.words import counted
from bench.statistics.metrics import BOUNDED_ACCURACY

NO_VALUE = "–"
FAILED = "-"
DOUBT = "†"
LEGEND = "Intervals are of 95 % and within this run: the spread between processes is not in them."
OF_PROCESSES = "Intervals are of 95 % and between processes: {count} of each variant."
OVER_IMAGES = "Intervals of accuracy are of 95 % and over the images."
ALONE = "within the run: the spread between processes is not in them"
COUNTS = ("engines", "fallbacks", "engine_builds_while_timed")
SCREEN = (
    "avg_latency_ms", "median_latency_ms", "p90_latency_ms", "p99_latency_ms", "compute_ms", "throughput_fps",
    "speedup", "map", "map - native", "top1", "top1 - native", "agreement",
    "conversion_s", "model_bytes", "engines", "share_converted", "fallbacks", "trt_gpu_time_share", "tensor_core_share",
)  # fmt: skip
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Cell:
    """One value as text; `best` asks for emphasis. Its interval as a share of the value, and as low and high.

    `doubt` is a mark where the value is of a measurement that is not valid.
    """

    text: str
    best: bool = False
    spread: str = ""
    interval: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    name: str
    unit: str
    text: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table's lines, and what is to be said of them; `legend` says what its intervals are.

    The label of a case that is not valid carries the mark `DOUBT`, and so does each value that this touches.
    """

    labels: tuple[str, ...]
    lines: tuple[Line, ...]
    warnings: tuple[str, ...]  # why its cases must not be compared
    doubts: tuple[str, ...]  # what is not valid, and why
    footnotes: tuple[str, ...]  # by number: why single values are missing, or where they come from
    unseen: tuple[str, ...]  # why whole rows are
    unbounded: tuple[str, ...]  # why values have no interval
    failures: tuple[str, ...]
    broken: tuple[str, ...]
    notes: tuple[str, ...]
    legend: tuple[str, ...] = ()


def lay_out(comparison: Comparison, names: Sequence[str] | None = None) -> Grid:
    """A comparison's rows as text: those named, in that order, or all. A row without any value is only spoken of."""
    rows = {row.name: row for row in comparison.rows}
    chosen = [rows[name] for name in (rows if names is None else names) if name in rows]
    shown = [row for row in chosen if any(value is not None for value in row.values)]
    footnotes: dict[str, None] = {}
    lines = [_line(row, comparison, footnotes) for row in shown]
    if comparison.failures or comparison.broken:
        lines.append(_failure_line(comparison.columns))
    return Grid(
        labels=tuple(plain(column.label) + (f" {DOUBT}" if column.problems else "") for column in comparison.columns),
        lines=tuple(lines),
        warnings=tuple(_mixed(comparison)),
        doubts=tuple(_doubts(comparison.columns)),
        footnotes=tuple(f"{_mark(number)} {note}" for number, note in enumerate(footnotes, 1)),
        unseen=tuple(filter(None, (_unseen(row, comparison.columns) for row in chosen if row not in shown))),
        unbounded=tuple(_unbounded(shown, comparison.columns)),
        failures=tuple(describe_failure(column) for column in comparison.failures),
        broken=tuple(describe_broken(column) for column in comparison.broken),
        notes=tuple(plain(note) for note in comparison.notes),
        legend=tuple(_legend(shown, lines, comparison.columns)),
    )


def _legend(rows: Sequence[Row], lines: Sequence[Line], columns: Sequence[Column]) -> Iterator[str]:
    """What the intervals are, column by column where the numbers of processes differ; those over images apart."""
    timed = [line for row, line in zip(rows, lines, strict=False) if not _is_over_images(row)]
    judged = [line for row, line in zip(rows, lines, strict=False) if _is_over_images(row)]
    yield from _of_time(timed, columns)
    if any(cell.spread for line in judged for cell in line.cells):
        yield OVER_IMAGES


def _is_over_images(row: Row) -> bool:
    """Whether its intervals are of accuracy, or of its difference to native's."""
    return row.is_difference or row.name in BOUNDED_ACCURACY


def _of_time(lines: Sequence[Line], columns: Sequence[Column]) -> Iterator[str]:
    labels: dict[int, list[str]] = {}
    for number, column in enumerate(columns):
        if any(line.cells[number].spread for line in lines):
            labels.setdefault(len(processes(column.record)), []).append(plain(column.label))
    if len(labels) == 1:
        (count,) = labels
        yield LEGEND if count == 1 else OF_PROCESSES.format(count=count)
    elif labels:
        alone = labels.pop(1, [])
        several = [f"of {', '.join(each)}, between {count} processes" for count, each in sorted(labels.items())]
        of_one = [f"of {', '.join(alone)}, {ALONE}"] if alone else []
        yield f"Intervals are of 95 %; {'; '.join([*of_one, *several])}."


def describe_failure(column: Column) -> str:
    """Which case failed, of what kind, in which phase, and why, on one line; and who else was on its GPU then."""
    failure, telemetry = column.record.failure, column.record.telemetry
    if failure is None:
        return ""
    message = " ".join(plain(failure.message).split())
    others = () if telemetry is None else telemetry.foreign_in({failure.phase})
    beside = f"; meanwhile on the GPU: {counted(len(others), 'other process', 'other processes')}" if others else ""
    return f"{plain(column.label)}: {failure.kind} in phase {failure.phase!r}: {message}{beside}"


def describe_broken(column: Column) -> str:
    """Which case's figures are not what they are said to be, and why, on one line."""
    return f"{plain(column.label)}: {' '.join(plain(column.broken).split())}" if column.broken else ""


def _line(row: Row, comparison: Comparison, footnotes: dict[str, None]) -> Line:
    columns = comparison.columns
    divisor, unit = byte_scale(row.values) if row.unit == "bytes" else (1.0, row.unit)
    texts = [None if value is None else _number(row, value / divisor) for value in row.values]
    best = set() if comparison.is_mixed else _best(row, columns, texts)
    cells = tuple(
        Cell(_missing(row.name, reason, column, footnotes))
        if text is None
        else Cell(
            text + _origin(row.name, column, footnotes), text in best and _can_be_best(row, column),
            *_bounds(row, value, bounds), doubt=DOUBT if row.name in column.doubtful else "",
        )
        for text, value, bounds, reason, column in zip(texts, row.values, row.bounds, row.absent, columns, strict=True)
    )  # fmt: skip
    return Line(row.name, unit, row.text, cells)


def _bounds(row: Row, value: float | None, bounds: tuple[float, float] | None) -> tuple[str, str]:
    """An interval as a share of its value; of fractions and their differences, as it is."""
    if value is None or bounds is None:
        return "", ""
    if _is_over_images(row):
        signed = "+" if row.is_difference else ""
        return (
            f"±{max(bounds[1] - value, value - bounds[0], 0):.4f}",
            f"{bounds[0]:{signed}.4f} to {bounds[1]:{signed}.4f}",
        )
    return (spread(value, bounds), interval(bounds)) if value else ("", "")


def _number(row: Row, value: float) -> str:
    if row.is_difference:
        return difference(value)
    return f"{value:.0f}" if row.name in COUNTS else significant(value)


def _best(row: Row, columns: Sequence[Column], texts: Sequence[str | None]) -> set[str]:
    """The best value as it is displayed, so that what looks equal is treated as equal; none where all are."""
    finished = [
        (value, text)
        for value, text, column in zip(row.values, texts, columns, strict=True)
        if value is not None and text is not None and _can_be_best(row, column)
    ]
    if row.higher_is_better is None or len({text for _, text in finished}) < 2:
        return set()
    return {(max if row.higher_is_better else min)(finished)[1]}


def _can_be_best(row: Row, column: Column) -> bool:
    return not (column.failed or column.broken or row.name in column.doubtful)


def _mixed(comparison: Comparison) -> Iterator[str]:
    """Which cases were measured in which way, where they were not all measured in the same."""
    if comparison.is_mixed:
        ways = {
            version: [c.label for c in comparison.columns if c.record.methodology_version == version]
            for version in comparison.methodologies
        }
        told = "; ".join(f"methodology {version}: {', '.join(labels)}" for version, labels in ways.items())
        yield plain(f"measured in different ways, not to be compared: {told}")


def _doubts(columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        yield from (plain(f"{DOUBT} {column.label}: not valid: {problem.reason}") for problem in column.problems)
    leaning = [column.label for column in columns if column.doubtful and not column.problems]
    if leaning:
        yield plain(f"{DOUBT} {', '.join(leaning)}: relative to a native case that is not valid")


def _missing(name: str, reason: str | None, column: Column, footnotes: dict[str, None]) -> str:
    if column.failed:
        return FAILED
    if not reason:
        return NO_VALUE
    return NO_VALUE + _note(f"{name}: {reason}", footnotes)


def _origin(name: str, column: Column, footnotes: dict[str, None]) -> str:
    """A mark at a value that another run measured."""
    conversion = column.record.conversion
    if name != "conversion_s" or conversion is None or not conversion.cached:
        return ""
    return _note("conversion_s: converted earlier, taken from the cache: what it took then", footnotes)


def _note(text: str, footnotes: dict[str, None]) -> str:
    """The mark of a footnote; the same words are one."""
    footnotes.setdefault(plain(text))
    return _mark(list(footnotes).index(plain(text)) + 1)


def _unseen(row: Row, columns: Sequence[Column]) -> str:
    reasons = [reason for reason, column in zip(row.absent, columns, strict=True) if reason and not column.failed]
    return plain(f"no {row.name}: {'; '.join(dict.fromkeys(reasons))}") if reasons else ""


def _unbounded(rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[str]:
    """Why values have no interval, once for all cases and statistics that it is true of."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for reason, column in zip(row.unbounded, columns, strict=True):
            if reason:
                found.setdefault(reason, {}).setdefault(row.name, []).append(column.label)
    for reason, names in found.items():
        values = [sum(value is not None for value in row.values) for row in rows if row.name in names]
        everywhere = values == [len(labels) for labels in names.values()]
        labels = dict.fromkeys(label for each in names.values() for label in each)
        where = "" if everywhere else f" ({', '.join(labels)})"
        yield plain(f"no interval of {', '.join(names)}{where}: {reason}")


def _mark(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)


def _failure_line(columns: Sequence[Column]) -> Line:
    return Line("failure", "", "what kind of failure, and in which phase", tuple(map(_failure_cell, columns)))


def _failure_cell(column: Column) -> Cell:
    failure = column.record.failure
    return Cell(f"{failure.kind} in {failure.phase}" if failure else "broken" if column.broken else "")
