"""GPU clocks: what holds them, as far as NVML tells, and a lock that is always taken off again.

Nothing calls `locked_clocks` unless its user asked for it. NVML cannot be asked whether clocks are locked.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from bench.errors import BenchError, ConfigError
from bench.machine.reading import Reading
from bench.telemetry import NO_THROTTLING, ClockPolicy, reasons_of

ENOUGH = 5  # readings of a GPU at work
AT_MAXIMUM = 0.98  # clocks come in steps of 15 MHz or less: under 2 % of any maximum above 750 MHz
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
STILL_LOCKED = "GPU clocks may still be locked: {}; run nvidia-smi --reset-gpu-clocks"


def policy(gpu: Mapping[str, Any], readings: Sequence[Reading]) -> tuple[ClockPolicy, str]:
    """What holds the SM clock, and what that rests on."""
    chosen, default = gpu.get("application_sm_clock_mhz"), gpu.get("default_sm_clock_mhz")
    if chosen is not None and default is not None and chosen != default:
        return "application", f"application clock {chosen:g} MHz, default {default:g} MHz"
    known = [r for r in readings if r.sm_clock_mhz is not None and r.event_reasons is not None]
    busy = [r for r in known if "gpu_idle" not in _reasons(r)]
    if len(busy) < ENOUGH:
        return "unknown", f"{len(busy)} readings of a GPU at work, {ENOUGH} are needed"
    held = sum("applications_clocks_setting" in _reasons(r) for r in busy)
    if 2 * held >= len(busy):
        return "application", "NVML gives the application clocks as what limits the clock"
    if any(set(_reasons(r)) - set(NO_THROTTLING) for r in known):
        return "unknown", "throttled, which moves a locked clock too"
    return _by_movement({r.sm_clock_mhz for r in known if r.sm_clock_mhz is not None}, gpu)


def _by_movement(clocks: set[float], gpu: Mapping[str, Any]) -> tuple[ClockPolicy, str]:
    if len(clocks) > 1:
        return "floating", f"the clock went from {min(clocks):g} to {max(clocks):g} MHz"
    (clock,) = clocks
    limits = [gpu[name] for name in ("boost_sm_clock_mhz", "max_sm_clock_mhz") if gpu.get(name) is not None]
    if not limits:
        return "unknown", "the clock did not move, and NVML does not tell its maximum"
    if clock < AT_MAXIMUM * min(limits):
        return "locked", f"the clock stood at {clock:g} MHz, below its maximum, for no reason that NVML gives"
    return "unknown", f"the clock stood at its maximum, {clock:g} MHz: locked there, or floating"


def _reasons(reading: Reading) -> tuple[str, ...]:
    return reasons_of(reading.event_reasons or 0)


@contextlib.contextmanager
def locked_clocks(nvml: Any, handle: Any, mhz: int) -> Iterator[None]:
    """Hold the GPU's clocks at `mhz` (root only), and let go whatever happens; SIGKILL alone leaves them locked.

    Refused where any process uses the GPU, and where the driver does not tell: the lock would hold for that too.
    """
    _refuse_shared(nvml, handle)
    locked = False
    with _signals_as_exceptions():
        try:
            _set(nvml, handle, mhz)
            locked = True
            yield
        finally:
            _reset(nvml, handle, locked)


def _refuse_shared(nvml: Any, handle: Any) -> None:
    try:
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError as error:
        raise ConfigError(f"GPU clocks are not locked: cannot tell whether others use the GPU: {error}") from error
    if processes:
        pids = ", ".join(str(process.pid) for process in processes)
        raise ConfigError(f"GPU clocks are not locked: others use the GPU: pid {pids}")


def _set(nvml: Any, handle: Any, mhz: int) -> None:
    try:
        nvml.nvmlDeviceSetGpuLockedClocks(handle, mhz, mhz)
    except nvml.NVMLError as error:
        raise ConfigError(f"GPU clocks cannot be locked at {mhz} MHz: {error}") from error


def _reset(nvml: Any, handle: Any, locked: bool) -> None:
    """Take the lock off, undisturbed by a second signal; one that was refused is taken off too, in case it held."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (*ENDINGS, signal.SIGINT))
    try:
        nvml.nvmlDeviceResetGpuLockedClocks(handle)
    except nvml.NVMLError as error:
        if locked:
            raise BenchError(STILL_LOCKED.format(error)) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """A signal that would end the process at once ends it through its `finally` clauses instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    replaced = [number for number in ENDINGS if signal.getsignal(number) == signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
