"""The stages of sessions whose stages are known, and what bounds them."""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import pytest

from bench.backends.base import Arrays
from bench.backends.null import NullSession
from bench.inputs.batches import TimedBatch
from bench.measure.stages import TIMED, time_stages
from bench.stages import Stages

BATCHES = [TimedBatch({"x": np.zeros((2, 3))}, 2)]


class Staged(NullSession):
    """Sleeps in every stage for as long as it is told, in ms."""

    on_device = True

    def __init__(self, **sleeps: float) -> None:
        super().__init__({})
        self.sleeps = sleeps

    def stage(self, batch: Arrays) -> Arrays:
        return self._sleep("stage", batch)

    def launch(self, staged: Arrays) -> Arrays:
        return self._sleep("launch", staged)

    def wait(self, pending: Arrays) -> None:
        self._sleep("wait", pending)

    def fetch(self, pending: Arrays) -> Arrays:
        return self._sleep("fetch", pending)

    def _sleep(self, what: str, value: Arrays) -> Arrays:
        time.sleep(self.sleeps.get(what, 0.0) / 1e3)
        return value


def test_each_stage_is_timed_by_itself() -> None:
    session = Staged(stage=1.0, launch=0.5, wait=2.0, fetch=1.5)
    stages = time_stages(session, BATCHES, lambda: time.sleep(0.003))
    found = stages.median_ms()
    wanted = {"host to device": 1.0, "compute": 2.5, "device to host": 1.5, "preprocess": 3.0}
    assert set(found) == set(wanted)
    for name, ms in wanted.items():
        assert ms <= found[name] < ms + 0.6, name
    assert median(stages.dispatch_ns) / 1e6 == pytest.approx(0.5, abs=0.4)
    assert len(stages.compute_ns) == TIMED
    assert stages.remainder_ms(6.0) == pytest.approx(1.0, abs=0.6)


def test_stages_that_are_not_there_are_left_out() -> None:
    stages = time_stages(NullSession({}), BATCHES, None)
    assert set(stages.median_ms()) == {"host to device", "compute", "device to host"}
    assert stages.diagnoses() == ()


def made(compute: float, dispatch: float = 0.0, up: float = 0.0, down: float = 0.0, jitter: float = 0.0) -> Stages:
    def times(ms: float, spread: float = 0.0) -> tuple[int, ...]:
        return tuple(round(1e6 * (ms + (-1) ** i * spread)) for i in range(20))

    return Stages(
        host_to_device_ns=times(up), compute_ns=times(compute, jitter), dispatch_ns=times(dispatch),
        device_to_host_ns=times(down), on_device=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (made(1.0, dispatch=0.79, up=0.99, down=0.99, jitter=0.02), ()),
        (made(1.0, dispatch=0.9), ("bound by dispatch: starting an inference takes 90 % of its compute time",)),
        (made(1.0, up=2.0), ("bound by transfers: host to device takes 2.0 times the compute time",)),
        (made(1.0, down=1.0), ("bound by transfers: device to host takes 1.0 times the compute time",)),
        (made(1.0, jitter=0.03), ("unstable clocks: compute time varies by 3.0 % (coefficient of variation)",)),
    ],
)
def test_diagnoses_are_trtexecs(stages: Stages, words: tuple[str, ...]) -> None:
    assert stages.diagnoses() == words
    assert stages.model_copy(update={"on_device": False}).diagnoses() == ()
