"""A stand-in for pynvml, with scripted GPUs; its errors and constants are pynvml's own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml

GIB = 2**30
SM, MEM = pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM
POWER, THERMAL = pynvml.NVML_PERF_POLICY_POWER, pynvml.NVML_PERF_POLICY_THERMAL


def answers() -> dict[Any, Any]:
    """By the function's name without nvmlDeviceGet, and by its arguments where they matter; NVML's units."""
    return {
        "Name": "NVIDIA H200",
        ("ClockInfo", SM): 1755,
        ("ClockInfo", MEM): 3201,
        "PowerUsage": 351_500,
        "Temperature": 61,
        "UtilizationRates": SimpleNamespace(gpu=87, memory=12),
        "MemoryInfo": SimpleNamespace(total=141 * GIB, used=9 * GIB),
        "CurrentClocksEventReasons": 0x4,
        "CurrentClocksThrottleReasons": 0x4,
        ("ViolationStatus", POWER): SimpleNamespace(referenceTime=0, violationTime=123_000_000),
        ("ViolationStatus", THERMAL): SimpleNamespace(referenceTime=0, violationTime=7),
        "TotalEnergyConsumption": 9_876_543,
        "ComputeRunningProcesses": [],
        "GraphicsRunningProcesses": [],
        "EnforcedPowerLimit": 700_000,
        ("MaxClockInfo", SM): 1980,
        ("MaxClockInfo", MEM): 3201,
        "MaxCustomerBoostClock": 1980,
        "ApplicationsClock": 1980,
        "DefaultApplicationsClock": 1980,
    }


@dataclass
class FakeGpu:
    """What each function answers: a value, or what a callable gives. A code in `refused` is raised instead."""

    uuid: str = "GPU-aaaa1111"
    values: dict[Any, Any] = field(default_factory=answers)
    refused: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, name: str, arguments: Sequence[Any]) -> Any:
        self.asked.append(name)
        if name in self.refused:
            raise pynvml.NVMLError(self.refused[name])
        if name == "UUID":
            return self.uuid
        value = self.values.get((name, *arguments), self.values.get(name))
        return value() if callable(value) else value


class FakeNvml:
    """In the place of the module pynvml."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *gpus: FakeGpu, missing: Sequence[str] = (), init: int = 0) -> None:
        self.gpus, self._missing, self._init = gpus, missing, init
        self.calls: list[tuple[Any, ...]] = []
        self.refuse_lock = self.refuse_reset = 0

    def nvmlInit(self) -> None:
        if self._init:
            raise pynvml.NVMLError(self._init)

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        for gpu in self.gpus:
            if gpu.uuid == uuid:
                return gpu
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceSetGpuLockedClocks(self, handle: FakeGpu, low: int, high: int) -> None:
        self.calls.append(("lock", low, high))
        if self.refuse_lock:
            raise pynvml.NVMLError(self.refuse_lock)

    def nvmlDeviceResetGpuLockedClocks(self, handle: FakeGpu) -> None:
        self.calls.append(("reset",))
        if self.refuse_reset:
            raise pynvml.NVMLError(self.refuse_reset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_"):
            return getattr(pynvml, name)
        if name in self._missing or not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)
        asked = name.removeprefix("nvmlDeviceGet")
        return lambda gpu, *arguments: gpu.answer(asked, arguments)


def process(pid: int, used: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used)


def working() -> FakeNvml:
    """A GPU on which the worker of this process's parent runs: 60 W until it is there, 300 W from then on.

    Its energy counter is brought up to date every 100 ms, and counts 300 W. Power caps it for the whole time.
    """
    gpu = FakeGpu()
    gpu.values |= {
        "PowerUsage": lambda: 300_000 if _workers() else 60_000,
        "TotalEnergyConsumption": lambda: int(time.monotonic() * 10) * 30_000,
        "ComputeRunningProcesses": lambda: [process(pid, GIB) for pid in _workers()] + [process(1, 2 * GIB)],
        ("ViolationStatus", POWER): lambda: SimpleNamespace(violationTime=time.monotonic_ns() // 2),
    }
    return FakeNvml(gpu)


def crowded() -> FakeNvml:
    """All workers of this process's parent hold memory on the GPU, and one process of somebody else."""
    gpu = FakeGpu()
    gpu.values["ComputeRunningProcesses"] = lambda: [process(pid, GIB) for pid in _all_workers()] + [process(1, GIB)]
    return FakeNvml(gpu)


def expensive() -> FakeNvml:
    """A driver that takes 20 ms of CPU time for one field."""
    gpu = FakeGpu()
    gpu.values["Temperature"] = _burn
    return FakeNvml(gpu)


def broken() -> FakeNvml:
    """Fails in a way that nobody thought of, at the twentieth reading."""
    gpu = FakeGpu()
    gpu.values["Temperature"] = lambda: 1 // max(0, 20 - gpu.asked.count("Temperature"))
    return FakeNvml(gpu)


def hanging() -> FakeNvml:
    gpu = FakeGpu()
    gpu.values["Temperature"] = lambda: 50 if gpu.asked.count("Temperature") < 5 else time.sleep(600)
    return FakeNvml(gpu)


SCRIPTS: dict[str, Callable[[], FakeNvml]] = {
    "working": working,
    "crowded": crowded,
    "expensive": expensive,
    "broken": broken,
    "hanging": hanging,
}


def _burn() -> int:
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    return 50


_found: list[int] = []


def _workers() -> list[int]:
    """The worker's pid from when it is there until it is not; found once, since looking for it takes a while."""
    if not _found:
        _found.extend(_all_workers())
    return [pid for pid in _found if Path(f"/proc/{pid}").exists()]


def _all_workers() -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [p.pid for p in psutil.Process(os.getppid()).children() if "bench.worker" in p.cmdline()]
    return []
