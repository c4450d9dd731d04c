"""Tidy CSV, read by pandas."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.export.run import ExportedCase, ExportedRun
from bench.export.tidy import HEAD, tidy_csv
from tests.export.runs import CRASHED, EMPTY, FELL_BACK, GONE, NATIVE, UNSETTLED, against_both, good_export, make_export


def frame(run: ExportedRun) -> Any:
    return pd.read_csv(io.StringIO(tidy_csv(run)))


def row(table: Any, case: str, statistic: str) -> Any:
    (found,) = table[(table.case_id == case) & (table.statistic == statistic)].to_dict("records")
    return found


def test_a_row_holds_a_statistic_its_unit_and_what_the_comparison_said(tmp_path: Path) -> None:
    found = row(frame(make_export(tmp_path)), NATIVE, "median_latency_ms")
    assert (found["value"], found["unit"], found["better"], found["valid"]) == (10.0, "ms", "lower", True)
    assert (found["outcome"], found["baseline_value"], found["change_low"]) == ("regressed", 9.0, 0.08)
    assert found["change"] == pytest.approx(1 / 9) and found["tolerated"] == "3 %" and found["gates"]
    assert (found["backend"], found["batch_size"], found["commit"]) == ("tensorflow", 1, "0123456789abcdef")


def test_what_a_night_may_differ_by_is_no_interval_of_its_change(tmp_path: Path) -> None:
    """Of one statistic, held against the history and against the golden run."""
    table = frame(replace(make_export(tmp_path), comparison=against_both(NATIVE)))
    history, golden, _ = table[(table.statistic == "median_latency_ms") & table.against.notna()].to_dict("records")
    assert (history["against"], history["expected_low"], history["expected_high"]) == ("history", -0.01, 0.02)
    assert (golden["against"], golden["change_low"], golden["change_high"]) == ("golden", 0.05, 0.07)
    for row, names in ((history, "change"), (golden, "expected")):
        assert pd.isna(row[f"{names}_low"]) and pd.isna(row[f"{names}_high"])


def test_filtering_for_valid_leaves_valid_figures_alone(tmp_path: Path) -> None:
    table = frame(make_export(tmp_path))
    valid = table[(table.valid == True) & table.value.notna()]  # noqa: E712
    timed = valid[valid.statistic.str.contains("latency", na=False)]
    assert {*timed.case_id} == {NATIVE} and len(timed)
    assert not len(valid[valid.case_id.isin([CRASHED, FELL_BACK, GONE])])
    doubtful = row(table, UNSETTLED, "median_latency_ms")
    assert doubtful["value"] == 10.0 and not doubtful["valid"] and "warm-up had not settled" in doubtful["reason"]


@pytest.mark.parametrize(
    ("case", "reason"), [(CRASHED, "crash in phase accuracy"), (FELL_BACK, "fell back"), (GONE, "no record")]
)
def test_a_case_without_results_has_a_row_that_says_why(tmp_path: Path, case: str, reason: str) -> None:
    table = frame(make_export(tmp_path))
    (found,) = table[(table.case_id == case) & table.statistic.isna()].to_dict("records")
    assert not found["valid"] and reason in found["reason"]


def test_a_vanished_case_has_a_row(tmp_path: Path) -> None:
    (found,) = frame(make_export(tmp_path)).query("case_id == 'old-case'").to_dict("records")
    assert found["outcome"] == "broken" and found["note"] == "vanished"


def test_columns_are_the_same_whatever_the_run(tmp_path: Path) -> None:
    with_comparison, without = (frame(make_export(tmp_path / str(each), each)) for each in (True, False))
    assert [*with_comparison] == [*without] == [*frame(good_export(tmp_path))] == [*HEAD]


@given(st.text(), st.text())
def test_any_text_gives_one_row_a_case_and_no_formula(name: str, reason: str) -> None:
    case = ExportedCase("=1+1", "failed", reason, None)
    text = tidy_csv(replace(EMPTY, suite=name, cases=(case, case)))
    table = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert len(table) == 2 and not table.case_id.str.startswith("=").any()
