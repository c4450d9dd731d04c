"""Telemetry of a real GPU: that it is there, and that it disturbs nothing."""

from __future__ import annotations

from typing import Any

from tests.gpu.conftest import run_module

PAIRS, SAMPLES = 480, 50


def beside_sampler() -> dict[str, Any]:
    """ResNet-50, batch 8; a block lasts a third of a second or so: three readings. With fewer pairs noise hides 1 %."""
    found: dict[str, Any] = run_module("tests.gpu.beside_sampler", "ResNet50", "8", str(PAIRS), str(SAMPLES))
    return found


def test_latency_with_and_without_telemetry_is_the_same_within_one_percent() -> None:
    found = beside_sampler()
    print("with telemetry over without:", found)
    assert found["failed"] is None and found["gpu"] and found["readings"] > PAIRS
    assert abs(found["value"] - 1) <= 0.01
