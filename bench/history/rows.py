"""Runs as rows of the index: found, read by several processes where there are many, written."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.history.measured import Measurement, read_run
from bench.store import SUITE_FILE

WORTH_PROCESSES = 200  # runs: below, starting processes takes longer than reading
CHUNK = 50  # runs a task


def runs(results: Path) -> Iterator[tuple[str, str]]:
    """Every folder that has a suite.json, as suite/folder, with what changes when that file does."""
    for suite in _folders(results):
        for run in _folders(suite.path):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found = os.stat(f"{run.path}/{SUITE_FILE}")
                yield f"{suite.name}/{run.name}", f"{found.st_mtime_ns} {found.st_size}"


def _folders(path: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def drop(db: sqlite3.Connection, paths: Iterable[str]) -> None:
    db.executemany("DELETE FROM run WHERE path = ?", [(path,) for path in paths])


def insert(db: sqlite3.Connection, results: Path, paths: Sequence[str], stamps: dict[str, str]) -> None:
    for path, found in _read_all(results, paths):
        if isinstance(found, str):
            db.execute("INSERT INTO run (path, stamp, error) VALUES (?, ?, ?)", (path, stamps[path], found))
        else:
            run, measured, flags = found
            number = db.execute(
                "INSERT INTO run (path, stamp, suite, started, verdict, whole, covariates, config) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (path, stamps[path], *run),
            ).lastrowid
            marks = ", ".join("?" * 12)
            db.executemany(f"INSERT INTO measurement VALUES ({marks})", [(number, *row) for row in measured])
            db.executemany("INSERT INTO flag VALUES (?, ?, ?)", [(number, *row) for row in flags])


Rows = tuple[tuple[Any, ...], list[tuple[Any, ...]], list[tuple[str, str]]]


def _read_all(results: Path, paths: Sequence[str]) -> Iterator[tuple[str, Rows | str]]:
    if len(paths) < WORTH_PROCESSES:
        yield from _read_some(results, paths)
        return
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, get_context("spawn"), initializer=gc.disable) as pool:  # no cycles, much else
        for rows in pool.map(_read_some, [results] * len(chunks), chunks):
            yield from rows


def _read_some(results: Path, paths: Sequence[str]) -> list[tuple[str, Rows | str]]:
    return [(path, _read(results, path)) for path in paths]


def _read(results: Path, path: str) -> Rows | str:
    """A run as rows, or why it cannot be read."""
    try:
        run = read_run(results / path)
    except BenchError as error:
        return str(error)
    except (OSError, KeyError, TypeError, ValueError) as error:
        return f"{path}: not a run as this program stores it: {error!r}"
    head = (
        path.partition("/")[0],
        utc(run.started),
        run.verdict,
        run.whole,
        json.dumps(run.covariates),
        json.dumps(run.config),
    )
    return head, [_row(each) for each in run.measurements], sorted(run.flagged)


def _row(measurement: Measurement) -> tuple[Any, ...]:
    return (
        measurement.name, measurement.series_id, json.dumps(measurement.series.facts), measurement.segment.id,
        json.dumps(measurement.segment.facts), measurement.methodology, json.dumps(measurement.values),
        json.dumps(measurement.doubts), measurement.failure, measurement.broken,
        json.dumps(measurement.absent),
    )  # fmt: skip


def utc(moment: datetime) -> str:
    """UTC, so that text sorts as time does."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")
