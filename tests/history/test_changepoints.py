"""Change points: against the definition, against ruptures, and on series whose changes are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import ruptures
from hypothesis import given
from hypothesis import strategies as st

from bench.history.changepoints import Changes, Settings, best_split, find_changes
from bench.statistics.bounds import Array

Levels = Sequence[tuple[int, float]]  # nights, level

SHAPES: dict[str, Levels] = {
    "a step": [(30, 10.0), (30, 10.5)],
    "up and down again": [(25, 10.0), (15, 11.0), (30, 10.0)],
    "a staircase": [(20, 10.0), (20, 10.4), (20, 10.9), (20, 11.4)],
    "soon": [(8, 10.0), (50, 10.5)],
    "late": [(50, 10.0), (8, 10.5)],
}


def series(levels: Levels, sd: float = 0.005, seed: int = 0) -> list[float]:
    generator = np.random.default_rng(seed)
    values = np.concatenate([np.full(nights, level) for nights, level in levels])
    return [float(value) for value in values * np.exp(sd * generator.normal(size=len(values)))]


def places(levels: Levels) -> list[int]:
    return list(np.cumsum([nights for nights, _ in levels])[:-1])


def energy(left: Array, right: Array) -> float:
    """The statistic as it is defined, pair by pair."""

    def mean_distance(a: Array, b: Array) -> float:
        return float(np.abs(a[:, None] - b[None, :]).mean())

    n, m = len(left), len(right)
    across = 2 * mean_distance(left, right)
    return n * m / (n + m) * (across - mean_distance(left, left) - mean_distance(right, right))


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=20), st.integers(1, 2))
def test_the_best_split_is_that_of_the_definition(values: list[float], least: int) -> None:
    row = np.array(values)
    place, strength = best_split(row[np.newaxis], least)
    every = {n: energy(row[:n], row[n:]) for n in range(least, len(row) - least + 1)}
    assert strength[0] == pytest.approx(max(every.values()), abs=1e-9)
    assert every[int(place[0])] == pytest.approx(max(every.values()), abs=1e-9)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_it_finds_what_ruptures_finds(name: str, seed: int) -> None:
    """PELT with a penalty of 3 log n variances, on the same series; both find the truth within a night."""
    levels = SHAPES[name]
    values = series(levels, seed=seed)
    signal = np.log(values)[:, None]
    penalty = 3 * math.log(len(values)) * 0.005**2
    theirs = ruptures.Pelt(model="l2", min_size=5, jump=1).fit(signal).predict(pen=penalty)[:-1]
    mine = [point.index for point in find_changes(values).points]
    assert len(mine) == len(theirs) == len(levels) - 1
    assert all(abs(a - b) <= 1 for a, b in zip(mine, theirs, strict=True))
    assert all(abs(a - b) <= 1 for a, b in zip(mine, places(levels), strict=True))


def test_a_change_has_its_first_night_and_both_levels() -> None:
    (point,) = find_changes(series(SHAPES["a step"])).points
    assert point.index == 30 and point.change == pytest.approx(0.05, abs=0.004) and point.chance <= 0.001
    assert not point.tentative


def test_levels_cover_the_series() -> None:
    found = find_changes(series(SHAPES["a staircase"]))
    borders = [0, *(point.index for point in found.points), 80]
    assert [(first, last) for first, last, _ in found.levels] == list(pairwise(borders))
    assert [level for *_, level in found.levels] == pytest.approx([10, 10.4, 10.9, 11.4], rel=0.005)


def test_equal_nights_have_no_change_as_often_as_they_should() -> None:
    """Of 200 series of 60 nights 0.2 at a chance of 0.001 and any size; three would be very many."""
    anything = Settings(least_change=0.0)
    found = [find_changes(series([(60, 10.0)], seed=seed), anything) for seed in range(200)]
    assert sum(bool(changes.points) for changes in found) <= 2


def test_a_change_of_no_consequence_is_not_told() -> None:
    tiny = series([(40, 10.0), (40, 10.1)], sd=0.001)
    assert not find_changes(tiny).points
    assert find_changes(tiny, Settings(least_change=0.005)).points


@pytest.mark.parametrize("factor", [1.3, 0.8])
def test_a_single_night_is_an_outlier(factor: float) -> None:
    values = series([(60, 10.0)])
    values[33] *= factor
    found = find_changes(values)
    assert found.outliers == (33,) and not found.points


def test_an_outlier_beside_a_change_hides_neither() -> None:
    values = series(SHAPES["a step"])
    values[20] *= 1.4
    found = find_changes(values)
    assert [point.index for point in found.points] == [30] and found.outliers == (20,)


def test_a_fresh_change_is_tentative_and_the_first_nights_have_none() -> None:
    (point,) = find_changes(series([(40, 10.0), (5, 10.6)])).points
    assert point.index == 40 and point.tentative
    assert not find_changes(series([(3, 12.0), (40, 10.0)])).points


@pytest.mark.parametrize("values", [[], [10.0], [10.0] * 9, [10.0] * 40])
def test_nothing_to_find_is_nothing_found(values: list[float]) -> None:
    found = find_changes(values)
    assert not found.points and not found.outliers


def test_the_same_history_always_has_the_same_changes() -> None:
    values = series([(30, 10.0), (30, 10.12)], sd=0.01)
    assert find_changes(values) == find_changes(values)


def test_a_long_history_is_looked_at_from_its_end() -> None:
    values = series([(500, 10.0), (80, 10.5), (40, 11.0)])
    found: Changes = find_changes(values)
    assert [point.index for point in found.points] == pytest.approx([500, 580], abs=1)
