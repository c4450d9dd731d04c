"""pytest-benchmark's JSON, read by pytest-benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats

from bench.export.pytest_benchmark import NOT_VALID, pytest_benchmark_json, stats
from tests.export.runs import CRASHED, FELL_BACK, GONE, NATIVE, UNSETTLED, make_export


def compare(*files: Path) -> str:
    """`pytest-benchmark compare FILE...`"""
    command = [sys.executable, "-c", "from pytest_benchmark.cli import main; main()", "compare", *map(str, files)]
    done = subprocess.run([*command, "--columns=median,rounds"], capture_output=True, text=True, check=True,
                          cwd=files[0].parent, env={"COLUMNS": "300", "PATH": ""})  # fmt: skip
    return done.stdout + done.stderr


def test_compare_shows_the_cases_and_what_is_not_valid(tmp_path: Path) -> None:
    file = tmp_path / "0001_night.json"
    file.write_text(pytest_benchmark_json(make_export(tmp_path)), encoding="utf-8")
    shown = compare(file)
    assert NATIVE in shown and f"{UNSETTLED}{NOT_VALID}" in shown
    assert CRASHED not in shown and FELL_BACK not in shown and "Failed to load" not in shown


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    document = json.loads(pytest_benchmark_json(make_export(tmp_path)))
    assert {*document["left_out"]} == {CRASHED, FELL_BACK, GONE} and document["verdict"] == "broken"
    native, unsettled = document["benchmarks"]
    assert native["stats"]["median"] == 0.01 and native["stats"]["rounds"] == 9
    assert native["extra_info"]["statistics"]["median_latency_ms"] == 10.0
    assert "warm-up had not settled" in unsettled["extra_info"]["not_valid"]["median_latency_ms"]
    assert "median_latency_ms" not in unsettled["extra_info"]["statistics"]


@given(st.lists(st.integers(1, 10**10).map(lambda nanoseconds: nanoseconds / 1e9), min_size=1, max_size=40))
def test_statistics_are_those_of_pytest_benchmark(data: list[float]) -> None:
    theirs = Stats()
    for value in data:
        theirs.update(value)
    mine = stats(data)
    expected = {**theirs.as_dict(), "data": data, "iterations": 1}
    assert {*mine} == {*expected}
    numbers = {name for name in mine if name not in ("outliers", "data", "ld15iqr", "hd15iqr", "iqr_outliers")}
    numbers -= {"stddev_outliers"}
    assert {n: mine[n] for n in numbers} == pytest.approx({n: expected[n] for n in numbers}, rel=1e-9, abs=1e-15)
