"""What holds a GPU's clocks, as far as NVML tells. It cannot be asked whether they are locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.machine.reading import Reading
from bench.telemetry import NO_THROTTLING, ClockLock, ClockPolicy, reasons_of

ENOUGH = 5  # readings of a GPU at work
AT_MAXIMUM = 0.98  # clocks come in steps of 15 MHz or less: under 2 % of any maximum above 750 MHz


def policy(
    gpu: Mapping[str, Any], readings: Sequence[Reading], lock: ClockLock | None = None
) -> tuple[ClockPolicy, str]:
    """What holds the SM clock, and what that rests on; `lock` is the one that this run asked for."""
    if lock is not None and lock.refused is None:
        return "locked", f"by this run, {lock.where()}"
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
