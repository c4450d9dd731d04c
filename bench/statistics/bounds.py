"""95 % intervals for one series of samples that depend on their neighbours.

Consecutive latencies are autocorrelated, so that 1000 of them are worth fewer independent ones. Every interval here
takes that into account, and none says anything about what another process would measure.

Sources: Lazarus, Lewis, Stock and Watson (2018), "HAR Inference: Recommendations for Practice" (long-run variance from
cosine transforms, Student's t with as many degrees of freedom); Geyer (1992), "Practical Markov Chain Monte Carlo"
(initial monotone sequence); Zou and Donner (2008), "Construction of confidence limits about effect measures".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

LEVEL = 0.95
FEWEST_SAMPLES = 20
FEWEST_BLOCKS = 3
FEW_BLOCKS = 5  # that tell nothing of how they depend on each other
FEWEST_COSINES = 3
COSINES_PER_SAMPLE = 0.12  # per effective sample: more are blind to slow variation, fewer make wide intervals

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Series: TypeAlias = "Sequence[float] | np.ndarray[Any, np.dtype[Any]]"


@dataclass(frozen=True)
class Interval:
    """An interval that covers the truth in 95 % of such runs, in the samples' unit."""

    low: float
    high: float


@dataclass(frozen=True)
class NoInterval:
    """Why there is none."""

    reason: str


def mean_interval(samples: Series) -> Interval | NoInterval:
    """Of the mean: Student's t on the long-run variance."""
    series = np.asarray(samples, dtype=np.float64)
    if len(series) < FEWEST_SAMPLES:
        return _too_few(len(series), "samples", FEWEST_SAMPLES)
    variance, cosines = _long_run(series)
    half = student(cosines) * math.sqrt(variance / len(series))
    return Interval(float(series.mean()) - half, float(series.mean()) + half)


def percentile_interval(samples: Series, percent: float) -> Interval | NoInterval:
    """Of a percentile, `percent` in (0, 100): two of the samples, with ranks from the binomial distribution.

    The number of trials is not that of the samples but the effective one, see `effective_samples`.
    """
    series = np.asarray(samples, dtype=np.float64)
    count, share = len(series), percent / 100
    if count < FEWEST_SAMPLES:
        return _too_few(count, "samples", FEWEST_SAMPLES)
    trials = math.floor(effective_samples(series, share))
    ranks = _ranks(trials, share)
    if ranks is None:
        return NoInterval(f"worth fewer than the {trials_needed(share)} independent samples that it needs")
    ordered = np.sort(series)
    first = math.floor((ranks[0] - 1) * count / trials)  # where the sample of that rank begins
    last = min(math.ceil(ranks[1] * count / trials), count)  # and ends, were each independent one as long
    return Interval(float(ordered[first]), float(ordered[last - 1]))


def blocks_interval(rates: Series) -> Interval | NoInterval:
    """Of the rate of blocks: Student's t on the logarithms, as if a few did not depend on each other.

    Of more, which are short or many, it is on the long-run variance. It always holds the blocks' median.
    """
    if len(rates) < FEWEST_BLOCKS:
        return _too_few(len(rates), "blocks", FEWEST_BLOCKS)
    logs = np.log(np.asarray(rates, dtype=np.float64))
    few = len(logs) <= FEW_BLOCKS
    variance, degrees = (float(logs.var(ddof=1)), len(logs) - 1) if few else _long_run(logs)
    half = student(degrees) * math.sqrt(variance / len(logs))
    middle, median = float(logs.mean()), float(np.median(logs))
    return Interval(math.exp(min(middle - half, median)), math.exp(max(middle + half, median)))


def ratio_interval(
    top: float, top_interval: Interval, bottom: float, bottom_interval: Interval
) -> Interval | NoInterval:
    """Of top / bottom, positive figures of two independent series: Zou and Donner's rule on logarithms."""
    if min(top_interval.low, bottom_interval.low) <= 0:
        return NoInterval("an interval reaches down to zero")
    down = math.hypot(math.log(top / top_interval.low), math.log(bottom_interval.high / bottom))
    up = math.hypot(math.log(top_interval.high / top), math.log(bottom / bottom_interval.low))
    return Interval(top / bottom * math.exp(-down), top / bottom * math.exp(up))


def effective_samples(series: Array, share: float) -> float:
    """How many independent samples say as much of the percentile at `share` as these do; at most as many as there are.

    From the long-run variance of "this sample does not exceed the percentile", or the same of the median where that is
    less: a tail has too few samples to show how they cluster. Less by what Student's t is wider than the normal
    distribution, for the long-run variance is an estimate.
    """
    return min(_effective_at(series, share), _effective_at(series, 0.5))


def trials_needed(share: float) -> int:
    """The fewest independent samples of which two bound the percentile: 6 for the median, 368 for the 99th."""
    return math.ceil(math.log((1 - LEVEL) / 2) / math.log(max(share, 1 - share)))


def _effective_at(series: Array, share: float) -> float:
    count = len(series)
    below = (series <= np.quantile(series, share, method="inverted_cdf")).astype(np.float64)
    if below.all():
        return float(count)
    variance, cosines = _long_run(below)
    alone = float(below.var())
    return count * alone / max(variance, alone) * (student(10**9) / student(cosines)) ** 2


def _long_run(series: Array) -> tuple[float, int]:
    """The variance of the mean times the number of samples, and the degrees of freedom of this estimate.

    The mean square of the series' slowest cosines, of which there are fewer the more its samples depend on each other.
    """
    from scipy.fft import dct

    count = len(series)
    most = max(FEWEST_COSINES + 1, int(0.4 * count ** (2 / 3)))
    cosines = min(max(int(COSINES_PER_SAMPLE * _independent(series)), FEWEST_COSINES), most)
    transformed = dct(series - series.mean(), norm="ortho")[1 : cosines + 1]
    return float(np.mean(transformed**2)), cosines


def _independent(series: Array) -> float:
    """Geyer's effective sample size of the mean, between 1 and the number of samples."""
    count = len(series)
    centred = series - series.mean()
    spectrum = np.abs(np.fft.rfft(centred, 1 << (2 * count).bit_length())) ** 2
    covariance = np.fft.irfft(spectrum)[: count // 2 * 2]
    alone = float(covariance[0])
    if alone <= 0:
        return float(count)
    pairs = covariance.reshape(-1, 2).sum(axis=1)
    positive = np.maximum.accumulate(pairs <= 0) == 0  # up to the first pair that is not
    long_run = 2 * float(np.minimum.accumulate(pairs[positive]).sum()) - alone
    return max(count * alone / max(long_run, alone), 1.0)


def _ranks(trials: int, share: float) -> tuple[int, int] | None:
    """Which of so many ordered samples bound the percentile, counted from 1; None where there are too few."""
    from scipy.special import bdtr

    if trials < 1:
        return None
    shares = bdtr(np.arange(trials + 1, dtype=np.float64), trials, share)
    low, high = (int(np.searchsorted(shares, tail)) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return (low, high + 1) if low >= 1 and high < trials else None


def student(degrees: int) -> float:
    """How many standard errors a two-sided 95 % interval reaches to each side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def _too_few(count: int, what: str, needed: int) -> NoInterval:
    return NoInterval(f"{count} {what} of the {needed} that an interval needs")
