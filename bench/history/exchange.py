"""Series written for other tools, and runs taken in from elsewhere."""

from __future__ import annotations

import fnmatch
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

from bench.catalog.address import ARCHIVES
from bench.catalog.unpack import is_archive, unpack
from bench.errors import BenchError, ConfigError, StoreError, nearest
from bench.export.tidy import BETTER, csv_of
from bench.history.answers import Night, SeriesInfo
from bench.history.index import Index
from bench.history.measured import read_run
from bench.history.trend import chosen
from bench.statistics.metric import Metric
from bench.statistics.metrics import METRICS
from bench.store import SUITE_FILE, read_suite

HEAD = (
    "series", "segment", "name", "suite", "run", "started", "commit", "statistic", "unit", "better", "value",
    "processes", "valid", "reason",
)  # fmt: skip
FORMATS = ("csv", "json")
SCRATCH = ".importing-"  # in the results folder; a hidden folder is no suite
DEPTH = 3  # folders below what is imported in which runs are looked for
NO_RESULT = "the case failed, or its figures are not what they are said to be"


@dataclass(frozen=True)
class Point:
    """One statistic of one night."""

    series: SeriesInfo
    night: Night
    metric: Metric

    @property
    def reason(self) -> str:
        """Why it is not valid; empty if it is."""
        return self.night.doubts.get(self.metric.name, "") if self.night.is_sound else NO_RESULT

    @property
    def values(self) -> tuple[float, ...]:
        """One of each process."""
        return self.night.values[self.metric.name]


def series_text(index: Index, patterns: Sequence[str], metric: str, name: str) -> str:
    """The chosen series' nights, all of them, the oldest first: tidy CSV, or JSON with versions and processes."""
    if name not in FORMATS:
        raise ConfigError(f"--format {name}: unknown{nearest(name, FORMATS)}; known: {', '.join(FORMATS)}")
    found = _points(index, patterns, metric)
    if name == "csv":
        return csv_of(HEAD, map(_row, found))
    return json.dumps([_object(point) for point in found], indent=1) + "\n"


def _points(index: Index, patterns: Sequence[str], metric: str) -> Iterator[Point]:
    names = [name for name in METRICS if fnmatch.fnmatchcase(name, metric)]
    if not names:
        raise ConfigError(f"--metric {metric}: unknown statistic{nearest(metric, METRICS)}")
    for series in chosen(index, patterns):
        for night in index.nights(series.id, series.segment):
            yield from (Point(series, night, METRICS[name]) for name in names if name in night.values)


def _row(point: Point) -> tuple[str, ...]:
    series, night, metric = point.series, point.night, point.metric
    return (
        series.id, series.segment, series.name, series.suite, night.run, night.started.isoformat(),
        night.covariates.get("commit", ""), metric.name, metric.unit, BETTER[metric.higher_is_better],
        repr(median(point.values)), str(len(point.values)), str(not point.reason), point.reason,
    )  # fmt: skip


def _object(point: Point) -> dict[str, Any]:
    row = dict(zip(HEAD, _row(point), strict=True))
    numbers = {"value": median(point.values), "processes": list(point.values), "valid": not point.reason}
    return {**row, **numbers, "covariates": point.night.covariates}


@dataclass(frozen=True)
class Imported:
    """What became of the runs that were found."""

    taken: tuple[str, ...]
    known: tuple[str, ...]  # were there already
    refused: tuple[str, ...]  # with the reason


def import_runs(source: Path, results: Path) -> Imported:
    """Take in runs of a results folder, of a run's own folder, or of an archive of either.

    A run is checked first and copied whole or not at all; one that is there already stays as it is.
    """
    from filelock import FileLock

    try:
        results.mkdir(parents=True, exist_ok=True)
        with FileLock(results / ".import.lock"):
            for left in results.glob(f"{SCRATCH}*"):  # of an import that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=results) as scratch:
                return _import(source, results, Path(scratch))
    except OSError as error:
        raise StoreError(f"{results}: cannot be written: {error}") from error


def _import(source: Path, results: Path, scratch: Path) -> Imported:
    folder = _folder(source, scratch)
    found = _runs(folder)
    if not found:
        raise ConfigError(f"{source}: no run there: a run is a folder with a {SUITE_FILE}")
    taken: list[str] = []
    known: list[str] = []
    refused: list[str] = []
    for run in found:
        name = str(run.relative_to(folder)) if run != folder else run.name
        try:
            (taken if _take(run, results, scratch) else known).append(name)
        except BenchError as error:
            refused.append(f"{name}: {error}")
    return Imported(tuple(taken), tuple(known), tuple(refused))


def _folder(source: Path, scratch: Path) -> Path:
    if source.is_dir():
        return source
    if not source.is_file() or not is_archive(source.name):
        raise ConfigError(f"{source}: neither a folder nor an archive (.tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .zip)")
    suffix = next(each for each in ARCHIVES if source.name.lower().endswith(each))
    folder = scratch / "unpacked" / (source.name[: -len(suffix)] or "archive")  # the name of a run that is its root
    folder.parent.mkdir()
    unpack(source, folder)
    return folder


def _runs(folder: Path, depth: int = DEPTH) -> list[Path]:
    """Folders with a suite.json, none of them in another; links are not followed."""
    if (folder / SUITE_FILE).is_file():
        return [folder]
    if not depth:
        return []
    inside = sorted(each for each in folder.iterdir() if each.is_dir() and not each.is_symlink())
    return [run for each in inside if not each.name.startswith(".") for run in _runs(each, depth - 1)]


def _take(run: Path, results: Path, scratch: Path) -> bool:
    """Copy a run; False if it is there already."""
    target = results / _checked(run)
    if target.exists():
        if _same(run, target):
            return False
        raise ConfigError(f"another run of that name is in {target}; results are never overwritten")
    copy = scratch / "run"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns(".*"))
    target.parent.mkdir(exist_ok=True)
    copy.rename(target)
    return True


def _checked(run: Path) -> PurePosixPath:
    """Where a run belongs, suite/folder; an error where it is none, or leads out of its folder."""
    suite, name = read_suite(run), run.resolve().name
    cases = suite.get("cases")
    if not isinstance(cases, list) or not all(_is_name(each) for each in (suite.get("name"), name, *cases)):
        raise ConfigError(f"{run / SUITE_FILE}: not a suite: its name and cases must be names of files")
    for file in run.rglob("*"):
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise ConfigError(f"{file}: neither a file nor a folder; only these are taken in")
    try:
        read_run(run)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{run}: not a run as this program stores it: {error!r}") from error
    return PurePosixPath(suite["name"], name)


def _is_name(value: object) -> bool:
    if not isinstance(value, str) or not value or value.startswith("."):
        return False
    return PurePosixPath(value).name == value and "\0" not in value


def _same(run: Path, target: Path) -> bool:
    try:
        return (run / SUITE_FILE).read_bytes() == (target / SUITE_FILE).read_bytes()
    except FileNotFoundError:
        return False
