"""github-action-benchmark: the fields that its extract.ts reads, and the ratio that its alert is raised by."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench.export.action_benchmark import INVALID, VALID, bigger_is_better, smaller_is_better
from tests.export.runs import NATIVE, UNSETTLED, good_export, make_export

SCHEMA = {  # of its README and of BenchmarkResult in src/extract.ts
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "properties": {
            "name": {"type": "string"},
            "unit": {"type": "string"},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "additionalProperties": False,
    },
}


def read(text: str) -> dict[str, Any]:
    entries = json.loads(text)
    pytest.importorskip("jsonschema").validate(entries, SCHEMA)
    found = {entry["name"]: entry for entry in entries}
    assert len(found) == len(entries)
    return found


def test_only_valid_values_are_there_and_the_others_are_counted(tmp_path: Path) -> None:
    smaller, bigger = (
        read(write(make_export(tmp_path / write.__name__))) for write in (smaller_is_better, bigger_is_better)
    )
    assert smaller[f"nightly: {NATIVE}: median_latency_ms"]["value"] == 10.0
    assert not any(UNSETTLED in name for name in {*smaller, *bigger} if "latency" in name or "fps" in name)
    assert smaller[f"nightly: {INVALID}"]["value"] == 4 and bigger[f"nightly: {VALID}"]["value"] == 1
    assert "warm-up had not settled" in smaller[f"nightly: {INVALID}"]["extra"]


def ratio(before: float, now: float) -> float:
    """What the action holds against its threshold where smaller is better; JavaScript divides by 0."""
    if before:
        return now / before
    return math.inf if now else math.nan


def test_a_case_that_is_no_longer_valid_raises_the_actions_alert(tmp_path: Path) -> None:
    good, bad = good_export(tmp_path / "good"), make_export(tmp_path / "bad")
    name = f"nightly: {INVALID}"
    before, now = (read(smaller_is_better(run))[name]["value"] for run in (good, bad))
    assert ratio(before, now) > 2.0 and not ratio(before, before) > 2.0
