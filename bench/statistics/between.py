"""A statistic of several processes that measured the same: its mean, its interval, and where its spread comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from bench.case import Case
from bench.statistics.bounds import Interval, NoInterval, student


def over_processes(values: Sequence[tuple[Case, float]], in_logs: bool) -> tuple[float, Interval | NoInterval]:
    """The mean of a statistic over processes and its interval; the unit is the build where there are several.

    Student's t, since there are few. A ratio is averaged by its logarithm, so that it and its inverse agree.
    """
    units = list(_by_build(values, in_logs).values())
    means = [fmean(unit) for unit in units] if len(units) > 1 else units[0]
    back = math.exp if in_logs else float
    value = fmean(means)
    if len(means) < 2:
        return back(value), NoInterval("one process alone has a value")
    half = student(len(means) - 1) * math.sqrt(variance(means) / len(means))
    return back(value), Interval(back(value - half), back(value + half))


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a statistic, relative to its mean."""

    run_to_run: float | None  # between processes with the same build
    build_to_build: float | None  # what builds add to that; None of one build
    processes: int
    builds: int


def spread(values: Sequence[tuple[Case, float]]) -> Spread:
    """How a statistic differs between processes, and between builds: components of variance of a nested design.

    Source: Searle, Casella and McCulloch, "Variance Components", 3.6 (analysis of variance, balanced data).
    """
    builds = list(_by_build(values, False).values())
    mean, repeats = fmean(value for _, value in values), min(map(len, builds))
    if repeats < 2 or not mean:
        return Spread(None, None, len(values), len(builds))
    within = fmean(variance(build) for build in builds)
    between = max(0.0, variance([fmean(build) for build in builds]) - within / repeats) if len(builds) > 1 else None
    return Spread(
        math.sqrt(within) / abs(mean), None if between is None else math.sqrt(between) / abs(mean),
        len(values), len(builds),
    )  # fmt: skip


def _by_build(values: Sequence[tuple[Case, float]], in_logs: bool) -> Mapping[int, list[float]]:
    found: dict[int, list[float]] = {}
    for case, value in values:
        found.setdefault(case.build, []).append(math.log(value) if in_logs else value)
    return found
