"""The sampler, as a process beside others: what it costs, what it leaves, and that it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pynvml
import pytest

from bench.machine.cpu import Cpu
from bench.machine.nvml import Gpu
from bench.machine.observe import Observer
from bench.machine.reading import Reading
from bench.sampler import Sampler, allowed_share, leave_core
from bench.telemetry import Telemetry
from tests.fake_nvml import FakeGpu, FakeNvml
from tests.faults import ROOT, fake_gpu
from tests.test_launch import all_gone
from tests.undisturbed import with_over_without

# It gives way to everything else, and may be late with its readings where anything runs beside the tests.
pytestmark = pytest.mark.alone


def test_a_refusal_is_told_once_and_slow_fields_are_read_now_and_then() -> None:
    fake = FakeGpu(refused={"PowerUsage": pynvml.NVML_ERROR_NOT_SUPPORTED})
    output = os.memfd_create("test")
    sampler = Sampler(output, Cpu({0}, worker=os.getpid()), Gpu(FakeNvml(fake), fake))
    for _ in range(10):
        sampler.read()
    with open(output, "rb") as lines:
        lines.seek(0)
        items = [json.loads(line) for line in lines]
    readings = [Reading(*item) for item in items if isinstance(item, list)]
    assert [item for item in items if isinstance(item, dict)] == [{"refused": {"power_w": "Not Supported"}}]
    assert [reading.load_1min is not None for reading in readings] == [True, *[False] * 4] * 2
    assert [reading.foreign is not None for reading in readings] == [True, *[False] * 4] * 2


def test_it_leaves_the_workers_core() -> None:
    usable = os.sched_getaffinity(0)
    if len(usable) < 2:
        pytest.skip("there is one core")
    try:
        leave_core(None)
        assert os.sched_getaffinity(0) == usable
        for core in (max(usable), min(usable)):
            leave_core(core)
            assert core not in os.sched_getaffinity(0) and len(os.sched_getaffinity(0)) == 1
    finally:
        os.sched_setaffinity(0, usable)


@contextlib.contextmanager
def observing(wants_gpu: bool = False, **variables: str) -> Iterator[Observer]:
    with Observer(wants_gpu, {**os.environ, **variables}) as observer:
        observer.begin()
        observer.worker(os.getpid())
        yield observer


def telemetry_of(observer: Observer) -> Telemetry:
    return observer.telemetry({})


def test_it_uses_less_than_a_fiftieth_of_a_core_and_gives_way() -> None:
    with observing() as observer:
        assert observer.pid is not None
        time.sleep(0.5)
        sampler = psutil.Process(observer.pid)
        before, begin = sum(sampler.cpu_times()[:2]), time.monotonic()
        time.sleep(2.5)
        used = (sum(sampler.cpu_times()[:2]) - before) / (time.monotonic() - begin)
        assert sampler.nice() == 19 and os.sched_getscheduler(observer.pid) == os.SCHED_BATCH
    telemetry = telemetry_of(observer)
    print(f"sampler: {used:.2%} of a core by the system's clock, {telemetry.sampler_cpu_share:.2%} by its own")
    assert used < 0.02
    assert telemetry.failed is None and telemetry.sampler_cpu_share is not None and telemetry.sampler_cpu_share < 0.02
    assert telemetry.readings > 20 and telemetry.period_s == 0.1


def test_it_reads_less_often_where_the_driver_is_slow(tmp_path: Path) -> None:
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(usable)[:2])  # with more cores it may use more
    try:
        with observing(True, **fake_gpu(tmp_path, "expensive")) as observer:
            observer.settle()
            time.sleep(2.5)
    finally:
        os.sched_setaffinity(0, usable)
    telemetry = telemetry_of(observer)
    assert telemetry.failed is None and 2 <= telemetry.readings < 8
    assert telemetry.sampler_cpu_share is not None and telemetry.sampler_cpu_share < 0.04  # of few readings


@pytest.mark.parametrize(("answer_s", "readings"), [(0.03, (26, 32)), (0.2, (10, 13))])
def test_a_period_is_from_reading_to_reading(answer_s: float, readings: tuple[int, int]) -> None:
    """3 s, ten times a second, of a driver that lets one wait; it is given half a period's rest."""

    class Slow(Gpu):
        def values(self) -> dict[str, Any]:
            time.sleep(answer_s)
            return super().values()

    fake = FakeGpu()
    sampler = Sampler(os.memfd_create("test"), Cpu({0}, worker=os.getpid()), Slow(FakeNvml(fake), fake))
    orders, ordering = os.pipe()
    threading.Timer(3.0, os.close, [ordering]).start()
    sampler.run(orders)
    os.close(orders)
    assert readings[0] <= sampler.taken <= readings[1]


@pytest.mark.parametrize(("cores", "share"), [(1, 0.0075), (2, 0.015), (8, 0.06), (64, 0.1)])
def test_it_may_use_more_where_there_are_more_cores(cores: int, share: float) -> None:
    assert allowed_share(cores) == pytest.approx(share)


def test_it_ends_with_its_parent() -> None:
    program = """
import os, time
from bench.machine.nvml import Gpu
from bench.machine.observe import Observer
observer = Observer(False, dict(os.environ)).__enter__()
time.sleep(0.5)
print(observer.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        sampler = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert all_gone([sampler], 5)


def test_it_ends_with_the_case_without_being_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.observe.END_S", 60.0)
    with observing() as observer:
        assert observer.pid is not None
        sampler = psutil.Process(observer.pid)
        time.sleep(0.5)
        begin = time.monotonic()
    assert time.monotonic() - begin < 30 and all_gone([sampler], 0.1)
    assert telemetry_of(observer).failed is None


def test_one_that_is_killed_leaves_what_it_had_read() -> None:
    with observing() as observer:
        observer.phase("measure")
        time.sleep(1.0)
        assert observer.pid is not None
        os.kill(observer.pid, signal.SIGKILL)
        time.sleep(0.2)
        observer.part("latency")
        observer.end()
    telemetry = telemetry_of(observer)
    assert telemetry.failed == "the sampler was ended by SIGKILL"
    assert telemetry.readings > 3 and telemetry.window() is not None


def test_one_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with observing() as observer:
        observer.settle()
        observer.phase("measure")
    telemetry = telemetry_of(observer)
    assert telemetry.failed is not None and telemetry.failed.startswith("the sampler could not be started")


def test_the_timed_process_does_not_feel_it() -> None:
    """Within 1 %. A cost of the sampler's would show in every attempt; a neighbour on the machine does not."""
    found: list[float] = []
    with observing() as observer:
        assert observer.pid is not None
        time.sleep(0.5)
        while len(found) < 10 and not any(abs(ratio - 1) < 0.01 for ratio in found):
            found.append(with_over_without(observer.pid, _loop, pairs=30, samples=10).value)
    print("with the sampler over without:", ", ".join(f"{ratio:.4f}" for ratio in found))
    assert min(abs(ratio - 1) for ratio in found) < 0.01


def test_a_process_that_does_not_give_way_would_be_felt() -> None:
    """The same measurement beside one that wants the same core."""
    usable = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(usable)})
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as greedy:
            felt = with_over_without(greedy.pid, lambda: _loop(400_000), pairs=5, samples=3)
            greedy.kill()
    finally:
        os.sched_setaffinity(0, usable)
    print("beside a greedy process over without:", felt.value)
    assert felt.value > 1.2


def _loop(length: int = 40_000) -> None:
    sum(i * i for i in range(length))


def test_the_sampler_loads_next_to_nothing() -> None:
    program = "import sys, bench.sampler; print(*sorted(n for n in sys.modules if '.' not in n))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "pydantic", "psutil", "tensorflow", "typer", "rich"}
