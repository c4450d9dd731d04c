"""Two variants measured in turn, block by block: the speed-up, and an interval that needs no distribution.

Each pair is one block of either variant, measured one after the other, so that what drifts slowly is in both and drops
out of their ratio. The unit of replication is the pair, never the iteration.

Sources: Hodges and Lehmann (1963), "Estimates of location based on rank tests"; Hollander and Wolfe, "Nonparametric
Statistical Methods", 3.2 and 3.4 (Walsh averages, exact bounds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.statistics.bounds import LEVEL, Array, Interval, NoInterval, Series

EXACT_UP_TO = 200  # pairs; from there on the normal approximation is as good


@dataclass(frozen=True)
class PairedSpeedup:
    """How many times as fast the second variant is as the first, over so many pairs of blocks."""

    value: float
    interval: Interval | NoInterval
    pairs: int

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 1: they are not equally fast."""
        return isinstance(self.interval, Interval) and not self.interval.low <= 1 <= self.interval.high


def paired_speedup(first: Series, second: Series, level: float = LEVEL) -> PairedSpeedup:
    """The speed-up of the second over the first, from a time of each block (a median, say), pair by pair.

    The Hodges-Lehmann estimate of the pairs' log ratios, and exact bounds by the signed-rank test. Draw lots in every
    pair for which variant comes first: then the bounds hold their level whatever the machine does meanwhile. In a fixed
    order A B, B A neighbouring pairs depend on each other, and equal variants are told apart too often.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} blocks are no pairs")
    if min(min(first), min(second)) <= 0:
        raise ValueError("a block that took no time")
    logs = np.log(np.asarray(first, dtype=np.float64)) - np.log(np.asarray(second, dtype=np.float64))
    averages = _walsh_averages(logs)
    return PairedSpeedup(math.exp(float(np.median(averages))), _bounds(averages, len(logs), level), len(logs))


def pairs_needed(level: float = LEVEL) -> int:
    """The fewest pairs whose extremes bound the speed-up: 6 at 95 %, 8 at 99 %."""
    return 1 + math.ceil(round(-math.log2(1 - level), 9))


def _walsh_averages(values: Array) -> Array:
    """The means of all pairs of values, each with itself too, in order."""
    rows, columns = np.triu_indices(len(values))
    return np.sort((values[rows] + values[columns]) / 2)


def _bounds(averages: Array, pairs: int, level: float) -> Interval | NoInterval:
    needed = pairs_needed(level)
    if pairs < needed:
        return NoInterval(f"{pairs} pairs of the {needed} that a {100 * level:g} % interval needs")
    rank = _critical(pairs, level)
    return Interval(math.exp(float(averages[rank - 1])), math.exp(float(averages[-rank])))


@lru_cache(maxsize=64)
def _critical(pairs: int, level: float) -> int:
    """The largest k of which the signed-rank statistic is less than k with a probability of no more than a tail."""
    tail = (1 - level) / 2
    if pairs > EXACT_UP_TO:
        from scipy.special import ndtri

        mean, variance = pairs * (pairs + 1) / 4, pairs * (pairs + 1) * (2 * pairs + 1) / 24
        return max(1, math.floor(mean + float(ndtri(tail)) * math.sqrt(variance)))
    return int(np.searchsorted(np.cumsum(_signed_rank(pairs)), tail, side="right"))


def _signed_rank(pairs: int) -> Array:
    """The probabilities of the signed-rank statistic's values, from 0, where no variant is faster."""
    chances = np.ones(1)
    for rank in range(1, pairs + 1):
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    return chances
