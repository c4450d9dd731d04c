"""Two variants in turn: the exact bounds, and how often equal ones are told apart."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, ttest_ind, wilcoxon

from bench.statistics.bounds import Array, Interval, NoInterval
from bench.statistics.paired import EXACT_UP_TO, PairedSpeedup, _critical, _signed_rank, paired_speedup, pairs_needed
from tests.series import autoregressive

RUNS, PAIRS, ITERATIONS = 400, 20, 50
NOISE = 0.03  # of one iteration, as a share of its time
MACHINES = {"rho 0.5": (0.5, 0.0), "rho 0.9": (0.9, 0.0), "rho 0.9, drifting by 10 %": (0.9, 0.1)}
MOST = float(binom.ppf(0.995, RUNS, 0.05)) / RUNS  # more false alarms than at a true rate of 5 % in 1 of 200 tests


def measured(machine: str, slowdown: float = 0.0) -> tuple[Array, Array]:
    """All iterations of two variants, runs x pairs x iterations, on one machine; lots say which of a pair is first."""
    rho, drift = MACHINES[machine]
    rng = np.random.default_rng(list(MACHINES).index(machine))
    count = 2 * PAIRS * ITERATIONS
    logs = NOISE * autoregressive(rng, RUNS, count, rho) + np.linspace(0, drift, count)
    blocks = 10 * np.exp(logs).reshape(RUNS, PAIRS, 2, ITERATIONS)
    swapped = rng.random((RUNS, PAIRS, 1)) < 0.5
    first, second = blocks[:, :, 0], blocks[:, :, 1]
    return np.where(swapped, second, first), np.where(swapped, first, second) * (1 + slowdown)


def compared(first: Array, second: Array) -> list[PairedSpeedup]:
    """By the medians of blocks."""
    medians = (np.median(part, axis=2) for part in (first, second))
    return [paired_speedup(a, b) for a, b in zip(*medians, strict=True)]


def alarms_of_the_t_test(first: Array, second: Array) -> float:
    """What share of runs Welch's t-test on all iterations calls different at 5 %."""
    tested = ttest_ind(first.reshape(RUNS, -1), second.reshape(RUNS, -1), axis=1, equal_var=False)
    return float(np.mean(tested.pvalue < 0.05))


@pytest.mark.parametrize("machine", MACHINES)
def test_equal_variants_are_rarely_told_apart(machine: str) -> None:
    found = compared(*measured(machine))
    alarms = sum(each.differs for each in found) / RUNS
    print(
        f"\n| {machine} | pairs: {100 * alarms:.1f} % | t-test: {100 * alarms_of_the_t_test(*measured(machine)):.1f} %"
    )
    assert alarms <= MOST
    assert np.mean([each.value for each in found]) == pytest.approx(1, abs=0.002)


def test_why_lots_and_no_fixed_order() -> None:
    """A B, B A, A B, ...: on a slow machine neighbouring pairs err to the same side."""
    rng, runs = np.random.default_rng(4), 1500
    logs = NOISE * autoregressive(rng, runs, 2 * PAIRS * ITERATIONS, 0.98)
    medians = 10 * np.exp(np.median(logs.reshape(runs, PAIRS, 2, ITERATIONS), axis=3))
    alarms = {}
    for order, swapped in (("fixed", np.arange(PAIRS) % 2 > 0), ("lots", rng.random((runs, PAIRS)) < 0.5)):
        first = np.where(swapped, medians[..., 1], medians[..., 0])
        second = np.where(swapped, medians[..., 0], medians[..., 1])
        alarms[order] = sum(paired_speedup(*each).differs for each in zip(first, second, strict=True)) / runs
    print(f"\nequal variants called different: {alarms}")
    assert alarms["lots"] <= float(binom.ppf(0.995, runs, 0.05)) / runs < alarms["fixed"]


@pytest.mark.parametrize("machine", ["rho 0.5", "rho 0.9"])
def test_the_usual_t_test_on_iterations_raises_false_alarms(machine: str) -> None:
    """The same measurements; it takes neighbours for independent."""
    assert alarms_of_the_t_test(*measured(machine)) > 2 * MOST


@pytest.mark.parametrize("machine", MACHINES)
def test_a_slowdown_of_3_percent_is_found(machine: str) -> None:
    found = compared(*measured(machine, slowdown=0.03))
    power = sum(each.differs and each.value < 1 for each in found) / RUNS
    intervals = [each.interval for each in found if isinstance(each.interval, Interval)]
    held = sum(each.low <= 1 / 1.03 <= each.high for each in intervals) / RUNS
    print(f"\n| {machine} | found: {100 * power:.1f} % | held: {100 * held:.1f} %")
    assert power >= 0.95
    assert held >= 1 - MOST


@pytest.mark.parametrize("pairs", range(1, 11))
def test_the_distribution_is_that_of_all_signs(pairs: int) -> None:
    sums = [sum(rank for rank, up in enumerate(signs, 1) if up) for signs in product((0, 1), repeat=pairs)]
    counted = np.bincount(sums, minlength=pairs * (pairs + 1) // 2 + 1) / 2**pairs
    assert _signed_rank(pairs) == pytest.approx(counted)


@pytest.mark.parametrize(("pairs", "critical"), [(6, 1), (7, 3), (8, 4), (10, 9), (15, 26), (20, 53)])
def test_critical_ranks_are_those_of_the_tables(pairs: int, critical: int) -> None:
    """One more than the two-sided 5 % points in the tables of Hollander and Wolfe."""
    assert _critical(pairs, 0.95) == critical


def test_the_approximation_joins_the_exact_distribution() -> None:
    exact, approximate = _critical(EXACT_UP_TO, 0.95), _critical(EXACT_UP_TO + 1, 0.95)
    assert 0 < approximate - exact < EXACT_UP_TO


def test_bounds_agree_with_wilcoxons_test() -> None:
    """The interval leaves out a ratio where, and only where, SciPy's exact test rejects it."""
    rng = np.random.default_rng(3)
    first, second = (np.exp(rng.normal(level, 0.1, 12)) for level in (0.05, 0.0))
    found = paired_speedup(first, second).interval
    assert isinstance(found, Interval)
    for ratio in np.linspace(0.8, 1.4, 61):
        rejected = wilcoxon(np.log(first / second) - math.log(ratio), method="exact").pvalue <= 0.05
        assert rejected == (not found.low <= ratio <= found.high)


def test_hodges_and_lehmann_by_hand() -> None:
    """Log ratios 0, 2 and 10: averages 0, 1, 2, 5, 6, 10."""
    found = paired_speedup([1, math.exp(2), math.exp(10)], [1, 1, 1])
    assert found.value == pytest.approx(math.exp(3.5))


@pytest.mark.parametrize(("level", "needed"), [(0.9, 5), (0.95, 6), (0.99, 8)])
def test_too_few_pairs_have_no_interval(level: float, needed: int) -> None:
    times = [1.0 + n for n in range(needed)]
    assert pairs_needed(level) == needed
    assert isinstance(paired_speedup(times, times[::-1], level).interval, Interval)
    found = paired_speedup(times[1:], times[:-1], level)
    reason = f"{needed - 1} pairs of the {needed} that a {100 * level:g} % interval needs"
    assert (found.interval, found.differs) == (NoInterval(reason), False)


def test_equal_blocks_are_equal() -> None:
    found = paired_speedup([2.0] * 6, [2.0] * 6)
    assert (found.value, found.interval, found.differs) == (1, Interval(1, 1), False)


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0, 2.0]), ([], []), ([1.0], [0.0])])
def test_what_is_no_pair_is_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no pairs|no time"):
        paired_speedup(first, second)
