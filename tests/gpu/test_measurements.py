"""Measurements on a real GPU: against CUDA events, stages against their whole, variants in turn, the GPU meanwhile."""

from __future__ import annotations

import ctypes
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import pytest

from bench.backends.base import Arrays, Preparation, Session, Signature
from bench.inputs.batches import TimedBatch
from bench.measure.goal import exactly
from bench.measure.loop import time_compute, without_garbage_collection
from bench.measure.stages import time_stages
from bench.record import Record
from bench.statistics import summarize
from tests.factory import make_case
from tests.gpu.conftest import Runner

SIDE, PRODUCTS, SAMPLES, ROUNDS = 4096, 10, 50, 12


class Events:
    """CUDA events on the default stream, which is empty: recorded as soon as they are asked for."""

    def __init__(self) -> None:
        self._cuda = ctypes.CDLL("libcudart.so.12")
        self._ends = ctypes.c_void_p(), ctypes.c_void_p()
        for event in self._ends:
            self._check(self._cuda.cudaEventCreate(ctypes.byref(event)))

    def record(self, which: int) -> None:
        self._check(self._cuda.cudaEventRecord(self._ends[which], None))

    def elapsed_ms(self) -> float:
        """From the first to the second, by the GPU's clock."""
        elapsed = ctypes.c_float()
        self._check(self._cuda.cudaEventSynchronize(self._ends[1]))
        self._check(self._cuda.cudaEventElapsedTime(ctypes.byref(elapsed), *self._ends))
        return elapsed.value

    def _check(self, code: int) -> None:
        assert code == 0, f"CUDA error {code}"


@pytest.fixture(scope="module")
def products() -> tuple[Session, Arrays]:
    """A session that multiplies matrices for some milliseconds."""
    tf = pytest.importorskip("tensorflow")
    from bench.backends.tensorflow import TensorFlowSession

    weights = tf.constant(np.random.default_rng(0).normal(0, 1 / 64, (SIDE, SIDE)).astype(np.float32))

    def multiply(x: Any) -> dict[str, Any]:
        for _ in range(PRODUCTS):
            x = tf.matmul(x, weights)
        return {"y": x}

    preparation = Preparation(make_case(), Path(), Signature((), ()), {}, None, Path(), lambda name: nullcontext())
    session = TensorFlowSession(tf.function(multiply), None, preparation)
    arrays = {"x": np.ones((SIDE, SIDE), np.float32)}
    for _ in range(20):
        session.infer(arrays)
    return session, arrays


def test_compute_time_is_what_cuda_events_say_within_two_percent(products: tuple[Session, Arrays]) -> None:
    session, arrays = products
    events, ratios = Events(), []
    staged = session.stage(arrays)
    with without_garbage_collection():
        for _ in range(ROUNDS):
            ours = fmean(time_compute(session, [TimedBatch(arrays, 1)], exactly(SAMPLES)).times_ns) / 1e6
            session.wait(session.launch(staged))
            events.record(0)
            for _ in range(SAMPLES):
                session.wait(session.launch(staged))
            events.record(1)
            ratios.append(ours / (events.elapsed_ms() / SAMPLES))
    print(f"compute / CUDA events: {median(ratios):.4f}, rounds from {min(ratios):.4f} to {max(ratios):.4f}")
    assert abs(median(ratios) - 1) <= 0.02


def test_stages_add_up_to_the_whole_within_five_percent(products: tuple[Session, Arrays]) -> None:
    session, arrays = products
    stages = time_stages(session, [TimedBatch(arrays, 1)], None)
    left, whole = stages.remainder_ms(), median(stages.whole_ns) / 1e6
    print(f"stages {stages.median_ms()} ms, whole {whole:.3f} ms, left {left:.3f} ms")
    assert left is not None and abs(left) <= 0.05 * whole
    assert stages.on_device


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
        assert low < summary.values[name] < high < 1.2 * low


def test_workers_that_wait_are_no_strangers_on_the_gpu(modes: dict[str, Record]) -> None:
    found = {mode: record.telemetry.foreign for mode, record in modes.items() if record.telemetry is not None}
    print(found)
    assert not any(process.while_measuring for foreign in found.values() for process in foreign)


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
