"""From a session whose times are known to the figures that are shown: 500 runs of each kind, on a simulated clock.

The intervals themselves are tested against more kinds and lengths in tests/statistics/test_bounds.py; this is the
whole way.
"""

from __future__ import annotations

import numpy as np
import pytest

from bench.inputs.batches import TimedBatch
from bench.measure.goal import Goal
from bench.measure.loop import time_latency
from bench.record import Record
from bench.statistics.bounds import Array
from bench.statistics.summary import Summary, summarize
from bench.validity import problems
from tests.factory import make_case, make_record
from tests.measure.simulated import MS, SECOND, simulate
from tests.series import KINDS, autoregressive

RUNS, LEAST = 500, 300
TAIL = 0.025  # of 500 runs with a true coverage of 95 %, fewer than 92.5 % hold the truth once in 170 times
SKEWED = {"Pareto 2.5": 0.89}  # of the mean, as in tests/statistics/test_bounds.py
NAMES = ("avg_latency_ms", "median_latency_ms", "p90_latency_ms")


def measured(monkeypatch: pytest.MonkeyPatch, times_ms: Array) -> Record:
    """A record of a session that takes these times, one after the other, until the loop has what it wants."""
    session = simulate(monkeypatch, lambda number: MS * times_ms[number])
    goal = Goal(least=LEAST, supports=130, min_ns=SECOND // 10, max_ns=20 * SECOND)
    samples = time_latency(session, [TimedBatch({}, 8)], goal)
    assert samples.times_ns == tuple(round(MS * time) for time in times_ms[: len(samples.times_ns)])
    return make_record(case=make_case(num_iterations=None, percentile=95.0, batch_size=8), latency=samples)


def held(summaries: list[Summary], name: str, truth: float) -> tuple[float, float]:
    """Which share of runs has an interval of this figure, and which share of these holds the truth."""
    bounds = [summary.bounds[name] for summary in summaries if name in summary.bounds]
    return len(bounds) / len(summaries), sum(low <= truth <= high for low, high in bounds) / max(len(bounds), 1)


@pytest.mark.parametrize("name", ["AR(1), rho 0.5", "AR(1), rho 0.9", "two modes", "Pareto 2.5"])
def test_what_is_shown_of_a_known_session_holds_the_truth(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    kind = KINDS[name]
    runs = kind.runs(np.random.default_rng([11, list(KINDS).index(name)]), RUNS, LEAST)
    summaries = [summarize(measured(monkeypatch, run)) for run in runs]
    truths = (kind.mean, kind.percentile(0.5), kind.percentile(0.9))
    mean, *ranks = (held(summaries, figure, truth) for figure, truth in zip(NAMES, truths, strict=True))
    print(f"\n| {name} | {mean} | {ranks} |")
    assert mean[0] == 1 and mean[1] >= SKEWED.get(name, 0.95 - TAIL)
    assert all(coverage >= 0.95 - TAIL or given < 0.1 for given, coverage in ranks)
    assert all(given * (1 - coverage) <= 0.05 + TAIL for given, coverage in ranks)
    assert held(summaries, "avg_throughput_fps", 8000 / kind.mean) == mean


def test_a_constant_session_is_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = summarize(measured(monkeypatch, np.full(LEAST, 3.0)))
    assert all(summary.values[name] == 3 and summary.bounds[name] == (3, 3) for name in NAMES)


def test_a_drifting_session_is_called_so_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no truth to hold: a level that rises by 30 % in 5 % of noise."""
    noise = autoregressive(np.random.default_rng(12), RUNS, LEAST, 0.5)
    for run in 10 * (1 + np.linspace(0, 0.3, LEAST) + 0.05 * noise):
        assert any("latency drifts" in problem for problem in problems(measured(monkeypatch, run)))
