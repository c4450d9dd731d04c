"""The sampler, as a process beside others: what it costs, what it leaves, and that it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pynvml
import pytest

from bench.launch import run_worker
from bench.machine.cpu import Cpu
from bench.machine.nvml import Gpu
from bench.machine.observe import Observer
from bench.machine.reading import Reading
from bench.record import Record
from bench.sampler import Sampler, leave_core
from bench.telemetry import Telemetry, problems
from tests.factory import make_case
from tests.fake_nvml import GIB, FakeGpu, FakeNvml
from tests.faults import ROOT, inject
from tests.test_launch import all_gone, null_case, only_run, started, write_config

# It gives way to everything else, and may be late with its readings where anything runs beside the tests.
pytestmark = pytest.mark.alone

FAKE_NVML = """
if "bench.sampler" in sys.orig_argv:
    from tests.fake_nvml import SCRIPTS
    sys.modules["pynvml"] = SCRIPTS["{script}"]()
"""


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


def fake_gpu(folder: Path, script: str, at: str = "", do: str = "pause") -> dict[str, str]:
    """Variables with which a sampler has a scripted GPU, and workers a fault."""
    variables = inject(folder, at, do)
    site = folder / "sitecustomize.py"
    site.write_text(site.read_text(encoding="utf-8") + FAKE_NVML.format(script=script), encoding="utf-8")
    return variables


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
    with observing(True, **fake_gpu(tmp_path, "expensive")) as observer:
        observer.settle()
        time.sleep(2.5)
    telemetry = telemetry_of(observer)
    assert telemetry.failed is None and 2 <= telemetry.readings < 8
    assert telemetry.sampler_cpu_share is not None and telemetry.sampler_cpu_share < 0.04  # of few readings


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


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        ("broken", "ZeroDivisionError: integer division or modulo by zero"),
        ("hanging", "the sampler did not end when told to"),
    ],
)
def test_one_that_fails_does_not_fail_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, failed: str
) -> None:
    monkeypatch.setattr("bench.machine.observe.END_S", 0.5)
    record = run_with_gpu(tmp_path, monkeypatch, script, num_warmup_iterations=1, num_iterations=4)
    assert record.failure is None and record.latency is not None
    assert record.telemetry is not None and record.telemetry.failed == failed
    assert record.telemetry.readings > 3 and record.telemetry.gpu is not None


def run_with_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, **changes: Any) -> Record:
    """A case on the null backend, each inference of which takes 0.2 s, beside a scripted GPU."""
    for name, value in fake_gpu(folder, script, at="infer").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("bench.launch.ON_GPU", ("null",))
    return run_worker(null_case(**changes), folder / "log", lambda *_: None)


def test_a_gpu_from_idle_to_energy_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run_with_gpu(tmp_path, monkeypatch, "working", num_warmup_iterations=1, num_iterations=12)
    telemetry = record.telemetry
    assert record.failure is None and telemetry is not None and telemetry.failed is None
    gpu, measure = telemetry.gpu, telemetry.window()
    assert gpu is not None and measure is not None
    assert gpu.idle_power_w == 60 and gpu.idle_s > 0.7 and gpu.worker_identified_by == "its process id"
    assert measure.fields["power_w"].median == 300 and measure.fields["worker_memory_bytes"].max == GIB
    assert measure.event_reasons == {"sw_power_cap": 1.0} and measure.throttled == 1
    assert measure.power_violation_ns == pytest.approx(measure.seconds / 2 * 1e9, rel=0.1)
    assert measure.energy_j == pytest.approx(300 * measure.seconds, rel=0.15)
    assert [process.pid for process in telemetry.foreign] == [1]
    latency = telemetry.energy[0]
    assert latency.loop == "latency" and latency.absent is None and latency.error_share is not None
    assert latency.joules_per_image == pytest.approx(300 * 0.2, rel=latency.error_share + 0.02)
    assert latency.net_joules_per_image == pytest.approx(240 * 0.2, rel=latency.error_share + 0.05)
    assert all(energy.absent for energy in telemetry.energy[1:])
    found = problems(telemetry)
    assert found[0] == "throttled: sw_power_cap for 100% of the measured time"
    assert found[1].startswith("another process on the GPU: pid 1 (")


def test_a_run_from_outside_without_a_gpu(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"benchmark_config.num_iterations": [8]})
    with started(config, **inject(tmp_path, "infer", "pause")) as run:
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 0, output
    (path,) = (path for path in only_run(config).glob("*.json") if path.name != "suite.json")
    record = Record.model_validate_json(path.read_text(encoding="utf-8"))
    telemetry = record.telemetry
    assert telemetry is not None and telemetry.failed is None and telemetry.gpu is None
    assert telemetry.absent["gpu"] == "the backend computes on the CPU"
    assert [w.name for w in telemetry.windows if ":" not in w.name] == [phase.name for phase in record.phases]
    measure = telemetry.window()
    assert measure is not None and measure.readings >= 8
    assert {phase.name: phase.seconds for phase in record.phases}["measure"] == pytest.approx(measure.seconds, abs=0.2)
    loop = telemetry.window("measure: latency")
    assert loop is not None and record.latency is not None  # what places batches among the readings
    assert loop.seconds == pytest.approx(sum(record.latency.times_ns) / 1e9, rel=0.05)
    assert measure.worker_cores is not None and measure.worker_cores < 0.5  # it sleeps
    cores = len(os.sched_getaffinity(0))
    assert measure.busy_cores is not None and 0 <= measure.busy_cores <= cores + 0.3
    assert measure.stolen_share is not None and 0 <= measure.stolen_share <= 1
    assert 0 <= measure.fields["load_1min"].max < 1000
    if "cpu_mhz" not in telemetry.absent:
        assert 100 < measure.fields["cpu_mhz"].median < 10_000
    assert 0 < len(telemetry.trace.times_s) <= 200 and telemetry.trace.times_s[-1] < record.seconds + 1


@pytest.mark.parametrize(("do", "kind"), [("hang", "time-out"), ("segfault", "crash")])
def test_a_worker_that_ends_badly_leaves_telemetry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do: str, kind: str
) -> None:
    for name, value in inject(tmp_path, "stage", do).items():
        monkeypatch.setenv(name, value)
    record = run_worker(null_case(phase_timeout_s=2.0), tmp_path / "log", lambda *_: None)
    assert record.failure is not None and record.failure.kind == kind
    assert record.telemetry is not None and record.telemetry.failed is None
    assert record.telemetry.window() is not None and record.telemetry.readings > 3


def test_ctrl_c_keeps_the_telemetry_up_to_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(phase: str, done: int, total: int) -> None:
        if phase == "measure":
            time.sleep(0.5)
            raise KeyboardInterrupt

    for name, value in inject(tmp_path, "infer", "pause").items():
        monkeypatch.setenv(name, value)
    record = run_worker(null_case(), tmp_path / "log", interrupt)
    assert record.failure is not None and record.failure.kind == "interrupted"
    assert record.telemetry is not None and record.telemetry.window() is not None and record.telemetry.readings > 3


def test_ctrl_c_while_the_idle_gpu_is_read_is_a_record_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(observer: Observer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Observer, "settle", interrupt)
    record = run_worker(make_case(), tmp_path / "log", lambda *_: None)
    assert record.failure is not None and record.failure.kind == "interrupted" and record.telemetry is not None


def test_the_timed_process_does_not_feel_it() -> None:
    """Blocks with the sampler awake and asleep in turn, in one process; the best of several tries."""
    ratios: list[float] = []
    with observing() as observer:
        assert observer.pid is not None
        time.sleep(0.5)
        while len(ratios) < 12 and not any(abs(ratio - 1) < 0.03 for ratio in ratios):
            times: dict[int, list[float]] = {signal.SIGCONT: [], signal.SIGSTOP: []}
            for block in range(20):
                order = (signal.SIGCONT, signal.SIGSTOP) if block % 2 else (signal.SIGSTOP, signal.SIGCONT)
                for state in order:
                    os.kill(observer.pid, state)
                    times[state] += [_loop() for _ in range(10)]
            ratios.append(median(times[signal.SIGCONT]) / median(times[signal.SIGSTOP]))
        os.kill(observer.pid, signal.SIGCONT)
    print("with the sampler over without:", [f"{ratio:.4f}" for ratio in ratios])
    assert min(abs(ratio - 1) for ratio in ratios) < 0.03


def _loop() -> float:
    begin = time.perf_counter()
    sum(i * i for i in range(40_000))
    return time.perf_counter() - begin


def test_the_sampler_loads_next_to_nothing() -> None:
    program = "import sys, bench.sampler; print(*sorted(n for n in sys.modules if '.' not in n))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "pydantic", "psutil", "tensorflow", "typer", "rich"}
