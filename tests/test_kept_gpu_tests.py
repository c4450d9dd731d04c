"""What tests/gpu printed on a GPU, kept in results/reference/tests_gpu: the bounds that the documentation cites."""

from __future__ import annotations

import re

import pytest

from tests.configs import ROOT

PRINTED = {file.stem: file.read_text("utf-8") for file in (ROOT / "results/reference/tests_gpu").glob("*.txt")}


def test_all_of_them_passed() -> None:
    modules = {file.stem for file in (ROOT / "tests/gpu").glob("test_*.py")}
    assert modules <= {name for text in PRINTED.values() for name in re.findall(r"tests/gpu/(test_\w+)\.py", text)}
    for name, text in PRINTED.items():
        assert re.search(r"(?m)^(=+ )?\d+ passed(, \d+ deselected)? in ", text), name
        assert not re.search(r"\d+ (failed|error)", text), name


def test_the_sampler_costs_less_than_one_percent_of_latency() -> None:
    found = re.findall(r"'low': ([\d.]+), 'high': ([\d.]+)", PRINTED["test_telemetry"])
    assert len(found) >= 2
    for low, high in found:
        assert float(low) == pytest.approx(1, abs=0.01) and float(high) == pytest.approx(1, abs=0.01)


def test_compute_times_are_what_cuda_events_say_within_two_percent() -> None:
    (ratio,) = re.findall(r"compute / CUDA events: ([\d.]+)", PRINTED["test_measurements"])
    assert float(ratio) == pytest.approx(1, abs=0.02)
