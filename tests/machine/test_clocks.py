"""Locked clocks, against the stand-in for NVML alone: taken off again, whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pynvml
import pytest

from bench.errors import BenchError, ConfigError
from bench.machine.clocks import locked_clocks
from tests.fake_nvml import GIB, FakeGpu, FakeNvml, process
from tests.faults import ROOT


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
