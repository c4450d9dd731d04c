"""One statistic of one series over its nights: what is shown, plotted and searched for changes."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.errors import ConfigError, nearest
from bench.history.acknowledged import Acknowledged
from bench.history.answers import Night, SeriesInfo
from bench.history.changepoints import ChangePoint, Changes, find_changes
from bench.history.index import Index
from bench.history.series import covariate_differences
from bench.statistics.metrics import METRICS

NEAR = 1  # nights: a change point may lie so far from the night that was acknowledged


@dataclass(frozen=True)
class Trend:
    """The nights of a series that have a sound value of a statistic, the oldest first."""

    series: SeriesInfo
    metric: str
    nights: tuple[Night, ...]
    left_out: int  # nights without a sound value

    @cached_property
    def values(self) -> list[float]:
        """One a night: the median over its processes."""
        return [night.value(self.metric) for night in self.nights]

    @cached_property
    def changes(self) -> Changes:
        """Change points and outliers; none of a statistic that is 0 or less in some night."""
        return find_changes(self.values) if min(self.values, default=0) > 0 else Changes()

    def sides(self, point: ChangePoint) -> tuple[tuple[str, str, str], ...]:
        """What of the environment differs between the last night before a change and the first one after."""
        old, new = self.nights[point.index - 1].covariates, self.nights[point.index].covariates
        return covariate_differences(old, new)

    def is_worse(self, point: ChangePoint) -> bool:
        """Whether the new level is the worse one; none is where neither more nor less of the statistic is."""
        is_better = METRICS[self.metric].higher_is_better
        return is_better is not None and (point.after < point.before) == is_better

    def word(self, point: ChangePoint) -> str:
        """What a change is called."""
        if METRICS[self.metric].higher_is_better is None:
            return "changed"
        return "worse" if self.is_worse(point) else "better"

    def acknowledged(self, point: ChangePoint, known: Sequence[Acknowledged]) -> Acknowledged | None:
        """Who accepted this change, if anyone did."""
        runs = {night.run for night in self.nights[max(0, point.index - NEAR) : point.index + NEAR + 1]}
        about = (each for each in known if each.is_about(self.series.id, self.metric) and each.run in runs)
        return next(about, None)


def trends(index: Index, patterns: Sequence[str], metric: str, last: int | None = None) -> list[Trend]:
    """A trend for every series whose name or id matches one of the patterns; all, where there is none."""
    if metric not in METRICS:
        raise ConfigError(f"--metric {metric}: unknown statistic{nearest(metric, METRICS)}")
    found = [_trend(index, series, metric, last) for series in chosen(index, patterns)]
    return [trend for trend in found if trend.nights]


def chosen(index: Index, patterns: Sequence[str]) -> list[SeriesInfo]:
    """Series whose name or id matches one of the patterns; an error where none does."""
    every = index.series()
    if not patterns:
        return every
    found = [each for each in every if any(_matches(each, pattern) for pattern in patterns)]
    if not found:
        names = ", ".join(dict.fromkeys(each.name for each in every)) or "none"
        raise ConfigError(f"{' '.join(patterns)}: no such series in {index.results}; there are: {names}")
    return found


def _matches(series: SeriesInfo, pattern: str) -> bool:
    return series.id == pattern or fnmatch.fnmatchcase(series.name, pattern)


def _trend(index: Index, series: SeriesInfo, metric: str, last: int | None) -> Trend:
    nights = index.nights(series.id, series.segment, last=last)
    sound = tuple(night for night in nights if night.is_sound and metric in night.values and metric not in night.doubts)
    return Trend(series, metric, sound, len(nights) - len(sound))
