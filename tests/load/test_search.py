"""The search for the highest rate, over tests whose outcome is known."""

from __future__ import annotations

import itertools
import math
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from bench.load.result import Load, LoadResult, LoadTest
from bench.load.search import LOWEST, MOST_TESTS, RESOLUTION, highest_rate

BOUND_MS = 10.0


class System:
    """Keeps its bound up to a rate; `stalls` are tests, by number, that fail all the same."""

    def __init__(self, limit: float, capacity: float = math.inf, stalls: tuple[int, ...] = (), **details: Any) -> None:
        self.limit, self.capacity, self.stalls, self.details = limit, capacity, stalls, details
        self.rates: list[float] = []

    def __call__(self, rate: float) -> LoadTest:
        self.rates.append(rate)
        valid = rate <= self.limit and len(self.rates) not in self.stalls
        completed = min(rate, self.capacity)
        return LoadTest(valid=valid, target_qps=rate, scheduled_qps=rate, qps=completed, details=self.details)

    def search(self, expected: float) -> LoadResult:
        tests = highest_rate(self, expected, BOUND_MS)
        return LoadResult(load=Load(scenario="server", latency_bound_ms=BOUND_MS), tests=tests)


@given(limit=st.floats(1, 1e5), guess=st.floats(0.2, 8))
def test_the_limit_lies_between_what_is_found_and_the_next_higher_rate(limit: float, guess: float) -> None:
    found = System(limit).search(guess * limit)
    assert found.next_higher is not None
    low, high = found.chosen.target_qps or 0, found.next_higher.target_qps or 0
    assert found.chosen.valid and low <= limit < high <= (1 + RESOLUTION) * low
    assert len(found.tests) <= MOST_TESTS


def test_a_good_guess_takes_few_tests() -> None:
    assert len(System(900.0, capacity=1000.0).search(1000.0).tests) <= 12


@given(limit=st.floats(10, 1000), stall=st.integers(1, 12))
def test_one_stall_changes_nothing(limit: float, stall: int) -> None:
    undisturbed, disturbed = System(limit), System(limit, stalls=(stall,))
    assert disturbed.search(500).chosen.target_qps == undisturbed.search(500).chosen.target_qps


def test_what_is_plainly_overloaded_is_not_tried_twice() -> None:
    system = System(700.0, capacity=700.0)
    system.search(1000.0)
    assert system.rates[:2] == [800.0, 400.0]


def test_a_system_that_never_keeps_its_bound_is_left_alone_soon() -> None:
    found = System(0.0).search(100.0)
    assert not found.chosen.valid
    assert found.chosen.target_qps == min(test.target_qps or 0 for test in found.tests) >= LOWEST * 80
    assert found.next_higher is not None and len(found.tests) <= 8


@pytest.mark.parametrize(("fastest_ms", "rates"), [(11, 1), (9, 4)])
def test_a_bound_that_not_even_the_fastest_query_keeps_is_not_searched_for(fastest_ms: int, rates: int) -> None:
    system = System(0.0, result_min_latency_ns=fastest_ms * 1_000_000)
    system.search(100.0)
    assert len(set(system.rates)) == rates


def test_a_search_that_finds_no_limit_says_so() -> None:
    assert System(math.inf).search(100.0).next_higher is None


class Queue:
    """A queue with Poisson arrivals and a service time of 1 s, judged by LoadGen's rule for p99 and early stopping."""

    def __init__(self, queries: int, bound_s: float, seed: int) -> None:
        self.gaps = np.random.default_rng(seed).exponential(1.0, queries)
        self.bound_s = bound_s
        self.allowed = int(np.searchsorted(binom.cdf(np.arange(queries // 50), queries, 0.01), 0.01, "right")) - 1

    def __call__(self, rate: float) -> LoadTest:
        due, number = np.cumsum(self.gaps) / rate, np.arange(len(self.gaps))
        done = np.maximum.accumulate(due - number) + number + 1  # each when the one before is done, or when it is due
        return LoadTest(
            valid=bool(np.sum(done - due > self.bound_s) <= self.allowed),
            target_qps=rate,
            scheduled_qps=len(due) / due[-1],
            qps=len(due) / done[-1],
        )

    def search(self) -> float:
        tests = highest_rate(self, 1.0, 1e3 * self.bound_s)
        result = LoadResult(load=Load(scenario="server", latency_bound_ms=1e3 * self.bound_s), tests=tests)
        assert result.chosen.valid and result.next_higher is not None
        return result.chosen.scheduled_qps or 0.0


def test_the_rule_of_the_simulated_queue_is_loadgens() -> None:
    assert (Queue(662, 5, 0).allowed, Queue(661, 5, 0).allowed) == (1, 0)


@pytest.mark.parametrize("bound_s", [5.0, 20.0])
def test_how_well_searches_agree_depends_on_the_queries(bound_s: float) -> None:
    """Share of pairs of searches, each with arrivals of its own, whose rates are within 5 %; and the truth."""
    truth = Queue(2_000_000, bound_s, 1).search()
    agreeing: dict[int, float] = {}
    for queries in (662, 10_000, 50_000):
        rates = [Queue(queries, bound_s, seed).search() for seed in range(20)]
        agreeing[queries] = fmean(max(pair) / min(pair) <= 1.05 for pair in itertools.combinations(rates, 2))
        mean = fmean(rates)
        shown = f"{agreeing[queries]:.0%} agree, {mean:.3f} queries/s of {truth:.3f}"
        print(f"bound {bound_s:g} s, {queries} queries: {shown}")
    assert truth < 1
    assert fmean(rates) == pytest.approx(truth, rel=0.02)
    assert agreeing[50_000] >= 0.95 > agreeing[662]
