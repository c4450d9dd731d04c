"""The timed loops, on a session that counts and a clock that it alone moves."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from bench.backends.base import Arrays
from bench.backends.null import NullSession
from bench.inputs.batches import TimedBatch
from bench.measure import loop
from bench.measure.goal import exactly
from bench.measure.loop import (
    BLOCKS,
    time_compute,
    time_latency,
    time_throughput,
    without_garbage_collection,
)
from bench.record import Samples
from tests.measure.simulated import MS, Clock

EXACT = "num_iterations reached"


class ScriptedSession(NullSession):
    """Notes every call; an inference takes a millisecond more each time, a wait ten."""

    def __init__(self, clock: Clock) -> None:
        super().__init__({"out": np.zeros(1)})
        self.clock = clock
        self.calls: list[str] = []
        self.collecting: list[bool] = []

    def infer(self, batch: Arrays) -> Arrays:
        self._note(f"infer {int(batch['in'][0])}", (1 + len(self.calls)) * MS)
        return {}

    def stage(self, batch: Arrays) -> Arrays:
        self._note(f"stage {int(batch['in'][0])}", 1000 * MS)
        return batch

    def launch(self, staged: Arrays) -> Arrays:
        self._note("launch", MS)
        return staged

    def wait(self, pending: Arrays) -> None:
        self._note("wait", 10 * MS)

    def _note(self, call: str, duration: int) -> None:
        self.calls.append(call)
        self.clock.now += duration
        self.collecting.append(gc.isenabled())


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> ScriptedSession:
    clock = Clock()
    monkeypatch.setattr(loop, "perf_counter_ns", clock)
    return ScriptedSession(clock)


def batches(*images: int) -> list[TimedBatch]:
    return [TimedBatch({"in": np.array([number])}, count) for number, count in enumerate(images)]


def test_latency_keeps_every_sample_in_order_and_goes_round_the_batches(session: ScriptedSession) -> None:
    samples = time_latency(session, batches(4, 4, 3), exactly(7))
    assert samples.times_ns == tuple(i * MS for i in range(1, 8))
    assert session.calls == [f"infer {i % 3}" for i in range(7)]
    assert samples.images == (4, 4, 3, 4, 4, 3, 4)


def test_no_iterations_give_no_samples(session: ScriptedSession) -> None:
    assert time_latency(session, batches(4), exactly(0)) == Samples(times_ns=(), images=(), ended=EXACT)
    assert session.calls == []


def test_compute_stages_once_and_waits_after_each_launch(session: ScriptedSession) -> None:
    samples = time_compute(session, batches(4, 3), exactly(3))
    assert session.calls == ["stage 0", *["launch", "wait"] * 4]  # the first pair is not timed
    assert samples == Samples(times_ns=(11 * MS,) * 3, images=(4, 4, 4), ended=EXACT)


def compute_of(milliseconds: float) -> Samples:
    return Samples(times_ns=(int(milliseconds * MS),) * 3, images=(1,) * 3)


@pytest.mark.parametrize(("compute_ms", "launches"), [(10, 50), (0.001, 200), (1000, 4), (0, 200)])
def test_throughput_waits_once_a_block_of_about_half_a_second(
    session: ScriptedSession, compute_ms: float, launches: int
) -> None:
    throughput = time_throughput(session, batches(4, 3), compute_of(compute_ms))
    assert session.calls == ["stage 0", *[*["launch"] * launches, "wait"] * (BLOCKS[0] + 1)]  # the first is not kept
    assert throughput.block_ns == ((launches + 10) * MS,) * BLOCKS[0]
    assert (throughput.launches_per_block, throughput.images_per_launch) == (launches, 4)


@pytest.mark.parametrize(("seconds", "blocks"), [(0, 5), (1, 5), (2.5, 12), (1e9, 100)])
def test_throughput_goes_on_for_the_least_time(session: ScriptedSession, seconds: float, blocks: int) -> None:
    throughput = time_throughput(session, batches(4, 3), compute_of(2), seconds * 1e9)  # 210 ms a block
    assert len(throughput.block_ns) == blocks


LOOPS: dict[str, Callable[[ScriptedSession], object]] = {
    "latency": lambda session: time_latency(session, batches(1), exactly(3)),
    "compute": lambda session: time_compute(session, batches(1), exactly(3)),
    "throughput": lambda session: time_throughput(session, batches(1), compute_of(100)),
}


@pytest.fixture
def collector() -> Iterator[None]:
    enabled = gc.isenabled()
    yield
    (gc.enable if enabled else gc.disable)()


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_rests_while_timing_and_is_as_before_afterwards(
    session: ScriptedSession, collector: None, name: str, enabled: bool
) -> None:
    (gc.enable if enabled else gc.disable)()
    with without_garbage_collection():
        LOOPS[name](session)
    assert session.collecting[-3:] == [False] * 3  # what comes before may be preparation
    assert gc.isenabled() is enabled


def test_the_garbage_collector_is_back_after_an_error(session: ScriptedSession, collector: None) -> None:
    gc.enable()

    def fail(batch: Arrays) -> Arrays:
        raise RuntimeError("broken")

    session.infer = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="broken"), without_garbage_collection():
        time_latency(session, batches(1), exactly(3))
    assert gc.isenabled()
