"""The runs kept in results/reference: that this version reads them, and that the documentation may cite them."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from bench.aa import AA
from bench.aa import summarize as summarize_aa
from bench.record import Record
from bench.statistics.summary import summarize
from bench.store import load_records, read_suite
from bench.validity import problems
from bench.verdict import broken_because

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "results" / "reference"
ALL = sorted(file.parent for file in KEPT.glob("*/*/suite.json"))
AGAIN = (
    KEPT / "resnet50_measured/20261122T081315Z-4dbada"
)  # one case from the conversion cache: no native to compare with
RUNS = [run for run in ALL if not run.parent.name.endswith("-aa") and run != AGAIN]
VERIFIED = KEPT / "verified-models"
BESIDE = KEPT / "verified-models-beside/20261124T014448Z-2a4cbb"
SLOWED = KEPT / "resnet50_nightly/20261122T151226Z-3877e1"  # each inference is made to take 3 % longer
TIMED_OUT = VERIFIED / "20261123T072958Z-ab68ec", "nasnet_large-INT8-b1"  # the one engine not built in its time
WITHOUT_PAGE = {"resnet50", "resnet50_nightly", "verified-models-beside"}  # the verified models have none either
VERDICTS = {SLOWED: "regressed", TIMED_OUT[0]: "broken"}
MODES = {
    "resnet50_explained": {"FP16"},
    "resnet50_load": {"FP16"},
    "resnet50_nightly": {"FP32", "FP16"},
    "verified-models-beside": {"FP32"},
}


@pytest.fixture(params=RUNS, ids=lambda run: f"{run.parent.name}/{run.name}")
def run(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def test_a_kept_run_passed_and_ran_what_it_says(run: Path) -> None:
    records = load_records(run)
    assert read_suite(run)["verdict"] == VERDICTS.get(run, "passed")
    modes = MODES.get(run.parent.name, {"native", "FP32", "FP16", "INT8"})
    assert {record.case.optimization.precision_mode for record in records} == modes
    for record in records:
        if (run, record.case.id) == TIMED_OUT:
            continue
        assert record.failure is None
        assert broken_because(record) is None
        assert record.environment is not None and record.environment.gpus[0].name == "NVIDIA H200"


def test_a_kept_run_has_its_table_and_plots_and_most_have_their_page(run: Path) -> None:
    if run.parent == VERIFIED:
        pytest.skip("the runs of the verified models have one report between them")
    names = {file.relative_to(run).as_posix() for file in run.rglob("*")}
    assert {"comparison.md", "comparison.csv", "plots/latency.png", "plots/throughput.png"} <= names
    assert ("comparison.html" in names) == (run.parent.name not in WITHOUT_PAGE)


def test_every_kept_run_has_a_line_in_the_list() -> None:
    listed = (KEPT / "README.md").read_text(encoding="utf-8")
    assert [run for run in ALL if f"`{run.parent.name}/{run.name}`" not in listed] == []


def test_what_is_kept_stays_small() -> None:
    files = (file for file in (ROOT / "results/reference").rglob("*") if file.is_file())
    assert sum(file.stat().st_size for file in files) < 22e6


def test_resnet50_at_fp16_and_batch_64_is_as_fast_as_the_readme_says() -> None:
    values = summarize(kept("resnet50-FP16-b64", "resnet50")).values
    assert round(values["compute_ms"], 2) == 2.67
    assert round(values["throughput_fps"]) == 27944
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "27 944" in readme and "2.67" in readme


def test_resnet50_at_fp16_and_batch_64_reaches_what_tf_trt_can() -> None:
    values = summarize(kept("resnet50-FP16-b64", "resnet50")).values
    assert values["compute_ms"] <= 3.3
    assert values["throughput_fps"] >= 25_000


@pytest.mark.parametrize(("model", "metric"), [("mobilenet_v1_0.75_224", "top1"), ("ssd_mobilenet_v1_coco", "map")])
def test_fp16_keeps_the_accuracy_of_real_models(model: str, metric: str) -> None:
    batch = 8 if metric == "top1" else 1
    native, converted = (summarize(kept(f"{model}-{mode}-b{batch}")).values[metric] for mode in ("native", "FP16"))
    assert abs(converted - native) <= 0.005


def test_resnet50_at_fp16_and_batch_64_is_explained() -> None:
    """Copies take longer than kernels, TensorRT ran, and calling eagerly costs dispatch alone."""
    function, eager = (kept(f"resnet50-FP16-b64-call_{call}") for call in ("function", "eager"))
    for record in (function, eager):
        values, profile = summarize(record).values, record.profile
        assert profile is not None
        assert profile.copy_ns > profile.kernel_ns
        assert values["trt_gpu_time_share"] >= 0.95 and values["tensor_core_share"] > 0.5
        assert values["fallbacks"] == values["engine_builds_while_timed"] == 0
        assert abs(sum(profile.precision_ns.values()) - profile.all_kernels_ns) <= 1
    assert function.profile is not None and eager.profile is not None
    assert eager.profile.kernel_ns / function.profile.kernel_ns == pytest.approx(1, abs=0.05)
    assert summarize(eager).values["compute_ms"] > summarize(function).values["compute_ms"]
    for record in (function, eager):
        stages = record.stages
        assert stages is not None and abs(stages.remainder_ms() or 1) <= 0.05 * median(stages.whole_ns) / 1e6


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


def test_an_engine_that_was_built_beside_others_took_longer_and_is_as_fast() -> None:
    (beside,) = load_records(BESIDE)
    (alone,) = (
        record for record in load_records(VERIFIED / "20261124T020541Z-8678d8") if record.case.id == beside.case.id
    )
    built, kernels = [], []
    for record in (beside, alone):
        built += [phase.seconds for phase in record.phases if phase.name == "build"]
        assert record.profile is not None and record.telemetry is not None
        kernels.append(record.profile.kernel_ns / record.profile.inferences / 1e6)
        assert bool(record.telemetry.foreign_in({"build"})) == (record is beside)
    assert [round(seconds, 1) for seconds in built] == [214.9, 48.8]
    assert [round(ms, 3) for ms in kernels] == [1.278, 1.284]


@pytest.mark.parametrize("suite", ["ssd_mobilenet_v1", "ssd_mobilenet_v1_by_card"])
def test_ssd_at_fp16_is_faster_than_native_and_as_accurate(suite: str) -> None:
    (run,) = (KEPT / suite).iterdir()
    records = {record.case.optimization.precision_mode: record for record in load_records(run)}
    native, converted = summarize(records["native"]), summarize(records["FP16"], records["native"])
    assert converted.values["speedup"] >= 1.3
    assert native.values["map"] == pytest.approx(0.2454, abs=5e-5)
    assert converted.values["map"] == pytest.approx(native.values["map"], abs=0.002)


@pytest.mark.parametrize("name", ["resnet50_measured-aa", "ssd_mobilenet_v1-aa"])
def test_ten_repeats_resolve_a_percent(name: str) -> None:
    (run,) = (run for run in ALL if run.parent.name == name)
    found = AA.model_validate_json((run / "aa.json").read_text(encoding="utf-8"))
    again = summarize_aa(load_records(run), 5)
    assert [measure.measure for measure in found.measures] == ["latency", "compute", "throughput"]
    for measure, anew in zip(found.measures, again.measures, strict=True):
        assert measure.repeated[10] == pytest.approx(anew.repeated[10]) and measure.repeated[10] <= 0.01


def measured() -> dict[str, Record]:
    """ResNet-50 at batch 8, measured in turn: its record by mode."""
    (run,) = (run for run in RUNS if run.parent.name == "resnet50_measured")
    return {record.case.optimization.precision_mode: record for record in load_records(run)}


def test_speedups_measured_in_turn_have_intervals_and_are_valid() -> None:
    records = measured()
    assert not any(record.not_interleaved or problems(record) for record in records.values())
    for mode in ("FP32", "FP16", "INT8"):
        summary = summarize(records[mode], records["native"])
        for name in ("speedup", "compute_speedup", "throughput_speedup"):
            low, high = summary.bounds[name]
            assert 1 < low < summary.values[name] < high < 1.1 * low


def test_stages_add_up_within_five_percent_and_the_report_says_where_they_do_not() -> None:
    records = measured()
    fp16 = records["FP16"].stages
    assert fp16 is not None and fp16.excess() is None
    assert abs(fp16.remainder_ms() or 1) <= 0.05 * median(fp16.whole_ns) / 1e6
    page = (KEPT / "resnet50_measured/20261122T080652Z-6f86fa/comparison.md").read_text(encoding="utf-8")
    assert "INT8 (tf-trt): stages one by one take 12 % longer" in page


def test_the_gpu_was_read_meanwhile_and_an_image_costs_energy() -> None:
    joules = []
    for mode in ("native", "FP32", "FP16", "INT8"):
        telemetry = measured()[mode].telemetry
        assert telemetry is not None and telemetry.sm_clock_mhz() == (1980, 1980)
        (energy,) = (energy for energy in telemetry.energy if energy.loop == "throughput")
        joules.append(energy.joules_per_image or 0)
    assert joules == sorted(joules, reverse=True) and joules[-1] > 0


def test_the_highest_rate_was_found_again_within_five_percent() -> None:
    values = summarize(kept("resnet50-FP16-b8", "resnet50_load")).values
    assert values["server_qps_spread"] <= 0.05 and values["server_p99_latency_ms"] <= 50
    assert values["offline_fps"] > values["server_qps"]


def test_from_the_cache_the_first_inference_is_over_five_times_sooner() -> None:
    (again,) = load_records(AGAIN)
    first = measured()["INT8"]
    assert again.conversion is not None and again.conversion.cached
    assert not {phase.name for phase in again.phases} & {"convert", "calibrate", "build", "save"}
    assert until_first_inference(first) > 5 * until_first_inference(again)


def until_first_inference(record: Record) -> float:
    """Seconds from the case's start to the end of its first inference."""
    window = record.telemetry.window("first inference") if record.telemetry else None
    assert window is not None
    return window.end_s


def test_int8_ran_in_int8_and_costs_little() -> None:
    native, int8 = (kept(f"mobilenet_v1_0.75_224-{mode}-b8") for mode in ("native", "INT8"))
    assert summarize(int8).values["int8_share"] > 0.8
    assert summarize(native).values["top1"] - summarize(int8).values["top1"] <= 0.02


def test_what_stays_in_tensorflow_is_named_with_reasons() -> None:
    for mode in ("FP32", "FP16", "INT8"):
        conversion = kept(f"ssd_mobilenet_v1_coco-{mode}-b1").conversion
        assert conversion is not None
        reasons = {row.op: row.reason for row in conversion.left_out}
        assert "implicit batch mode" in reasons["CombinedNonMaxSuppression"]


def kept(case_id: str, suite: str = "") -> Record:
    """The newest kept record of a case, of this suite if one is named."""
    runs = [run for run in RUNS if run.parent.name == (suite or run.parent.name)]
    return [record for run in runs for record in load_records(run) if record.case.id == case_id][-1]


def test_the_same_suite_again_is_green_and_one_that_waits_3_percent_is_red_with_the_cause() -> None:
    first, same, fresh, slowed = (run for run in RUNS if run.parent.name == "resnet50_nightly")
    assert slowed == SLOWED
    found = {run: json.loads((run / "baseline.json").read_text(encoding="utf-8")) for run in (same, slowed)}
    assert [found[run]["baseline"] for run in (same, slowed)] == [
        f"{run.parent.name}/{run.name}" for run in (first, fresh)
    ]
    assert "tests.slowed:by_3_percent" in (slowed / "baseline.html").read_text(encoding="utf-8")
    again = read_suite(slowed)["again"]
    assert {(each["case"], each["metric"]) for each in again if each["settled"] == "confirmed"} == {
        ("resnet50-FP32-b64", "throughput_fps")
    }
    assert not read_suite(same).get("again")


def test_every_verified_model_is_there_in_every_mode_at_both_batch_sizes_and_one_row_says_time_out() -> None:
    records = [record for run in RUNS if run.parent == VERIFIED for record in load_records(run)]
    modes, models = ("native", "FP32", "FP16", "INT8"), {record.case.model.name for record in records}
    wanted = sorted(f"{model}-{mode}-b{size}" for model in models for mode in modes for size in (1, 64))
    assert len(models) == 10 and sorted(record.case.id for record in records) == wanted
    (late,) = (record for record in records if record.failure is not None)
    assert late.case.id == TIMED_OUT[1] and late.failure is not None and late.telemetry is not None
    assert (late.failure.kind, late.failure.phase) == ("time-out", "calibrate")
    table = (VERIFIED / "comparison.md").read_text(encoding="utf-8")
    others = len(late.telemetry.foreign_in({"calibrate"}))
    assert f"INT8 (tf-trt): time-out in phase 'calibrate': {late.failure.message}" in table
    assert f"phase_timeout_s, 450 s; meanwhile on the GPU: {others} other processes" in table


def test_of_the_verified_models_nearly_all_is_converted_and_nothing_fell_back() -> None:
    """At both batch sizes, in the report that `bench report` makes of them all; none of them trained."""
    records = [record for run in RUNS if run.parent == VERIFIED for record in load_records(run)]
    table = (VERIFIED / "comparison.md").read_text(encoding="utf-8")
    for record in records:
        values, case = summarize(record).values, record.case
        assert case.model.random_weights and record.accuracy is None and case.batch_size in (1, 64)
        assert f"| {case.model.name} (random weights) | {case.batch_size} |" in table
        if case.optimization.precision_mode != "native" and record.failure is None:
            assert values["fallbacks"] == 0 and values["engine_builds_while_timed"] == 0
            assert values["share_converted"] >= 0.9
