"""The prediction interval and Holm's correction, against their definitions."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.compare.gate import FLOOR, holm, predict

CHANCES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_the_interval_is_students_around_the_median() -> None:
    values = [math.exp(0.02 * z) for z in (-2, -1, -0.5, 0, 0.5, 1, 2)]
    found = predict(values)
    logs = [math.log(value) for value in values]
    error = found.spread * math.sqrt(1 + 1 / 7)
    assert found.centre == median(logs) and found.spread >= np.std(logs, ddof=1) - 1e-12
    assert found.chance(0.05) == pytest.approx(stats.t.sf(0.05 / error, 6))
    assert found.reach(0.001) == pytest.approx(stats.t.isf(0.001, 6) * error)


def test_nights_that_agree_by_chance_are_not_believed() -> None:
    assert predict([10.0] * 20).spread == FLOOR


def test_one_night_far_off_does_not_widen_the_interval() -> None:
    usual = [10 * math.exp(0.004 * z) for z in np.random.default_rng(1).normal(size=19)]
    assert predict([*usual, 15.0]).spread == pytest.approx(predict(usual).spread, rel=0.2)


@pytest.mark.parametrize("nights", [8, 20])
def test_a_night_without_a_change_is_outside_as_often_as_it_should_be(nights: int) -> None:
    """Of 4000 histories about 1 %, 40; 70 would be five standard deviations more."""
    generator = np.random.default_rng(2)
    samples = np.exp(0.01 * generator.normal(size=(4000, nights + 1)))
    alarms = 0
    for *before, tonight in samples:
        found = predict(before)
        alarms += found.chance(math.log(tonight) - found.centre) <= 0.01
    assert 5 <= alarms <= 70


@pytest.mark.parametrize("nights", [5, 8, 12, 20])
def test_small_chances_are_as_small_as_they_are_said_to_be(nights: int) -> None:
    """Holm's correction asks for them. Of 20 000 histories about 20; 45 would be more than five standard deviations."""
    generator = np.random.default_rng(3)
    samples = 0.03 * generator.normal(size=(20_000, nights + 1))
    alarms = 0
    for logs in samples:
        tonight = logs[-1] - np.median(logs[:-1])
        if tonight > 2 * np.std(logs[:-1]):  # of all others the chance is greater
            found = predict(np.exp(logs[:-1]).tolist())
            alarms += found.chance(logs[-1] - found.centre) <= 0.001
    assert 5 <= alarms <= 45


@given(CHANCES)
def test_holm_is_as_its_definition(chances: list[float]) -> None:
    """Step down: reject the smallest while p (m - i) <= alpha; adjusted chances decide the same for every alpha."""
    adjusted = holm(chances)
    for alpha in (0.001, 0.01, 0.05, 0.5):
        rejected = set()
        for place, index in enumerate(sorted(range(len(chances)), key=lambda i: chances[i])):
            if chances[index] * (len(chances) - place) > alpha:
                break
            rejected.add(index)
        assert {index for index, chance in enumerate(adjusted) if chance <= alpha} == rejected
