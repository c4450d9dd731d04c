"""The cases of one comparison: a worker each, kept alive until all are ready, then measured in turn.

Whatever drifts slowly - clocks, temperature, what else the machine does - is then in all of them alike, and drops out
of their ratios (paired.py). In each round every variant has one turn, in an order drawn by lot.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import psutil

from bench.blocks import Turn
from bench.case import Case
from bench.launch import Worker
from bench.machine.observe import Observer
from bench.record import Record, Samples
from bench.telemetry import IN_TURN, Telemetry, Trace

LEAST, MOST = 5, 200  # samples, or launches, of a block
SPARE = 1.5  # times the largest worker so far: what the next one may need
CGROUP = Path("/sys/fs/cgroup")
MEMORY = ("memory.max", "memory.current", "memory.stat")  # the last one tells what is files, and given back when needed

Start = Callable[[Case], Worker]  # a worker that has run its own phases, and is ready for turns or has failed
Keep = Callable[[Record], None]  # takes a record, and what replaces it
Told = Callable[[int, int], None]  # rounds done, of how many
Watch = Callable[[], Observer]  # of the machine, while turns are measured


def run_alone(case: Case, start: Start, keep: Keep, why: str | None = None) -> None:
    """One case that is not compared in turn; `why` not, where that was asked for."""
    keep(start(case).end(why))


def run_together(cases: Sequence[Case], start: Start, keep: Keep, told: Told, watch: Watch) -> None:
    """All cases of a comparison, up to Ctrl-C."""
    with Group(keep) as group:
        for case in cases:
            group.make_room()
            worker = start(case)
            if group.lacks_memory_for(worker):
                group.release("memory ran out while several workers were alive")
                worker = start(case)
            if group.take(worker).is_interrupted:
                return
        group.measure(told, watch)


class Group:
    """Workers that wait for their turns, and the records of those that ended."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._ready: list[Worker] = []
        self._records: dict[str, Record] = {}  # by case
        self._why_not: str | None = None
        self._telemetry: Telemetry | None = None  # of the turns, once they are over

    def __enter__(self) -> Group:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is KeyboardInterrupt:
            for worker in self._ready:
                worker.interrupt()
        self.release("stopped by Ctrl-C" if kind in (None, KeyboardInterrupt) else f"the run ended: {error}")

    def take(self, worker: Worker) -> Record:
        """Keep what a worker has measured so far; one that is ready stays alive."""
        if worker.is_ready and self._why_not is None:
            self._ready.append(worker)
            return self._put(worker.record())
        return self._put(worker.end(self._why_not))

    def make_room(self) -> None:
        """End the workers that wait where another one might not find the memory that it needs."""
        if self._ready and self._why_not is None and (why := shortage(self._ready)) is not None:
            self.release(why)

    def lacks_memory_for(self, worker: Worker) -> bool:
        """Whether it failed for want of memory that workers hold which only wait."""
        return bool(self._ready) and worker.failed_for_memory

    def measure(self, told: Told, watch: Watch) -> None:
        """All rounds, and the end of all workers; a variant that fails, or is alone, is not waited for."""
        if len(self._ready) < 2:
            return self.release("no other variant was ready")
        with watch() as observer:
            observer.reads_gpu()  # what it loads is not to disturb the first round
            observer.begin()
            observer.phase(IN_TURN)
            is_interrupted = self._rounds(told)
            observer.end()
        self._telemetry = observer.telemetry({}).model_copy(update={"trace": Trace()})
        if not is_interrupted:
            self.release(None)

    def _rounds(self, told: Told) -> bool:
        """True if Ctrl-C ended them."""
        rounds = max(worker.case.interleave_rounds for worker in self._ready)
        lot = random.Random(self._ready[0].case.seed)
        for number in range(rounds):
            told(number, rounds)
            order = lot.sample(self._ready, len(self._ready))
            for place, worker in enumerate(order):
                samples, launches = lengths_of_block(self._records[worker.case.id])
                worker.turn(Turn(round=number, place=place, samples=samples, launches=launches))
                if worker.was_interrupted:
                    return True
            self._drop_failed()
        return False

    def release(self, why_not: str | None) -> None:
        """End all workers that wait; `why_not` says why they were not measured in turn."""
        self._why_not = why_not
        ended = [worker.end(why_not) for worker in self._ready]  # all of them, before storing one may fail
        self._ready.clear()
        for record in ended:
            self._put(record)

    def _drop_failed(self) -> None:
        for worker in [worker for worker in self._ready if not worker.is_ready]:
            self._ready.remove(worker)
            self._put(worker.end())

    def _put(self, record: Record) -> Record:
        if record.blocks:
            record = record.model_copy(update={"telemetry_in_turn": self._telemetry})
        self._records[record.case.id] = record
        self._keep(record)
        return record


def lengths_of_block(record: Record) -> tuple[int, int]:
    """Samples of latency and launches that fill the time of a block: a batch's copies take longer than computing it.

    Latency goes whole rounds of the batches where these differ in shape.
    """
    samples, launches = (_filling(record.case, loop) for loop in (record.latency, record.compute))
    if record.case.image_shape is None and record.observed is not None:
        samples = math.ceil(samples / record.observed.pool_batches) * record.observed.pool_batches
    return samples, launches


def _filling(case: Case, loop: Samples | None) -> int:
    if loop is None or not loop.times_ns:
        return LEAST
    fill = math.ceil(1e9 * case.block_duration_s / max(median(loop.times_ns), 1))
    return max(LEAST, min(fill, case.num_iterations or MOST, MOST))


def shortage(workers: Sequence[Worker]) -> str | None:
    """Which memory another worker might lack while these wait; None if there is room, or no telling."""
    held = max(worker.host_bytes for worker in workers)
    free = free_host_bytes()
    if free < SPARE * held:
        return f"{free / 2**30:.1f} GiB of memory are free, and a worker that waits holds {held / 2**30:.1f} GiB"
    return _gpu_shortage([worker.record() for worker in workers])


def free_host_bytes() -> int:
    """What may still be used, of the machine or of the container's limit."""
    free = int(psutil.virtual_memory().available)
    try:
        limit, used, fields = ((CGROUP / name).read_text("ascii").strip() for name in MEMORY)
    except OSError:
        return free
    cached = sum(int(line.split()[1]) for line in fields.splitlines() if line.startswith("inactive_file "))
    return free if limit == "max" else min(free, max(0, int(limit) - int(used) + cached))


def _gpu_shortage(records: Sequence[Record]) -> str | None:
    used = [_gpu_bytes(record) for record in records]
    latest, environment = used[-1], records[-1].environment
    if latest is None or environment is None or len(environment.gpus) != 1:
        return None
    free = environment.gpus[0].memory_bytes - latest
    held = max(b - a for a, b in pairwise([0, *used]) if a is not None and b is not None)
    if free >= SPARE * held:
        return None
    return f"{free / 2**30:.1f} GiB of GPU memory are free, and a worker that waits holds {held / 2**30:.1f} GiB"


def _gpu_bytes(record: Record) -> float | None:
    """The most that all processes held of the GPU while a case ran."""
    windows = record.telemetry.windows if record.telemetry is not None else ()
    fields = (window.fields.get("memory_used_bytes") for window in windows)
    return max((field.max for field in fields if field is not None), default=None)
