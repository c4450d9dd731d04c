"""Simulated series of latencies whose true mean and percentiles are known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from bench.statistics.bounds import Array

NORMAL = NormalDist()


class Kind(NamedTuple):
    """A kind of series: `runs` draws so many of so many samples; its true mean and percentiles."""

    runs: Callable[[np.random.Generator, int, int], Array]
    mean: float
    percentile: Callable[[float], float]


def autoregressive(rng: np.random.Generator, runs: int, samples: int, rho: float) -> Array:
    """Standard normal samples, each correlated with the one before."""
    noise = rng.standard_normal((samples, runs))
    noise[1:] *= math.sqrt(1 - rho**2)
    for before, now in itertools.pairwise(noise):
        now += rho * before
    series: Array = noise.T.copy()
    return series


def latency(rho: float) -> Kind:
    """10 ms and 5 % of noise."""
    return Kind(
        lambda rng, runs, samples: 10 + 0.5 * autoregressive(rng, runs, samples, rho),
        10,
        lambda share: 10 + 0.5 * NORMAL.inv_cdf(share),
    )


def two_modes(rng: np.random.Generator, runs: int, samples: int) -> Array:
    """7 of 10 samples about 10 ms, the others about 12, in stretches: which mode it is depends on the one before."""
    slow = autoregressive(rng, runs, samples, 0.5) > NORMAL.inv_cdf(0.7)
    return np.where(slow, 12.0, 10.0) + 0.1 * rng.standard_normal((runs, samples))


def two_modes_percentile(share: float) -> float:
    """Neither mode reaches into the other."""
    return 10 + 0.1 * NORMAL.inv_cdf(share / 0.7) if share < 0.7 else 12 + 0.1 * NORMAL.inv_cdf((share - 0.7) / 0.3)


KINDS = {
    "independent": latency(0.0),
    "AR(1), rho 0.5": latency(0.5),
    "AR(1), rho 0.9": latency(0.9),
    "two modes": Kind(two_modes, 10.6, two_modes_percentile),
    "lognormal": Kind(
        lambda rng, runs, samples: np.exp(rng.standard_normal((runs, samples))),
        math.exp(0.5),
        lambda share: math.exp(NORMAL.inv_cdf(share)),
    ),
    "Pareto 2.5": Kind(
        lambda rng, runs, samples: 1 + rng.pareto(2.5, (runs, samples)), 2.5 / 1.5, lambda share: (1 - share) ** -0.4
    ),
}
