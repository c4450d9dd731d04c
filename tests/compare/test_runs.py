"""A run against another: what is worse, what cannot be told, and what is never green."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.case import Dataset
from bench.compare.comparison import Against, Comparison, Outcome, Row
from bench.compare.rules import rules
from bench.compare.runs import compare_runs
from bench.conversion import Conversion
from bench.history.measured import read_run
from bench.record import Accuracy, Failure, Record, Samples
from bench.sections.compare import CompareSection
from bench.statistics.metrics import METRICS
from tests.factory import make_case, make_environment, make_samples
from tests.history.nights import night_record, repeated, with_random_weights, write_night


def compare(
    tmp_path: Path, old: Sequence[Record], new: Sequence[Record], rule: Mapping[str, Any] | None = None,
    against: Against = "run", **ending: Any,
) -> Comparison:  # fmt: skip
    section = CompareSection.model_validate({"rules": rule or {}})
    before = read_run(write_night(tmp_path, 0, old))
    after = read_run(write_night(tmp_path, 1, new, **ending))
    return compare_runs(before, after, rules(section), against)


def row(comparison: Comparison, metric: str) -> Row:
    (found,) = (each for each in comparison.rows if each.metric == metric)
    return found


@pytest.mark.parametrize(
    ("latency", "outcome"),
    [(10.0, "passed"), (10.29, "passed"), (10.32, "regressed"), (9.71, "passed"), (9.68, "improved")],
)
def test_the_median_may_move_by_3_percent(tmp_path: Path, latency: float, outcome: Outcome) -> None:
    found = compare(tmp_path, [night_record(10.0)], [night_record(latency)])
    assert row(found, "median_latency_ms").outcome == outcome == found.verdict
    assert row(found, "median_latency_ms").change == pytest.approx(latency / 10 - 1)


def test_microseconds_never_count(tmp_path: Path) -> None:
    found = compare(tmp_path, [night_record(0.1)], [night_record(0.115)])
    assert found.verdict == "passed" and row(found, "median_latency_ms").threshold == "3 % and 0.02 ms"


def test_a_rule_of_the_config_goes_before_the_default(tmp_path: Path) -> None:
    rule = {"median_latency_ms": {"relative": 0.2}}
    found = row(compare(tmp_path, [night_record(10.0)], [night_record(11.0)], rule), "median_latency_ms")
    assert (found.outcome, found.rule, found.threshold) == ("passed", "config", "20 % and 0.02 ms")


def test_a_rule_that_does_not_gate_leaves_the_verdict_alone(tmp_path: Path) -> None:
    rule = {"median_latency_ms": {"gate": False}}
    found = compare(tmp_path, [night_record(10.0)], [night_record(20.0)], rule)
    assert row(found, "median_latency_ms").outcome == "regressed" and found.verdict == "passed"


def test_a_floor_on_the_speed_up_is_about_the_run_itself(tmp_path: Path) -> None:
    rule = {"speedup": {"at_least": 1.3}}
    pair = [night_record(10.0, "native"), night_record(9.0)]
    found = compare(tmp_path, pair, pair, rule)
    assert row(found, "speedup").threshold == "at least 1.3" and found.verdict == "regressed"


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("p99_latency_ms", "9 samples of the 662 that p99 needs"),
        ("speedup", "no native case to compare with"),
        ("map50", "not measured"),
        ("peak_gpu_bytes", "not measured"),
    ],
)
def test_a_bound_on_what_is_missed_is_not_green(tmp_path: Path, metric: str, why: str) -> None:
    """Whether the baseline has it or not, and though no tolerance is about it."""
    has = night_record(10.0, accuracy=Accuracy(metrics={"map": 0.3, "map50": 0.5}, num_images=100))
    lacks = night_record(10.0, accuracy=Accuracy(metrics={"map": 0.3}, num_images=100))
    for name, old in (("has", has), ("lacks", lacks)):
        found = compare(tmp_path / name, [old], [lacks], {metric: {"at_least": 0.1, "at_most": 2}})
        seen = row(found, metric)
        assert (
            seen.note.startswith(f"this run does not have it: {why}") and seen.threshold == "at least 0.1 and at most 2"
        )
        assert (seen.outcome, seen.against, found.verdict) == ("inconclusive", "bound", "inconclusive")


@pytest.mark.parametrize(
    ("metric", "record"),
    [
        ("speedup", night_record(10.0, "native")),
        ("top1", night_record(10.0)),  # of a detector
        ("share_converted", night_record(10.0, "native")),
        ("server_qps", night_record(10.0)),
        ("map", with_random_weights(night_record(10.0))),
        ("map", night_record(10.0, case=make_case("FP16", dataset=Dataset(name="photos", format="images")))),
        ("trt_gpu_time_share", night_record(10.0, "native")),
        ("peak_gpu_bytes", night_record(10.0, environment=make_environment(gpus=()))),
        ("peak_gpu_bytes", night_record(10.0, case=make_case("FP16", "litert"))),
    ],
)
def test_a_bound_is_not_about_cases_that_never_have_the_statistic(tmp_path: Path, metric: str, record: Record) -> None:
    found = compare(tmp_path, [record], [record], {metric: {"at_least": 0.1}})
    assert found.verdict == "passed" and metric not in {each.metric for each in found.rows}


def test_a_bound_that_holds_on_what_is_not_valid_is_not_green(tmp_path: Path) -> None:
    drifting = night_record(10.0, latency=make_samples([10.0 * (1 + 0.01 * n) for n in range(100)]))
    found = compare(tmp_path, [night_record(10.0)], [drifting], {"max_latency_ms": {"at_most": 100.0}})
    assert row(found, "max_latency_ms").note.startswith("not valid: latency drifts")
    assert row(found, "max_latency_ms").outcome == "inconclusive"


@pytest.mark.parametrize(("drop", "outcome"), [(0.004, "passed"), (0.006, "regressed"), (-0.006, "improved")])
def test_accuracy_is_judged_by_its_difference(tmp_path: Path, drop: float, outcome: Outcome) -> None:
    old, new = (
        night_record(10.0, accuracy=Accuracy(metrics={"map": value}, num_images=100)) for value in (0.3, 0.3 - drop)
    )
    assert row(compare(tmp_path, [old], [new]), "map").outcome == outcome


def test_less_of_the_graph_converted_is_worse(tmp_path: Path) -> None:
    old, new = (
        night_record(10.0, conversion=Conversion(converter="TF-TRT", share_converted=share, engine_executions=1))
        for share in (0.99, 0.98)
    )
    assert row(compare(tmp_path, [old], [new]), "share_converted").outcome == "regressed"


def test_throughput_and_memory_have_their_own_direction(tmp_path: Path) -> None:
    old = night_record(10.0, peak_gpu_bytes=2**30)
    new = night_record(10.0, peak_gpu_bytes=2**31)
    found = compare(tmp_path, [old], [new], {"avg_throughput_fps": {"relative": 0.01}})
    assert row(found, "peak_gpu_bytes").outcome == "regressed"
    faster = compare(
        tmp_path / "b", [night_record(10.0)], [night_record(5.0)], {"avg_throughput_fps": {"relative": 0.01}}
    )
    assert row(faster, "avg_throughput_fps").outcome == "improved"


def test_processes_that_differ_by_as_much_cannot_tell(tmp_path: Path) -> None:
    found = compare(tmp_path, repeated([9.0, 10.0, 11.0]), repeated([9.6, 10.6, 11.4]))
    seen = row(found, "median_latency_ms")
    assert seen.outcome == found.verdict == "inconclusive" and seen.interval is not None
    assert seen.interval[0] < 0 < seen.interval[1]


def test_processes_that_agree_can_tell(tmp_path: Path) -> None:
    found = compare(tmp_path, repeated([10.0, 10.01, 9.99]), repeated([10.5, 10.51, 10.49]))
    seen = row(found, "median_latency_ms")
    assert seen.outcome == "regressed" and seen.interval is not None
    assert 0.045 < seen.interval[0] < 0.05 < seen.interval[1] < 0.055


def test_only_valid_measurements_gate(tmp_path: Path) -> None:
    """Of a drifting loop; what the drift does not touch is judged all the same."""
    times = [10.0 * (1 + 0.01 * n) for n in range(100)]
    drifting = night_record(10.0, latency=make_samples(times), peak_gpu_bytes=2**31)
    sound = night_record(10.0, peak_gpu_bytes=2**30)
    for old, new, where in ((sound, drifting, "not valid: latency"), (drifting, sound, "not valid: the baseline")):
        found = row(compare(tmp_path / where[11:15].strip(), [old], [new]), "median_latency_ms")
        assert found.outcome == "inconclusive" and found.note.startswith(where)
    assert row(compare(tmp_path / "memory", [sound], [drifting]), "peak_gpu_bytes").outcome == "regressed"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"methodology_version": 1}, "methodology 2 -> 1"),
        ({"environment": make_environment(cpu="Other CPU")}, "not the same hardware: cpu: Example CPU -> Other CPU"),
        ({"case": make_case("FP16", num_images=64)}, "not the same measurement: num_images: 128 -> 64"),
    ],
)
def test_what_is_not_comparable_is_not_compared(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    found = compare(tmp_path, [night_record(10.0)], [night_record(20.0, **changes)])
    (seen,) = found.rows
    assert why in seen.note and found.verdict == "inconclusive"


def test_other_versions_are_shown_and_compared(tmp_path: Path) -> None:
    new = night_record(10.0, environment=make_environment(driver="590.00"))
    found = compare(tmp_path, [night_record(10.0)], [new])
    assert found.environment == (("driver", "580.00", "590.00"),) and found.verdict == "passed"


def test_a_vanished_case_is_broken_and_a_new_one_is_named(tmp_path: Path) -> None:
    both = [night_record(10.0, "native"), night_record(5.0)]
    gone = compare(tmp_path / "gone", both, both[:1])
    assert gone.vanished == (both[1].case.id,) and gone.verdict == "broken"
    new = compare(tmp_path / "new", both[:1], both)
    assert new.appeared == (both[1].case.id,) and new.verdict == "passed"


def test_what_was_not_selected_has_not_vanished(tmp_path: Path) -> None:
    both = [night_record(10.0, "native"), night_record(5.0)]
    found = compare(tmp_path, both, both[:1], whole=False)
    assert found.verdict == "passed" and any("--select" in remark for remark in found.remarks)


def test_a_crash_or_a_fallback_is_never_green(tmp_path: Path) -> None:
    crashed = night_record(10.0, failure=Failure(kind="crash", phase="measure", message="signal 11"))
    fell_back = night_record(
        10.0, conversion=Conversion(converter="TF-TRT", engines=1, engine_executions=3, native_executions=2)
    )
    for name, new in (("crash", crashed), ("fallback", fell_back)):
        found = compare(tmp_path / name, [night_record(10.0)], [new])
        assert found.verdict == "broken" and [each.outcome for each in found.rows] == ["broken"]
    found = compare(tmp_path / "before", [crashed], [night_record(10.0)])
    assert found.verdict == "inconclusive" and "no result" in found.rows[0].note


def test_a_statistic_that_is_gone_is_not_green(tmp_path: Path) -> None:
    old = night_record(10.0, accuracy=Accuracy(metrics={"map": 0.3}, num_images=100))
    found = compare(tmp_path, [old], [night_record(10.0)])
    assert row(found, "map").note == "this run does not have it: not measured" and found.verdict == "inconclusive"


def with_samples(counts: Sequence[int]) -> list[Record]:
    """A process for each number of samples; with fewer than 662 it has no p99."""
    latencies = (make_samples([10.0] * count) for count in counts)
    return [
        each.model_copy(update={"latency": own})
        for each, own in zip(repeated([10.0] * len(counts)), latencies, strict=True)
    ]


@pytest.mark.parametrize(
    ("old", "new", "which"),
    [((700, 700, 700), (700, 600, 600), "this run"), ((700, 600, 600), (700, 700, 700), "the baseline"),
     ((700, 600, 600), (700, 600, 600), "this run")],
)  # fmt: skip
def test_a_statistic_that_some_processes_lack_is_not_green(
    tmp_path: Path, old: Sequence[int], new: Sequence[int], which: str
) -> None:
    found = compare(tmp_path, with_samples(old), with_samples(new))
    why = "600 samples of the 662 that p99 needs, in 2 of 3 processes"
    assert row(found, "p99_latency_ms").note == f"{which} does not have it: {why}"
    assert row(found, "p99_latency_ms").outcome == found.verdict == "inconclusive"


def test_the_golden_run_has_a_tolerance_of_its_own(tmp_path: Path) -> None:
    found = compare(tmp_path, [night_record(10.0)], [night_record(10.39)], against="golden")
    assert row(found, "median_latency_ms").threshold == "4 % and 0.02 ms" and found.verdict == "passed"


def test_every_default_rule_is_about_a_statistic_with_a_direction() -> None:
    for judged in rules(CompareSection()):
        assert METRICS[judged.metric].higher_is_better is not None and judged.text("run") and judged.text("history")


def test_an_empty_loop_is_no_measurement(tmp_path: Path) -> None:
    found = compare(tmp_path, [night_record(10.0)], [night_record(10.0, latency=Samples(times_ns=(), images=()))])
    assert found.verdict == "inconclusive"
