"""A run as the history and comparisons see it: of each case its series, its statistics by process, what is doubtful."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from bench.errors import ConfigError
from bench.history.series import WRAPPED, Key, covariates, segment_key, series_key, series_name
from bench.record import FORMAT_VERSION, Environment, Record, read_record
from bench.repeats import merged, processes, variant_of
from bench.statistics.metrics import METRICS, RELATIVE
from bench.statistics.possible import is_to_have
from bench.statistics.summary import NO_NATIVE, natives, statistics_of_process, why_lacking
from bench.store import read_suite
from bench.validity import judge
from bench.verdict import broken_because


@dataclass(frozen=True)
class Measurement:
    """One variant of one run, over its processes."""

    name: str  # its id, without build and repeat
    series: Key
    segment: Key
    methodology: int
    values: Mapping[str, tuple[float, ...]]  # statistics, one of each process
    doubts: Mapping[str, str] = field(
        default_factory=dict
    )  # by statistic: why it is not valid; also of those that some processes lack
    failure: str | None = None  # why it has no, or not all, results
    broken: str | None = None  # why its figures are not what they are said to be
    absent: Mapping[str, str] = field(default_factory=dict)  # why it lacks what it is to have

    @property
    def series_id(self) -> str:
        """Changes with the way of measuring too."""
        return hashlib.sha256(f"{self.series.id} {self.methodology}".encode()).hexdigest()[:12]

    def value(self, statistic: str) -> float | None:
        """The median over processes."""
        found = self.values.get(statistic)
        return median(found) if found else None

    def lacks(self, statistic: str, which: str) -> str:
        """That `which` run has no value of a statistic, and why; empty where it has one."""
        why = self.absent.get(statistic) or self.doubts.get(statistic)
        return "" if statistic in self.values else f"{which} does not have it" + (f": {why}" if why else "")


@dataclass(frozen=True)
class Run:
    """One run: a night, where it is a nightly job's."""

    path: Path
    suite: str
    started: datetime
    verdict: str
    measurements: tuple[Measurement, ...]
    covariates: Mapping[str, str]
    config: Mapping[str, Any]
    flagged: frozenset[tuple[str, str]] = frozenset()  # series id and statistic that a comparison found worse
    whole: bool = True  # False where --select left cases out

    @property
    def name(self) -> str:
        """Suite and folder."""
        return f"{self.suite}/{self.path.name}"


def read_run(path: Path) -> Run:
    """A run's folder as stored; a ConfigError names the file that cannot be read."""
    suite = read_suite(path)
    return measured_run(path, suite, _records(path, suite))


def measured_run(path: Path, suite: Mapping[str, Any], records: Sequence[Record]) -> Run:
    """A run out of its suite.json and its records."""
    started = [record.started for record in records]
    return Run(
        path=path,
        suite=str(suite["name"]),
        started=min(started) if started else _time_of(path),
        verdict=str(suite.get("verdict", "broken")),
        measurements=tuple(_with_missing(suite, measurements(records), records)),
        covariates={**_covariates(records), **_wrapped(records)},
        config=suite.get("config") or {},
        flagged=frozenset((each["series"], each["metric"]) for each in suite.get("flagged", ())),
        whole=bool(suite.get("whole", True)),
    )


def _covariates(records: Sequence[Record]) -> dict[str, str]:
    """Those of a run; of one with several sittings, each that differed with all of its values."""
    first: dict[int, Environment] = {}
    for record in records:
        if record.environment is not None:
            first.setdefault(record.sitting, record.environment)
    found = [covariates(environment) for environment in first.values()]
    values = {name: dict.fromkeys(each[name] for each in found if name in each) for each in found for name in each}
    return {name: " and ".join(each) for name, each in values.items()}


def _wrapped(records: Sequence[Record]) -> dict[str, str]:
    """Whose session is not the backend's own: the user's function may do anything with it."""
    found = dict.fromkeys(record.case.wrap_session for record in records if record.case.wrap_session is not None)
    return {WRAPPED: ", ".join(found)} if found else {}


def measurements(records: Sequence[Record]) -> tuple[Measurement, ...]:
    """One for each variant; two that nothing in their key tells apart are told apart by name."""
    variants = merged(records)
    native = natives(variants)
    found = [_measurement(each, native.get(each.case.comparison)) for each in variants]
    taken = [each.series_id for each in found]
    return tuple(each if taken.count(each.series_id) == 1 else replace(each, series=_named(each)) for each in found)


def _named(measurement: Measurement) -> Key:
    return Key({**measurement.series.facts, "case": measurement.name})


def _measurement(record: Record, native: Record | None) -> Measurement:
    values, absent, lacked = _statistics(record, native)
    return Measurement(
        name=series_name(record.case),
        series=series_key(record.case),
        segment=segment_key(record),
        methodology=record.methodology_version,
        values=values,
        doubts=_doubts(record, native, values) | lacked,
        failure=_failure(record),
        broken=broken_because(record),
        absent=absent,
    )


def _statistics(
    record: Record, native: Record | None
) -> tuple[dict[str, tuple[float, ...]], dict[str, str], dict[str, str]]:
    """The values of all processes; why there are none of what it is to have; of these, what only some processes lack.

    Those that happen to have it may be the fast ones. Of a case that failed, which is not judged, all are kept.
    """
    theirs = {} if native is None or native is record else {_place(each): each for each in processes(native)}
    found = [statistics_of_process(each, theirs.get(_place(each))) for each in processes(record)]
    known = {name: tuple(each[name] for each, _ in found if name in each) for own, _ in found for name in own}
    whole = {name for name, each in known.items() if len(each) == len(found) or record.failure is not None}
    names = [name for name in (*known, *_missed(record)) if name not in whole]
    reasons = [absent for _, absent in found]
    absent = {name: why_lacking(name, reasons, len(found) - len(known.get(name, ()))) for name in names}
    if native is None:
        absent |= dict.fromkeys(RELATIVE & absent.keys(), NO_NATIVE)
    values = {name: each for name, each in known.items() if name in whole}
    return values, absent, {name: why for name, why in absent.items() if name in known}


def _missed(record: Record) -> list[str]:
    """The statistics that are missed where they are not there."""
    return [name for name in METRICS if is_to_have(name, record)]


def _place(record: Record) -> tuple[int, int]:
    return record.case.build, record.case.repeat


def _doubts(record: Record, native: Record | None, values: Mapping[str, object]) -> dict[str, str]:
    """By statistic why it is not valid; the relative ones' reasons may be the native case's."""
    doubts: dict[str, str] = {}
    if len({_hardware(each) for each in processes(record)}) > 1:
        doubts |= dict.fromkeys(values, "its processes ran on different hardware")
    for problem in judge(record, native):
        for name in values:
            if name in METRICS and name not in problem.spares:
                doubts.setdefault(name, problem.reason)
    for problem in () if native is None or native is record else judge(native, record):
        for name in RELATIVE & values.keys() - problem.spares:
            doubts.setdefault(name, f"native: {problem.reason}")
    return doubts


def _hardware(record: Record) -> tuple[object, ...]:
    environment = record.environment
    if environment is None:
        return ()
    return environment.cpu, environment.cpu_count, record.gpu_name


def _failure(record: Record) -> str | None:
    failure = record.failure
    return None if failure is None else f"{failure.kind} in phase {failure.phase}: {failure.message}"


def _with_missing(
    suite: Mapping[str, Any], found: Sequence[Measurement], records: Sequence[Record]
) -> list[Measurement]:
    """The measurements, and a failed one for every case that the run was to measure and that has no record."""
    ids = {record.case.id for record in records}
    missing = dict.fromkeys(variant_of(case) for case in suite.get("cases", ()) if case not in ids)
    why = "a process has no record: the run is unfinished"
    known = [replace(each, failure=each.failure or why) if each.name in missing else each for each in found]
    names = {each.name for each in found}
    lost = [
        Measurement(name, Key({"case": name}), Key({}), 0, {}, failure=why) for name in missing if name not in names
    ]
    return [*known, *lost]


def _records(path: Path, suite: Mapping[str, Any]) -> list[Record]:
    files = [path / f"{case}.json" for case in suite["cases"]]
    return [_read(file) for file in files if file.is_file()]


def _read(file: Path) -> Record:
    """pydantic's own parser takes a fourth less time than json's and a validation after it."""
    data = file.read_bytes()
    try:
        record = Record.model_validate_json(data)
    except ValidationError:
        record = None
    if record is not None and record.format_version == FORMAT_VERSION:
        return record
    try:
        return read_record(data.decode("utf-8"), str(file))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not a record: {error}") from error


def _time_of(path: Path) -> datetime:
    """Of a run without a record, from its folder's name."""
    try:
        return datetime.strptime(f"{path.name.partition('-')[0]}+0000", "%Y%m%dT%H%M%SZ%z")
    except ValueError:
        return datetime.fromtimestamp((path / "suite.json").stat().st_mtime).astimezone()
