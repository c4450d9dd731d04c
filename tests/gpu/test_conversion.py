"""What a TF-TRT config can ask for, on a real GPU: each is asked for as a user would, and seen to have happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.graphs.report import builds
from bench.record import Record
from bench.statistics.summary import summarize
from bench.verdict import broken_because
from tests.factory import run_worker

Ran = tuple[int, Record, Path]
CONVERTING = {"convert", "calibrate", "build", "save"}


@pytest.fixture(scope="module")
def first(run_one: Any) -> Ran:
    return run_one({"call": "auto"}, {"keep_profile": True})  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def again(run_one: Any, first: Ran) -> Ran:
    return run_one({"call": "eager"})  # type: ignore[no-any-return]


def log_of(ran: Ran) -> list[str]:
    return (ran[2] / f"{ran[1].case.id}.log").read_text(errors="replace").splitlines()


def phases(record: Record) -> set[str]:
    return {phase.name for phase in record.phases}


def test_the_report_tells_what_is_inside_the_engines_and_what_is_left_out(first: Ran) -> None:
    code, record, _ = first
    conversion = record.conversion
    assert (code, record.failure) == (0, None) and conversion is not None
    assert conversion.engine_list and len(conversion.engine_list) == conversion.engines
    engine = max(conversion.engine_list, key=lambda engine: engine.nodes)
    assert engine.precision == "FP16" and engine.ops["Conv2D"] > 5
    assert engine.bytes and engine.bytes > 10_000
    assert engine.built_for and engine.built_for[0][0][0] == 4
    assert conversion.left_out and all(item.count > 0 and item.reason for item in conversion.left_out)
    assert set(conversion.seconds) == {"convert", "build", "save"}
    assert conversion.cached is False and conversion.cache_reason == "no conversion of this model is kept"


def test_the_profile_proves_what_ran(first: Ran) -> None:
    record = first[1]
    values = summarize(record).values
    assert values["trt_gpu_time_share"] > 0.9
    assert 0 < values["tensor_core_share"] <= 1
    assert values["fallbacks"] == values["engine_builds_while_timed"] == 0
    profile = record.profile
    assert profile is not None and profile.inferences == 10
    assert profile.kernel_ns + profile.copy_ns + profile.dispatch_ns == profile.wall_ns
    assert profile.copies_bytes["host to device"] >= 10 * 4 * 64 * 64 * 3
    assert record.conversion is not None and profile.engine_executions == 10 * (record.conversion.engines or 0)


def test_nothing_is_built_or_logged_while_timed(first: Ran) -> None:
    assert first[1].conversion is not None and first[1].conversion.engine_builds_while_timed == 0
    assert not any("Executing TRT engine" in line for line in log_of(first))


def test_builds_are_seen_in_the_log_where_they_may_happen_at_run_time(run_one: Any) -> None:
    ran = run_one({"allow_build_at_runtime": True})
    assert ran[0] == 0 and len(builds(log_of(ran))) >= 1
    assert ran[1].conversion is not None and ran[1].conversion.engine_builds_while_timed == 0


def test_both_ways_to_call_are_tried_and_the_faster_kept(first: Ran, again: Ran) -> None:
    call = first[1].call
    assert call is not None and set(call.median_ms) == {"function", "eager"}
    assert call.median_ms[call.kind] == min(call.median_ms.values())
    assert again[1].call is not None and (again[1].call.kind, again[1].call.median_ms) == ("eager", {})


def test_the_profile_and_the_graphs_are_kept_where_asked_for(first: Ran, again: Ran) -> None:
    folder = first[2] / f"{first[1].case.id}.profile"
    names = [file.name for file in folder.rglob("*") if file.is_file()]
    assert "trace.json.gz" in names and any(name.endswith(".xplane.pb") for name in names)
    for graph in ("graph_before", "graph_after"):
        assert list((folder / graph).glob("events.out.*"))
    assert not (again[2] / f"{again[1].case.id}.profile").exists()


def test_a_second_run_converts_nothing_and_is_sooner_at_its_first_inference(first: Ran, again: Ran) -> None:
    code, record, _ = again
    assert code == 0 and record.conversion is not None and record.conversion.cached is True
    assert not phases(record) & CONVERTING
    assert CONVERTING - {"calibrate"} <= phases(first[1])
    took = [sum(p.seconds for p in ran[1].phases if p.name in CONVERTING | {"reload"}) for ran in (first, again)]
    assert took[1] < took[0] / 5


def test_a_kept_engine_runs_by_its_name(run_one: Any, first: Ran) -> None:
    """As Gate B has it run, beside what the config now makes of the model."""
    conversion = first[1].conversion
    assert conversion is not None and conversion.cache_entry is not None
    kept = first[1].case.optimization.model_copy(update={"kept_conversion": conversion.cache_entry})
    case = first[1].case.model_copy(update={"optimization": kept, "keep_profile": False})
    record = run_worker(case, first[2] / "kept.log", lambda *_: None)
    assert record.failure is None and record.conversion is not None
    assert record.conversion.cache_entry == conversion.cache_entry and record.conversion.engine_executions
    gone = case.model_copy(update={"optimization": kept.model_copy(update={"kept_conversion": "gone"})})
    failed = run_worker(gone, first[2] / "gone.log", lambda *_: None)
    assert failed.failure is not None and "it is no longer kept" in failed.failure.message


def test_a_shape_that_no_profile_matches_is_broken_with_the_reason(run_one: Any) -> None:
    asked = {"use_dynamic_shape": True, "build_batch_sizes": [1, 2]}
    code, record, folder = run_one(asked)
    assert code == 4 and record.failure is None
    reason = broken_because(record) or ""
    assert "fell back to TensorFlow" in reason and "[[4,64,64,3]]" in reason
    assert summarize(record).values["fallbacks"] > 0
    assert "fell back" in (folder / "comparison.md").read_text()
    refused, strict, _ = run_one({**asked, "use_function_backup": False})
    assert refused == 4 and strict.failure is not None
    lenient, _, _ = run_one({**asked, "strict": False})
    assert lenient == 0


@pytest.mark.parametrize("strategy", ["Optimal", "Range+Optimal", "ImplicitBatchModeCompatible"])
def test_every_strategy_of_profiles_serves_what_was_built_for(run_one: Any, strategy: str) -> None:
    asked = {"use_dynamic_shape": True, "dynamic_shape_profile_strategy": strategy, "build_batch_sizes": [1, 4]}
    code, record, _ = run_one(asked)
    assert code == 0 and record.conversion is not None and record.conversion.engine_executions
    assert summarize(record).values["fallbacks"] == 0


def test_without_tf32_no_kernel_computes_in_it(run_one: Any) -> None:
    code, record, _ = run_one({"precision_mode": "FP32", "tf32": False})
    assert code == 0 and record.profile is not None
    assert record.profile.precision_ns["FP32"] > 0 and "TF32" not in record.profile.precision_ns


def test_profiles_serve_the_batch_sizes_between_those_built_for(run_one: Any) -> None:
    code, record, _ = run_one({"use_dynamic_shape": True, "build_batch_sizes": [1, 8]})
    assert code == 0 and summarize(record).values["fallbacks"] == 0


@pytest.mark.usefixtures("first")  # there is a conversion to differ from
def test_ops_can_be_kept_in_tensorflow(run_one: Any) -> None:
    code, record, _ = run_one({"nodes_blacklist": ["Softmax"]})
    assert code == 0 and record.conversion is not None
    assert "Softmax" in {item.op for item in record.conversion.left_out}
    assert all("Softmax" not in engine.ops for engine in record.conversion.engine_list)
    assert record.conversion.cache_reason.startswith("nodes_blacklist: ")


def test_a_calibration_table_is_reused(run_one: Any) -> None:
    int8 = {"precision_mode": "INT8", "calib_batch_size": 8, "num_calib_images": 64}
    data = {"use_synthetic": False, "num_images": 100}
    _, calibrated, _ = run_one(int8, data)
    code, record, _ = run_one({**int8, "max_workspace_size_bytes": 1 << 30}, data)
    before, after = calibrated.conversion, record.conversion
    assert code == 0 and before is not None and after is not None
    assert "calibrate" in phases(calibrated) and not before.calibration_reused
    assert "calibrate" not in phases(record) and after.calibration_reused and not after.cached
    assert before.calibration_table_sha256 == after.calibration_table_sha256
    assert summarize(calibrated).values["int8_share"] > 0.2
    top1 = [summarize(each).values["top1"] for each in (calibrated, record)]
    assert abs(top1[0] - top1[1]) <= 0.02
