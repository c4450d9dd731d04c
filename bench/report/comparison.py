"""Records side by side: a table's columns (cases) and rows (statistics), before any formatting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from bench.record import Record
from bench.report.repeated import measured_how
from bench.statistics import ACCURACY_METRICS, METRICS, Metric, Summary, natives, summarize
from bench.validity import problems

RELATIVE_METRICS = ("speedup", "compute_speedup", "throughput_speedup")


@dataclass(frozen=True)
class Column:
    """One case of a comparison."""

    label: str
    record: Record
    summary: Summary
    broken: str | None = None  # why its figures are not those of what it says it ran

    @property
    def failed(self) -> bool:
        """Whether the case has no, or not all, results."""
        return self.record.failure is not None


@dataclass(frozen=True)
class Row:
    """One statistic of all columns: a value and its interval, or why there is none."""

    name: str
    unit: str
    text: str
    values: tuple[float | None, ...]
    absent: tuple[str | None, ...]
    bounds: tuple[tuple[float, float] | None, ...]
    unbounded: tuple[str | None, ...]
    higher_is_better: bool | None = None
    is_difference: bool = False


@dataclass(frozen=True)
class Comparison:
    """Cases that differ in optimization alone."""

    id: str
    title: str
    model: str
    dataset: str
    batch_size: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    native: Record | None
    notes: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[Column, ...]:
        """The columns of cases with figures that are not theirs."""
        return tuple(column for column in self.columns if column.broken is not None)

    @property
    def failures(self) -> tuple[Column, ...]:
        """The columns of failed cases."""
        return tuple(column for column in self.columns if column.failed)


def compare_cases(
    records: Sequence[Record], broken_because: Callable[[Record], str | None] = lambda record: None
) -> tuple[Comparison, ...]:
    """Group records by their cases' comparison, in the order in which they come."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.case.comparison, []).append(record)
    titles = _distinct([_title(group[0]) for group in groups.values()], list(groups))
    return tuple(_compare(title, group, broken_because) for title, group in zip(titles, groups.values(), strict=True))


def _compare(title: str, records: Sequence[Record], broken_because: Callable[[Record], str | None]) -> Comparison:
    case = records[0].case
    native = natives(records).get(case.comparison)
    labels = _distinct([_label(record) for record in records], [record.case.id for record in records])
    columns = tuple(
        Column(label, record, summarize(record, native), broken_because(record))
        for label, record in zip(labels, records, strict=True)
    )
    return Comparison(
        id=case.comparison,
        title=title,
        model=case.model.name,
        dataset=case.dataset.name,
        batch_size=case.batch_size,
        columns=columns,
        rows=tuple(_rows(columns, native)),
        native=native,
        notes=tuple(
            dict.fromkeys(
                [
                    *_which_native(columns, native),
                    *measured_how(records, labels, native),
                    *chain.from_iterable(map(_notes, columns)),
                ]
            )
        ),
    )


def _title(record: Record) -> str:
    case = record.case
    return f"{case.model.name}, batch size {case.batch_size}, {case.dataset.name}"


def _label(record: Record) -> str:
    """Only TensorFlow's own native run goes without the name of its backend."""
    optimization = record.case.optimization
    if (optimization.precision_mode, optimization.backend) == ("native", "tensorflow"):
        return "native"
    return f"{optimization.precision_mode} ({optimization.backend})"


def _distinct(labels: Sequence[str], ids: Sequence[str]) -> list[str]:
    return [f"{label} {name}" if labels.count(label) > 1 else label for label, name in zip(labels, ids, strict=True)]


def _rows(columns: Sequence[Column], native: Record | None) -> Iterator[Row]:
    only_native = all(column.record is native for column in columns)
    for metric in _metrics(columns):
        if metric.name in RELATIVE_METRICS and only_native:
            continue
        row = _row(metric, columns, native)
        if any(value is not None for value in row.values) or any(row.absent):
            yield row
        if metric.name in ACCURACY_METRICS and not only_native:
            yield from _difference(row, columns, native)


def _metrics(columns: Sequence[Column]) -> list[Metric]:
    """All known metrics, then those that only an accuracy pass knows."""
    others = {name for column in columns for name in column.summary.values if name not in METRICS}
    return [*METRICS.values(), *(Metric(name, "", name) for name in sorted(others))]


def _row(metric: Metric, columns: Sequence[Column], native: Record | None) -> Row:
    return Row(
        name=metric.name,
        unit=metric.unit,
        text=metric.text,
        values=tuple(column.summary.values.get(metric.name) for column in columns),
        absent=tuple(_absent(metric.name, column, native) for column in columns),
        bounds=tuple(column.summary.bounds.get(metric.name) for column in columns),
        unbounded=tuple(column.summary.unbounded.get(metric.name) for column in columns),
        higher_is_better=metric.higher_is_better,
    )


def _absent(name: str, column: Column, native: Record | None) -> str | None:
    if name == "speedup" and name not in column.summary.values and "median_latency_ms" in column.summary.values:
        return "no native case to compare with" if native is None else "the native case has no latency"
    return column.summary.absent.get(name)


def _difference(row: Row, columns: Sequence[Column], native: Record | None) -> Iterator[Row]:
    theirs = next((value for value, column in zip(row.values, columns, strict=True) if column.record is native), None)
    if theirs is None or all(value is None for value in row.values):
        return
    yield Row(
        name=f"{row.name} - native",
        unit=row.unit,
        text=f"{row.name} less that of the native case",
        values=tuple(None if value is None else value - theirs for value in row.values),
        absent=(None,) * len(columns),
        bounds=(None,) * len(columns),
        unbounded=(None,) * len(columns),
        is_difference=True,
    )


def _which_native(columns: Sequence[Column], native: Record | None) -> Iterator[str]:
    several = [column for column in columns if column.record.case.optimization.precision_mode == "native"]
    if len(several) > 1:
        yield from (f"all are held against {column.label}" for column in several if column.record is native)


def _notes(column: Column) -> Iterator[str]:
    case, label = column.record.case, column.label
    if case.model.random_weights:
        yield f"{case.model.name} has random weights: its speed is measured, its accuracy is not"
    if case.dataset.format == "synthetic":
        yield f"{case.dataset.name}: synthetic images, not photographs"
    for name, count in (column.record.edits or {}).items():
        if not count:
            yield f"{case.model.name}: the edit {name} found nothing to change"
    yield from (f"{label}: {note}" for note in _backend_notes(column.record, column.broken))
    yield from (f"{label}: not valid: {reason}" for reason in problems(column.record))
    yield from (
        f"{label}: {diagnosis}" for diagnosis in (column.record.stages.diagnoses() if column.record.stages else ())
    )
    yield from (f"{label}: {note}" for note in column.record.notes)


def _backend_notes(record: Record, broken: str | None) -> Iterator[str]:
    optimization, conversion = record.case.optimization, record.conversion
    if optimization.requested_backend != optimization.backend:
        silent = "" if optimization.backend == "tf-trt" else "; TensorRT was not used"
        yield f"backend {optimization.requested_backend!r} became {optimization.backend!r}{silent}"
    if optimization.backend == "null":
        yield "the null backend infers nothing"
    if optimization.backend == "tf-trt" and conversion is not None:
        if conversion.engines == 0:
            yield "no TensorRT engine in the converted graph: TensorFlow ran all of it"
        if conversion.native_executions and broken is None:
            yield f"{conversion.native_executions} engine executions fell back to TensorFlow"
