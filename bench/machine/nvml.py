"""One GPU through NVML: which one, what it is, what it reads now. A field that the driver refuses is None.

`pynvml` is handed in as a module, so that tests can put another in its place. No TensorFlow, no CUDA context.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")
NEVER = ("NVML_ERROR_NOT_SUPPORTED", "NVML_ERROR_FUNCTION_NOT_FOUND", "NVML_ERROR_NO_PERMISSION")


class NoGpuError(Exception):
    """Why no GPU is read."""


@dataclass
class Choice:
    """A GPU, and how it was chosen."""

    handle: Any
    index: int | None  # NVML's; None: a MIG instance
    how: str


def choose(nvml: Any, variables: Mapping[str, str]) -> Choice:
    """The GPU that TensorFlow computes on: the first that CUDA sees. CUDA's numbers are made NVML's, or refused."""
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
        if not count:
            raise NoGpuError("NVML sees no GPU")
        visible = variables.get("CUDA_VISIBLE_DEVICES")
        if visible is None:
            return _by_number(nvml, 0, count, variables, "the first GPU; CUDA_VISIBLE_DEVICES is not set")
        return _by_entry(nvml, visible.split(",")[0].strip(), count, variables)
    except nvml.NVMLError as error:
        raise NoGpuError(f"NVML: {error}") from error


def _by_entry(nvml: Any, entry: str, count: int, variables: Mapping[str, str]) -> Choice:
    how = f"CUDA_VISIBLE_DEVICES begins with {entry}"
    if entry.isdigit():
        return _by_number(nvml, int(entry), count, variables, how)
    if entry.startswith("MIG-"):
        return Choice(nvml.nvmlDeviceGetHandleByUUID(entry), None, how)
    if not entry.startswith("GPU-"):
        raise NoGpuError("CUDA_VISIBLE_DEVICES hides all GPUs")
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
    found = [i for i, handle in enumerate(handles) if as_text(nvml.nvmlDeviceGetUUID(handle)).startswith(entry)]
    if len(found) != 1:
        raise NoGpuError(f"{how}, which names {len(found)} of {count} GPUs")
    return Choice(handles[found[0]], found[0], how)


def _by_number(nvml: Any, number: int, count: int, variables: Mapping[str, str], how: str) -> Choice:
    """CUDA counts the fastest first unless told otherwise, NVML by PCI address: the same where all are of one kind."""
    if number >= count:
        raise NoGpuError(f"{how}, and there are {count} GPUs")
    names = {as_text(nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(i))) for i in range(count)}
    if len(names) > 1 and variables.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise NoGpuError("GPUs of several kinds: set CUDA_DEVICE_ORDER=PCI_BUS_ID, or CUDA_VISIBLE_DEVICES to a UUID")
    return Choice(nvml.nvmlDeviceGetHandleByIndex(number), number, how)


def as_text(value: bytes | str) -> str:
    """Older versions of pynvml give bytes."""
    return value.decode() if isinstance(value, bytes) else value


class Gpu:
    """Reads one GPU; keeps why a field could not be read, and does not ask again for what will never be there."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        self.refused: dict[str, str] = {}
        self._never: set[str] = set()
        self._never_codes = {getattr(nvml, name) for name in NEVER}

    def ask(self, name: str, read: Callable[[], Value]) -> Value | None:
        """What `read` gives; None, and the reason under `name`, where it is refused."""
        if name in self._never:
            return None
        try:
            return read()
        except self._nvml.NVMLError as error:
            self.refused[name] = str(error)
            if error.value in self._never_codes:
                self._never.add(name)
        except AttributeError as error:
            self.refused[name] = f"this nvidia-ml-py is too old: {error}"
            self._never.add(name)
        return None

    def values(self) -> dict[str, Any]:
        """Fields of a Reading that are read every time."""
        nvml, gpu = self._nvml, self._handle
        reads: dict[str, Callable[[], Any]] = {
            "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM),
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
            "utilization_pct": lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
            "memory_used_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
            "event_reasons": self._event_reasons,
            "power_violation_ns": lambda: self._violation(nvml.NVML_PERF_POLICY_POWER),
            "thermal_violation_ns": lambda: self._violation(nvml.NVML_PERF_POLICY_THERMAL),
            "energy_mj": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu),
        }
        return {name: self.ask(name, read) for name, read in reads.items()}

    def _event_reasons(self) -> int:
        """Drivers before 535 know the same bits by their older name."""
        nvml = self._nvml
        try:
            return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        except AttributeError:
            return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                raise
            return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))

    def _violation(self, policy: int) -> int:
        return int(self._nvml.nvmlDeviceGetViolationStatus(self._handle, policy).violationTime)

    def processes(self) -> dict[int, int | None] | None:
        """Bytes of GPU memory by pid, each pid once; None where the driver does not tell."""
        nvml, gpu = self._nvml, self._handle
        listed = self.ask("foreign", lambda: nvml.nvmlDeviceGetComputeRunningProcesses(gpu))
        if listed is None:
            return None
        drawing = self.ask("graphics processes", lambda: nvml.nvmlDeviceGetGraphicsRunningProcesses(gpu)) or []
        found: dict[int, int | None] = {}
        for process in [*drawing, *listed]:  # one that does both is in both lists, with the same bytes
            found[process.pid] = process.usedGpuMemory
        return found

    def facts(self, choice: Choice) -> dict[str, Any]:
        """What does not change while a case runs."""
        nvml, gpu = self._nvml, self._handle
        sm, memory = nvml.NVML_CLOCK_SM, nvml.NVML_CLOCK_MEM
        reads: dict[str, Callable[[], Any]] = {
            "name": lambda: as_text(nvml.nvmlDeviceGetName(gpu)),
            "uuid": lambda: as_text(nvml.nvmlDeviceGetUUID(gpu)),
            "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
            "max_sm_clock_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(gpu, sm),
            "max_memory_clock_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(gpu, memory),
            "boost_sm_clock_mhz": lambda: nvml.nvmlDeviceGetMaxCustomerBoostClock(gpu, sm),
            "application_sm_clock_mhz": lambda: nvml.nvmlDeviceGetApplicationsClock(gpu, sm),
            "default_sm_clock_mhz": lambda: nvml.nvmlDeviceGetDefaultApplicationsClock(gpu, sm),
        }
        known = {name: self.ask(name, read) for name, read in reads.items()}
        return {**known, "index": choice.index, "chosen_by": choice.how}


@dataclass
class Owners:
    """Tells the worker's processes on a GPU from others, and from those of other workers of the same run.

    In a container the driver may list pids of the host, which mean nothing here. Then the one unknown process that came
    after the worker began is taken for the worker.
    """

    worker: int | None = None
    ours: frozenset[int] = frozenset()  # other workers of the same run: their pids here, or as the driver lists them
    waiting: int = 0  # the most of these that were there at once
    found: set[int] = field(default_factory=set)  # the worker's, as the driver lists them
    identified_by: str | None = None
    _before: set[int] = field(default_factory=set)
    _assumed: int | None = None

    def split(self, processes: Mapping[int, int | None]) -> tuple[dict[int, int | None], dict[int, int | None]]:
        """The worker's, and strangers'."""
        waiting = {pid for pid in processes if pid in self.ours or _session(pid) in self.ours}
        self.waiting = max(self.waiting, len(waiting))
        own, others = self._split({pid: used for pid, used in processes.items() if pid not in waiting})
        self.found |= set(own)
        return own, others

    def _split(self, processes: Mapping[int, int | None]) -> tuple[dict[int, int | None], dict[int, int | None]]:
        if self.worker is None:
            self._before |= set(processes)
            return {}, dict(processes)
        own = {pid for pid in processes if _session(pid) == self.worker}
        if own:
            self.identified_by = "its process id"
        elif self._assumed is None:
            self._assume(processes)
        if self._assumed is not None and self.identified_by != "its process id":
            own |= {self._assumed} & set(processes)
        return {p: processes[p] for p in own}, {p: used for p, used in processes.items() if p not in own}

    def _assume(self, processes: Mapping[int, int | None]) -> None:
        unknown = [pid for pid in processes if pid not in self._before and not Path(f"/proc/{pid}").exists()]
        if len(unknown) == 1:
            self._assumed = unknown[0]
            self.identified_by = "being the one process, of another namespace, that came after it began"


def _session(pid: int) -> int | None:
    """A worker leads a session of its own, so whatever it starts is known by it."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def name_of(pid: int) -> str:
    """A process's short name; empty where it is not to be seen from here."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
