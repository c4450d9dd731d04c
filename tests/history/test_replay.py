"""A replayed history, 48 series a night: how often noise is told as news, and how soon news is told.

A night's value is the median over five fresh processes; nights differ by 0.4 % and processes within a night by 0.55 %
(standard deviations), so that a night's value varies by about 0.5 %. Everything is drawn with fixed seeds.
`python -m tests.history.test_replay` prints what docs/nightly.md tells.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import stats

from bench.compare.comparison import Row
from bench.compare.gate import predict
from bench.compare.nights import candidate, gate, noise_of
from bench.compare.rules import rules
from bench.history.changepoints import find_changes
from bench.history.measured import Measurement
from bench.history.series import Key
from bench.sections.compare import CompareSection
from bench.statistics.bounds import Array

SERIES, NIGHTS, REPLAYS = 48, 300, 2
NIGHT, PROCESS, PROCESSES = 0.004, 0.0055, 5
STEPS, DRIFTS = 60, 40
SECTION = CompareSection()
(RULE,) = (judged for judged in rules(SECTION) if judged.metric == "median_latency_ms")


def history(nights: int, series: int, seed: int) -> Array:
    """Values around 10 ms, a row a night."""
    generator = np.random.default_rng(seed)
    usual = NIGHT * generator.normal(size=(nights, series))
    processes = usual[..., None] + PROCESS * generator.normal(size=(nights, series, PROCESSES))
    return 10 * np.exp(np.median(processes, axis=2))


@lru_cache(maxsize=64)
def measurement(series: int) -> Measurement:
    return Measurement(str(series), Key({"case": str(series)}), Key({}), 2, {})


def flagged(values: Array, night: int, left_out: Array) -> Array:
    """Which series Gate A flags in a night; `left_out` are earlier nights that were flagged."""
    candidates = []
    for series in range(values.shape[1]):
        nights = values[:night, series]
        sound = [float(v) for v, bad in zip(nights, left_out[:night, series], strict=True) if not bad]
        tonight, before = float(values[night, series]), float(nights[-1])
        candidates.append(candidate(measurement(series), RULE, tonight, sound[-SECTION.nights :], before))
    return np.array([row.outcome == "regressed" for row in gate(candidates, SECTION.false_alarms)])


def red_nights() -> float:
    """The share of nights in which anything is flagged, where nothing changed."""
    red = nights = 0
    for seed in range(REPLAYS):
        values = history(NIGHTS + SECTION.nights, SERIES, seed)
        out = np.zeros(values.shape, dtype=bool)
        for night in range(SECTION.nights, len(values)):
            out[night] = flagged(values, night, out)
        red += int(out.any(axis=1).sum())
        nights += NIGHTS
    return red / nights


def steps_found(nights: int = 2) -> float:
    """The share of 3 % steps in one series that are flagged within so many nights."""
    found = 0
    for seed in range(STEPS):
        values = history(SECTION.nights + nights, SERIES, 1000 + seed)
        values[SECTION.nights :, 7] *= 1.03
        out = np.zeros(values.shape, dtype=bool)
        for night in range(SECTION.nights, len(values)):
            out[night] = flagged(values, night, out)
        found += bool(out[:, 7].any())
    return found / STEPS


def change_points_found() -> float:
    """The share of 3 % steps whose one change point lies within a night of the truth, fifteen nights later."""
    found = 0
    for seed in range(STEPS):
        values = history(60, 1, 2000 + seed)[:, 0]
        values[45:] *= 1.03
        places = [point.index for point in find_changes(list(values)).points]
        found += len(places) == 1 and abs(places[0] - 45) <= 1
    return found / STEPS


def drift_when_caught() -> list[float]:
    """How far a series had drifted, at 0.1 % a night, when the golden run gave the alarm."""
    caught = []
    for seed in range(DRIFTS):
        values = history(120, 1, 3000 + seed)[:, 0] * 1.001 ** np.arange(120)
        caught.append(next(1.001**night - 1 for night in range(20, 120) if golden_alarm(values, night)))
    return caught


def golden_alarm(values: Array, night: int) -> bool:
    """Against the first night, by the golden tolerance and what two nights differ by."""
    old, new = float(values[0]), float(values[night])
    known = {("", RULE.metric): predict(list(values[night - SECTION.nights : night]))}
    within = noise_of(known, SECTION.false_alarms / SERIES)
    row = Row("", "", RULE.metric, "regressed", old=old, new=new)
    return new - old > RULE.threshold(old, "golden") and not within(row)


def flat_threshold(share: float = 0.05) -> tuple[float, float]:
    """The night before plus 5 %: red nights without a change, and 3 % steps found within two nights."""
    red = np.concatenate([np.diff(np.log(history(NIGHTS, SERIES, seed)), axis=0) for seed in range(REPLAYS)])
    steps = np.array([np.diff(np.log(history(3, 1, 4000 + seed)[:, 0])) for seed in range(200)])
    found = (steps + np.array([math.log(1.03), 0])) > math.log1p(share)
    return float((red > math.log1p(share)).any(axis=1).mean()), float(found.any(axis=1).mean())


def t_test_of_iterations(iterations: int = 200) -> float:
    """Welch's t-test on the iterations of one process and of the night before: red nights without a change."""
    generator = np.random.default_rng(5)
    levels = NIGHT * generator.normal(size=(50, SERIES, 1)) + PROCESS * generator.normal(size=(50, SERIES, 1))
    samples = levels + 0.02 * generator.normal(size=(50, SERIES, iterations))
    chances = stats.ttest_ind(samples[1:], samples[:-1], axis=2, equal_var=False, alternative="greater").pvalue
    return float((chances <= SECTION.false_alarms / SERIES).any(axis=1).mean())


def test_noise_is_seldom_told_as_news() -> None:
    assert red_nights() <= 0.015


def test_a_step_of_3_percent_is_told_within_two_nights() -> None:
    assert steps_found() >= 0.95


def test_its_change_point_lies_within_a_night_of_the_truth() -> None:
    assert change_points_found() >= 0.95


def test_slow_drift_is_told_before_6_percent() -> None:
    assert max(drift_when_caught()) < 0.06


def test_what_is_usual_elsewhere_does_worse() -> None:
    """5 % more than the night before misses the steps; a t-test on iterations is red nearly every night."""
    red, found = flat_threshold()
    assert red <= 0.015 and found < 0.2
    assert t_test_of_iterations() > 0.9


def main() -> None:
    """Run as a program."""
    drift, flat = drift_when_caught(), flat_threshold()
    print(f"red nights {red_nights():.2%}")
    print(f"3 % steps flagged within 1 night {steps_found(1):.1%}, within 2 {steps_found():.1%}")
    print(f"change points within a night {change_points_found():.1%}")
    print(f"drift caught at {min(drift):.1%} to {max(drift):.1%}")
    print(f"the night before plus 5 %: red nights {flat[0]:.2%}, steps found {flat[1]:.1%}")
    print(f"t-test of iterations: red nights {t_test_of_iterations():.1%}")


if __name__ == "__main__":
    main()
