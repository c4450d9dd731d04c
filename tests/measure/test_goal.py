"""When the timed loops end, and why: exact counts, LoadGen's minima, bounds of time."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.inputs.batches import TimedBatch
from bench.measure.goal import MOST, Goal, exactly, goal_of
from bench.measure.loop import time_compute, time_latency
from bench.record import Samples
from tests.factory import make_case
from tests.measure.simulated import MS, SECOND, Script, scripts, simulate

BATCHES = [TimedBatch({}, 2)]
DEFAULT = Goal(least=64, supports=662, min_ns=SECOND, max_ns=20 * SECOND)


def timed(monkeypatch: pytest.MonkeyPatch, script: Script, goal: Goal = DEFAULT) -> Samples:
    samples = time_latency(simulate(monkeypatch, script), BATCHES, goal)
    assert samples == time_compute(simulate(monkeypatch, lambda n: script(n - 1) if n else 0), BATCHES, goal)
    assert samples.images == (2,) * len(samples.times_ns)
    return samples


@pytest.mark.parametrize(("percentile", "count"), [(90, 64), (95, 130), (99, 662)])
def test_loadgens_counts_end_a_loop_to_the_sample(
    monkeypatch: pytest.MonkeyPatch, percentile: float, count: int
) -> None:
    goal = goal_of(asked(percentile=percentile, min_iterations=1, min_duration_s=0))
    samples = timed(monkeypatch, lambda number: 10 * MS, goal)
    assert (len(samples.times_ns), samples.ended) == (count, "percentile supported")


@pytest.mark.parametrize("name", [name for name in scripts(0) if name not in ("no time", "steep drift", "stall")])
def test_milliseconds_end_at_the_percentile(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    samples = time_latency(simulate(monkeypatch, scripts(0)[name]), BATCHES, DEFAULT)
    assert (len(samples.times_ns), samples.ended) == (662, "percentile supported")


def test_a_fast_model_is_timed_for_the_minimum_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = timed(monkeypatch, lambda number: MS / 2)
    assert (len(samples.times_ns), samples.ended) == (2000, "percentile supported")


def test_a_slow_model_is_timed_for_the_maximum_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = timed(monkeypatch, lambda number: 95 * MS)
    assert (len(samples.times_ns), samples.ended) == (211, "max_duration_s reached after 211 of 662 samples")


def test_a_stall_counts_as_time(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = timed(monkeypatch, lambda number: 30 * SECOND if number == 99 else MS)
    assert (len(samples.times_ns), samples.ended) == (100, "max_duration_s reached after 100 of 662 samples")


def test_what_answers_at_once_fills_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = timed(monkeypatch, lambda number: 100)
    assert (len(samples.times_ns), samples.ended) == (MOST, f"{MOST} samples are the most that are kept")


def test_where_no_percentile_is_wanted_the_minima_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = timed(monkeypatch, lambda number: 10 * MS, Goal(least=64, min_ns=SECOND, max_ns=20 * SECOND))
    assert (len(samples.times_ns), samples.ended) == (100, "minimum reached")


def test_an_exact_count_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    for milliseconds in (0.001, 1, 100_000):
        samples = timed(monkeypatch, lambda number, ms=milliseconds: ms * MS, exactly(5))  # type: ignore[misc]
        assert (len(samples.times_ns), samples.ended) == (5, "num_iterations reached")


def test_the_first_timed_outputs_are_seen_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    samples = time_latency(simulate(monkeypatch, lambda number: MS), BATCHES, exactly(7), seen.append)
    assert [int(outputs["number"]) for outputs in seen] == [0]
    assert len(samples.times_ns) == 7


@settings(deadline=None, max_examples=200)
@given(
    least=st.integers(1, 300),
    supports=st.sampled_from([0, 64, 130, 662]),
    low=st.integers(0, 3 * SECOND),
    more=st.integers(1, 3 * SECOND),
    times=st.lists(st.integers(10**5, 10**8), min_size=1, max_size=20),
)
@example(least=1, supports=0, low=2 * SECOND + 1, more=1, times=[10**5])
def test_a_loop_ends_as_soon_as_it_may_and_says_why(
    least: int, supports: int, low: int, more: int, times: list[int]
) -> None:
    goal = Goal(least, supports, low, low + more)
    with pytest.MonkeyPatch.context() as patch:
        samples = time_latency(simulate(patch, lambda number: times[number % len(times)]), BATCHES, goal)
    taken, before = len(samples.times_ns), sum(samples.times_ns[:-1])
    elapsed = before + samples.times_ns[-1]
    assert samples.times_ns == tuple(times[number % len(times)] for number in range(taken))
    assert before < goal.max_ns
    assert taken - 1 < goal.needed or before < low  # one sample fewer would have been too few
    if taken == goal.most and elapsed < low:
        assert samples.ended == f"{taken} samples are the most that are kept"
    elif taken >= goal.needed:
        assert elapsed >= low
        assert samples.ended == ("percentile supported" if supports else "minimum reached")
    else:
        assert elapsed >= goal.max_ns
        assert samples.ended == f"max_duration_s reached after {taken} of {goal.needed} samples"


def asked(**changes: Any) -> Any:
    return make_case(num_iterations=None, **changes)


def test_what_a_case_asks_for() -> None:
    full = asked(percentile=99, min_iterations=100, min_duration_s=1.5, max_duration_s=20)
    assert goal_of(full) == Goal(100, 662, 1_500_000_000, 20e9)
    assert goal_of(full.model_copy(update={"num_iterations": 5})) == exactly(5)
    assert goal_of(asked()) == Goal(128, 0, 0, math.inf)  # num_images
    assert goal_of(asked(num_images=1001, batch_size=8)).least == 126  # once through the images, as in the original
    assert goal_of(asked(num_images=100, batch_size=8)).least == 64
    assert goal_of(asked(num_images=100, batch_size=8, min_iterations=2)).least == 2
