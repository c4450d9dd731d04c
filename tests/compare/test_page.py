"""A comparison's page: verdict, what changed, what differs besides, and nothing that was not ours."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.compare.comparison import Cause, Comparison, Row
from bench.compare.page import comparison_page, picture
from tests.configs import bench
from tests.factory import make_environment
from tests.history.nights import repeated, write_night
from tests.report.markup import Reader

ROW = Row("resnet50-FP16", "0123", "median_latency_ms", "regressed", old=10.0, new=11.0, threshold="3 %", rule="config")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_changed_comes_first_with_interval_tolerance_and_rule() -> None:
    slower = make_environment(driver="590.00")
    a = write_night(Path("results"), 0, [*repeated([10.0, 10.1, 9.9]), *repeated([20.0, 20.1], "native")])
    new = [*repeated([12.0, 12.1, 11.9], environment=slower), *repeated([20.1, 20.0], "native", environment=slower)]
    b = write_night(Path("results"), 1, new)
    assert bench("compare", str(a), str(b), "--html", "page.html").exit_code == 1
    reader = Reader(Path("page.html").read_text(encoding="utf-8"))
    text = reader.text
    assert reader.open == []
    parts = ("Verdict: regressed", "1 regressed", "! regressed", "+20.00 % [", "3 % and 0.02 ms (default)",
             "between processes", "driver 580.00 590.00", "Unchanged")  # fmt: skip
    order = [text.index(part) for part in parts]
    assert order == sorted(order)
    assert text.index("fp16-tf-trt") < text.index("Unchanged") < text.index("native-tensorflow")


def test_what_vanished_is_said_at_the_top() -> None:
    page = comparison_page(Comparison("a", "b", (ROW,), vanished=("resnet50-INT8",), appeared=("resnet50-FP32",)))
    text = Reader(page).text
    assert "Verdict: broken" in text and text.index("Vanished resnet50-INT8") < text.index("! regressed")
    assert "Appeared resnet50-FP32" in text


def test_the_causes_of_what_changed_stand_below_it() -> None:
    cause = Cause(
        "resnet50-FP16", ("median_latency_ms", "compute_ms"), "nightly/a", ("stages: compute +0.4 ms", "driver")
    )
    text = Reader(comparison_page(Comparison("a", "b", (ROW,), causes=(cause,), unexplained=3))).text
    told = "Why resnet50-FP16 median_latency_ms, compute_ms, held against nightly/a: stages: compute +0.4 ms driver"
    assert text.index("! regressed") < text.index(told) < text.index("3 more cases")


def test_an_empty_comparison_is_a_page() -> None:
    text = Reader(comparison_page(Comparison("a", "b", ()))).text
    assert "Verdict: inconclusive nothing to compare" in text and "Nothing changed" in text


@pytest.mark.parametrize(("new", "side"), [(11.0, 1), (9.0, -1), (10.0, 0), (90.0, 1)])
def test_a_change_is_drawn_on_its_side(new: float, side: int) -> None:
    drawn = str(picture(replace(ROW, new=new), 0.2))
    found = re.search(r'class="(?:nights|outliers)" d="M([\d.]+)', drawn)
    assert found is not None
    x = float(found[1]) - 80
    assert (x > 0) - (x < 0) == side
    assert ("outliers" in drawn) == (new == 90.0)  # beyond the scale: an arrow
    assert picture(replace(ROW, old=None), 0.2) == ""


def test_nothing_of_a_comparison_is_taken_as_markup() -> None:
    evil = '"></td><script>alert(1)</script>'
    row = replace(ROW, case=evil, note=evil, threshold=evil, rule=evil)
    page = comparison_page(Comparison(evil, evil, (row,), (evil,), (evil,), ((evil, evil, evil),), (evil,)))
    reader = Reader(page)
    assert reader.tags.count("script") == 1 and reader.text.count(evil) >= 11 and reader.open == []
