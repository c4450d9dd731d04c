"""The sampler as the launcher has it: started before the worker, told of phases, ended with the case.

Whatever goes wrong with it, the case goes on, and the record says why there is no telemetry.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from bench.machine.reading import Sampled, decode
from bench.machine.summaries import summarize
from bench.machine.timeline import Timeline
from bench.telemetry import Telemetry

READY_S = 10.0  # nvmlInit takes seconds where no persistence daemon runs
IDLE_S = 1.0
END_S = 10.0  # it gives way to everything, and a busy machine lets it wait


class Observer:
    """A context: the sampler lives within it."""

    def __init__(self, wants_gpu: bool, variables: Mapping[str, str]) -> None:
        self.timeline = Timeline()
        self.sampled = Sampled()
        self._wants_gpu = wants_gpu
        self._variables = variables
        self._worker_ns: int | None = None
        self._output = -1
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Observer:
        command = [sys.executable, "-m", "bench.sampler", "--parent", str(os.getpid())]
        try:
            self._output = os.memfd_create("telemetry")  # in memory: nothing is written to a disk, or left there
            self._process = subprocess.Popen(
                [*command, "--output", str(self._output), *(["--gpu"] if self._wants_gpu else [])],
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

    def settle(self) -> None:
        """Wait until a GPU is open, and let it be read for a second before there is a worker."""
        if not self._wants_gpu or self._process is None or self._process.stdout is None:
            return
        ready, _, _ = select.select([self._process.stdout], [], [], READY_S)
        if ready and self._process.stdout.readline() == b"gpu\n":
            time.sleep(IDLE_S)

    def begin(self) -> None:
        """The worker is about to be started: the zero of all times."""
        self._worker_ns = time.monotonic_ns()

    def worker(self, pid: int) -> None:
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
        begin_ns = self._worker_ns if self._worker_ns is not None else time.monotonic_ns()
        try:
            return summarize(self.sampled, self.timeline.spans, begin_ns, parts)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            return Telemetry(failed=f"the readings make no sense: {type(error).__name__}: {error}")

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


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        return None


def _how(code: int) -> str:
    if code < 0:
        return f"the sampler was ended by {signal.Signals(-code).name}"
    return f"the sampler ended with exit code {code}"
