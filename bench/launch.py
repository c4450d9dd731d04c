"""Start a worker for a case, watch it, time its phases out, and turn a crash into a Failure."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from bench.backends.variables import worker_variables
from bench.errors import StoreError
from bench.machine.observe import Observer
from bench.record import Case, Failure, FailureKind, Record

LOG_TAIL_BYTES = 4000
LOOK_AFTER_S = 2.0
ON_GPU = ("tensorflow", "tf-trt")  # backends that use a GPU where there is one
LAST_PART = "peak_host_bytes"  # a worker that ends without it did not reach its end
Listener = Callable[[str, int, int], None]  # phase, done, total (0: not known)

# What TF-TRT and TensorRT say when an engine did not come to be, or did not run.
WARNINGS = (
    "Engine creation for", "Found no engine in cache", "Running native segment for", "Failed to execute engine",
    "Engine retrieval for input shapes", "segments with at least minimum_segment_size",
)  # fmt: skip


@dataclass
class Watched:
    """What is known of a running worker."""

    observer: Observer
    parts: dict[str, Any] = field(default_factory=dict)
    phase: str = "prepare"


def run_worker(case: Case, log_path: Path, listen: Listener) -> Record:
    """The record of a case that ran in a process of its own; on Ctrl-C the worker is stopped and the record says so."""
    started, begin = datetime.now(timezone.utc), time.monotonic()
    variables = {**os.environ, **worker_variables(case)}
    with _open_log(log_path) as log, Observer(case.optimization.backend in ON_GPU, variables) as observer:
        watched = Watched(observer)
        try:
            observer.settle()
            failure = _run(case, log, variables, watched, listen)
        except KeyboardInterrupt:
            failure = _stopped("interrupted", watched, "stopped by Ctrl-C")
    return _assemble(case, started, time.monotonic() - begin, watched, failure, log_path)


def _run(
    case: Case, log: IO[bytes], variables: Mapping[str, str], watched: Watched, listen: Listener
) -> Failure | None:
    """A worker from its start to its end, whatever ends it."""
    watched.observer.begin()
    process, events = _start(case, log, variables)
    try:
        with events:
            watched.observer.worker(process.pid)
            return _watch(process, events, watched, case.phase_timeout_s, listen)
    finally:
        watched.observer.end()
        _kill(process)


def _open_log(log_path: Path) -> IO[bytes]:
    try:
        return log_path.open("wb")
    except OSError as error:
        raise StoreError(f"{log_path}: cannot be written: {error.strerror}") from error


def _start(case: Case, log: IO[bytes], variables: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """The worker in a session of its own, so that Ctrl-C reaches the parent alone."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "bench.worker", "--events", str(write_end), "--parent", str(os.getpid())]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        pass_fds=[write_end],
        start_new_session=True,
        env=dict(variables),
    )
    os.close(write_end)
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(case.model_dump_json().encode() + b"\n")
    return process, open(read_end, "rb", buffering=0)


def _watch(
    process: subprocess.Popen[bytes], events: IO[bytes], watched: Watched, timeout_s: float, listen: Listener
) -> Failure | None:
    """Take events in until the worker closes its end; blocks in between. A phase that takes too long is a failure.

    A child that a crashed worker forked may hold the other end open, so the worker itself is looked after now and then.
    """
    buffered = b""
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(events, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if not selector.select(max(0.0, min(left, LOOK_AFTER_S))):
                if left <= 0:
                    return _stopped("time-out", watched, f"took longer than phase_timeout_s, {timeout_s:g} s")
                if process.poll() is not None and not selector.select(0):
                    return _ending(process, watched)
                continue
            chunk = os.read(events.fileno(), 1 << 16)
            if not chunk:
                return _ending(process, watched)
            *lines, buffered = (buffered + chunk).split(b"\n")
            for line in lines:
                if _take(json.loads(line), watched, listen):
                    deadline = time.monotonic() + timeout_s


def _take(event: dict[str, Any], watched: Watched, listen: Listener) -> bool:
    """Take one event in; True if it begins a phase."""
    if event["event"] == "part":
        watched.parts[event["name"]] = event["value"]
        watched.observer.part(event["name"])
    elif event["event"] == "progress":
        listen(watched.phase, event["done"], event["total"])
    else:
        watched.phase = event["name"]
        watched.observer.phase(event["name"])
        listen(watched.phase, 0, 0)
    return bool(event["event"] == "phase")


def _ending(process: subprocess.Popen[bytes], watched: Watched) -> Failure | None:
    """How a worker ended that closed its events: well, with a failure of its own, or by a signal."""
    try:
        code = process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        return _stopped("time-out", watched, "the worker was done but did not end")
    if "failure" in watched.parts:
        return Failure.model_validate(watched.parts.pop("failure"))
    if code == -signal.SIGKILL:
        return _stopped(
            "out-of-memory", watched, "killed by SIGKILL: most likely by the kernel, which ran out of memory"
        )
    if code < 0:
        return _stopped("crash", watched, f"crashed: {signal.Signals(-code).name}")
    if code == 0 and LAST_PART in watched.parts:
        return None
    return _stopped("crash", watched, f"ended with exit code {code} and no word")


def _stopped(kind: FailureKind, watched: Watched, message: str) -> Failure:
    return Failure(kind=kind, phase=watched.phase, message=message)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the worker and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _assemble(
    case: Case, started: datetime, seconds: float, watched: Watched, failure: Failure | None, log_path: Path
) -> Record:
    if failure is not None:
        failure = failure.model_copy(update={"log_tail": _tail(log_path)})
    data = {
        "case": case,
        "started": started,
        "seconds": seconds,
        "failure": failure,
        "notes": _notes(log_path),
        "telemetry": watched.observer.telemetry(watched.parts),
        **{name: part for name, part in watched.parts.items() if name != "failure"},
    }
    return Record.model_validate(data)


def _tail(log_path: Path) -> str:
    with log_path.open("rb") as log:
        log.seek(max(0, log_path.stat().st_size - LOG_TAIL_BYTES))
        return log.read().decode(errors="replace")


def _notes(log_path: Path) -> tuple[str, ...]:
    """Lines of the log in which TF-TRT says that an engine was not built or did not run; line by line, for size."""
    with log_path.open(encoding="utf-8", errors="replace") as log:
        warned = (line.strip() for line in log if "TF-TRT Warning" in line)
        return tuple(dict.fromkeys(line for line in warned if any(warning in line for warning in WARNINGS)))
