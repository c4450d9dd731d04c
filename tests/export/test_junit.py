"""JUnit, read by junitparser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from bench.compare.comparison import Comparison, Row
from bench.export.junit import junit
from bench.export.run import ExportedRun, exported_cases
from bench.record import Check, Record
from bench.repeats import merged
from bench.report.comparison import compare_cases
from bench.verdict import broken_because, exit_code, verdict, worst
from tests.export.runs import (
    CHECKS,
    CRASHED,
    EMPTY,
    FELL_BACK,
    GONE,
    NATIVE,
    UNSETTLED,
    against_both,
    comparison,
    good_export,
    make_export,
    records,
)
from tests.history.nights import repeated


def cases_of(run: ExportedRun) -> dict[tuple[str, str], TestCase]:
    return {(str(case.classname), str(case.name)): case for suite in suites(run) for case in suite}


def suites(run: ExportedRun) -> Iterator[TestSuite]:
    return iter(JUnitXml.fromstring(junit(run).encode()))


def kinds(case: TestCase) -> list[type]:
    return [type(each) for each in case.result]


@pytest.mark.parametrize(
    ("case", "name", "kind"),
    [
        (NATIVE, "measured", None),
        (UNSETTLED, "measured", Skipped),
        (CRASHED, "measured", Error),
        (FELL_BACK, "measured", Error),
        (GONE, "measured", Error),
        (NATIVE, "avg_latency_ms < 20", None),
        (NATIVE, "top1 > 0.9", Failure),
        (UNSETTLED, "speedup > 1", Skipped),
        (NATIVE, "compute_ms against the baseline", None),
        (NATIVE, "median_latency_ms against the baseline", Failure),
        (NATIVE, "throughput_fps against the baseline", None),
        (NATIVE, "peak_host_bytes against the baseline", Skipped),
        (UNSETTLED, "median_latency_ms against the baseline", Skipped),
        (CRASHED, "against the baseline", Error),
        ("old-case", "against the baseline", Error),
    ],
)
def test_only_what_is_valid_passes(tmp_path: Path, case: str, name: str, kind: type | None) -> None:
    found = cases_of(make_export(tmp_path))[f"nightly.{case}", name]
    assert kinds(found) == ([] if kind is None else [kind])


def test_counts_are_those_of_the_tests(tmp_path: Path) -> None:
    (suite,) = suites(make_export(tmp_path))
    of = [kinds(case) for case in suite]
    assert (suite.tests, suite.errors, suite.failures, suite.skipped) == (
        len(of), of.count([Error]), of.count([Failure]), of.count([Skipped]),
    )  # fmt: skip
    assert (suite.name, suite.hostname, suite.timestamp) == ("nightly", "bench-host", "2026-01-01T02:00:00")
    assert {each.name: each.value for each in suite.properties()}["verdict"] == "broken"


def test_reasons_and_figures_are_told(tmp_path: Path) -> None:
    found = cases_of(make_export(tmp_path))
    (skipped,) = found[f"nightly.{UNSETTLED}", "measured"].result
    assert "warm-up had not settled" in skipped.message
    (failure,) = found[f"nightly.{NATIVE}", "median_latency_ms against the baseline"].result
    assert "+11.11 % [+8.00, +14.00]" in failure.message and "3 % (default)" in failure.message
    assert "clock: 1980 -> 1700 MHz" in found[f"nightly.{NATIVE}", "median_latency_ms against the baseline"].system_out
    native, unsettled = (found[f"nightly.{case}", "measured"] for case in (NATIVE, UNSETTLED))
    assert "avg_latency_ms: 10.00 ms" in native.system_out and native.time == 3.5
    assert "latency_ms" not in (unsettled.system_out or "")


def test_the_time_of_a_case_is_that_of_all_its_processes() -> None:
    (record,) = merged(repeated([10.0] * 3, "native", seconds=2.5))
    (case,) = cases_of(replace(EMPTY, cases=tuple(exported_cases(compare_cases([record]))))).values()
    assert case.time == 7.5


def test_a_run_that_is_held_against_nothing_passes(tmp_path: Path) -> None:
    (suite,) = suites(good_export(tmp_path))
    assert (suite.tests, suite.errors, suite.failures, suite.skipped) == (1, 0, 0, 0)


def test_every_row_of_a_comparison_is_a_test_with_a_name_of_its_own(tmp_path: Path) -> None:
    run = replace(make_export(tmp_path), comparison=against_both(NATIVE))
    names = {name for case, name in cases_of(run) if name.startswith("median_latency_ms ")}
    assert names == {f"median_latency_ms {end}" for end in ("against the baseline", "against the golden run",
                                                            "within its bounds")}  # fmt: skip


def test_a_comparison_that_could_compare_nothing_is_skipped(tmp_path: Path) -> None:
    run = make_export(tmp_path)
    assert run.comparison is not None
    empty = replace(run, comparison=replace(run.comparison, rows=(), vanished=()))
    (skipped,) = cases_of(empty)["nightly.comparison", "against nightly/before"].result
    assert isinstance(skipped, Skipped) and "a remark" in skipped.message


KEPT = records()
SAID = [Check.model_validate(check) for check in CHECKS]


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(KEPT), unique_by=lambda record: record.case.id, min_size=1),
    st.lists(st.sampled_from(SAID)),
    st.none() | st.lists(st.sampled_from(comparison().rows), min_size=1),
)
def test_a_ci_server_sees_what_the_exit_code_says(
    found: list[Record], checks: list[Check], rows: list[Row] | None
) -> None:
    """4: an error. 1: a failure and no error. 3: skipped and neither. 0: neither."""
    held = None if rows is None else Comparison("before", "now", tuple(rows))
    outcome = worst([verdict(found, checks), *(() if held is None else (held.verdict,))])
    cases = tuple(exported_cases(compare_cases(found, broken_because)))
    (suite,) = suites(replace(EMPTY, verdict=outcome, cases=cases, checks=tuple(checks), comparison=held))
    seen = suite.errors > 0, suite.failures > 0, suite.skipped > 0
    code = exit_code([outcome])
    if code == 4:
        assert seen[0]
    else:
        assert seen[:2] == (False, code == 1) and (seen[2] or code != 3)


@given(st.text(), st.text())
def test_any_text_gives_a_document_that_parses(name: str, explanation: str) -> None:
    check = Check(case_id="case", expression=name, outcome="failed", explanation=explanation)
    run = replace(EMPTY, checks=(check,), suite=name)
    (suite,) = suites(run)
    assert suite.failures == 1
