"""The sampler as the launcher has it: started before the worker, told of phases, ended with the case.

Whatever goes wrong with it, the case goes on, and the record says why there is no telemetry.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

from bench.case import Case
from bench.machine.reading import Sampled, Task, decode
from bench.machine.summaries import summarize
from bench.machine.timeline import Timeline
from bench.telemetry import ClockLock, Telemetry

READY_S = 10.0  # nvmlInit takes seconds where no persistence daemon runs
IDLE_S = 1.0
END_S = 10.0  # it gives way to everything, and a busy machine lets it wait


class Observer:
    """A context: the sampler lives within it.

    `ours` are the pids of other workers of the same run that are alive, the `worker_pids` of their observers: they wait
    on the GPU, and are no strangers. Without a period nothing is read.
    """

    def __init__(
        self,
        wants_gpu: bool,
        variables: Mapping[str, str],
        period_s: float | None = 0.1,
        ours: Collection[int] = (),
        lock: ClockLock | None = None,
    ) -> None:
        self.timeline = Timeline()
        self.sampled = Sampled()
        self._wants_gpu, self._variables, self._period_s = wants_gpu, variables, period_s
        self._ours, self._lock = tuple(ours), lock
        self._worker: int | None = None
        self._worker_ns: int | None = None
        self._output = -1
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Observer:
        if self._period_s is None:
            return self
        try:
            self._output = os.memfd_create("telemetry")  # in memory: nothing is written to a disk, or left there
            task = Task(os.getpid(), self._output, self._wants_gpu, self._period_s, self._ours)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.sampler", json.dumps(task._asdict())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[self._output],
                start_new_session=True,
                env=dict(self._variables),
            )
        except OSError as error:
            self.sampled.failed = f"the sampler could not be started: {error}"
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        if self._process is not None:
            self._finish(self._process)
        if self._output >= 0:
            os.close(self._output)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def worker_pids(self) -> frozenset[int]:
        """Under which pids the driver listed the worker, once the context has ended; its own where that is not known.

        Not both: in a container, the driver's pids and those of here may be the same numbers for different processes.
        """
        here = () if self._worker is None else (self._worker,)
        return frozenset(self.sampled.facts.get("worker_pids", here))

    def settle(self) -> None:
        """Wait until a GPU is open, and let it be read for a second before there is a worker."""
        if self._wants_gpu and self.reads_gpu():
            time.sleep(IDLE_S)

    def reads_gpu(self) -> bool:
        """Wait until it reads, and say whether there is a GPU that it reads."""
        if self._process is None or self._process.stdout is None:
            return False
        ready, _, _ = select.select([self._process.stdout], [], [], READY_S)
        return bool(ready) and self._process.stdout.readline() == b"gpu\n"

    def begin(self) -> None:
        """The worker is about to be started: the zero of all times."""
        self._worker_ns = time.monotonic_ns()

    def worker(self, pid: int) -> None:
        """The worker was started."""
        self._worker = pid
        self._order(f"worker {pid}")

    def phase(self, name: str) -> None:
        self.timeline.phase(name, time.monotonic_ns())
        self._order("now")

    def part(self, name: str) -> None:
        """A part of the record came; some of them end a phase or a loop."""
        if self.timeline.part(name, time.monotonic_ns()):
            self._order("now")

    def end(self) -> None:
        """The worker is no more."""
        self.timeline.end(time.monotonic_ns())

    def telemetry(self, parts: Mapping[str, Any]) -> Telemetry:
        """What was read, once the sampler has ended."""
        if self._period_s is None:
            return Telemetry(clock_lock=self._lock, absent={"readings": "benchmark_config.telemetry is false"})
        begin_ns = self._worker_ns if self._worker_ns is not None else time.monotonic_ns()
        try:
            return summarize(self.sampled, self.timeline.spans, begin_ns, parts, self._lock)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            failed = f"the readings make no sense: {type(error).__name__}: {error}"
            return Telemetry(failed=failed, clock_lock=self._lock)

    def _order(self, order: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):  # it has ended, which is told at the end
            self._process.stdin.write(f"{order}\n".encode())
            self._process.stdin.flush()

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """End the sampler, and take what it wrote; one that hangs in the driver is left behind."""
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        hung = _ended(process) is None
        if hung:
            process.kill()
            _ended(process)
        with open(self._output, "rb", closefd=False) as lines:
            lines.seek(0)
            try:
                self.sampled = decode(lines)
            except TypeError as error:
                self.sampled.failed = f"the sampler wrote what cannot be read: {error}"
        if not self.sampled.ended and self.sampled.failed is None:
            self.sampled.failed = "the sampler did not end when told to" if hung else _how(process.returncode)


def observer_of(
    case: Case,
    on_gpu: bool,
    variables: Mapping[str, str],
    ours: Collection[int] = (),
    lock: ClockLock | None = None,
) -> Observer:
    """The observer that a case asks for."""
    return Observer(on_gpu, variables, case.telemetry_period_s if case.telemetry else None, ours, lock)


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        return None


def _how(code: int) -> str:
    if code < 0:
        return f"the sampler was ended by {signal.Signals(-code).name}"
    return f"the sampler ended with exit code {code}"
