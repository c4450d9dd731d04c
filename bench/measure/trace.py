"""A profile as a file that Perfetto and chrome://tracing open."""

from __future__ import annotations

import gzip
import heapq
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.measure.xplane import Event, Line, XSpace, load_spaces, read_lines

MAX_EVENTS = 1_000_000


class _Row(NamedTuple):
    process: int
    thread: int
    of_gpu: bool
    origin: int
    event: Event


def write_chrome_trace(source: XSpace | Path, target: Path, limit: int = MAX_EVENTS) -> None:
    """Write all events of a session, or of the sessions under a folder, gzipped, in Chrome's trace event format.

    Each session starts at 0. Of more than `limit` events those of the GPU are kept first, then the longest; the
    file's otherData says how many there were and are.
    """
    spaces = load_spaces(source) if isinstance(source, Path) else [source]
    names, rows = _gather(spaces)
    kept = rows if len(rows) <= limit else heapq.nlargest(limit, rows, key=_weight)
    notes = {"events": len(rows), "events_kept": len(kept)}
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with gzip.open(partial, "wt", encoding="utf-8", compresslevel=6) as file:
            file.writelines(_text([*names, *map(_complete, kept)], notes))
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _gather(spaces: Iterable[XSpace]) -> tuple[list[dict[str, Any]], list[_Row]]:
    """The names of processes (planes) and threads (lines), and all events."""
    names: list[dict[str, Any]] = []
    rows: list[_Row] = []
    process = 0
    for space in spaces:
        lines = [line for line in read_lines(space) if line.events]
        origin = min((event.start for line in lines for event in line.events), default=0)
        for plane in dict.fromkeys(line.plane for line in lines):
            process += 1
            names.append(_name("process_name", process, 0, plane))
            for thread, line in enumerate((line for line in lines if line.plane == plane), 1):
                names.append(_name("thread_name", process, thread, line.name))
                rows += _rows(process, thread, origin, line)
    return names, rows


def _rows(process: int, thread: int, origin: int, line: Line) -> Iterator[_Row]:
    return (_Row(process, thread, line.of_gpu, origin, event) for event in line.events)


def _weight(row: _Row) -> tuple[bool, int]:
    return row.of_gpu, row.event.end - row.event.start


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _complete(row: _Row) -> dict[str, Any]:
    event = row.event
    args = {key: value for key, value in event.stats.items() if isinstance(value, (str, int, float)) and value != ""}
    return {
        "ph": "X",
        "name": event.name,
        "pid": row.process,
        "tid": row.thread,
        "ts": (event.start - row.origin) / 1000,
        "dur": (event.end - event.start) / 1000,
        "args": args,
    }


def _text(events: Iterable[dict[str, Any]], notes: dict[str, int]) -> Iterator[str]:
    yield f'{{"displayTimeUnit": "ns", "otherData": {json.dumps(notes)}, "traceEvents": [\n'
    separator = ""
    for event in events:
        yield separator + json.dumps(event, allow_nan=False)
        separator = ",\n"
    yield "\n]}\n"
