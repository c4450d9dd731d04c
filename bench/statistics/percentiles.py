"""Percentiles of samples, and how many samples one needs.

A percentile is the nearest rank: the smallest sample that at least that share of samples does not exceed (NumPy's
"inverted_cdf").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

PERCENTILES = (90, 95, 99)
CONFIDENCE = 0.99


def percentile(samples: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of unsorted samples; `percent` in (0, 100]."""
    return ranked(sorted(samples), percent)


def ranked(ordered: Sequence[float], percent: float) -> float:
    """The same of sorted samples."""
    rank = math.ceil(percent * len(ordered) / 100)
    return ordered[max(rank, 1) - 1]


@lru_cache(maxsize=64)
def samples_needed(percent: float, confidence: float = CONFIDENCE) -> int:
    """How many samples support a percentile: 64 for the 90th, 662 for the 99th.

    The least n of which at most one lies above the percentile with a probability of no more than 1 - confidence:
    MLCommons LoadGen's early-stopping rule with one overrun.
    """
    p, n = percent / 100, 2
    while p**n + n * (1 - p) * p ** (n - 1) > 1 - confidence:
        n += 1
    return n
