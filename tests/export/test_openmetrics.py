"""OpenMetrics, read by prometheus_client: its parser of OpenMetrics, and that of Prometheus's own text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus
from prometheus_client.samples import Sample

from bench.export.openmetrics import openmetrics
from tests.export.runs import CRASHED, EMPTY, FELL_BACK, GONE, NATIVE, STATUSES, UNSETTLED, against_both, make_export
from tests.factory import make_environment


@pytest.fixture
def text(tmp_path: Path) -> str:
    return openmetrics(make_export(tmp_path))


def samples(text: str, name: str) -> list[Sample]:
    return [sample for family in parse_openmetrics(text) for sample in family.samples if sample.name == name]


def test_both_parsers_read_the_same(text: str) -> None:
    one, other = (
        {(s.name, tuple(s.labels.items())): s.value for family in parse(text) for s in family.samples}
        for parse in (parse_openmetrics, parse_prometheus)
    )
    assert one == other and len(one) > 50


def test_a_statistic_is_a_sample_only_where_it_is_valid(text: str) -> None:
    (found,) = samples(text, "bench_median_latency_ms")
    assert found.labels["case"] == NATIVE and found.value == 10.0 and found.labels["precision"] == "native"
    invalid = {s.labels["case"] for s in samples(text, "bench_statistic_valid") if s.value == 0}
    assert invalid >= {UNSETTLED, CRASHED, FELL_BACK}


def test_every_case_has_one_status(text: str) -> None:
    holding = {s.labels["case"]: s.labels["status"] for s in samples(text, "bench_case_status") if s.value == 1}
    assert holding == STATUSES and GONE in holding
    counts = {s.labels["status"]: s.value for s in samples(text, "bench_cases")}
    assert counts == {"valid": 1, "not valid": 1, "failed": 2, "broken": 1}


def test_the_verdict_and_the_changes_are_there(text: str) -> None:
    assert [s.labels["verdict"] for s in samples(text, "bench_run_verdict") if s.value] == ["broken"]
    changes = {(s.labels["case"], s.labels["statistic"]): s.value for s in samples(text, "bench_change_ratio")}
    assert changes[NATIVE, "median_latency_ms"] == pytest.approx(1 / 9)
    assert (UNSETTLED, "median_latency_ms") not in changes
    assert samples(text, "bench_comparison_vanished")[0].value == 1


def test_changes_against_the_history_and_the_golden_run_are_told_apart(tmp_path: Path) -> None:
    text = openmetrics(replace(make_export(tmp_path), comparison=against_both(NATIVE)))
    changes = {s.labels["against"]: s.value for s in samples(text, "bench_change_ratio")}
    assert changes == {"history": pytest.approx(0.1 / 9.9), "golden": pytest.approx(1 / 9)}
    assert [s.labels["against"] for s in samples(text, "bench_changes")] == ["history", "golden", "bound"]


@given(st.text(), st.text())
def test_any_text_gives_samples_that_parse(name: str, commit: str) -> None:
    environment = make_environment(git_commit=commit)
    families = [*parse_openmetrics(openmetrics(replace(EMPTY, suite=name, environment=environment)))]
    assert any(family.name == "bench_run_info" for family in families)
