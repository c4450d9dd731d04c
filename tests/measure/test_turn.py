"""A variant's turn, on a device with a queue whose speed is known and a clock that it alone moves."""

from __future__ import annotations

import numpy as np
import pytest

from bench.backends.base import Arrays
from bench.backends.null import NullSession
from bench.blocks import Turn
from bench.inputs.batches import TimedBatch
from bench.interleave import lengths_of_block
from bench.measure import loop, turn
from bench.measure.goal import exactly
from bench.measure.loop import time_compute, time_latency
from bench.measure.turn import take_turn
from bench.record import Record
from bench.statistics.turns import paired_speedups
from tests.factory import make_case, make_record
from tests.measure.simulated import MS, Clock

BATCHES = [TimedBatch({"in": np.zeros(1)}, 1)]
COPYING, LAUNCHING, WAKING = 20 * MS, MS // 10, MS // 2


class Device(NullSession):
    """Takes so long for a batch, one after the other; the host copies, launches, and is woken at the end."""

    def __init__(self, clock: Clock, batch_ns: int) -> None:
        super().__init__({"out": np.zeros(1)})
        self._clock, self._batch_ns, self._busy_until = clock, batch_ns, 0

    def infer(self, batch: Arrays) -> Arrays:
        self._clock.now += COPYING
        self.wait(self.launch(batch))
        return {}

    def launch(self, staged: Arrays) -> Arrays:
        self._clock.now += LAUNCHING
        self._busy_until = max(self._busy_until, self._clock.now) + self._batch_ns
        return staged

    def wait(self, pending: Arrays) -> None:
        self._clock.now = max(self._clock.now, self._busy_until) + WAKING


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (loop, turn):
        monkeypatch.setattr(module, "perf_counter_ns", clock)
    return clock


def measured(clock: Clock, batch_ms: float) -> Record:
    """A variant's loops, and a turn of the length that they ask for."""
    device = Device(clock, round(batch_ms * MS))
    latency, compute = (time(device, BATCHES, exactly(20)) for time in (time_latency, time_compute))
    case = make_case(num_iterations=None, block_duration_s=0.1)
    record = make_record(case=case, latency=latency, compute=compute)
    samples, launches = lengths_of_block(record)
    block = take_turn(device, BATCHES, Turn(round=0, place=0, samples=samples, launches=launches))
    assert len(block.latency_ns) == samples and len(block.compute_ns) == launches
    return record.model_copy(update={"blocks": (block,)})


def test_speedups_in_turn_are_those_of_the_device_where_copying_takes_most_of_the_time(clock: Clock) -> None:
    slow, fast = measured(clock, 8), measured(clock, 0.5)
    found = {name: each.value for name, each in paired_speedups(fast, slow).items()}
    assert found["throughput_speedup"] == pytest.approx(8 / 0.5, rel=0.02)  # with 5 launches each, it would be 13.1
    assert found["compute_speedup"] == pytest.approx(8.6 / 1.1)
    assert found["speedup"] == pytest.approx(28.6 / 21.1)


def test_a_block_of_an_older_record_was_as_many_launches_as_samples() -> None:
    assert Turn.model_validate({"round": 0, "place": 0, "samples": 7}).launched == 7
