"""The ends of cases' logs, where TensorFlow and TensorRT say what no record holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from bench.record import Record

LINES, LETTERS, BYTES = 60, 400, 64 * 1024  # of the end; letters of a line

Key = tuple[str, datetime]
Logs = Mapping[Key, str]


def log_key(record: Record) -> Key:
    """What tells a case's log from those of other runs of it."""
    return record.case.id, record.started


def read_logs(run: Path, records: Iterable[Record]) -> dict[Key, str]:
    """The ends of the logs that lie in a run's folder."""
    paths = {log_key(record): run / f"{record.case.id}.log" for record in records}
    return {key: end_of(path) for key, path in paths.items() if path.is_file()}


def end_of(path: Path) -> str:
    """The last lines of a log; what is left out is said."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - BYTES))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    kept = [line if len(line) <= LETTERS else f"{line[:LETTERS]}…" for line in lines[-LINES:]]
    is_whole = len(kept) == len(lines) and size <= BYTES
    return "\n".join([*([] if is_whole else [f"… the last {len(kept)} lines of {path.name}"]), *kept])
