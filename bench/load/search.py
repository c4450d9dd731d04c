"""The highest rate of queries that LoadGen calls valid, searched by running LoadGen at one rate after another.

LoadGen has a search of its own, FindPeakPerformance. It is not used: it ends without a result where its first rate does
not keep the bound, and it looks at the percentile of the sample alone, so that LoadGen itself calls most of what it
finds not valid, for too few queries to be sure of the percentile (its early-stopping rule). Here a rate counts where
LoadGen says VALID, and every rate that was tried is kept, with its logs.

A stall of the machine fails a rate that is not too high. So a rate is too high if it fails twice, with the same
arrivals, or once and plainly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from bench.load.result import LoadTest

Test = Callable[[float], LoadTest]  # runs LoadGen at a rate in queries a second
RESOLUTION = 0.01  # the search ends where the lowest rate that fails is so little above the highest that does not
MOST_RATES, TRIES = 16, 2
MOST_TESTS = MOST_RATES * TRIES
FIRST = 0.8  # of the rate that is expected
UP, DOWN = 1.25, 0.5
LOWEST = 0.1  # of the first rate: what fails there fails for another reason than the load
LEFT_BEHIND = 0.95  # of the scheduled rate: what completes fewer is plainly overloaded


def highest_rate(test: Test, expected_qps: float, bound_ms: float) -> tuple[LoadTest, ...]:
    """All runs of a search, in order; the rate to begin with comes from `expected_qps`."""
    tests: list[LoadTest] = []
    low, high = 0.0, math.inf
    rate = first = FIRST * expected_qps
    for _ in range(MOST_RATES):
        tests.extend(_try(test, rate))
        low, high = (rate, high) if tests[-1].valid else (low, rate)
        if high <= (1 + RESOLUTION) * low or _is_hopeless(tests[-1], bound_ms):
            break
        rate = _next(low, high)
        if rate < LOWEST * first:
            break
    return tuple(tests)


def _try(test: Test, rate: float) -> list[LoadTest]:
    tests = [test(rate)]
    while not tests[-1].valid and len(tests) < TRIES and not _is_overloaded(tests[-1]):
        tests.append(test(rate))
    return tests


def _next(low: float, high: float) -> float:
    if not low:
        return DOWN * high
    return UP * low if math.isinf(high) else math.sqrt(low * high)


def _is_overloaded(test: LoadTest) -> bool:
    return (test.qps or 0.0) < LEFT_BEHIND * (test.scheduled_qps or 0.0)


def _is_hopeless(test: LoadTest, bound_ms: float) -> bool:
    """Whether not even the fastest query kept the bound: no lower rate will."""
    fastest_ns = test.details.get("result_min_latency_ns")
    return fastest_ns is not None and fastest_ns / 1e6 > bound_ms
