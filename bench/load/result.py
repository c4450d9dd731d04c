"""What is asked of a load test, and what LoadGen said of it. Nothing here imports LoadGen or TensorFlow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from bench.errors import BenchError
from bench.part import Part

Scenario = Literal["single_stream", "multi_stream", "offline", "server"]
DETAIL, SUMMARY = "mlperf_log_detail.txt", "mlperf_log_summary.txt"
MARK = ":::MLLOG "
UNMET = re.compile(r"satisfied\s*:\s*NO\b")
PERCENTILE = re.compile(r"result_(\d+\.\d+)_percentile_(?:per_query_)?latency_ns")


class Load(Part):
    """One load test: MLCommons' scenario and its bounds."""

    scenario: Scenario
    samples_per_query: int = 8  # multi_stream
    target_qps: float | None = None  # server: queries a second; None: the highest that keeps the bound is searched
    latency_bound_ms: float = 100.0  # server: on the percentile
    percentile: float = 0.99
    expected_qps: float = 100.0  # offline and the search's start: a guess, which sizes the test
    min_duration_s: float = 10.0
    min_queries: int = 662  # what LoadGen's early stopping needs for a 99th percentile
    threads: int = 1  # that infer over one session
    seed: int = 0


class LoadResult(Part):
    """LoadGen's verdict and figures. A query's latency counts from when it was scheduled, waiting included."""

    load: Load
    valid: bool
    qps: float | None  # samples a second that were completed; server: the rate that was scheduled
    queries: int | None = None
    duration_ms: float | None = None
    mean_latency_ms: float | None = None
    latency_ms: dict[str, float] = {}  # by percentile: "50.00", "99.00", ...
    problems: tuple[str, ...] = ()  # LoadGen's own words on why it is not valid
    details: dict[str, Any] = {}  # every result in LoadGen's detail log


def read_result(load: Load, folder: Path) -> LoadResult:
    """The result in the logs that LoadGen wrote into a folder; a BenchError where they are not whole."""
    values = _details(folder / DETAIL)
    if "result_validity" not in values:
        raise BenchError(f"{folder / DETAIL}: LoadGen gave no result: the test ended before its end")
    latencies = {
        match[1]: value / 1e6 for key, value in values.items() if (match := PERCENTILE.fullmatch(key)) is not None
    }
    mean = values.get("result_mean_latency_ns", values.get("result_mean_query_latency_ns"))
    return LoadResult(
        load=load,
        valid=values["result_validity"] == "VALID",
        qps=_qps(load, values),
        queries=values.get("result_query_count", values.get("effective_min_query_count")),
        duration_ms=values.get("result_duration_ms"),
        mean_latency_ms=None if mean is None else mean / 1e6,
        latency_ms=latencies,
        problems=_problems(values, _text(folder / SUMMARY)),
        details={key: value for key, value in values.items() if key.startswith("result_")},
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BenchError(f"{file}: LoadGen's log cannot be read: {error.strerror}") from error


def _details(file: Path) -> dict[str, Any]:
    lines = _text(file).splitlines()
    entries = (json.loads(line[len(MARK) :]) for line in lines if line.startswith(MARK))
    return {entry["key"]: entry["value"] for entry in entries}


def _qps(load: Load, values: dict[str, Any]) -> float | None:
    names = {
        "single_stream": "result_qps_with_loadgen_overhead",
        "multi_stream": "result_qps_with_loadgen_overhead",
        "offline": "result_samples_per_second",
        "server": "result_completed_samples_per_sec",
    }
    value = values.get(names[load.scenario], values.get("result_samples_per_second"))
    return None if value is None else float(value)


def _problems(values: dict[str, Any], summary: str) -> tuple[str, ...]:
    """LoadGen's words on what is not satisfied, and what it recommends."""
    unmet = [line.partition(":")[0].strip() for line in summary.splitlines() if UNMET.search(line)]
    words = str(values.get("result_invalid_reason", "")).splitlines()
    return (*(f"{what}: no" for what in unmet), *(line.strip() for line in words if line.strip()))
