"""What the harness itself costs: ratios within one run and minima, which mean something on a busy machine too."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.backends.base import Arrays, Preparation, Session, Signature
from bench.backends.null import NullSession
from bench.inputs.batches import TimedBatch
from bench.measure.goal import exactly
from bench.measure.loop import time_latency
from tests.factory import make_case
from tests.faults import ROOT

pytestmark = pytest.mark.alone
ROUNDS, BLOCK, ATTEMPTS = 20, 15, 8
LIBRARIES = "import pydantic.fields, rich.console, typer.rich_utils"


class SineSession(NullSession):
    """A millisecond or so of real work in one thread.

    Always into the same memory: a fresh array of this size lies where the caller's last allocations leave room, and
    with its place its page faults and cache misses change, by some percent of the time, steadily for a whole process.
    """

    def __init__(self, angles: int) -> None:
        super().__init__({})
        self._sines = np.empty(angles)

    def infer(self, batch: Arrays) -> Arrays:
        return {"sines": np.sin(batch["angles"], out=self._sines)}


def sine_session() -> tuple[Session, Arrays]:
    return SineSession(100_000), {"angles": np.random.default_rng(0).normal(size=100_000)}


def tensorflow_session() -> tuple[Session, Arrays]:
    tf = pytest.importorskip("tensorflow")
    from bench.backends.tensorflow import TensorFlowSession

    preparation = Preparation(make_case(), Path(), Signature((), ()), {}, None, Path(), lambda name: nullcontext())
    function: Any = tf.function(lambda values: {"sorted": tf.sort(values)})  # one row: one thread
    values = np.random.default_rng(0).normal(size=(1, 20_000)).astype(np.float32)
    return TensorFlowSession(function, None, preparation), {"values": values}


def bare_loop(session: Session, arrays: Arrays, iterations: int) -> list[int]:
    times = []
    for _ in range(iterations):
        start = perf_counter_ns()
        session.infer(arrays)
        times.append(perf_counter_ns() - start)
    return times


@contextmanager
def small_heap() -> Iterator[None]:
    """Collecting garbage among TensorFlow's objects takes long enough for caches to cool before a short block."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("make", [sine_session, tensorflow_session], ids=["numpy", "tensorflow"])
def test_latency_is_within_two_percent_of_a_bare_loop(make: Callable[[], tuple[Session, Arrays]]) -> None:
    """A cost of the harness's own would show in every attempt; a neighbour on the machine does not."""
    session, arrays = make()
    bare_loop(session, arrays, BLOCK)
    ratios: list[float] = []
    with small_heap():
        while len(ratios) < ATTEMPTS and not any(abs(ratio - 1) <= 0.02 for ratio in ratios):
            ratios.append(_compare(session, arrays))
    print("harness / bare:", ", ".join(f"{ratio:.4f}" for ratio in ratios))
    assert min(abs(ratio - 1) for ratio in ratios) <= 0.02


def _compare(session: Session, arrays: Arrays) -> float:
    """The harness's median over a bare loop's, of blocks that take turns, so that both see the same weather."""
    ratios, goal = [], exactly(BLOCK)
    for _ in range(ROUNDS):
        before = median(bare_loop(session, arrays, BLOCK))
        ours = median(time_latency(session, [TimedBatch(arrays, 1)], goal).times_ns)
        after = median(bare_loop(session, arrays, BLOCK))
        ratios.append(2 * ours / (before + after))
    return median(ratios)


def test_an_iteration_costs_less_than_five_of_a_bare_loop(benchmark: BenchmarkFixture) -> None:
    """What is beside the sample counts here: going round the batches, looking at the goal, keeping the record."""
    session, arrays = NullSession({}), {"images": np.zeros((1, 8, 8, 3), np.uint8)}
    batches = [TimedBatch(arrays, 1)] * 4

    def loop() -> None:
        time_latency(session, batches, exactly(2000))

    with small_heap():
        benchmark.pedantic(loop, rounds=10)
        pairs = [(_wall(loop), _wall(lambda: bare_loop(session, arrays, 2000))) for _ in range(20)]
    ours, bare = map(min, zip(*pairs, strict=True))
    print(f"an iteration: {ours / 2000:.0f} ns, of a bare loop: {bare / 2000:.0f} ns")
    assert ours < 5 * bare


def test_null_itself_reports_less_than_three_times_a_bare_loops_sample() -> None:
    session = NullSession({})
    samples = time_latency(session, [TimedBatch({}, 1)], exactly(2000))
    assert len(samples.times_ns) == 2000
    assert 0 <= min(samples.times_ns) <= median(samples.times_ns) < 3 * median(bare_loop(session, {}, 2000))


def _wall(work: Callable[[], object]) -> int:
    start = perf_counter_ns()
    work()
    return perf_counter_ns() - start


def test_help_costs_less_than_three_times_the_libraries_that_show_it() -> None:
    """In CPU time, least of several that take turns. An idle machine gives the help in half a second."""
    commands = (["-m", "bench.test", "--help"], ["-c", LIBRARIES])
    costs = [[_cpu_seconds([sys.executable, *command]) for command in commands] for _ in range(7)]
    ours, libraries = map(min, zip(*costs, strict=True))
    print(f"--help: {ours:.3f} s, its libraries: {libraries:.3f} s")
    assert ours < 3 * libraries


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
