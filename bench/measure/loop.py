"""The timed loops. Every sample is kept, in nanoseconds of the monotonic clock."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns

from bench.backends.base import Session
from bench.inputs.batches import TimedBatch
from bench.record import Samples, Throughput

BLOCKS = 5
BLOCK_SECONDS = 0.5
LAUNCHES_IN_BLOCK = (4, 200)


def time_latency(session: Session, batches: Sequence[TimedBatch], iterations: int) -> Samples:
    """Host arrays in to host arrays out, one batch at a time, going round the batches."""
    infer, clock = session.infer, perf_counter_ns
    times = [0] * iterations
    rounds = itertools.cycle([batch.arrays for batch in batches])
    for i in range(iterations):
        arrays = next(rounds)
        start = clock()
        infer(arrays)
        times[i] = clock() - start
    images = itertools.islice(itertools.cycle([batch.images for batch in batches]), iterations)
    return Samples(times_ns=tuple(times), images=tuple(images))


def time_compute(session: Session, batches: Sequence[TimedBatch], iterations: int) -> Samples:
    """One batch that is on the device already; its outputs stay there; synchronised after each inference."""
    staged = session.stage(batches[0].arrays)
    launch, wait, clock = session.launch, session.wait, perf_counter_ns
    wait(launch(staged))
    times = [0] * iterations
    for i in range(iterations):
        start = clock()
        wait(launch(staged))
        times[i] = clock() - start
    return Samples(times_ns=tuple(times), images=(batches[0].images,) * iterations)


def time_throughput(session: Session, batches: Sequence[TimedBatch], compute: Samples) -> Throughput:
    """Several inferences in flight and one wait at the end of each block; blocks last about half a second."""
    staged = session.stage(batches[0].arrays)
    low, high = LAUNCHES_IN_BLOCK
    launches = max(low, min(high, int(BLOCK_SECONDS * 1e9 / max(median(compute.times_ns), 1))))
    blocks = [_block(session, staged, launches) for _ in range(BLOCKS + 1)]
    return Throughput(block_ns=tuple(blocks[1:]), launches_per_block=launches, images_per_launch=batches[0].images)


def _block(session: Session, staged: object, launches: int) -> int:
    launch = session.launch
    start = perf_counter_ns()
    for _ in range(launches):
        pending = launch(staged)
    session.wait(pending)
    return perf_counter_ns() - start


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
