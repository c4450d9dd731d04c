"""When warm-up ends, by sessions whose behaviour is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.inputs.batches import TimedBatch
from bench.measure.loop import WarmUp, warm_up
from bench.measure.settle import LEAST_NS, MOST, WINDOWS, Settling, are_alike, settling_of
from tests.factory import make_case
from tests.measure.simulated import MS, SECOND, Script, scripts, simulate

SEEDS = range(5)
DEFAULT = Settling(least=50, max_ns=10 * SECOND)


def warmed(monkeypatch: pytest.MonkeyPatch, script: Script, settling: Settling = DEFAULT) -> WarmUp:
    return warm_up(simulate(monkeypatch, script), [TimedBatch({}, 1)], settling)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["constant", "noise", "much noise", "two modes", "heavy tail", "stall"])
def test_what_is_steady_settles_soon(monkeypatch: pytest.MonkeyPatch, name: str, seed: int) -> None:
    warm = warmed(monkeypatch, scripts(seed)[name])
    assert (warm.settled, warm.ended) == (True, "settled")
    assert 50 <= len(warm.times_ns) <= 200
    assert sum(warm.times_ns) >= LEAST_NS


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slow_start_is_waited_for(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Of 200 %, what is left decays to 10 % in 300 batches, to 0.7 % in 500; short windows would agree at 50."""
    warm = warmed(monkeypatch, scripts(seed)["slow start"])
    assert warm.settled
    assert 500 <= len(warm.times_ns) <= 1000


def test_a_drift_that_never_settles_is_flagged_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripts(0)["steep drift"]
    warm = warmed(monkeypatch, script)
    assert (warm.settled, warm.ended) == (False, f"not settled after {len(warm.times_ns)} batches")
    assert 10 * SECOND <= sum(warm.times_ns) < 10 * SECOND + script(len(warm.times_ns))


def test_the_least_is_run_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    warm = warmed(monkeypatch, lambda number: SECOND)
    assert (len(warm.times_ns), warm.settled) == (50, True)


def test_too_few_batches_for_the_windows_do_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    warm = warmed(monkeypatch, lambda number: SECOND, Settling(least=3, max_ns=10 * SECOND))
    assert (len(warm.times_ns), warm.settled, warm.ended) == (10, None, "not settled after 10 batches")


@pytest.mark.parametrize("least", [0, 3])
def test_without_a_maximum_the_count_is_exact_and_nothing_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    warm = warmed(monkeypatch, scripts(0)["drift"], Settling(least=least))
    assert (len(warm.times_ns), warm.settled, warm.ended) == (least, None, "num_warmup_iterations reached")


def test_what_answers_at_once_is_not_run_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    warm = warmed(monkeypatch, scripts(0)["no time"])
    assert warm.settled
    assert MOST <= len(warm.times_ns) < 1.1 * MOST


def test_batches_of_different_shapes_are_seen_in_whole_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow batch of twenty stands in every window, and in none more often."""
    period = Settling(least=50, max_ns=10 * SECOND, window=4, period=20)
    assert period.window_after(0) == period.window_after(120) == 20
    assert period.window_after(126) == period.window_after(240) == 40
    warm = warmed(monkeypatch, lambda number: (100 if number % 20 < 11 else 3) * MS, period)
    assert (warm.settled, len(warm.times_ns)) == (True, WINDOWS * 20)


def test_windows_in_which_a_fall_goes_on_must_be_closer_than_others() -> None:
    settling = Settling(least=0, max_ns=SECOND, window=4)

    def is_settled(*levels_us: int) -> bool | None:
        return settling.is_settled([1000 * level + number for level in levels_us for number in range(4)])

    assert is_settled(1000, 960, 1000)
    assert not is_settled(1040, 1020, 1000)
    assert is_settled(1020, 1010, 1000)
    assert not is_settled(1060, 1000, 1061)
    assert is_settled(1000, 1000) is None


def test_a_case_says_how() -> None:
    case = make_case(num_warmup_iterations=7, max_warmup_s=1.5, settle_tolerance=0.02, settle_window=9)
    assert settling_of(case, 32) == Settling(7, 1_500_000_000, 0.02, 9, 32)
    assert settling_of(make_case(), 1).max_ns == 0  # cases of methodology 1


TIMES = st.lists(st.integers(0, 10**10), min_size=4, max_size=60)


@given(TIMES)
def test_samples_are_like_themselves_in_any_order(times: list[int]) -> None:
    assert are_alike(times, list(reversed(times)))


@given(TIMES, st.integers(1, 10**9))
def test_samples_are_unlike_others_that_are_all_longer(times: list[int], more: int) -> None:
    longer = [max(times) + more] * len(times)
    assert not are_alike(times, longer)
    assert not are_alike(longer, times)


@given(TIMES, st.integers(0, 4), st.integers(1, 40))
def test_a_verdict_needs_its_windows_and_does_not_depend_on_the_unit(times: list[int], spread: int, more: int) -> None:
    settling = Settling(least=0, max_ns=SECOND, window=4 + spread)
    found = settling.is_settled([time * 10**6 for time in times])
    assert (found is None) == (len(times) < WINDOWS * settling.window_after(len(times)))
    assert found == settling.is_settled([time * 10**6 * more for time in times])
