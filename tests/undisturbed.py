"""What a sampler costs the process beside it: blocks with the sampler running and stopped, in turn."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from statistics import median
from time import perf_counter

from bench.statistics.paired import PairedSpeedup, paired_speedup


def with_over_without(sampler: int, work: Callable[[], object], pairs: int, samples: int) -> PairedSpeedup:
    """How many times as long `work` takes while the process `sampler` runs; in each pair, lots decide which is first.

    A sampler that wakes after its time takes a reading at once, so blocks shorter than its period make it dearer.
    """
    chance = random.Random(0)
    medians: dict[int, list[float]] = {signal.SIGCONT: [], signal.SIGSTOP: []}
    try:
        for _ in range(pairs):
            for state in chance.sample(list(medians), 2):
                os.kill(sampler, state)
                medians[state].append(median(_times(work, samples)))
    finally:
        os.kill(sampler, signal.SIGCONT)
    return paired_speedup(medians[signal.SIGCONT], medians[signal.SIGSTOP])


def _times(work: Callable[[], object], samples: int) -> list[float]:
    times = []
    for _ in range(samples):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return times
