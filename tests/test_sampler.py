"""The sampler: what it reads of GPU and CPU, what it costs, and that it ends."""

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

from bench.errors import BenchError, ConfigError
from bench.launch import run_worker
from bench.machine.clocks import locked_clocks
from bench.machine.cpu import TICK_S, Cpu
from bench.machine.nvml import Gpu, NoGpuError, Owners, choose
from bench.machine.observe import Observer
from bench.machine.reading import Reading
from bench.record import Record
from bench.sampler import Sampler, leave_core
from bench.telemetry import Telemetry, problems
from tests.factory import make_case
from tests.fake_nvml import GIB, FakeGpu, FakeNvml, process
from tests.faults import ROOT, inject
from tests.test_launch import all_gone, null_case, only_run, started, write_config

NOBODY = 2**22 - 1  # a pid beyond those in use here
FAKE_NVML = """
if "bench.sampler" in sys.orig_argv:
    from tests.fake_nvml import SCRIPTS
    sys.modules["pynvml"] = SCRIPTS["{script}"]()
"""
QUICK = {
    "sm_clock_mhz": ("ClockInfo", 1755),
    "memory_clock_mhz": ("ClockInfo", 3201),
    "power_w": ("PowerUsage", 351.5),
    "temperature_c": ("Temperature", 61),
    "utilization_pct": ("UtilizationRates", 87),
    "memory_used_bytes": ("MemoryInfo", 9 * GIB),
    "event_reasons": ("CurrentClocksEventReasons", 4),
    "power_violation_ns": ("ViolationStatus", 123_000_000),
    "thermal_violation_ns": ("ViolationStatus", 7),
    "energy_mj": ("TotalEnergyConsumption", 9_876_543),
}


def gpu_of(nvml: FakeNvml) -> Gpu:
    return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(0))


def test_every_field_in_its_unit() -> None:
    gpu = gpu_of(FakeNvml(FakeGpu()))
    assert gpu.values() == {name: value for name, (_, value) in QUICK.items()}
    assert gpu.refused == {}
    assert set(QUICK) < set(Reading._fields)


@pytest.mark.parametrize("name", QUICK)
def test_a_field_that_is_not_supported_is_none_and_is_not_asked_for_again(name: str) -> None:
    function = QUICK[name][0]
    fake = FakeGpu(refused={function: pynvml.NVML_ERROR_NOT_SUPPORTED})
    gpu = gpu_of(FakeNvml(fake))
    values = gpu.values()
    refused = {field for field, (asked, _) in QUICK.items() if asked == function}
    assert {field for field, value in values.items() if value is None} == refused
    assert gpu.refused == dict.fromkeys(refused, "Not Supported")
    gpu.values()
    assert fake.asked.count(function) == len(refused)


def test_a_field_that_fails_once_is_asked_for_again() -> None:
    fake = FakeGpu(refused={"PowerUsage": pynvml.NVML_ERROR_UNKNOWN})
    gpu = gpu_of(FakeNvml(fake))
    assert gpu.values()["power_w"] is None
    fake.refused.clear()
    assert gpu.values()["power_w"] == 351.5 and gpu.refused == {"power_w": "Unknown Error"}


def test_a_gpu_that_is_lost_leaves_nothing_but_reasons() -> None:
    fake = FakeGpu(refused={function: pynvml.NVML_ERROR_GPU_IS_LOST for function, _ in QUICK.values()})
    gpu = gpu_of(FakeNvml(fake))
    assert set(gpu.values().values()) == {None} and set(gpu.refused.values()) == {"GPU is lost"}


def test_reasons_by_their_older_name() -> None:
    older_driver = FakeGpu(refused={"CurrentClocksEventReasons": pynvml.NVML_ERROR_FUNCTION_NOT_FOUND})
    assert gpu_of(FakeNvml(older_driver)).values()["event_reasons"] == 4
    event, throttle = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
    assert gpu_of(FakeNvml(FakeGpu(), missing=[event])).values()["event_reasons"] == 4
    neither = gpu_of(FakeNvml(FakeGpu(), missing=[event, throttle]))
    assert neither.values()["event_reasons"] is None
    assert neither.refused["event_reasons"] == f"this nvidia-ml-py is too old: {throttle}"


def test_facts_and_their_refusals() -> None:
    fake = FakeGpu(refused={"ApplicationsClock": pynvml.NVML_ERROR_NOT_SUPPORTED})
    nvml = FakeNvml(fake)
    gpu = gpu_of(nvml)
    facts = gpu.facts(choose(nvml, {}))
    assert facts["name"] == "NVIDIA H200" and facts["uuid"] == "GPU-aaaa1111" and facts["index"] == 0
    assert facts["power_limit_w"] == 700 and facts["max_sm_clock_mhz"] == 1980
    assert facts["application_sm_clock_mhz"] is None
    assert gpu.refused == {"application_sm_clock_mhz": "Not Supported"}


TWO = (FakeGpu("GPU-aaaa1111"), FakeGpu("GPU-aabb2222"))
OTHER_KIND = FakeGpu("GPU-cccc3333", values={"Name": b"NVIDIA T4"})


@pytest.mark.parametrize(
    ("variables", "uuid"),
    [
        ({}, "GPU-aaaa1111"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "GPU-aabb2222"),
        ({"CUDA_VISIBLE_DEVICES": " 1, 0"}, "GPU-aabb2222"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aabb2222,0"}, "GPU-aabb2222"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aab"}, "GPU-aabb2222"),
    ],
)
def test_the_gpu_that_the_worker_computes_on(variables: dict[str, str], uuid: str) -> None:
    choice = choose(FakeNvml(*TWO), variables)
    assert choice.handle.uuid == uuid and choice.index == int(uuid == "GPU-aabb2222") and choice.how


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "CUDA_VISIBLE_DEVICES hides all GPUs"),
        ("-1", "CUDA_VISIBLE_DEVICES hides all GPUs"),
        ("2", "CUDA_VISIBLE_DEVICES begins with 2, and there are 2 GPUs"),
        ("GPU-aa", "CUDA_VISIBLE_DEVICES begins with GPU-aa, which names 2 of 2 GPUs"),
        ("GPU-ff", "CUDA_VISIBLE_DEVICES begins with GPU-ff, which names 0 of 2 GPUs"),
        ("MIG-1234", "NVML: Not Found"),
    ],
)
def test_no_gpu_and_why(value: str, reason: str) -> None:
    with pytest.raises(NoGpuError) as error:
        choose(FakeNvml(*TWO), {"CUDA_VISIBLE_DEVICES": value})
    assert str(error.value) == reason


def test_numbers_are_taken_only_where_cudas_are_nvmls() -> None:
    nvml = FakeNvml(OTHER_KIND, *TWO)
    with pytest.raises(NoGpuError, match="set CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        choose(nvml, {"CUDA_VISIBLE_DEVICES": "0"})
    assert choose(nvml, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).handle is OTHER_KIND
    assert choose(nvml, {"CUDA_VISIBLE_DEVICES": "GPU-aabb"}).index == 2


def test_no_nvml_no_gpus_and_a_mig_instance() -> None:
    with pytest.raises(NoGpuError, match="NVML: NVML Shared Library Not Found"):
        choose(FakeNvml(init=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), {})
    with pytest.raises(NoGpuError, match="NVML sees no GPU"):
        choose(FakeNvml(), {})
    mig = choose(FakeNvml(FakeGpu("MIG-1234")), {"CUDA_VISIBLE_DEVICES": "MIG-1234"})
    assert mig.index is None and mig.handle.uuid == "MIG-1234"


def test_a_process_that_is_listed_twice_counts_once() -> None:
    fake = FakeGpu()
    fake.values["ComputeRunningProcesses"] = [process(7, GIB), process(8, None)]
    fake.values["GraphicsRunningProcesses"] = [process(7, GIB), process(9, 5)]
    assert gpu_of(FakeNvml(fake)).processes() == {7: GIB, 8: None, 9: 5}
    fake.refused["ComputeRunningProcesses"] = pynvml.NVML_ERROR_NO_PERMISSION
    refused = gpu_of(FakeNvml(fake))
    assert refused.processes() is None and refused.refused == {"foreign": "Insufficient Permissions"}


def test_the_workers_processes_are_those_of_its_session() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as worker:
        owners = Owners(worker.pid)
        own, others = owners.split({worker.pid: 5, os.getpid(): 6, NOBODY: 7})
        worker.kill()
    assert own == {worker.pid: 5} and others == {os.getpid(): 6, NOBODY: 7}
    assert owners.identified_by == "its process id"


def test_before_there_is_a_worker_all_are_others() -> None:
    owners = Owners()
    assert owners.split({NOBODY: 7}) == ({}, {NOBODY: 7})
    owners.worker = os.getpid()
    assert owners.split({NOBODY: 7}) == ({}, {NOBODY: 7})
    assert owners.split({NOBODY: 7, NOBODY - 1: 8}) == ({NOBODY - 1: 8}, {NOBODY: 7})
    assert owners.split({NOBODY - 1: 8, NOBODY - 2: 9}) == ({NOBODY - 1: 8}, {NOBODY - 2: 9})
    assert owners.identified_by is not None and "namespace" in owners.identified_by


def test_two_unknown_processes_are_not_guessed_at() -> None:
    owners = Owners(os.getpid())
    both = {NOBODY: 7, NOBODY - 1: 8}
    assert owners.split(both) == ({}, both) and owners.identified_by is None


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /proc and /sys with known numbers."""
    files = {
        "proc/stat": "cpu  9 9 9 9 9 9 9 9 0 0\n"
        "cpu0 100 10 50 800 40 5 5 20 70 0\ncpu1 200 0 0 700 0 0 0 30 0 0\ncpu2 1 1 1 1 1 1 1 1 0 0\nintr 1 2 3\n",
        "proc/loadavg": "1.25 0.9 0.8 2/102 29118\n",
        "proc/77/stat": "77 (a) name) S " + " ".join(["1"] * 10) + " 150 50 " + " ".join(["1"] * 23) + " 1 0\n",
        "proc/cpuinfo": "processor\t: 0\ncpu MHz\t\t: 1000.5\n\nprocessor\t: 1\ncpu MHz\t\t: 2000.25\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_the_cpu_of_a_known_machine(machine: Path) -> None:
    cpu = Cpu({0, 1}, machine, worker=77)
    assert cpu.values() == {"worker_cpu_s": 200 * TICK_S} and cpu.core == 1
    assert cpu.slow_values() == {
        "cpu_busy_s": 370 * TICK_S, "cpu_steal_s": 50 * TICK_S, "cpu_total_s": 1960 * TICK_S,
        "load_1min": 1.25, "cpu_mhz": 2000.25,
    }  # fmt: skip
    assert cpu.refused == {} and cpu.mhz_source() == "/proc/cpuinfo"
    frequency = machine / "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq"
    frequency.parent.mkdir(parents=True)
    frequency.write_text("3456000\n", encoding="ascii")
    assert cpu.slow_values()["cpu_mhz"] == 3456 and Cpu({1}, machine).mhz_source() == "cpufreq"


def test_what_the_system_does_not_tell_of_the_cpu_has_a_reason(tmp_path: Path) -> None:
    cpu = Cpu({0}, tmp_path, worker=77, core=0)
    assert cpu.values() == {}
    assert set(cpu.slow_values().values()) == {None}
    assert set(cpu.refused) == {"cpu_busy_s", "cpu_steal_s", "cpu_total_s", "load_1min", "cpu_mhz"}
    assert all(reason.endswith("No such file or directory") for reason in cpu.refused.values())


def test_the_cpu_of_this_machine_and_of_this_process() -> None:
    cpu = Cpu(os.sched_getaffinity(0), worker=os.getpid())
    before = cpu.values()["worker_cpu_s"]
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert 0.08 <= cpu.values()["worker_cpu_s"] - before < 1
    assert cpu.core in os.sched_getaffinity(0)
    times = cpu.slow_values()
    assert 0 <= times["cpu_steal_s"] <= times["cpu_total_s"] and 0 < times["cpu_busy_s"] < times["cpu_total_s"]


def test_a_refusal_is_told_once_and_slow_fields_are_read_now_and_then() -> None:
    fake = FakeGpu(refused={"PowerUsage": pynvml.NVML_ERROR_NOT_SUPPORTED})
    output = os.memfd_create("test")
    sampler = Sampler(output, Cpu({0}, worker=os.getpid()), gpu_of(FakeNvml(fake)))
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


# The process itself.


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


def test_it_ends_with_the_case_at_once() -> None:
    with observing() as observer:
        assert observer.pid is not None
        sampler = psutil.Process(observer.pid)
        time.sleep(0.5)
        begin = time.monotonic()
    assert time.monotonic() - begin < 1 and all_gone([sampler], 0.1)


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
        while len(ratios) < 8 and not any(abs(ratio - 1) < 0.03 for ratio in ratios):
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


# Locking, against the stand-in alone.


def one_gpu() -> tuple[FakeNvml, FakeGpu]:
    gpu = FakeGpu()
    return FakeNvml(gpu), gpu


def test_clocks_are_locked_and_let_go() -> None:
    nvml, gpu = one_gpu()
    with locked_clocks(nvml, gpu, 1500):
        assert nvml.calls == [("lock", 1500, 1500)]
    assert nvml.calls[1:] == [("reset",)]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_clocks_are_let_go_whatever_happens(error: type[BaseException]) -> None:
    nvml, gpu = one_gpu()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(error), locked_clocks(nvml, gpu, 1500):
        raise error
    assert nvml.calls == [("lock", 1500, 1500), ("reset",)]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_clocks_are_let_go_on_a_signal(end: str) -> None:
    program = """
import time
from bench.machine.clocks import locked_clocks
from tests.fake_nvml import FakeGpu, FakeNvml
class Told(FakeNvml):
    def nvmlDeviceResetGpuLockedClocks(self, handle):
        time.sleep(0.3)
        print("reset", flush=True)
gpu = FakeGpu()
with locked_clocks(Told(gpu), gpu, 1500):
    print("locked", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        process.send_signal(getattr(signal, end))
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "reset\n"
    assert process.returncode != 0


def test_a_lock_that_is_refused_says_so_and_leaves_none() -> None:
    nvml, gpu = one_gpu()
    nvml.refuse_lock = nvml.refuse_reset = pynvml.NVML_ERROR_NO_PERMISSION
    with pytest.raises(ConfigError, match="cannot be locked at 1500 MHz: Insufficient"), locked_clocks(nvml, gpu, 1500):
        pytest.fail("not locked")
    assert nvml.calls == [("lock", 1500, 1500), ("reset",)]


def test_a_lock_that_cannot_be_taken_off_is_told_loudly() -> None:
    nvml, gpu = one_gpu()
    nvml.refuse_reset = pynvml.NVML_ERROR_UNKNOWN
    told = pytest.raises(BenchError, match="may still be locked: Unknown Error; run nvidia-smi")
    with told, locked_clocks(nvml, gpu, 1500):
        pass


@pytest.mark.parametrize("shared", [True, False])
def test_a_gpu_that_others_use_or_may_use_is_not_locked(shared: bool) -> None:
    nvml, gpu = one_gpu()
    gpu.values["ComputeRunningProcesses"] = [process(7, GIB)]
    if not shared:
        gpu.refused["ComputeRunningProcesses"] = pynvml.NVML_ERROR_NO_PERMISSION
    with pytest.raises(ConfigError, match="GPU clocks are not locked"), locked_clocks(nvml, gpu, 1500):
        pytest.fail("locked")
    assert nvml.calls == []


def test_nothing_locks_clocks_by_itself() -> None:
    callers = [path for path in (ROOT / "bench").rglob("*.py") if "locked_clocks(" in path.read_text(encoding="utf-8")]
    assert [path.name for path in callers] == ["clocks.py"]


def test_the_sampler_loads_next_to_nothing() -> None:
    program = "import sys, bench.sampler; print(*sorted(n for n in sys.modules if '.' not in n))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "pydantic", "psutil", "tensorflow", "typer", "rich"}
