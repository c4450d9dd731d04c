"""Change points of a series: E-divisive with permutation tests; single nights that stand out are outliers instead.

A series is split where the energy distance between both sides, weighted by their sizes, is greatest; the split counts
if random orders of the same values have as good a one seldom enough. Then both sides are split in turn. A level that
came and went leaves both sides alike; so a stretch that does not split is looked at through halves, quarters and so on
too, that overlap by half and share the chance of a false alarm. Permutations are drawn with a fixed seed, so that the
same history always has the same change points; drawing ends as soon as the outcome is certain.

Sources: Matteson and James (2014), "A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data";
Székely and Rizzo (2005); Besag and Clifford (1991), "Sequential Monte Carlo p-values"; Kovács et
al. (2023), "Seeded binary segmentation".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from bench.statistics.bounds import Array

MOST_NIGHTS = 500  # the last so many: the work grows with their square
BATCHES = 10, 100  # permutations at a time: at first, where few often tell that nothing changed, and at most
NORMAL = 1.4826  # median absolute deviation to standard deviation
AROUND = 5  # nights on either side that an outlier is held against
FAR = 5.0  # standard deviations from both


@dataclass(frozen=True)
class Settings:
    """What counts as a change."""

    least_nights: int = 5  # on either side
    permutations: int = 1999
    chance: float = 0.001
    least_change: float = 0.02  # as a share
    tentative_nights: int = 5  # since the change: fewer, and it may still be a run of bad nights
    seed: int = 0


@dataclass(frozen=True)
class ChangePoint:
    """A new level; `index` is that of the first night on it."""

    index: int
    before: float
    after: float
    chance: float
    tentative: bool

    @property
    def change(self) -> float:
        """As a share."""
        return self.after / self.before - 1


@dataclass(frozen=True)
class Changes:
    """What became of a series."""

    points: tuple[ChangePoint, ...] = ()
    outliers: tuple[int, ...] = ()  # single nights that stand out
    levels: tuple[tuple[int, int, float], ...] = field(default=())  # first night, the one after the last, value


def find_changes(values: Sequence[float], settings: Settings | None = None) -> Changes:
    """Change points and outliers of values above 0, the oldest first."""
    settings = settings or Settings()
    start = max(0, len(values) - MOST_NIGHTS)
    logs = np.log(np.asarray(values[start:], dtype=np.float64))
    odd = outliers(logs, settings.least_change)
    kept = np.array([index for index in range(len(logs)) if index not in odd], dtype=int)
    splits = dict(_divide(logs[kept], settings))
    places = _worth_telling(logs[kept], sorted(splits), settings)
    borders = [0, *places, len(kept)]
    levels = [math.exp(float(np.median(logs[kept][a:b]))) for a, b in pairwise(borders) if b > a]
    points = tuple(
        ChangePoint(
            index=start + int(kept[place]),
            before=levels[number],
            after=levels[number + 1],
            chance=splits[place],
            tentative=len(kept) - place < settings.tentative_nights + 1,
        )
        for number, place in enumerate(places)
    )
    ends = [0, *(point.index for point in points), len(values)]
    spans = zip(ends, ends[1:], levels, strict=False)
    return Changes(points, tuple(start + index for index in sorted(odd)), tuple(spans))


def outliers(logs: Array, least: float) -> set[int]:
    """Nights that stand out from the nights before and from those after, all to one side, and alone."""
    if len(logs) < 2 * AROUND + 1:
        return set()
    spread = NORMAL * float(np.median(np.abs(np.diff(logs)))) / math.sqrt(2)
    bound = max(FAR * spread, math.log1p(least))
    found: set[int] = set()
    for index in range(AROUND, len(logs) - 2):
        before = logs[index] - np.median(logs[index - AROUND : index])
        after = logs[index] - np.median(logs[index + 1 : index + 1 + AROUND])
        alone = abs(logs[index] - logs[index + 1]) > bound / 2 and index - 1 not in found
        if min(abs(before), abs(after)) > bound and before * after > 0 and alone:
            found.add(index)
    return found


def _divide(logs: Array, settings: Settings) -> list[tuple[int, float]]:
    """Splits of a stretch of nights, and of its parts, each with its chance."""
    generator = np.random.default_rng(settings.seed)
    found, stretches = [], [(0, len(logs))]
    while stretches:
        first, last = stretches.pop()
        split = _split(logs[first:last], settings, generator)
        if split is not None:
            place, chance = first + split[0], split[1]
            found.append((place, chance))
            stretches += [(first, place), (place, last)]
    return found


def _split(part: Array, settings: Settings, generator: np.random.Generator) -> tuple[int, float] | None:
    """Where a stretch splits, and the chance of as good a split; of several windows that do, the first."""
    if len(part) < 2 * settings.least_nights:
        return None
    inner = windows(len(part), 4 * settings.least_nights)
    for tested, share in (([(0, len(part))], 1), (inner, len(inner))):
        for first, last in tested:
            place, strength = best_split(part[np.newaxis, first:last], settings.least_nights)
            allowed = settings.chance / share
            chance = _chance(part[first:last], float(strength[0]), settings, allowed, generator)
            if chance <= allowed:
                return first + int(place[0]), chance * share
    return None


def windows(nights: int, least: int) -> list[tuple[int, int]]:
    """Halves, quarters and so on of a stretch, which overlap by half; none shorter than `least`."""
    found, length = [], nights // 2
    while length >= least:
        found += [(first, first + length) for first in range(0, nights - length + 1, length // 2)]
        length //= 2
    return found


def best_split(rows: Array, least: int) -> tuple[Array, Array]:
    """For each row of values the split with the greatest energy statistic, and that statistic.

    n m / (n + m) times (2 E|X - Y| - E|X - X'| - E|Y - Y'|). All splits together from the sums of distances of each
    value to those before it, in time proportional to the square of a row's length.
    """
    count = rows.shape[1]
    columns = np.ascontiguousarray(rows.T)  # a night's values lie together: half the time
    earlier, later, room = np.zeros_like(columns), np.zeros_like(columns), np.empty_like(columns)
    for index in range(1, count):
        distance = np.subtract(columns[:index], columns[index], out=room[:index])
        np.abs(distance, out=distance).sum(axis=0, out=earlier[index])
        later[:index] += distance
    to_earlier, to_later = earlier.T, later.T
    sizes = np.arange(least, count - least + 1)
    left = np.cumsum(to_earlier, axis=1)[:, sizes - 1]  # distances within the first nights
    right = np.cumsum(to_later[:, ::-1], axis=1)[:, ::-1][:, sizes]  # within the others
    across = to_earlier.sum(axis=1, keepdims=True) - left - right
    n, m = sizes, count - sizes
    energy = 2 * across / (n * m) - 2 * left / n**2 - 2 * right / m**2
    strength = energy * n * m / (n + m)
    best = np.argmax(strength, axis=1)
    return sizes[best], strength[np.arange(len(rows)), best]


def _chance(part: Array, strength: float, settings: Settings, allowed: float, generator: np.random.Generator) -> float:
    """Of as good a split in a random order; drawing ends when it can no longer be seldom enough."""
    permutations = max(settings.permutations, math.ceil(2 / allowed) - 1)
    better = done = 0
    while done < permutations and better <= allowed * (permutations + 1) - 1:
        size = min(max(BATCHES[0], done), BATCHES[1], permutations - done)
        orders = generator.permuted(np.tile(part, (size, 1)), axis=1)
        better += int((best_split(orders, settings.least_nights)[1] >= strength - 1e-12).sum())
        done += size
    return (better + 1) / (done + 1)


def _worth_telling(logs: Array, places: list[int], settings: Settings) -> list[int]:
    """The splits without those across which the level hardly moves, the least first: its parts are one level then."""
    places = list(places)
    while places:
        borders = [0, *places, len(logs)]
        levels = [float(np.median(logs[a:b])) for a, b in pairwise(borders)]
        moves = [abs(math.expm1(after - before)) for before, after in pairwise(levels)]
        least = min(range(len(moves)), key=moves.__getitem__)
        if moves[least] >= settings.least_change:
            break
        del places[least]
    return places
