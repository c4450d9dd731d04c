"""The stages of sessions whose stages are known, and what bounds them."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from bench.backends.base import Arrays
from bench.backends.null import NullSession
from bench.inputs.batches import TimedBatch
from bench.measure.stages import TIMED, time_stages
from bench.stages import Stages
from tests.measure.simulated import MS, Clock

BATCHES = [TimedBatch({"x": np.zeros((2, 3))}, 2)]


class Staged(NullSession):
    """Moves a clock in every stage by as much as it is told, in ms."""

    on_device = True

    def __init__(self, clock: Clock, **takes: float) -> None:
        super().__init__({})
        self.clock, self.takes = clock, takes

    def stage(self, batch: Arrays) -> Arrays:
        return self._take("stage", batch)

    def launch(self, staged: Arrays) -> Arrays:
        return self._take("launch", staged)

    def wait(self, pending: Arrays) -> None:
        self._take("wait", pending)

    def fetch(self, pending: Arrays) -> Arrays:
        return self._take("fetch", pending)

    def infer(self, batch: Arrays) -> Arrays:
        return self._take("infer", batch)

    def _take(self, what: str, value: Arrays) -> Arrays:
        self.clock.now += round(MS * self.takes[what])
        return value


def test_each_stage_is_timed_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("bench.measure.stages.perf_counter_ns", clock)
    session = Staged(clock, stage=1.0, launch=0.5, wait=2.0, fetch=1.5, infer=6.0)
    stages = time_stages(session, BATCHES, lambda: session._take("stage", {}))
    assert stages.median_ms() == {
        "preprocess": 1.0, "host to device": 1.0, "compute": 2.5, "device to host": 1.5,
    }  # fmt: skip
    assert median(stages.dispatch_ns) == 0.5 * MS
    assert len(stages.compute_ns) == TIMED
    assert stages.remainder_ms() == pytest.approx(1.0)
    assert stages.excess() is None


def test_stages_that_are_not_there_are_left_out() -> None:
    stages = time_stages(NullSession({}), BATCHES, None)
    assert set(stages.median_ms()) == {"host to device", "compute", "device to host"}
    assert stages.diagnoses() == ()


def test_stages_that_exceed_the_whole_are_told() -> None:
    within = made(4.0, up=0.3, down=0.3).model_copy(update={"whole_ns": (round(4.4 * MS),)})
    assert within.diagnoses() == ()
    beyond = made(4.0, up=1.0, down=1.0).model_copy(update={"whole_ns": (5 * MS,)})
    assert beyond.diagnoses() == ("stages one by one take 20 % longer than an inference",)
    assert beyond.model_copy(update={"on_device": False}).diagnoses() == beyond.diagnoses()
    assert made(4.0).remainder_ms() is None


def made(compute: float, dispatch: float = 0.0, up: float = 0.0, down: float = 0.0, jitter: float = 0.0) -> Stages:
    def times(ms: float, spread: float = 0.0) -> tuple[int, ...]:
        return tuple(round(1e6 * (ms + (-1) ** i * spread)) for i in range(20))

    return Stages(
        host_to_device_ns=times(up), compute_ns=times(compute, jitter), dispatch_ns=times(dispatch),
        device_to_host_ns=times(down), on_device=True,
    )  # fmt: skip


def test_an_unstable_compute_time_is_the_clocks_only_where_they_moved() -> None:
    varied = made(1.0, jitter=0.03)
    (moved,), (stood,) = varied.diagnoses((345, 1980)), varied.diagnoses((1965, 1980))
    assert moved.startswith("unstable clocks: ") and moved.endswith("from 345 to 1980 MHz")
    assert stood.startswith("unstable host: ") and stood.endswith("stood at 1980 MHz")


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (made(1.0, dispatch=0.79, up=0.99, down=0.99, jitter=0.02), ()),
        (made(1.0, dispatch=0.9), ("bound by dispatch: starting an inference takes 90 % of its compute time",)),
        (made(1.0, up=2.0), ("bound by transfers: host to device takes 2.0 times the compute time",)),
        (made(1.0, down=1.0), ("bound by transfers: device to host takes 1.0 times the compute time",)),
        (made(1.0, jitter=0.03), ("unstable: compute time varies by 3.0 % (coefficient of variation)",)),
    ],
)
def test_diagnoses_are_trtexecs(stages: Stages, words: tuple[str, ...]) -> None:
    assert stages.diagnoses() == words
    assert stages.model_copy(update={"on_device": False}).diagnoses() == ()
