"""What a run shows while it goes on: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.status import Status

from bench.case import Case
from bench.record import Record
from bench.report.figures import significant
from bench.statistics.metric import Metric
from bench.statistics.metrics import ACCURACY_METRICS, METRICS
from bench.statistics.summary import summarize
from bench.validity import problems


class Progress:
    """One line a case; on a terminal, its phase and how far it is, live."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._number = 0
        self._case_id = ""
        self._began = 0.0
        self._phase = ""
        self._status = Status("", console=console) if console.is_terminal else None

    def begin(self, case: Case) -> None:
        """A case starts."""
        self._number += case.id != self._case_id  # one that starts again keeps its number
        self._case_id, self._began, self._phase = case.id, monotonic(), ""
        if self._status is None:
            self._console.print(f"{self._head()} on {case.optimization.backend}", highlight=False)
        else:
            self._status.start()

    def listen(self, phase: str, done: int, total: int) -> None:
        """A phase starts, or goes on."""
        share = f" {done}/{total} images" if total else ""
        if self._status is not None:
            self._status.update(f"{self._head()}: {phase}{share}")
        elif phase != self._phase:
            self._console.print(f"    {phase}", highlight=False)
        self._phase = phase

    def turns(self, done: int, total: int) -> None:
        """The variants of a comparison are measured in turn; a round starts."""
        if self._status is not None:
            self._status.start()
            self._status.update(f"measuring in turn: round {done + 1}/{total}")
        elif not done:
            self._console.print(f"    measuring in turn: {total} rounds", highlight=False)

    def end(self, record: Record) -> None:
        """A case is done: what it comes to in one line, and a line for each reason why it is not valid."""
        if self._status is not None:
            self._status.stop()
        seconds = monotonic() - self._began
        if record.failure is not None:
            text = f"{record.failure.kind} in phase {record.failure.phase}: {record.failure.message}"
            self._console.print(
                f"{self._head()}: FAILED after {seconds:.0f} s: {text}", style="bold", markup=False, soft_wrap=True
            )
        else:
            self._console.print(
                f"{self._head()}: {_gist(record)} ({seconds:.0f} s)", markup=False, highlight=False, soft_wrap=True
            )
            for problem in problems(record):
                self._console.print(f"    not valid: {problem}", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def _head(self) -> str:
        return f"[{self._number}/{self._total}] {self._case_id}"


def _gist(record: Record) -> str:
    values = summarize(record).values
    shown: list[Metric] = [
        METRICS["median_latency_ms"],
        METRICS["throughput_fps"],
        METRICS["offline_fps"],
        METRICS["server_qps"],
        *map(METRICS.__getitem__, ACCURACY_METRICS),
    ]
    return ", ".join(
        f"{m.name} {significant(values[m.name])}{' ' + m.unit if m.unit else ''}" for m in shown if m.name in values
    )
