"""The runs kept in results/reference: that this version reads them, and that the documentation may cite them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.record import Record
from bench.statistics import summarize
from bench.store import load_records, read_suite
from bench.verdict import broken_because

ROOT = Path(__file__).resolve().parents[1]
RUNS = sorted(file.parent for file in (ROOT / "results" / "reference").glob("*/*/suite.json"))


@pytest.fixture(params=RUNS, ids=lambda run: f"{run.parent.name}/{run.name}")
def run(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def test_a_kept_run_passed_and_ran_what_it_says(run: Path) -> None:
    records = load_records(run)
    assert read_suite(run)["verdict"] == "passed"
    explained = run.parent.name == "resnet50_explained"
    modes = {"FP16"} if explained else {"native", "FP32", "FP16", "INT8"}
    assert {record.case.optimization.precision_mode for record in records} == modes
    for record in records:
        assert record.failure is None
        assert broken_because(record) is None
        assert record.environment is not None and record.environment.gpus[0].name == "NVIDIA H200"


def test_a_kept_run_has_its_table_page_and_plots_and_a_line_in_the_list(run: Path) -> None:
    names = {file.relative_to(run).as_posix() for file in run.rglob("*")}
    assert {"comparison.md", "comparison.csv", "comparison.html", "plots/latency.png", "plots/throughput.png"} <= names
    assert f"{run.parent.name}/{run.name}" in (ROOT / "results/reference/README.md").read_text(encoding="utf-8")


def test_what_is_kept_stays_small() -> None:
    files = (file for file in (ROOT / "results/reference").rglob("*") if file.is_file())
    assert sum(file.stat().st_size for file in files) < 15e6


def test_resnet50_at_fp16_and_batch_64_is_as_fast_as_the_readme_says() -> None:
    values = summarize(kept("resnet50-FP16-b64")).values
    assert round(values["compute_ms"], 2) == 2.67
    assert round(values["throughput_fps"]) == 27944
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "27 944" in readme and "2.67" in readme


def test_resnet50_at_fp16_and_batch_64_reaches_what_tf_trt_can() -> None:
    values = summarize(kept("resnet50-FP16-b64")).values
    assert values["compute_ms"] <= 3.3
    assert values["throughput_fps"] >= 25_000


@pytest.mark.parametrize(("model", "metric"), [("mobilenet_v1_0.75_224", "top1"), ("ssd_mobilenet_v1_coco", "map")])
def test_fp16_keeps_the_accuracy_of_real_models(model: str, metric: str) -> None:
    batch = 8 if metric == "top1" else 1
    native, converted = (summarize(kept(f"{model}-{mode}-b{batch}")).values[metric] for mode in ("native", "FP16"))
    assert abs(converted - native) <= 0.005


def test_resnet50_at_fp16_and_batch_64_is_explained() -> None:
    """The parts of a profiled inference make its wall time, TensorRT ran, and calling eagerly costs dispatch alone."""
    function, eager = (kept(f"resnet50-FP16-b64-call_{call}") for call in ("function", "eager"))
    for record in (function, eager):
        values, profile = summarize(record).values, record.profile
        assert profile is not None
        assert profile.kernel_ns + profile.copy_ns + profile.dispatch_ns == profile.wall_ns
        assert values["trt_gpu_time_share"] >= 0.95 and values["tensor_core_share"] > 0.5
        assert values["fallbacks"] == values["engine_builds_while_timed"] == 0
        assert abs(sum(profile.precision_ns.values()) - profile.all_kernels_ns) <= 1
    assert function.profile is not None and eager.profile is not None
    assert eager.profile.kernel_ns / function.profile.kernel_ns == pytest.approx(1, abs=0.05)
    assert summarize(eager).values["median_latency_ms"] > summarize(function).values["median_latency_ms"]


def test_a_profiled_inference_takes_about_what_a_timed_one_does() -> None:
    record = kept("resnet50-FP16-b64-call_function")
    assert record.profile is not None
    profiled = record.profile.wall_ns / record.profile.inferences / 1e6
    assert profiled / summarize(record).values["median_latency_ms"] == pytest.approx(1, abs=0.15)


def test_the_second_case_of_a_model_converted_nothing_and_was_sooner() -> None:
    first, second = (kept(f"resnet50-FP16-b64-call_{call}") for call in ("function", "eager"))
    assert first.conversion is not None and first.conversion.cached is False
    assert second.conversion is not None and second.conversion.cached is True
    assert not {phase.name for phase in second.phases} & {"convert", "build", "save"}
    steps = {"convert", "build", "save", "reload"}
    took = [sum(phase.seconds for phase in record.phases if phase.name in steps) for record in (first, second)]
    assert took[0] > 5 * took[1]
    costs = [summarize(record).values["conversion_s"] for record in (first, second)]
    assert costs[0] == pytest.approx(costs[1], rel=0.05)


def test_ssd_at_fp16_is_faster_than_native() -> None:
    native, converted = (
        summarize(kept(f"ssd_mobilenet_v1_coco-{mode}-b1")).values["median_latency_ms"] for mode in ("native", "FP16")
    )
    assert native / converted >= 1.3


def kept(case_id: str) -> Record:
    """The newest kept record of a case."""
    return [record for run in RUNS for record in load_records(run) if record.case.id == case_id][-1]
