"""The history as one page: how the newest night ended, then every series with its picture, changes and environments."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from bench.history.acknowledged import Acknowledged
from bench.history.answers import Ended
from bench.history.changepoints import ChangePoint
from bench.history.golden import read_golden
from bench.history.index import Index
from bench.history.level import Level, level_of
from bench.history.measured import Measurement
from bench.history.series import covariate_differences
from bench.history.spark import spark
from bench.history.trend import Trend, trends
from bench.report.figures import significant
from bench.report.pages import render
from bench.report.words import and_more, counted
from bench.statistics.metrics import METRICS
from bench.verdict import EXIT_CODES, worst

NIGHTS = 365  # the last so many of each series
ENDED = 40  # the last so many runs of each suite
MOST = 200  # rows of a table that grows with the history
DIFFERENCES = 8  # told of one change
ONE_NIGHT = timedelta(hours=20)  # what began so long before the newest run, and later, is of the same night
EVERY_NIGHT = ("commit",)  # differs between nights as a matter of course: told of changes, and not by itself

Rows = list[tuple[str, ...]]
Golden = Mapping[tuple[str, str], Measurement]
Flagged = Collection[tuple[str, str]]  # runs and statistics in which a comparison found a series worse


class State(NamedTuple):
    """What is to be said of a series; the least rank is the worst."""

    rank: int
    text: str
    tone: str


@dataclass(frozen=True)
class Line:
    """A series as a row of the table."""

    trend: Trend
    level: Level
    state: State
    golden: float | None  # how far the last value lies from the golden run's, as a share
    range: str
    picture: Markup


@dataclass(frozen=True)
class Newest:
    """How the newest run of a suite ended."""

    suite: str
    ended: Ended
    worse: tuple[str, ...]  # what a comparison found worse, by name
    tonight: bool  # whether it is of the newest night


def history_page(
    index: Index, patterns: Sequence[str], metrics: Sequence[str], known: Sequence[Acknowledged], nights: int = NIGHTS
) -> str:
    """The page of the index's last nights: series whose names match, or all; a row for each of the statistics."""
    found = [trend for metric in metrics for trend in trends(index, patterns, metric, nights)]
    _find_changes(found)
    ended = {suite: index.ended(suite, ENDED) for suite in index.suites()}
    newest = _newest(index, ended)
    golden = _golden(index)
    named = Counter((trend.series.id, trend.metric) for trend in found)
    lines = sorted(
        (_line(trend, known, newest, golden, index.flagged(trend.series.id)) for trend in found),
        key=lambda line: line.state.rank,
    )
    changes = _changes(found, known)
    return render(
        "history.html.j2",
        title=f"History of {index.results.resolve().name}",
        verdict=_verdict(newest),
        newest=newest,
        worse=[line for line in lines if line.state.tone == "bad"],
        lines=lines,
        nights=nights,
        several=len(metrics) > 1,
        elsewhere={series for (series, _), times in named.items() if times > 1},
        changes=changes[:MOST],
        left_out=len(changes) - len(changes[:MOST]),
        outliers=_outliers(found)[:MOST],
        environments=_environments(found)[:MOST],
        ended=[each for runs in ended.values() for each in runs],
        accepted=[(e.name or e.series, e.metric, e.run, e.reason, e.by, str(e.on or "")) for e in known],
        significant=significant,
        units={metric: METRICS[metric].unit for metric in metrics},
    )


def _find_changes(found: Sequence[Trend]) -> None:
    """Of all series, on all cores: what takes longest is NumPy's, which lets others run."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(lambda trend: trend.changes, found):
            pass


def _verdict(newest: Sequence[Newest]) -> str:
    """The worst of the newest night's."""
    found = [each.ended.verdict for each in newest if each.tonight and each.ended.verdict in EXIT_CODES]
    return worst(found or ["inconclusive"])


def _newest(index: Index, ended: dict[str, list[Ended]]) -> list[Newest]:
    """The newest run of every suite, the last first."""
    last = max((runs[0].started for runs in ended.values()), default=datetime.min)
    found = []
    for suite, runs in ended.items():
        tonight = [each for each in runs if last - each.started < ONE_NIGHT]
        for each in _of_each_machine(index, tonight or runs[:1]):
            found.append(_how_it_ended(index, suite, each, bool(tonight)))
    return sorted(found, key=lambda each: each.ended.started, reverse=True)


def _of_each_machine(index: Index, runs: Sequence[Ended]) -> list[Ended]:
    """The newest of these on each host, of which a suite may have several."""
    found: dict[str, Ended] = {}
    for each in runs:  # the newest first
        run = index.run(each.run)
        found.setdefault("" if run is None else run.covariates.get("host", ""), each)
    return list(found.values())


def _how_it_ended(index: Index, suite: str, ended: Ended, tonight: bool) -> Newest:
    run = index.run(ended.run)
    flagged = run.flagged if run is not None else frozenset()
    names = {} if run is None else {each.series_id: each.name for each in run.measurements}
    worse = tuple(sorted(f"{names.get(series, series)}: {metric}" for series, metric in flagged))
    return Newest(suite, ended, worse, tonight)


def _golden(index: Index) -> Golden:
    """What the golden runs measured, by series and segment."""
    runs = (index.run(golden.run) for golden in read_golden(index.results).values())
    measured = (each for run in runs if run is not None for each in run.measurements)
    return {(each.series_id, each.segment.id): each for each in measured}


def _line(
    trend: Trend, known: Sequence[Acknowledged], newest: Sequence[Newest], goldens: Golden, flagged: Flagged
) -> Line:
    level, pinned = level_of(trend), goldens.get((trend.series.id, trend.series.segment))
    golden = None if pinned is None else pinned.value(trend.metric)
    unit = METRICS[trend.metric].unit
    days = f"{trend.nights[0].started:%Y-%m-%d} to {trend.nights[-1].started:%Y-%m-%d}"
    values = f"{significant(min(trend.values))} to {significant(max(trend.values))} {unit}".rstrip()
    points, odd = len(trend.changes.points), len(trend.changes.outliers)
    label = (
        f"{trend.series.name}, {trend.metric}: {values} in {counted(len(trend.nights), 'night')}, "
        f"{counted(points, 'change')}, {counted(odd, 'outlier')}"
    )
    return Line(
        trend=trend,
        level=level,
        state=_state(trend, known, newest, flagged),
        golden=level.last / golden - 1 if golden else None,
        range=f"{days}, {values}",
        picture=spark(trend, label, known, golden, _environment_changes(trend)),
    )


def _state(trend: Trend, known: Sequence[Acknowledged], newest: Sequence[Newest], flagged: Flagged) -> State:
    """The worst that is to be said of it."""
    last, night = next(each for each in newest if each.suite == trend.series.suite), trend.nights[-1]
    if last.ended.started - night.started >= ONE_NIGHT:
        return State(2, f"no sound value since {night.started:%Y-%m-%d}", "open")
    if (night.run, trend.metric) in flagged:
        return State(0, "regressed in the newest night", "bad")
    return _change_state(trend, known)


def _change_state(trend: Trend, known: Sequence[Acknowledged]) -> State:
    """By the last change of its level."""
    if not trend.changes.points:
        return State(6, "steady", "")
    point = trend.changes.points[-1]
    told = f"since {trend.nights[point.index].started:%Y-%m-%d}: {100 * point.change:+.1f} %"
    told += " (tentative)" if point.tentative else ""
    if not trend.is_worse(point):
        word = trend.word(point)
        return State(5, f"{word} {told}", "good" if word == "better" else "")
    if trend.acknowledged(point, known) is not None:
        return State(4, f"accepted: worse {told}", "open")
    return State(1, f"worse {told}", "bad")


def _changes(found: Sequence[Trend], known: Sequence[Acknowledged]) -> Rows:
    """All changes of all series, the newest first."""
    pairs = [(trend, point) for trend in found for point in trend.changes.points]
    newest = sorted(pairs, key=lambda pair: pair[0].nights[pair[1].index].started, reverse=True)
    return [_change(trend, point, known) for trend, point in newest]


def _change(trend: Trend, point: ChangePoint, known: Sequence[Acknowledged]) -> tuple[str, ...]:
    night = trend.nights[point.index]
    accepted = trend.acknowledged(point, known)
    by = "" if accepted is None else f"{accepted.by}: {accepted.reason}".removeprefix(": ")
    word = trend.word(point) + (", tentative" if point.tentative else "")
    return (
        f"{night.started:%Y-%m-%d}", trend.series.name, trend.metric, f"{100 * point.change:+.1f} %", word,
        significant(point.before), significant(point.after), by, night.run, _told(trend.sides(point)),
    )  # fmt: skip


def _told(differences: Sequence[tuple[str, str, str]]) -> str:
    texts = [f"{name} {_short(name, old)} → {_short(name, new)}" for name, old, new in differences]
    return and_more(texts, "difference", DIFFERENCES) or "nothing that is recorded"


def _short(name: str, value: str) -> str:
    return value[:12] if name == "commit" else value


def _outliers(found: Sequence[Trend]) -> Rows:
    pairs = [(trend, index) for trend in found for index in trend.changes.outliers]
    newest = sorted(pairs, key=lambda pair: pair[0].nights[pair[1]].started, reverse=True)
    return [
        (f"{t.nights[i].started:%Y-%m-%d}", t.series.name, t.metric, significant(t.values[i]), t.nights[i].run)
        for t, i in newest
    ]


def _environments(found: Sequence[Trend]) -> Rows:
    """Nights on another environment than the one before, the newest first."""
    rows: dict[str, tuple[str, ...]] = {}
    for trend in found:
        for place in _environment_changes(trend):
            old, new = trend.nights[place - 1], trend.nights[place]
            told = _told(_differing(old.environment, new.environment))
            rows[new.run] = (f"{new.started:%Y-%m-%d}", new.run, told)
    return sorted(rows.values(), reverse=True)


def _environment_changes(trend: Trend) -> list[int]:
    """The nights, by place, whose environment is not that of the night before."""
    nights = enumerate(pairwise(trend.nights), 1)
    return [place for place, (old, new) in nights if _differing(old.environment, new.environment)]


@lru_cache(maxsize=4096)
def _differing(old: str, new: str) -> tuple[tuple[str, str, str], ...]:
    """What two nights' covariates, as JSON, do not share."""
    if old == new:
        return ()
    found = covariate_differences(json.loads(old), json.loads(new))
    return tuple(each for each in found if each[0] not in EVERY_NIGHT)
