"""results/: one folder a run. Writes are atomic; nothing that is there is overwritten."""

from __future__ import annotations

import errno
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, StoreError
from bench.record import FORMAT_VERSION, METHODOLOGY_VERSION, Check, Record, check_format, read_record

SUITE_FILE = "suite.json"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # no mistake in a path: there is no room


def create_run(results: Path, suite: str) -> Path:
    """A new folder results/<suite>/<UTC time>-<short id>/; a ConfigError where it cannot be written."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = results / suite / f"{stamp}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}") from error
        raise ConfigError(
            f"{results}: results cannot be written there: {error}; choose another with --results"
        ) from error
    return folder


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; refuses a path that exists."""
    if path.exists():
        raise StoreError(f"{path}: exists already; results are never overwritten")
    replace_atomic(path, data)


def replace_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, in place of what may be there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error


def save_record(run: Path, record: Record, again: bool = False) -> None:
    """Keep one case's record; `again`, in place of what the same run knew of it before.

    In a folder that went meanwhile, a StoreError: made anew, it would lack what was kept in it.
    """
    if not run.is_dir():
        raise StoreError(
            f"{run}: it is gone, with what was kept in it, and {record.case.id} cannot be kept there; where it was "
            "moved, --resume goes on with it"
        )
    write = replace_atomic if again else write_atomic
    write(run / f"{record.case.id}.json", record.model_dump_json().encode())


def save_suite(
    run: Path, name: str, config: Mapping[str, Any], cases: Iterable[str], ending: Mapping[str, Any]
) -> None:
    """Keep what is run and how it ended; said at the start too, so that a run that was cut off can be read."""
    suite = {
        "format_version": FORMAT_VERSION,
        "methodology_version": METHODOLOGY_VERSION,
        "name": name,
        "config": config,
        "cases": list(cases),
        **ending,
    }
    replace_atomic(run / SUITE_FILE, json.dumps(suite, indent=1).encode())


def folder_of(word: str, results: Path) -> Path | None:
    """The run's folder that a word names: a path, or SUITE/RUN in the results folder."""
    paths = (Path(word), results / word) if word else ()
    return next((path for path in paths if (path / SUITE_FILE).is_file()), None)


def load_records(run: Path) -> tuple[Record, ...]:
    """The records of a run, in the order of its cases."""
    suite = read_suite(run)
    files = [run / f"{case}.json" for case in suite["cases"]]
    return tuple(read_record(file.read_text(encoding="utf-8"), str(file)) for file in files if file.is_file())


def load_checks(run: Path) -> tuple[Check, ...]:
    """The outcomes of a run's assertions."""
    return tuple(Check.model_validate(check) for check in read_suite(run).get("assertions", ()))


def read_suite(run: Path) -> dict[str, Any]:
    """A run's suite.json; a ConfigError where there is none."""
    file = run / SUITE_FILE
    try:
        suite = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{run}: not a run's folder: it has no {SUITE_FILE}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{run}: not a finished run: {file} cannot be read: {error}") from error
    if not isinstance(suite, dict):
        raise ConfigError(f"{file}: not a suite: no JSON object")
    check_format(suite.get("format_version"), str(file))
    return dict(suite)
