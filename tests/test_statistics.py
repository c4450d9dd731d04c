"""Statistics against NumPy, and what cannot be said said to be so."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.conversion import Conversion
from bench.record import Accuracy, Failure, Phase, Record, Samples, Throughput
from bench.report.exports import original_statistics
from bench.statistics import METRICS, PERCENTILES, percentile, samples_needed, summarize
from tests.factory import make_environment, make_record, make_samples

TIMES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=300)


@settings(deadline=None)
@given(TIMES, st.sampled_from([1, 10, 25, 50, 75, 100, *PERCENTILES]))
def test_percentiles_are_numpys_nearest_rank(times: list[float], percent: int) -> None:
    assert percentile(times, percent) == np.percentile(times, percent, method="inverted_cdf")


@settings(deadline=None)
@given(TIMES, st.integers(1, 100))
def test_a_percentile_is_the_least_sample_that_so_many_do_not_exceed(times: list[float], percent: int) -> None:
    found, share = percentile(times, percent), Fraction(percent, 100)
    assert Fraction(sum(time <= found for time in times), len(times)) >= share
    assert Fraction(sum(time < found for time in times), len(times)) < share


@pytest.mark.parametrize(("percent", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662), (99.9, 6636)])
def test_the_samples_that_a_percentile_needs(percent: float, needed: int) -> None:
    assert samples_needed(percent) == needed


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=200), st.integers(1, 8))
def test_latencies_are_numpys(times_ns: list[int], images: int) -> None:
    latency = Samples(times_ns=tuple(times_ns), images=(images,) * len(times_ns), warmup_ns=(10**15,))
    values = summarize(make_record(latency=latency)).values
    times = np.array(times_ns) / 1e6
    assert values["avg_latency_ms"] == pytest.approx(np.mean(times))
    assert values["median_latency_ms"] == pytest.approx(np.median(times))
    assert values["min_latency_ms"] == pytest.approx(np.min(times))
    assert values["max_latency_ms"] == pytest.approx(np.max(times))
    assert values["avg_throughput_fps"] == pytest.approx(images * len(times) / (np.sum(times) / 1e3))


def test_padding_is_no_throughput() -> None:
    latency = Samples(times_ns=(500_000_000, 500_000_000), images=(8, 3))
    assert summarize(make_record(latency=latency)).values["avg_throughput_fps"] == pytest.approx(11)


@pytest.mark.parametrize("percent", PERCENTILES)
def test_a_percentile_needs_its_samples(percent: int) -> None:
    name, needed = f"p{percent}_latency_ms", samples_needed(percent)
    enough = summarize(make_record(latency=make_samples(range(1, needed + 1))))
    short = summarize(make_record(latency=make_samples(range(1, needed))))
    assert enough.values[name] == np.percentile(range(1, needed + 1), percent, method="inverted_cdf")
    assert name not in enough.absent
    assert name not in short.values
    assert short.absent[name] == f"{needed - 1} samples of the {needed} that p{percent} needs"


def test_device_times() -> None:
    record = make_record(
        compute=make_samples([3, 1, 2]),
        throughput=Throughput(block_ns=(10**9, 3 * 10**9, 2 * 10**9), launches_per_block=10, images_per_launch=4),
    )
    values = summarize(record).values
    assert values["compute_ms"] == 2
    assert values["throughput_fps"] == 20


def test_speedups_are_of_the_native_case() -> None:
    def record(precision: str, scale: float) -> Record:
        blocks = Throughput(block_ns=(round(scale * 1e9),), launches_per_block=1, images_per_launch=1)
        latency, compute = make_samples([2 * scale]), make_samples([scale * scale])
        return make_record(precision, latency=latency, compute=compute, throughput=blocks)

    native, fast = record("native", 4), record("FP16", 1)
    values = summarize(fast, native).values
    assert (values["speedup"], values["compute_speedup"], values["throughput_speedup"]) == (4, 16, 4)
    assert "speedup" not in summarize(fast).values
    assert summarize(native, fast).values["speedup"] == 1 / 4


def test_costs() -> None:
    record = make_record(
        "FP16",
        first_inference_ns=5_000_000,
        phases=(Phase(name="load", seconds=9), Phase(name="convert", seconds=1), Phase(name="build", seconds=2)),
        conversion=Conversion(converter="TF-TRT", engines=3, native_executions=1, bytes_after=7, share_converted=0.5),
        peak_host_bytes=11,
        peak_gpu_bytes=13,
    )
    values = summarize(record).values
    assert values["first_inference_ms"] == 5
    assert values["conversion_s"] == 3
    assert (values["engines"], values["fallbacks"], values["model_bytes"]) == (3, 1, 7)
    assert (values["share_converted"], values["peak_host_bytes"], values["peak_gpu_bytes"]) == (0.5, 11, 13)
    assert set(values) <= set(METRICS)


def test_accuracy_is_taken_as_it_is() -> None:
    metrics = {"map": 0.25, "map50": 0.5}
    values = summarize(make_record(accuracy=Accuracy(metrics=metrics, num_images=4))).values
    assert {name: values[name] for name in metrics} == metrics


def test_a_failed_case_says_why_it_has_no_latency() -> None:
    failure = Failure(kind="time-out", phase="build", message="took too long")
    summary = summarize(make_record(latency=None, failure=failure))
    assert "avg_latency_ms" not in summary.values
    assert summary.absent["avg_latency_ms"] == "time-out in phase build"


def test_the_original_statistics_keep_their_names() -> None:
    accuracy = Accuracy(metrics={"map": 0.25}, num_images=4)
    record = make_record(latency=make_samples([10, 20], images=2), accuracy=accuracy)
    statistics = json.loads(original_statistics(record, summarize(record)))
    assert statistics["map"] == 0.25
    assert statistics["avg_latency_ms"] == pytest.approx(15)
    assert statistics["avg_throughput_fps"] == pytest.approx(4 / 0.03)
    assert statistics["runtimes_ms"] == [10, 20]


def test_a_percentile_that_cannot_be_said_is_null_with_its_reason() -> None:
    record = make_record(latency=make_samples([10, 20]))
    statistics = json.loads(original_statistics(record, summarize(record)))
    assert statistics["p99_latency_ms"] is None
    assert statistics["absent"]["p99_latency_ms"] == "2 samples of the 662 that p99 needs"


def test_there_is_no_speedup_between_different_devices() -> None:
    """LiteRT on the CPU against native on the GPU says nothing about the optimization."""
    gpu, cpu = (make_environment(details={"device": device}) for device in ("GPU", "CPU"))
    summary = summarize(make_record("FP16", environment=cpu), make_record("native", environment=gpu))
    assert "speedup" not in summary.values
    assert summary.absent["speedup"] == "native ran on the GPU, this on the CPU"
    same = summarize(make_record("FP16", environment=cpu), make_record("native", environment=cpu))
    assert same.values["speedup"] == 1
