"""A case in several processes: one column, means over processes, and where their spread comes from."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.case import Case
from bench.evidence import Answers
from bench.export.run import exported_cases
from bench.export.tidy import tidy_csv
from bench.record import Accuracy, Failure, Record
from bench.repeats import merged, repeated
from bench.report.comparison import compare_cases
from bench.report.grid import lay_out
from bench.report.marks import interval_text
from bench.statistics.between import over_processes, spread
from bench.statistics.bounds import Interval, NoInterval
from bench.statistics.summary import summarize
from bench.validity import problems
from bench.verdict import check_all
from tests.configs import ROOT, bench, write_config
from tests.export.runs import EMPTY
from tests.factory import make_case, make_record, make_samples


def in_processes(medians_ms: list[float], precision: str = "native", rebuilds: int = 1) -> list[Record]:
    copies = repeated(make_case(precision), rebuilds, len(medians_ms) // rebuilds)
    return [
        make_record(case=copy, latency=make_samples([median] * 30))
        for copy, median in zip(copies, medians_ms, strict=True)
    ]


def of(values: list[list[float]]) -> list[tuple[Case, float]]:
    """Values of builds, each a list of its processes'."""
    cases = repeated(make_case("FP16"), len(values), len(values[0]))
    return list(zip(cases, (value for build in values for value in build), strict=True))


def test_the_first_keeps_its_id_and_alone_writes_what_was_asked_for() -> None:
    case = make_case("FP16", output_path="out.json")
    copies = repeated(case, 2, 2)
    assert copies[0] is case
    assert [copy.id for copy in copies] == [case.id + end for end in ("", "-repeat2", "-build2", "-build2-repeat2")]
    assert {copy.variant for copy in copies} == {case.id}
    assert [copy.output_path for copy in copies] == ["out.json", None, None, None]


def test_one_column_of_means_with_students_interval_over_processes() -> None:
    values = [10.0, 10.2, 10.4, 9.9]
    (record,) = merged(in_processes(values))
    summary = summarize(record)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert summary.values["median_latency_ms"] == pytest.approx(np.mean(values))
    assert summary.bounds["median_latency_ms"] == pytest.approx((low, high))


def test_no_interval_reaches_below_a_time_of_nothing() -> None:
    (record,) = merged(in_processes([10.0, 14.0]))
    summary = summarize(record)
    assert summary.values["median_latency_ms"] == 12 and "median_latency_ms" not in summary.bounds
    assert summary.unbounded["median_latency_ms"] == "2 processes, which differ too much"


def test_an_interval_over_images_is_about_the_mean_over_processes_too() -> None:
    """Builds may differ in an image or two; the first one's interval need not hold what the table shows."""
    hits = [400, 500, 500, 500]

    def measured(precision: str) -> Record:
        records = []
        for copy, right in zip(repeated(make_case(precision, num_images=1000), 4, 1), hits, strict=True):
            right = right if precision == "FP16" else 600
            answers = Answers(best=(0,) * 1000, scores=(0.5,) * 1000, ranks="1" * right + "0" * (1000 - right))
            accuracy = Accuracy(metrics={"top1": right / 1000}, num_images=1000, answers=answers)
            records.append(make_record(case=copy, accuracy=accuracy))
        (record,) = merged(records)
        return record

    records = [measured("native"), measured("FP16")]
    assert lay_out(compare_cases(records)[0]).legend == (
        "Intervals are of 95 % and between processes: 4 of each variant.",
        "Intervals of accuracy are of 95 % and over the images.",
    )
    run = replace(EMPTY, cases=tuple(exported_cases(compare_cases(records))))
    kinds = {(row["statistic"], row["interval_of"]) for row in csv.DictReader(tidy_csv(run).splitlines())}
    assert {("top1", "over the images"), ("median_latency_ms", "between processes")} <= kinds
    found = summarize(records[1], records[0])
    (low, high), value = found.bounds["top1"], found.values["top1"]
    assert (low + high) / 2 == pytest.approx(value, abs=0.003) and 0.05 < high - low < 0.07
    assert sum(found.differences["top1"]) / 2 == pytest.approx(value - 0.6, abs=0.003)


def test_a_speedup_is_that_of_processes_of_the_same_repeat() -> None:
    native, fast = in_processes([10, 20, 40]), in_processes([5, 10, 20], "FP16")
    both = merged([*native, *fast])
    summary = summarize(both[1], both[0])
    assert summary.values["speedup"] == pytest.approx(2)
    assert summary.bounds["speedup"] == pytest.approx((2, 2))


def test_the_native_case_agrees_with_itself_in_no_process() -> None:
    """Neither a value nor a reason for its lack, as of a native case that ran once."""
    answers = Answers(best=(1, 2), scores=(0.5, 0.5), ranks="11")
    accuracy = Accuracy(metrics={"top1": 1.0}, num_images=2, answers=answers)
    (native,) = merged(record.model_copy(update={"accuracy": accuracy}) for record in in_processes([10, 11, 12]))
    summary = summarize(native, native)
    assert "agreement" not in {**summary.values, **summary.absent} and summary.values["speedup"] == 1
    assert "speedup" not in summary.bounds and "median_latency_ms" in summary.bounds


def test_the_legend_says_by_column_what_intervals_are() -> None:
    """Of one process, of three, of two; a column without an interval is in none."""
    alone = make_record(latency=make_samples(np.random.default_rng(0).normal(10, 0.1, 200)))
    three, two = in_processes([10, 10.1, 10.2], "FP32"), in_processes([10, 10.01], "FP16")
    (mixed,) = compare_cases(merged([alone, *three, *two, make_record("INT8")]))
    (legend,) = lay_out(mixed).legend
    assert legend == (
        "Intervals are of 95 %; of native, within the run: the spread between processes is not in them; "
        "of FP16 (tf-trt), between 2 processes; of FP32 (tf-trt), between 3 processes."
    )
    assert interval_text(mixed.columns) == "95 % interval between processes; of one process, within its run"
    (same,) = compare_cases(merged([make_record(), *two]))
    assert lay_out(same).legend == ("Intervals are of 95 % and between processes: 2 of each variant.",)


def test_builds_are_the_unit_where_there_are_several() -> None:
    value, interval = over_processes(of([[10, 10, 10], [12, 12, 12]]), in_logs=False)
    assert value == 11 and isinstance(interval, Interval)
    assert interval.low == pytest.approx(11 - stats.t.ppf(0.975, 1) * np.sqrt(2) / np.sqrt(2))


def test_of_a_single_process_there_is_no_interval() -> None:
    value, interval = over_processes(of([[10]]), in_logs=True)
    assert value == pytest.approx(10) and isinstance(interval, NoInterval)
    assert spread(of([[10]])).run_to_run is None


def test_spread_of_runs_and_of_builds_is_told_apart() -> None:
    random = np.random.default_rng(7)
    builds = [[100 + offset + each for each in random.normal(0, 1, 5)] for offset in random.normal(0, 3, 400)]
    found = spread(of(builds))
    assert found.run_to_run == pytest.approx(0.01, rel=0.06)
    assert found.build_to_build == pytest.approx(0.03, rel=0.1)
    alike = spread(of([[100 + each for each in random.normal(0, 1, 5)] for _ in range(400)]))
    assert alike.build_to_build is not None and alike.build_to_build < 0.003


def test_a_process_that_failed_or_is_not_valid_is_seen_in_the_column() -> None:
    first, second, third = in_processes([10, 10, 10])
    failed = second.model_copy(update={"failure": Failure(kind="crash", phase="measure", message="x")})
    (record,) = merged([first, failed, third])
    assert record.failure is not None and record.failure.kind == "crash"
    (check,) = check_all(["median_latency_ms < 1"], [first, failed, third])
    assert check.explanation == "is about no case that was measured; 1 of 1 failed"
    (check,) = check_all(["speedup > 0"], [first, second, third])
    assert check.explanation == "is about no case of this suite"
    drifting = third.model_copy(update={"latency": make_samples(np.linspace(10, 20, 300))})
    (record,) = merged([first, second, drifting])
    assert problems(record)[0].startswith("repeat3: latency drifts")


def test_an_assertion_is_about_the_mean_of_all_processes() -> None:
    checks = check_all(["median_latency_ms < 11"], in_processes([10, 10, 16]))
    assert [(check.outcome, check.explanation) for check in checks] == [("failed", "median_latency_ms = 12")]


def test_a_config_with_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    changes: dict[str, Any] = {
        "name": "s",
        "matrix": {"optimization_config.precision_mode": ["native", "FP32"]},
        "benchmark_config.repeats": 3,
        "benchmark_config.interleave_rounds": 6,
    }
    outcome = bench("test", write_config(changes))
    assert outcome.exit_code == 0, outcome.stderr
    (folder,) = (tmp_path / "results" / "s").iterdir()
    assert len(list(folder.glob("*.json"))) == 1 + 6 == len(list(folder.glob("*-repeat*.json"))) + 3
    rows = list(csv.DictReader((folder / "comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["case_id"] for row in rows] == ["resnet50-native-b1", "resnet50-FP32-b1"]
    assert float(rows[1]["speedup_low"]) <= float(rows[1]["speedup"]) <= float(rows[1]["speedup_high"])
    shown = " ".join(outcome.stdout.split())
    assert "Intervals are of 95 % and between processes: 3 of each variant." in shown
    assert "means over 3 processes; median_latency_ms differs by" in shown and "run to run" in shown


@pytest.mark.parametrize("key", ["repeats", "rebuilds"])
def test_they_are_the_same_for_all_cases(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = bench("test", write_config({"matrix": {f"benchmark_config.{key}": [1, 2]}}))
    assert outcome.exit_code == 2
    assert f"test.json: matrix.benchmark_config.{key}: is the same for all cases" in outcome.stderr
