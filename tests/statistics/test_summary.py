"""Statistics against NumPy, and what cannot be said said to be so."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.conversion import Conversion
from bench.record import Accuracy, Failure, Phase, Record, Samples, Throughput
from bench.report.exports import original_statistics
from bench.statistics.metrics import BOUNDED, METRICS
from bench.statistics.percentiles import PERCENTILES, percentile, samples_needed
from bench.statistics.summary import summarize
from tests.factory import make_environment, make_record, make_samples

TIMES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=300)


@given(TIMES, st.sampled_from([1, 10, 25, 50, 75, 100, *PERCENTILES]))
def test_percentiles_are_numpys_nearest_rank(times: list[float], percent: int) -> None:
    assert percentile(times, percent) == np.percentile(times, percent, method="inverted_cdf")


@given(TIMES, st.integers(1, 100))
def test_a_percentile_is_the_least_sample_that_so_many_do_not_exceed(times: list[float], percent: int) -> None:
    found, share = percentile(times, percent), Fraction(percent, 100)
    assert Fraction(sum(time <= found for time in times), len(times)) >= share
    assert Fraction(sum(time < found for time in times), len(times)) < share


@pytest.mark.parametrize(("percent", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662), (99.9, 6636)])
def test_the_samples_that_a_percentile_needs(percent: float, needed: int) -> None:
    assert samples_needed(percent) == needed


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


def noisy(precision: str, scale: float, samples: int = 1000, images: int = 4) -> Record:
    """Latency and compute of 10 ms and 5 ms, 5 % of noise, and five blocks; all times `scale`."""
    noise = np.random.default_rng(round(1000 * scale)).normal(1, 0.05, samples)
    return make_record(
        precision,
        latency=make_samples(10 * scale * noise, images=images),
        compute=make_samples(5 * scale * noise),
        throughput=Throughput(
            block_ns=tuple(round(scale * 1e8 * each) for each in noise[:5]), launches_per_block=10, images_per_launch=4
        ),
    )


def test_every_figure_of_speed_has_an_interval_around_it() -> None:
    summary = summarize(noisy("FP16", 1), noisy("native", 2))
    of_load_tests = {"offline_fps", "server_qps"}  # several processes alone tell how sure they are
    assert set(summary.bounds) == set(BOUNDED) - of_load_tests
    assert summary.unbounded == {}
    for name, (low, high) in summary.bounds.items():
        assert low < summary.values[name] < high
    assert summary.bounds["speedup"][0] < 2 < summary.bounds["speedup"][1]


def test_the_interval_of_the_rate_is_that_of_the_mean() -> None:
    bounds = summarize(noisy("native", 1)).bounds
    low, high = bounds["avg_latency_ms"]
    assert bounds["avg_throughput_fps"] == pytest.approx((4e3 / high, 4e3 / low))


def test_a_figure_without_an_interval_has_a_reason() -> None:
    summary = summarize(noisy("FP16", 1, samples=19), noisy("native", 2))
    assert set(summary.bounds) == {"throughput_fps", "throughput_speedup"}
    few = "19 samples of the 20 that an interval needs"
    assert summary.unbounded["median_latency_ms"] == summary.unbounded["speedup"] == few
    assert summarize(noisy("FP16", 1), noisy("native", 2, samples=19)).unbounded["speedup"] == f"the native case: {few}"
    assert set(summary.unbounded).isdisjoint(summary.bounds)
    assert set(summary.unbounded) <= set(summary.values)


def test_the_native_case_is_as_fast_as_itself_without_doubt() -> None:
    native = noisy("native", 1)
    summary = summarize(native, native)
    assert summary.values["speedup"] == 1
    assert "speedup" not in {**summary.bounds, **summary.unbounded}


def test_batches_of_several_sizes_have_no_interval_of_their_rate() -> None:
    latency = Samples(times_ns=(10**7, 2 * 10**7) * 50, images=(8, 3) * 50)
    summary = summarize(make_record(latency=latency))
    assert summary.unbounded["avg_throughput_fps"] == "batches of several sizes"
    assert "avg_latency_ms" in summary.bounds


def test_a_mean_that_may_be_anything_has_no_interval() -> None:
    summary = summarize(make_record(latency=make_samples([1.0] * 99 + [10_000.0])))
    assert "vary too much" in summary.unbounded["avg_latency_ms"]
    assert "vary too much" in summary.unbounded["avg_throughput_fps"]


def test_the_statistics_file_has_the_intervals() -> None:
    record = noisy("native", 1)
    statistics = json.loads(original_statistics(record, summarize(record)))
    assert statistics["bounds"]["avg_latency_ms"] == list(summarize(record).bounds["avg_latency_ms"])


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


def test_a_conversion_from_the_cache_costs_what_it_took_when_it_was_made() -> None:
    record = make_record(
        "FP16",
        phases=(Phase(name="reload", seconds=2),),
        conversion=Conversion(converter="TF-TRT", cached=True, seconds={"convert": 10, "build": 20}),
    )
    assert summarize(record).values["conversion_s"] == 32
