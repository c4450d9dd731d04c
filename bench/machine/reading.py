"""One moment's readings, as the sampler writes them and its parent reads them. The standard library alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Task(NamedTuple):
    """What a sampler is to do."""

    parent: int  # pid; the sampler ends with it
    output: int  # file descriptor
    gpu: bool = False  # whether the worker computes on one
    period_s: float = 0.1  # between readings
    ours: tuple[int, ...] = ()  # other workers of the same run, as pids of this namespace or as the driver lists them


class Reading(NamedTuple):
    """What was read at one moment; None: not looked at this time, or refused."""

    time_ns: int  # CLOCK_MONOTONIC, which all processes of a machine share
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    utilization_pct: float | None = None  # of the time, in which any kernel ran; NVML's own window, 1/6 to 1 s
    memory_used_bytes: float | None = None  # by all processes
    event_reasons: int | None = None  # NVML's bits, nvmlClocksEventReason...
    power_violation_ns: int | None = None  # cumulative, as are the next two
    thermal_violation_ns: int | None = None
    energy_mj: int | None = None
    worker_memory_bytes: float | None = None
    foreign: tuple[tuple[int, int | None, str], ...] | None = None  # other processes on the GPU: pid, bytes, name
    worker_cpu_s: float | None = None  # cumulative, user and system
    cpu_mhz: float | None = None  # of the core that the worker's main thread was last on
    load_1min: float | None = None
    cpu_busy_s: float | None = None  # cumulative, of the usable cores together, as are the next two
    cpu_steal_s: float | None = None
    cpu_total_s: float | None = None


@dataclass
class Sampled:
    """All that a sampler wrote."""

    readings: list[Reading] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # fields, and the driver's or the system's reason
    failed: str | None = None  # why it ended early, in its own words
    ended: bool = False
    cpu_s: float | None = None


def encode(reading: Reading) -> bytes:
    """A line of JSON: an array in the order of the fields."""
    return json.dumps(reading, separators=(",", ":")).encode() + b"\n"


def decode(lines: Iterable[bytes]) -> Sampled:
    """What a sampler wrote; a last line that it did not finish is left out."""
    sampled = Sampled()
    for line in lines:
        try:
            item = json.loads(line)
        except ValueError:
            break
        if isinstance(item, list):
            sampled.readings.append(_reading(item))
        else:
            _take(item, sampled)
    return sampled


def _reading(values: list[Any]) -> Reading:
    reading = Reading(*values)
    if reading.foreign is None:
        return reading
    return reading._replace(foreign=tuple((pid, used, name) for pid, used, name in reading.foreign))


def _take(item: dict[str, Any], sampled: Sampled) -> None:
    sampled.facts.update(item.get("facts", {}))
    sampled.refused.update(item.get("refused", {}))
    sampled.failed = item.get("failed", sampled.failed)
    sampled.cpu_s = item.get("cpu_s", sampled.cpu_s)
    sampled.ended = sampled.ended or "cpu_s" in item
