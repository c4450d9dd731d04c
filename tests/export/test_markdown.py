"""Markdown for pull requests: what is wrong first, and never more than GitHub takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.compare.comparison import Comparison, Row
from bench.export.markdown import COMMENT, LEAST, SUMMARY, Block, markdown
from tests.export.runs import CRASHED, FELL_BACK, GONE, NATIVE, UNSETTLED, good_export, make_export


def test_the_verdict_is_first_then_what_is_wrong_then_changes_then_figures(tmp_path: Path) -> None:
    text = markdown(make_export(tmp_path))
    assert text.startswith("## X broken: nightly\n")
    places = [
        text.index(each)
        for each in (
            "Cases without a valid result",
            "Assertions that did not pass",
            "! regressed",
            "avg_latency_ms",
            "unchanged",
        )
    ]
    assert places == sorted(places)
    for case in (UNSETTLED, CRASHED, FELL_BACK, GONE):
        assert case in text[: text.index("Assertions that did not pass")]
    assert NATIVE not in text[: text.index("Assertions that did not pass")]


def test_a_regression_comes_before_what_is_inconclusive(tmp_path: Path) -> None:
    text = markdown(make_export(tmp_path))
    assert (
        text.index("X broken:") < text.index("! regressed |") < text.index("? inconclusive") < text.index("+ improved")
    )


def test_figures_that_are_not_results_are_marked(tmp_path: Path) -> None:
    lines = markdown(make_export(tmp_path)).splitlines()
    (head,) = (line for line in lines if line.startswith("|  | unit |"))
    assert "FP16 (tf-trt) (failed)" in head and "INT8 (tf-trt) (broken)" in head and "FP32 (tf-trt) †" in head
    (values,) = (line.split("|")[3:-1] for line in lines if line.startswith("| median_latency_ms | ms |"))
    assert [value.strip() for value in values] == ["10.00", "10.00†", "2.000†", "1.000†"]


def test_html_and_controls_are_escaped(tmp_path: Path) -> None:
    text = markdown(make_export(tmp_path))
    assert "<script>" not in text and "&lt;script&gt;" in text and "\x1b" not in text and "\x00" not in text


def test_a_good_run_is_short(tmp_path: Path) -> None:
    text = markdown(good_export(tmp_path))
    assert text.startswith("## = passed: nightly\n") and "1 case: 1 valid." in text.replace("\\", "")


@pytest.mark.parametrize("limit", [2048, COMMENT, SUMMARY])
def test_thousands_of_rows_fit_and_changed_ones_stay(tmp_path: Path, limit: int) -> None:
    rows = [Row(f"case-ü-{n}", "s", "median_latency_ms", "passed", old=1.0, new=1.0) for n in range(9000)]
    rows[8000] = replace(rows[8000], outcome="regressed", new=2.0, case="the-slow-one")
    run = replace(make_export(tmp_path), comparison=Comparison("before", "now", tuple(rows)))
    text = markdown(replace(run, cases=run.cases[:1], checks=()), limit)
    assert len(text.encode()) <= limit and "the-slow-one" in text
    whole = text.count("case-ü-") == 8999
    assert whole or f"and {8999 - text.count('case-ü-')} more" in text or "sections do not fit" in text


@given(st.lists(st.text(max_size=300), max_size=30), st.integers(0, 3000))
def test_a_block_is_within_its_room_and_says_what_is_missing(lines: list[str], room: int) -> None:
    block = Block("head", tuple(lines), "tail")
    text = block.within(room)
    assert len(text.encode()) <= room
    whole = "\n".join(["head", *lines]) + "tail"
    assert text in ("", whole) or (text.endswith("moretail") and len(whole.encode()) > room)


@settings(max_examples=30)
@given(limit=st.integers(LEAST, 20_000), count=st.integers(0, 60), message=st.text(max_size=2000))
def test_no_run_is_longer_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, limit: int, count: int, message: str
) -> None:
    run = make_export(tmp_path_factory.mktemp("run"))
    cases = tuple(replace(run.cases[2], id=f"{n}{message}", reason=message) for n in range(count))
    assert len(markdown(replace(run, cases=cases), limit).encode()) <= limit
