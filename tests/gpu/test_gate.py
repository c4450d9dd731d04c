"""Gate B on a real GPU: fresh processes take turns with the baseline's engine, out of the conversion cache."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.store import load_records, read_suite
from tests.gpu.conftest import ROOT

QUIET = ("compute_ms", "throughput_fps", "p99_latency_ms", "trt_gpu_time_share", "peak_gpu_bytes", "model_bytes")
CONFIG: dict[str, Any] = {
    "name": "gate",
    "model_config": {"model_name": "shapes_classifier"},
    "optimization_config": {"use_trt": True, "precision_mode": "FP16"},
    "benchmark_config": {
        "use_synthetic": True, "image_shape": [64, 64], "batch_size": 4, "num_images": 8, "num_iterations": 100,
        "telemetry": False,
    },
    "compare_config": {
        "rules": {"median_latency_ms": {"relative": 0.3}, **{name: {"gate": False} for name in QUIET}},
        "confirm_processes": 2,
    },
}  # fmt: skip


def test_fresh_processes_take_turns_with_the_baselines_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline's record is made twice as fast as it was: its engine is then as slow as the run's own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "gate.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    command = [sys.executable, "-m", "bench.test", str(tmp_path / "gate.json"), "--results", str(tmp_path / "results")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    (baseline,) = (tmp_path / "results" / "gate").iterdir()
    (first,) = load_records(baseline)
    assert first.latency is not None and first.conversion is not None and first.conversion.cache_entry is not None
    faster = first.latency.model_copy(update={"times_ns": tuple(ns // 2 for ns in first.latency.times_ns)})
    record = first.model_copy(update={"latency": faster})
    (baseline / f"{first.case.id}.json").write_text(record.model_dump_json(), encoding="utf-8")
    done = subprocess.run([*command, "--baseline", str(baseline)], cwd=ROOT, check=False)
    (run,) = (each for each in (tmp_path / "results" / "gate").iterdir() if each != baseline)
    again = load_records(run / "again")
    assert len(again) == 4 and all(each.failure is None and len(each.blocks) >= 20 for each in again)
    entries = {each.conversion.cache_entry for each in again if each.conversion is not None}
    assert entries == {first.conversion.cache_entry}
    assert all(each.conversion is not None and each.conversion.engine_executions for each in again)
    assert sorted(each.case.optimization.kept_conversion or "" for each in again) == ["", "", *entries, *entries]
    (told,) = read_suite(run)["again"]
    assert "2 pairs of processes" in (run / "baseline.md").read_text(encoding="utf-8")
    assert (told["settled"], done.returncode) == ("undecided", 3)
