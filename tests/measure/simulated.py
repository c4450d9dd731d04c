"""Sessions whose inferences take what a function of their number says, on a clock that they alone move."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from bench.backends.base import Arrays
from bench.backends.null import NullSession
from bench.measure import loop

MS, SECOND = 10**6, 10**9
Script = Callable[[int], float]  # number of an inference -> its time in ns


class Clock:
    """Nanoseconds that pass only when told to."""

    now = 0

    def __call__(self) -> int:
        return self.now


class SimulatedSession(NullSession):
    """Infers, and launches, as its script says."""

    def __init__(self, clock: Clock, script: Script) -> None:
        super().__init__({"out": np.zeros(1)})
        self._clock, self._script = clock, script
        self.inferences = 0

    def infer(self, batch: Arrays) -> Arrays:
        self._clock.now += max(1, round(self._script(self.inferences)))
        self.inferences += 1
        return {"number": np.array(self.inferences - 1)}

    def launch(self, staged: Arrays) -> Arrays:
        return self.infer(staged)


def simulate(monkeypatch: pytest.MonkeyPatch, script: Script) -> SimulatedSession:
    """A session, with the loops on its clock."""
    clock = Clock()
    monkeypatch.setattr(loop, "perf_counter_ns", clock)
    return SimulatedSession(clock, script)


def scripts(seed: int) -> Mapping[str, Script]:
    """Behaviours that are known; a few milliseconds an inference, and 2 % noise unless they say otherwise."""
    chance = random.Random(seed)

    def noisy(ms: float, sigma: float = 0.02) -> float:
        return ms * MS * chance.lognormvariate(0, sigma)

    return {
        "constant": lambda number: 3 * MS,
        "noise": lambda number: noisy(3),
        "much noise": lambda number: noisy(3, 0.15),
        "slow start": lambda number: noisy(3 * (1 + 2 * math.exp(-number / 100))),  # 10 % are left after 300
        "late step": lambda number: noisy(6 if number < 300 else 3),
        "drift": lambda number: noisy(3 * (1 + 0.001 * number)),
        "steep drift": lambda number: 3 * MS * 1.01**number,
        "two modes": lambda number: noisy(chance.choice((3, 5))),
        "heavy tail": lambda number: 3 * MS * (1 + 0.05 * chance.paretovariate(1.2)),
        "stall": lambda number: noisy(500 if number % 400 == 20 else 3),
        "no time": lambda number: chance.choice((90, 100, 110, 170)),
    }
