"""The formats by name, and a run written in some of them."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import ConfigError, StoreError, nearest

if TYPE_CHECKING:
    from bench.export.run import ExportedRun

FORMATS: Mapping[str, str] = {  # what each is for; the modules are imported when they are asked for
    "junit": "JUnit XML, for CI servers",
    "csv": "tidy CSV: a row for every statistic of every case",
    "pytest-benchmark": "pytest-benchmark's JSON",
    "openmetrics": "OpenMetrics text, for Prometheus",
    "github-action-benchmark-smaller": "github-action-benchmark, tool customSmallerIsBetter",
    "github-action-benchmark-bigger": "github-action-benchmark, tool customBiggerIsBetter",
    "markdown": "Markdown for a pull request's comment: at most 65 536 bytes",
    "markdown-summary": "Markdown for a job's summary: at most 1 MiB",
    "archive": "the run's folder as .tar.gz, which `bench history import` takes in",
}
MLFLOW = "mlflow"  # is logged, and no file
LOGGED = "`bench export latest --format mlflow`, with MLFLOW_TRACKING_URI set"
SUITE = "{suite}"


def check_format(name: str) -> str:
    """A format's name, or an error with the nearest one."""
    if name not in FORMATS:
        found = f"unknown format {name!r}{nearest(name, FORMATS)}" if name else "no format"
        raise ConfigError(f"{found}; known: {', '.join(FORMATS)}")
    return name


def rendered(run: ExportedRun, name: str) -> bytes:
    """A run in one of the formats."""
    return _archive(run) if name == "archive" else _writer(name)(run).encode()


def _archive(run: ExportedRun) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        archive.add(run.path, f"{run.suite}/{run.name}", filter=_unhidden)
    return data.getvalue()


def _unhidden(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Locks and what is half written stay here."""
    return None if Path(member.name).name.startswith(".") else member


def _writer(name: str) -> Callable[[ExportedRun], str]:
    from bench.export import action_benchmark, junit, markdown, openmetrics, pytest_benchmark, tidy

    known: dict[str, Callable[[ExportedRun], str]] = {
        "junit": junit.junit,
        "csv": tidy.tidy_csv,
        "pytest-benchmark": pytest_benchmark.pytest_benchmark_json,
        "openmetrics": openmetrics.openmetrics,
        "github-action-benchmark-smaller": action_benchmark.smaller_is_better,
        "github-action-benchmark-bigger": action_benchmark.bigger_is_better,
        "markdown": markdown.markdown,
        "markdown-summary": partial(markdown.markdown, limit=markdown.SUMMARY),
    }
    return known[name]


def parse_targets(texts: Sequence[str], suites: int = 1) -> list[tuple[str, str]]:
    """FORMAT=FILE as pairs; of several suites, each file is to have the suite in its name."""
    targets = []
    for text in texts:
        name, file = _target(text)
        targets.append((name, file))
        if suites > 1 and SUITE not in file:
            raise ConfigError(f"--export {text}: {suites} suites would write one file; put {SUITE} into its name")
    return targets


def _target(text: str) -> tuple[str, str]:
    name, _, file = text.partition("=")
    if name == MLFLOW:
        raise ConfigError(f"--export {text}: MLflow takes no file; log the run when it is there: {LOGGED}")
    try:
        check_format(name)
    except ConfigError as error:
        raise ConfigError(f"--export {text}: {error}; write FORMAT=FILE, such as junit=junit.xml") from error
    if not file.strip():
        raise ConfigError(f"--export {text}: names no file; write FORMAT=FILE, such as {name}=nightly/{name}")
    return name, file


def make_folders(targets: Sequence[tuple[str, str]], suites: Sequence[str]) -> None:
    """Before anything is measured, so that a run of hours is not found at its end to have nowhere to go."""
    files = [file.replace(SUITE, suite) for _, file in targets for suite in suites]
    if twice := [file for file in files if files.count(file) > 1]:
        raise ConfigError(f"--export: two would write {twice[0]}; name another file for one of them")
    for _, file in targets:
        for suite in suites:
            folder = Path(file.replace(SUITE, suite)).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"--export {file}: {folder} cannot be made: {error.strerror}") from error
            if not os.access(folder, os.W_OK) or Path(file.replace(SUITE, suite)).is_dir():
                raise ConfigError(f"--export {file}: it cannot be written; name a file in a folder that can be")


def write_exports(path: Path, targets: Sequence[tuple[str, str]]) -> None:
    """A stored run in all formats that were asked for, with what it was judged by."""
    from bench.compare.stored import kept
    from bench.export.run import read_export
    from bench.store import replace_atomic

    if targets:
        run = read_export(path, kept(path))
        failed = []
        for name, file in targets:
            try:
                replace_atomic(Path(file.replace(SUITE, run.suite)), rendered(run, name))
            except StoreError as error:
                failed.append(f"--export {name}={file}: {error}")
        if failed:
            raise StoreError("; ".join(failed))
