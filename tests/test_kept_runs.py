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
    assert {record.case.optimization.precision_mode for record in records} == {"native", "FP32", "FP16", "INT8"}
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


def test_ssd_at_fp16_is_faster_than_native() -> None:
    native, converted = (
        summarize(kept(f"ssd_mobilenet_v1_coco-{mode}-b1")).values["median_latency_ms"] for mode in ("native", "FP16")
    )
    assert native / converted >= 1.3


def kept(case_id: str) -> Record:
    """The newest kept record of a case."""
    return [record for run in RUNS for record in load_records(run) if record.case.id == case_id][-1]
