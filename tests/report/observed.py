"""Records with the telemetry of a machine that worked while they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.record import Record
from bench.telemetry import Energy, GpuState, Telemetry, Trace, Window
from tests.factory import make_record

BEGAN_S, WARM_S = 4.0, 0.5  # of the timed loop since the worker's start; of the warm-up before it
ENERGIES = (
    Energy(loop="latency", seconds=3, joules_per_image=0.5, net_joules_per_image=0.3, error_share=0.04),
    Energy(loop="compute", seconds=1, absent="the loop took 1.0 s, and the counter needs 2 s"),
    Energy(loop="throughput", seconds=3, joules_per_image=0.2, net_joules_per_image=0.15, error_share=0.04),
)


def observed(record: Record, telemetry: Telemetry) -> Record:
    """The record, measured in the windows of this telemetry."""
    assert record.latency is not None
    warm = record.latency.model_copy(update={"warmup_ns": (10**7,) * 50, "warmup_ended": "settled", "settled": True})
    return record.model_copy(update={"latency": warm, "telemetry": telemetry})


def telemetry_of(seconds: float, columns: dict[str, Sequence[float | None]], **changes: Any) -> Telemetry:
    """Readings of a loop of so many seconds, evenly spread over it and the warm-up before."""
    count = len(next(iter(columns.values())))
    begin, end = BEGAN_S - WARM_S, BEGAN_S + seconds
    times = tuple(begin + (end - begin) * number / (count - 1) for number in range(count))
    windows = (
        Window(name="warm-up", begin_s=begin, end_s=BEGAN_S, readings=5),
        Window(name="measure", begin_s=BEGAN_S, end_s=end + 5, readings=80),
        Window(name="measure: latency", begin_s=BEGAN_S, end_s=end, readings=30),
    )
    trace = Trace(times_s=times, columns={key: tuple(values) for key, values in columns.items()})
    return Telemetry(**{"windows": windows, "trace": trace, **changes})


def on_gpu(precision: str = "FP16", **changes: Any) -> Record:
    """300 batches of 10 ms on a GPU whose clock is held down for a while."""
    masks = [0x004 if 14 < number < 20 else 0x0 for number in range(40)]
    columns: dict[str, Sequence[float | None]] = {
        "sm_clock_mhz": [1500 if mask else 1980 for mask in masks],
        "power_w": [600 + number % 7 for number in range(40)],
        "temperature_c": [45 + number / 4 for number in range(40)],
        "event_reasons": masks,
    }
    gpu = GpuState(index=0, chosen_by="CUDA_VISIBLE_DEVICES is not set")
    return observed(make_record(precision, **changes), telemetry_of(3.0, columns, gpu=gpu, energy=ENERGIES))


def on_cpu(**changes: Any) -> Record:
    """The same on a CPU in a virtual machine, whose neighbours take some of it."""
    columns: dict[str, Sequence[float | None]] = {
        "cpu_mhz": [2596.0] * 40,
        "load_1min": [1.5] * 40,
        "worker_cores": [None, *([1.7] * 39)],
        "busy_cores": [None if number % 5 else 1.9 for number in range(40)],
        "stolen_cores": [None if number % 5 else 0.1 for number in range(40)],
    }
    return observed(make_record(**changes), telemetry_of(3.0, columns, cpu_mhz_source="/proc/cpuinfo"))
