"""Records side by side: a table's columns (cases) and rows (statistics), before any formatting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bench.case import Dataset
from bench.published import against_published
from bench.record import Record
from bench.repeats import processes
from bench.report.doubts import difference_to_native, doubtful, methodologies
from bench.report.labels import case_labels, distinct, model_name, title, untrained
from bench.report.repeated import measured_how
from bench.statistics.metric import Metric
from bench.statistics.metrics import ACCURACY_METRICS, METRICS, RELATIVE
from bench.statistics.summary import NO_NATIVE, Summary, natives, summarize
from bench.validity import Problem, judge

LABELS_IN_NOTE = 4

Pair: TypeAlias = tuple[Record, Record | None]  # a case, and the native one that it is held against


@dataclass(frozen=True)
class Column:
    """One case of a comparison."""

    label: str
    record: Record
    summary: Summary
    broken: str | None = None  # why its figures are not those of what it says it ran
    native: Record | None = None  # that it is held against
    problems: tuple[Problem, ...] = ()  # why its measurement is not valid
    doubtful: frozenset[str] = frozenset()  # statistics that these touch, or the native case's where they are relative

    @property
    def first_process(self) -> Summary:
        """Statistics of the process whose samples the record holds, which may be the first of several."""
        return summarize(processes(self.record)[0]) if self.record.repeats else self.summary

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
    notes: tuple[str, ...] = ()
    methodologies: tuple[int, ...] = ()

    @property
    def is_mixed(self) -> bool:
        """Whether its cases were measured in different ways, so that their figures are not compared."""
        return len(self.methodologies) > 1

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
    """Group records by their cases' comparison: models as they come, the batch sizes of each from small to large."""
    return compare_runs([records], broken_because)


def compare_runs(
    runs: Sequence[Sequence[Record]], broken_because: Callable[[Record], str | None] = lambda record: None
) -> tuple[Comparison, ...]:
    """The same over several runs; each case is held against the native one of its own run."""
    groups: dict[str, list[Pair]] = {}
    for records in runs:
        native = natives(records)
        for record in records:
            groups.setdefault(record.case.comparison, []).append((record, native.get(record.case.comparison)))
    groups = _by_model(groups)
    titles = distinct([title(group[0][0]) for group in groups.values()], list(groups))
    return tuple(_compare(title, group, broken_because) for title, group in zip(titles, groups.values(), strict=True))


def _by_model(groups: Mapping[str, list[Pair]]) -> dict[str, list[Pair]]:
    cases = {name: pairs[0][0].case for name, pairs in groups.items()}
    models = list(dict.fromkeys(model_name(case) for case in cases.values()))
    order = sorted(groups, key=lambda name: (models.index(model_name(cases[name])), cases[name].batch_size))
    return {name: groups[name] for name in order}


def _compare(title: str, pairs: Sequence[Pair], broken_because: Callable[[Record], str | None]) -> Comparison:
    """One comparison of records, each with its native one."""
    records = [record for record, _ in pairs]
    case = records[0].case
    columns = tuple(
        _column(label, record, _alike(native, record), broken_because(record))
        for label, (record, native) in zip(case_labels(records), pairs, strict=True)
    )
    return Comparison(
        id=case.comparison,
        title=title,
        model=model_name(case),
        dataset=case.dataset.name,
        batch_size=case.batch_size,
        columns=columns,
        rows=tuple(_rows(columns)),
        notes=tuple(dict.fromkeys([*_which_native(columns), *_measured_how(columns), *_shared(columns)])),
        methodologies=methodologies(records),
    )


def _alike(native: Record | None, record: Record) -> Record | None:
    """The native case, if it was measured in the same way."""
    return native if native is not None and native.methodology_version == record.methodology_version else None


def _column(label: str, record: Record, native: Record | None, broken: str | None) -> Column:
    found = judge(record, native)
    return Column(label, record, summarize(record, native), broken, native, found, doubtful(found, record, native))


def _rows(columns: Sequence[Column]) -> Iterator[Row]:
    only_native = all(column.record is column.native for column in columns)
    for metric in _metrics(columns):
        if metric.name in RELATIVE and only_native:
            continue
        row = _row(metric, columns)
        if any(value is not None for value in row.values) or any(row.absent):
            yield row
        if metric.name in ACCURACY_METRICS and not only_native:
            yield from _difference(row, columns)


def _metrics(columns: Sequence[Column]) -> list[Metric]:
    """All known metrics, then those that only an accuracy pass knows."""
    others = {name for column in columns for name in column.summary.values if name not in METRICS}
    return [*METRICS.values(), *(Metric(name, "", name) for name in sorted(others))]


def _row(metric: Metric, columns: Sequence[Column]) -> Row:
    return Row(
        name=metric.name,
        unit=metric.unit,
        text=metric.text,
        values=tuple(column.summary.values.get(metric.name) for column in columns),
        absent=tuple(_absent(metric.name, column) for column in columns),
        bounds=tuple(column.summary.bounds.get(metric.name) for column in columns),
        unbounded=tuple(column.summary.unbounded.get(metric.name) for column in columns),
        higher_is_better=metric.higher_is_better,
    )


def _absent(name: str, column: Column) -> str | None:
    if name == "speedup" and name not in column.summary.values and "median_latency_ms" in column.summary.values:
        why = column.summary.absent.get(name) or "the native case has no latency"
        return NO_NATIVE if column.native is None else why
    return column.summary.absent.get(name)


def _difference(row: Row, columns: Sequence[Column]) -> Iterator[Row]:
    known = {id(column.record): value for column, value in zip(columns, row.values, strict=True)}
    theirs = [known.get(id(column.native)) for column in columns]
    if all(value is None for value in theirs):
        return
    yield Row(
        name=difference_to_native(row.name),
        unit=row.unit,
        text=f"{row.name} less that of the native case",
        values=tuple(
            None if mine is None or other is None else mine - other
            for mine, other in zip(row.values, theirs, strict=True)
        ),
        absent=(None,) * len(columns),
        bounds=tuple(column.summary.differences.get(row.name) for column in columns),
        unbounded=(None,) * len(columns),
        is_difference=True,
    )


def _which_native(columns: Sequence[Column]) -> Iterator[str]:
    several = [column for column in columns if column.record.case.optimization.precision_mode == "native"]
    held = [column for column in several if any(other.native is column.record for other in columns)]
    if len(held) > 1:
        yield "each case is held against the native one of its own run"
    elif len(several) > 1:
        yield from (f"all are held against {column.label}" for column in held)


def _measured_how(columns: Sequence[Column]) -> Iterator[str]:
    for native in {id(column.native): column.native for column in columns}.values():
        held = [column for column in columns if column.native is native]
        yield from measured_how([column.record for column in held], [column.label for column in held], native)


def _shared(columns: Sequence[Column]) -> Iterator[str]:
    """What is to be said of the model and its data; then of cases, once where it is true of several."""
    labels: dict[str, dict[str, None]] = {}
    for column in columns:
        yield from _input_notes(column.record)
        for note in _case_notes(column):
            labels.setdefault(note, {})[column.label] = None
    yield from (f"{_some(list(those))}: {note}" for note, those in labels.items())


def _some(labels: Sequence[str]) -> str:
    """So many labels as a line has room for, and how many more there are."""
    more = len(labels) - LABELS_IN_NOTE
    return ", ".join(labels[:LABELS_IN_NOTE]) + (f" and {more} more" if more > 0 else "")


def _input_notes(record: Record) -> Iterator[str]:
    case = record.case
    if case.model.random_weights:
        yield untrained(case.model.name)
    if case.dataset.format == "synthetic":
        yield f"{case.dataset.name}: synthetic images, not photographs{_statistics(case.dataset)}"
    if case.num_images < case.batch_size:
        images = "1 image does" if case.num_images == 1 else f"{case.num_images} images do"
        yield (
            f"{case.dataset.name}: {images} not fill a batch of {case.batch_size}; it is filled up with copies, which "
            "images/s do not count"
        )
    if left_out := case.dataset.left_out:
        yield f"{case.dataset.name}: {len(left_out)} images are left out, of which the first: {left_out[0][1]}"
    for name, count in (record.edits or {}).items():
        if not count:
            yield f"{case.model.name}: the edit {name} found nothing to change"


def _case_notes(column: Column) -> Iterator[str]:
    record = column.record
    yield from _backend_notes(record, column.broken)
    yield from against_published(record, column.summary)
    yield from record.accuracy.notes if record.accuracy is not None else ()
    if record.stages is not None:
        yield from record.stages.diagnoses(record.telemetry.sm_clock_mhz() if record.telemetry else None)
    if record.profile_absent is not None:
        yield f"no profile: {record.profile_absent}"
    yield from record.notes


def _statistics(dataset: Dataset) -> str:
    if dataset.mean is None or dataset.deviation is None:
        return ""
    mean, deviation = (" ".join(f"{value:g}" for value in values) for values in (dataset.mean, dataset.deviation))
    return f", drawn with mean {mean} and deviation {deviation}"


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
        if record.profile is not None and not record.profile.computes_in(optimization.precision_mode):
            yield f"no kernel that ran is known to compute in {optimization.precision_mode}"
