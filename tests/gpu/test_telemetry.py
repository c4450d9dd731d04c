"""Telemetry of a real GPU: that it is there, and that it disturbs nothing."""

from __future__ import annotations

from typing import Any

from tests.gpu.conftest import run_module

ATTEMPTS = 3


def beside_sampler() -> dict[str, Any]:
    """ResNet-50, batch 8; a block lasts a third of a second or so: three readings."""
    found: dict[str, Any] = run_module("tests.gpu.beside_sampler", "ResNet50", "8", "40", "50")
    return found


def test_latency_with_and_without_telemetry_is_the_same_within_one_percent() -> None:
    """A cost of the sampler's would show in every attempt; a neighbour on the machine does not."""
    found: list[dict[str, Any]] = []
    while len(found) < ATTEMPTS and not any(abs(each["value"] - 1) <= 0.01 for each in found):
        found.append(beside_sampler())
        print("with telemetry over without:", found[-1])
    assert all(each["failed"] is None and each["gpu"] and each["readings"] > 40 for each in found)
    assert min(abs(each["value"] - 1) for each in found) <= 0.01
