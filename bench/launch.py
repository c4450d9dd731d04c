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
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import psutil

from bench.backends.variables import worker_variables
from bench.blocks import Turn
from bench.case import Case
from bench.errors import StoreError
from bench.graphs.report import missing_engines
from bench.machine.observe import Observer, observer_of
from bench.record import Failure, FailureKind, Record
from bench.telemetry import ClockLock

LOG_TAIL_BYTES = 4000
LOOK_AFTER_S = 2.0
ON_GPU = ("tensorflow", "tf-trt")  # backends that use a GPU where there is one
LAST_PART = "peak_host_bytes"  # a worker that ends without it did not reach its end
Listener = Callable[[str, int, int], None]  # phase, done, total (0: not known)


@dataclass
class Watched:
    """What is known of a running worker."""

    observer: Observer
    listen: Listener
    parts: dict[str, Any] = field(default_factory=dict)
    phase: str = "prepare"
    is_ready: bool = False  # its own phases are done, and it takes turns


class Worker:
    """The process of one case, from its start to its record: `run`, `turn` as often as wanted, `end`."""

    def __init__(
        self, case: Case, log_path: Path, listen: Listener, ours: Collection[int] = (), lock: ClockLock | None = None
    ) -> None:
        """`ours`: gpu_pids of other workers that are alive; `lock`: what became of the one that was asked for."""
        self.case, self._log_path, self._started = case, log_path, datetime.now(timezone.utc)
        self._variables = {**os.environ, **worker_variables(case)}
        self._watched = Watched(observer_of(case, uses_gpu(case), self._variables, ours, lock), listen)
        self._seconds = 0.0
        self._failure: Failure | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it waits for turns."""
        return self._watched.is_ready and self._failure is None

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self._failure is not None and self._failure.kind == "interrupted"

    @property
    def failed_for_memory(self) -> bool:
        """Whether it ended because it got no memory."""
        return self._failure is not None and self._failure.kind == "out-of-memory"

    @property
    def gpu_pids(self) -> frozenset[int]:
        """The process as the GPU's driver lists it."""
        return self._watched.observer.worker_pids

    @property
    def host_bytes(self) -> int:
        """Memory that the process holds now; 0 where there is none."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss) if self._process is not None else 0
        except psutil.NoSuchProcess:
            return 0

    def run(self) -> None:
        """Through the case's own phases; on Ctrl-C, and on whatever else goes wrong, the process is ended."""
        begin = time.monotonic()
        with self._ending_badly(), _open_log(self._log_path) as log, self._watched.observer as observer:
            observer.settle()
            observer.begin()
            self._process, self._events = _start(self.case, log, self._variables)
            observer.worker(self._process.pid)
            try:
                self._failure = _watch(self._process, self._events, self._watched, self.case.phase_timeout_s)
            finally:
                observer.end()
        self._seconds = time.monotonic() - begin

    def turn(self, turn: Turn) -> None:
        """Have one block measured; a worker that ends instead has failed."""
        self._watched.phase, self._watched.is_ready = "interleave", False
        with self._ending_badly():
            self._say(turn.model_dump_json())
            self._failure = self._await()

    def interrupt(self) -> None:
        """It is not to be waited for: Ctrl-C."""
        self._failure = _stopped("interrupted", self._watched, "stopped by Ctrl-C")

    def end(self, not_interleaved: str | None = None) -> Record:
        """Let it end, and give its record."""
        with self._ending_badly():
            self._no_more_turns()
            if self.is_ready:
                self._watched.is_ready = False
                self._failure = self._await()
        self._kill()
        return self.record(not_interleaved)

    def record(self, not_interleaved: str | None = None) -> Record:
        """What is known so far."""
        failure = self._failure
        if failure is not None:
            failure = failure.model_copy(update={"log_tail": _tail(self._log_path)})
        data = {
            "case": self.case,
            "started": self._started,
            "seconds": self._seconds,
            "failure": failure,
            "not_interleaved": not_interleaved,
            "notes": _notes(self._log_path, self._watched.parts.get("conversion")),
            "telemetry": self._watched.observer.telemetry(self._watched.parts),
            **{name: part for name, part in self._watched.parts.items() if name != "failure"},
        }
        return Record.model_validate(data)

    def _await(self) -> Failure | None:
        assert self._process is not None
        return _watch(self._process, self._events, self._watched, self.case.phase_timeout_s)

    def _say(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def _no_more_turns(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    @contextlib.contextmanager
    def _ending_badly(self) -> Iterator[None]:
        """Ctrl-C is a failure of this case; a worker that is not to go on is ended at once."""
        try:
            yield
        except KeyboardInterrupt:
            self.interrupt()
        finally:
            if not self.is_ready:
                self._kill()

    def _kill(self) -> None:
        """End the process and whatever it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._no_more_turns()
        self._events.close()


def uses_gpu(case: Case) -> bool:
    """Whether its backend computes on a GPU where there is one."""
    return case.optimization.backend in ON_GPU


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
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(case.model_dump_json().encode() + b"\n")
            process.stdin.flush()
    return process, open(read_end, "rb", buffering=0)


def _watch(process: subprocess.Popen[bytes], events: IO[bytes], watched: Watched, timeout_s: float) -> Failure | None:
    """Take events in until the worker is ready or closes its end; blocks in between. Too long a phase is a failure.

    A child that a crashed worker forked may hold the other end open, so the worker itself is looked after now and then.
    """
    buffered = b""
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(events, selectors.EVENT_READ)
        while not watched.is_ready:
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
                if _take(json.loads(line), watched):
                    deadline = time.monotonic() + timeout_s
    return None


def _take(event: dict[str, Any], watched: Watched) -> bool:
    """Take one event in; True if it begins a phase."""
    kind = event["event"]
    if kind == "part":
        watched.parts[event["name"]] = event["value"]
        watched.observer.part(event["name"])
    elif kind == "progress":
        watched.listen(watched.phase, event["done"], event["total"])
    elif kind == "ready":
        watched.is_ready = True
    else:
        watched.phase = event["name"]
        watched.observer.phase(event["name"])
        watched.listen(watched.phase, 0, 0)
    return bool(kind == "phase")


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


def _tail(log_path: Path) -> str:
    """The log's end; none where it is gone, of which a note tells."""
    with contextlib.suppress(OSError), log_path.open("rb") as log:
        log.seek(max(0, log_path.stat().st_size - LOG_TAIL_BYTES))
        return log.read().decode(errors="replace")
    return ""


def _notes(log_path: Path, conversion: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What TF-TRT says of engines that were not built or did not run: now, and when a cached conversion was made."""
    earlier = conversion["build_warnings"] if conversion is not None else ()
    try:
        with log_path.open(encoding="utf-8", errors="replace") as log:  # line by line, for size
            found = missing_engines(log)
    except OSError as error:  # what was measured stands without it
        found = (f"the log cannot be read: {error.strerror}",)
    return tuple(dict.fromkeys((*earlier, *found)))
