"""The timed loops. Every sample is kept, in nanoseconds of the monotonic clock."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns

from bench.backends.base import Arrays, Session
from bench.inputs.batches import TimedBatch
from bench.measure.goal import Goal
from bench.measure.settle import Settling
from bench.record import Samples, Throughput

BLOCKS = (5, 100)  # fewest, and the most that a minimum of time makes of them
BLOCK_SECONDS = 0.5
LAUNCHES_IN_BLOCK = (4, 200)

# Appends the times of so many inferences, fewer where the clock reaches the last argument before.
Loop = Callable[[list[int], int, float], None]


@dataclass(frozen=True)
class WarmUp:
    """Times of the warm-up, and how it ended."""

    times_ns: tuple[int, ...]
    settled: bool | None  # None: it was not looked for, or there were too few batches to tell
    ended: str


def warm_up(session: Session, batches: Sequence[TimedBatch], settling: Settling) -> WarmUp:
    """What time_latency does, until it has settled or the time for it is up."""
    loop = _latency_loop(session.infer, _rounds(batches))
    times: list[int] = []
    began = perf_counter_ns()
    loop(times, settling.least, math.inf)
    if not settling.max_ns:
        return WarmUp(tuple(times), None, "num_warmup_iterations reached")
    while settling.goes_on(times, perf_counter_ns() - began):
        loop(times, settling.more_after(len(times)), began + settling.max_ns)
    settled = settling.is_settled(times)
    return WarmUp(tuple(times), settled, "settled" if settled else f"not settled after {len(times)} batches")


def time_latency(
    session: Session, batches: Sequence[TimedBatch], goal: Goal, see: Callable[[Arrays], object] | None = None
) -> Samples:
    """Host arrays in to host arrays out, one batch at a time, going round the batches.

    `see` gets the outputs of the first inference, inside its time; outputs of all others are dropped at once.
    """
    rounds, began = _rounds(batches), perf_counter_ns()
    times: list[int] = []
    if see is not None:
        _latency_loop(lambda arrays: see(session.infer(arrays)), rounds)(times, min(1, goal.needed), math.inf)
    ended = _go_on(_latency_loop(session.infer, rounds), goal, times, began)
    images = itertools.islice(itertools.cycle([batch.images for batch in batches]), len(times))
    return Samples(times_ns=tuple(times), images=tuple(images), ended=ended)


def time_compute(session: Session, batches: Sequence[TimedBatch], goal: Goal) -> Samples:
    """One batch that is on the device already; its outputs stay there; synchronised after each inference."""
    staged = session.stage(batches[0].arrays)
    session.wait(session.launch(staged))
    times: list[int] = []
    ended = _go_on(_compute_loop(session, staged), goal, times, perf_counter_ns())
    return Samples(times_ns=tuple(times), images=(batches[0].images,) * len(times), ended=ended)


def time_throughput(session: Session, batches: Sequence[TimedBatch], compute: Samples, min_ns: float = 0) -> Throughput:
    """Several inferences in flight and one wait at the end of each block; blocks last half a second at most."""
    staged = session.stage(batches[0].arrays)
    low, high = LAUNCHES_IN_BLOCK
    launches = max(low, min(high, int(BLOCK_SECONDS * 1e9 / max(median(compute.times_ns), 1))))
    pipelined(session, staged, launches)  # warms up
    blocks: list[int] = []
    fewest, most = BLOCKS
    while len(blocks) < fewest or (sum(blocks) < min_ns and len(blocks) < most):
        blocks.append(pipelined(session, staged, launches))
    return Throughput(block_ns=tuple(blocks), launches_per_block=launches, images_per_launch=batches[0].images)


def pipelined(session: Session, staged: object, launches: int) -> int:
    """The time of so many inferences in flight, one wait at their end, in ns."""
    launch = session.launch
    start = perf_counter_ns()
    for _ in range(launches):
        pending = launch(staged)
    session.wait(pending)
    return perf_counter_ns() - start


def _go_on(loop: Loop, goal: Goal, times: list[int], began: int) -> str:
    """Run a loop until the goal is reached; returns why it ended.

    The loops look at the clock that they have read already, after a sample is taken: it costs no sample anything.
    """
    latest = began + goal.max_ns
    for count, until in ((goal.needed, latest), (goal.most, min(began + goal.min_ns, latest))):
        if perf_counter_ns() < until:
            loop(times, count - len(times), until)
    return goal.reason(len(times), perf_counter_ns() - began)


def _latency_loop(infer: Callable[[Arrays], object], rounds: Iterator[Arrays]) -> Loop:
    clock = perf_counter_ns

    def loop(times: list[int], count: int, until: float) -> None:
        for arrays in itertools.islice(rounds, count):
            start = clock()
            infer(arrays)
            end = clock()
            times.append(end - start)
            if end >= until:
                break

    return loop


def _compute_loop(session: Session, staged: object) -> Loop:
    launch, wait, clock = session.launch, session.wait, perf_counter_ns

    def loop(times: list[int], count: int, until: float) -> None:
        for _ in range(count):
            start = clock()
            wait(launch(staged))
            end = clock()
            times.append(end - start)
            if end >= until:
                break

    return loop


def _rounds(batches: Sequence[TimedBatch]) -> Iterator[Arrays]:
    return itertools.cycle([batch.arrays for batch in batches])


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Keep Python's collector out of warm-up and all timed loops.

    One context around all of them: the collection that it begins with takes tenths of a second with TensorFlow loaded,
    and what runs next would find its caches cold.
    """
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
