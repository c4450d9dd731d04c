"""Measurements on a real GPU: against CUDA events, stages against their whole, variants in turn, the GPU meanwhile."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from bench.record import Record
from bench.statistics.summary import summarize
from tests.gpu.conftest import Runner, run_module


@pytest.fixture(scope="module")
def products() -> dict[str, Any]:
    """What a product of matrices says of compute times and of stages."""
    found: dict[str, Any] = run_module("tests.gpu.products")
    print(found)
    return found


def test_compute_time_is_what_cuda_events_say_within_two_percent(products: dict[str, Any]) -> None:
    ratios = products["over_events"]
    print(f"compute / CUDA events: {median(ratios):.4f}, rounds from {min(ratios):.4f} to {max(ratios):.4f}")
    assert abs(median(ratios) - 1) <= 0.02


def test_stages_add_up_to_the_whole_within_five_percent(products: dict[str, Any]) -> None:
    assert abs(products["left_ms"]) <= 0.05 * products["whole_ms"]
    assert products["on_device"]


@pytest.fixture(scope="module")
def modes(run_config: Runner) -> dict[str, Record]:
    """The shipped classifier natively and at FP16, in turn."""
    config = {
        "model_config": {"model_name": "shapes_classifier"},
        "optimization_config": {"use_trt": True},
        "matrix": {"optimization_config.precision_mode": ["native", "FP16"]},
        "benchmark_config": {
            "batch_size": 8, "num_images": 64, "min_duration_s": 3.0, "percentile": 90, "interleave_rounds": 20,
        },
    }  # fmt: skip
    code, records, _ = run_config(config)
    assert code == 0, {record.case.id: record.failure for record in records.values()}
    return {record.case.optimization.precision_mode: record for record in records.values()}


def test_modes_are_measured_in_turn_and_the_speedup_has_an_interval(modes: dict[str, Record]) -> None:
    assert [len(record.blocks) for record in modes.values()] == [20, 20]
    summary = summarize(modes["FP16"], modes["native"])
    for name in ("speedup", "compute_speedup", "throughput_speedup"):
        low, high = summary.bounds[name]
        print(f"{name}: {summary.values[name]:.3f}, {low:.3f} to {high:.3f}")
        assert low < summary.values[name] < high
    assert summary.bounds["compute_speedup"][0] > 1


def test_workers_that_wait_are_no_strangers_on_the_gpu(modes: dict[str, Record]) -> None:
    told = [
        each for record in modes.values() for each in (record.telemetry, record.telemetry_in_turn) if each is not None
    ]
    print([(each.foreign, each.waiting_workers) for each in told])
    assert len(told) == 4
    assert not any(process.while_measuring for each in told for process in each.foreign)


def test_the_gpu_is_read_while_it_works(modes: dict[str, Record]) -> None:
    for record in modes.values():
        telemetry = record.telemetry
        assert telemetry is not None and telemetry.failed is None and telemetry.gpu is not None
        measured = telemetry.window()
        assert measured is not None and measured.readings > 10
        assert {"sm_clock_mhz", "memory_clock_mhz", "power_w", "temperature_c", "memory_used_bytes"} <= set(
            measured.fields
        )
        known = [energy for energy in telemetry.energy if energy.joules_per_image is not None]
        print([(energy.loop, energy.joules_per_image, energy.absent) for energy in telemetry.energy])
        assert known and all(0 < (energy.joules_per_image or 0) < 10 for energy in known)
