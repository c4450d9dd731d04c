"""Locked clocks, against the stand-in for NVML alone: taken off again, whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pynvml
import pytest
from rich.console import Console

from bench.machine.lock import clocks_as_asked, locked_clocks
from bench.machine.reading import Reading, Sampled
from bench.machine.summaries import summarize
from bench.machine.timeline import Span
from bench.progress import Progress
from bench.record import Record
from bench.report.facts import machine_facts
from bench.running import Running
from bench.sitting import Sitting
from bench.telemetry import ClockLock
from tests.factory import make_record
from tests.fake_nvml import GIB, FakeGpu, FakeNvml, process
from tests.faults import ROOT, inject
from tests.test_launch import null_case, read_until, started, write_config

LOCKED = [("lock", 1500, 1600), ("reset",)]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """In this process; a GPU that is in use is not waited for."""
    fake = FakeNvml(FakeGpu())
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr("bench.machine.lock.PATIENCE_S", 0.0)
    return fake


def hold(nvml: FakeNvml, mhz: tuple[int, int] | None = (1500, 1600), told: list[str] | None = None) -> str | None:
    """Lock and let go; what was refused."""
    with locked_clocks(nvml, nvml.gpus[0], mhz, ([] if told is None else told).append) as refused:
        assert nvml.calls[-1:] != [("reset",)]
    return refused


def test_clocks_are_locked_and_let_go(nvml: FakeNvml) -> None:
    assert hold(nvml) is None
    assert nvml.calls == LOCKED


def test_the_base_clock_is_nvmls_own(nvml: FakeNvml) -> None:
    assert hold(nvml, None) is None
    assert nvml.calls[0] == ("lock", pynvml.NVML_CLOCK_LIMIT_ID_TDP, pynvml.NVML_CLOCK_LIMIT_ID_TDP)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_clocks_are_let_go_whatever_happens(nvml: FakeNvml, error: type[BaseException]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(error), clocks_as_asked((1500, 1600), True, {}):
        raise error
    assert nvml.calls == LOCKED
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_clocks_are_let_go_on_a_signal_and_on_one_more(end: str) -> None:
    program = """
import time
from bench.machine.lock import locked_clocks
from tests.fake_nvml import FakeGpu, FakeNvml
class Told(FakeNvml):
    def nvmlDeviceResetGpuLockedClocks(self, handle):
        time.sleep(0.3)
        print("reset", flush=True)
gpu = FakeGpu()
with locked_clocks(Told(gpu), gpu, (1500, 1500), print):
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


def test_a_lock_that_is_refused_says_why_and_leaves_none(nvml: FakeNvml) -> None:
    nvml.refuse_lock = nvml.refuse_reset = pynvml.NVML_ERROR_NO_PERMISSION
    told: list[str] = []
    assert hold(nvml, told=told) == "Insufficient Permissions"
    assert nvml.calls == LOCKED and told == []


def test_a_lock_that_cannot_be_taken_off_is_told_and_how_to_do_it(nvml: FakeNvml) -> None:
    nvml.refuse_reset = pynvml.NVML_ERROR_UNKNOWN
    told: list[str] = []
    assert hold(nvml, told=told) is None
    assert told == ["GPU clocks may still be locked: Unknown Error; run nvidia-smi --reset-gpu-clocks"]


def test_a_gpu_that_others_use_or_may_use_is_not_locked(nvml: FakeNvml) -> None:
    (gpu,) = nvml.gpus
    gpu.values["ComputeRunningProcesses"] = [process(7, GIB)]
    assert hold(nvml) == "others use the GPU: pid 7"
    gpu.refused["ComputeRunningProcesses"] = pynvml.NVML_ERROR_NO_PERMISSION
    assert hold(nvml) == "cannot tell whether others use the GPU: Insufficient Permissions"
    assert nvml.calls == []


def test_a_process_that_is_just_ending_is_waited_for(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.lock.PATIENCE_S", 60.0)
    (gpu,) = nvml.gpus
    gpu.values["ComputeRunningProcesses"] = lambda: [process(7, GIB)] if len(gpu.asked) < 3 else []
    assert hold(nvml) is None and nvml.calls == LOCKED


def test_nothing_is_locked_unless_it_is_asked_for(nvml: FakeNvml) -> None:
    with clocks_as_asked(None, True, {}) as lock:
        assert lock is None
    assert nvml.calls == [] and nvml.gpus[0].asked == []


@pytest.mark.parametrize(
    ("on_gpu", "visible", "why"),
    [(False, "0", "the backend computes on the CPU"), (True, "-1", "CUDA_VISIBLE_DEVICES hides all GPUs")],
)
def test_without_a_gpu_the_lock_is_refused_and_told(nvml: FakeNvml, on_gpu: bool, visible: str, why: str) -> None:
    told: list[str] = []
    with clocks_as_asked(True, on_gpu, {"CUDA_VISIBLE_DEVICES": visible}, told.append) as lock:
        assert lock == ClockLock(asked_mhz=None, refused=why)
    assert nvml.calls == [] and told == [f"GPU clocks are not locked: {why}"]


def run(folder: Path, *ids: str, **changes: Any) -> list[Record]:
    """The records of variants of one comparison, that ask for clocks of 1500 to 1600 MHz."""
    asked = {"lock_gpu_clocks": (1500, 1600), "comparison": "same", **changes}
    running = Running(Sitting(folder), str(folder), Progress(Console(), len(ids)))
    running.run([null_case(id=name, **asked) for name in ids])
    return [running.records[name] for name in ids]


@pytest.fixture
def on_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """The null backend passes for one that uses the GPU; its sampler finds none."""
    monkeypatch.setattr("bench.launch.ON_GPU", ("null",))


@pytest.mark.usefixtures("on_null")
@pytest.mark.parametrize(("do", "kind"), [("segfault", "crash"), ("raise", "error"), ("hang", "time-out")])
def test_a_worker_that_ends_badly_leaves_no_lock(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do: str, kind: str
) -> None:
    for name, value in inject(tmp_path, "stage", do).items():
        monkeypatch.setenv(name, value)
    (record,) = run(tmp_path, "a", phase_timeout_s=5.0, telemetry=False)
    assert record.failure is not None and record.failure.kind == kind
    assert nvml.calls == LOCKED
    assert record.telemetry is not None
    assert record.telemetry.clock_lock == ClockLock(asked_mhz=(1500, 1600))


@pytest.mark.usefixtures("on_null")
def test_a_worker_that_cannot_be_started_leaves_no_lock(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(OSError, match="/nowhere/python"):
        run(tmp_path, "a")
    assert nvml.calls == LOCKED


@pytest.mark.usefixtures("on_null")
def test_one_lock_spans_all_variants_and_their_turns(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(Progress, "turns", lambda *_: seen.append(len(nvml.calls)))
    records = run(tmp_path, "a", "b", interleave_rounds=2)
    assert [len(record.blocks) for record in records] == [2, 2]
    assert seen == [1, 1] and nvml.calls == LOCKED
    locks = [record.telemetry.clock_lock for record in records if record.telemetry is not None]
    assert locks == [ClockLock(asked_mhz=(1500, 1600))] * 2


@pytest.mark.usefixtures("on_null")
def test_a_refused_lock_fails_no_case_and_is_in_the_record(
    nvml: FakeNvml, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvml.refuse_lock = pynvml.NVML_ERROR_NO_PERMISSION
    (record,) = run(tmp_path, "a", lock_gpu_clocks=True)
    assert record.failure is None and record.latency is not None and record.telemetry is not None
    assert record.telemetry.clock_lock == ClockLock(asked_mhz=None, refused="Insufficient Permissions")
    assert record.telemetry.readings > 0
    assert capsys.readouterr().err == "GPU clocks are not locked: Insufficient Permissions\n"
    assert ("clock lock", "refused at the base clock: Insufficient Permissions") in machine_facts(record)


@pytest.mark.parametrize(
    ("clocks", "words"),
    [
        ((1485, 1515), "at 1500 to 1600 MHz, held"),
        ((1200, 1200), "at 1500 to 1600 MHz, and the SM clock was 1200 MHz"),
        ((), "at 1500 to 1600 MHz, held"),
    ],
)
def test_another_clock_than_was_asked_for_is_told(clocks: tuple[int, ...], words: str) -> None:
    readings = [Reading(time_ns=i, sm_clock_mhz=clock, event_reasons=0) for i, clock in enumerate(clocks)]
    sampled = Sampled(readings=readings, facts={"gpu": {"index": 0, "chosen_by": "it is the only one"}})
    telemetry = summarize(sampled, [Span("measure", 0, 9)], 0, {}, ClockLock(asked_mhz=(1500, 1600)))
    assert ("clock lock", words) in machine_facts(make_record(telemetry=telemetry))
    assert telemetry.gpu is not None
    assert (telemetry.gpu.clock_policy, telemetry.gpu.clock_policy_reason) == (
        "locked", "by this run, at 1500 to 1600 MHz",
    )  # fmt: skip


SITE = """
if "bench.test" in sys.orig_argv:
    import bench.launch, pathlib
    from tests.fake_nvml import FakeGpu, FakeNvml
    class Noting(FakeNvml):
        def nvmlDeviceSetGpuLockedClocks(self, handle, low, high):
            pathlib.Path("locked").touch()
        def nvmlDeviceResetGpuLockedClocks(self, handle):
            pathlib.Path("locked").rename("let go")
    sys.modules["pynvml"] = Noting(FakeGpu())
    bench.launch.ON_GPU = ("null",)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_run_that_is_told_to_end_leaves_no_lock(tmp_path: Path, name: str) -> None:
    config = write_config(tmp_path, {"benchmark_config.lock_gpu_clocks": [[1500, 1500]]})
    variables = inject(tmp_path, "infer", "hang")
    site = tmp_path / "sitecustomize.py"
    site.write_text(site.read_text(encoding="utf-8") + SITE, encoding="utf-8")
    with started(config, **variables) as process:
        read_until(process, "first inference")
        assert (tmp_path / "locked").exists()
        process.send_signal(getattr(signal, name))
        process.communicate(timeout=60)
    assert process.returncode == 4 and (tmp_path / "let go").exists()
