"""What is asked of a load test, and what LoadGen said of it. Nothing here imports LoadGen or TensorFlow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from bench.errors import BenchError
from bench.part import Part

Scenario = Literal["single_stream", "multi_stream", "offline", "server"]
SCENARIOS: tuple[Scenario, ...] = ("single_stream", "multi_stream", "offline", "server")  # the order in which they run
DETAIL, SUMMARY = "mlperf_log_detail.txt", "mlperf_log_summary.txt"
MARK = ":::MLLOG "
UNMET = re.compile(r"satisfied\s*:\s*NO\b")
KEPT = ("result_", "early_stopping_")  # of the detail log


class Load(Part):
    """One load test: MLCommons' scenario and its bounds."""

    scenario: Scenario
    samples_per_query: int = 8  # multi_stream
    target_qps: float | None = None  # server: queries a second; None: the highest that keeps the bound is searched
    latency_bound_ms: float | None = None  # server: on the percentile
    percentile: float = 99.0  # server: in percent
    searches: int = 1  # server: one after the other, each with arrivals of its own
    expected_qps: float | None = None  # queries a second, offline: samples; sizes a test. None: from what was measured
    min_duration_s: float = 10.0
    min_queries: int = 662  # offline: samples
    threads: int = 1  # that infer over one session
    seed: int = 0

    @property
    def is_search(self) -> bool:
        """Whether the highest rate is looked for."""
        return self.scenario == "server" and self.target_qps is None


class LoadTest(Part):
    """One run of LoadGen: its verdict and figures. A latency counts from when the query was due, waiting included."""

    valid: bool
    target_qps: float | None = None  # server: the rate that was asked for
    scheduled_qps: float | None = None  # server: the rate at which queries were due
    qps: float | None = None  # samples a second that were completed; multi_stream: LoadGen says none
    queries: int | None = None
    mean_latency_ms: float | None = None
    latency_ms: dict[str, float] = {}  # by percentile: "50.00", "99.00", ...; multi_stream: of whole queries
    problems: tuple[str, ...] = ()  # LoadGen's own words on why it is not valid
    details: dict[str, Any] = {}  # every result in LoadGen's detail log
    logs: str = ""  # the folder of its logs, in the case's

    @property
    def keeps_bound(self) -> bool:
        """Whether the percentile lies within the bound, supported by enough queries or not."""
        return bool(self.details.get("result_perf_constraints_met", True))


class LoadResult(Part):
    """A load test: every run of LoadGen that it took, in order. Several where a rate is searched, or a run is short."""

    load: Load
    search: int = 1  # which, of load.searches
    tests: tuple[LoadTest, ...]

    @property
    def chosen(self) -> LoadTest:
        """The run that the figures are of; of a search the highest valid rate, or the lowest tried if none is."""
        if not self.load.is_search:
            return self.tests[-1]
        valid = [test for test in self.tests if test.valid]
        return max(valid, key=_rate) if valid else min(self.tests, key=_rate)

    @property
    def next_higher(self) -> LoadTest | None:
        """Of a search, the lowest rate above the chosen one, which is not valid; None where none was tried."""
        above = [test for test in self.tests if _rate(test) > _rate(self.chosen)]
        return min(above, key=_rate, default=None)


def _rate(test: LoadTest) -> float:
    return test.target_qps or 0.0


def read_test(load: Load, folder: Path) -> LoadTest:
    """The result in the logs that LoadGen wrote into a folder; a BenchError where they are not whole."""
    values = _details(folder / DETAIL)
    if "result_validity" not in values:
        raise BenchError(f"{folder / DETAIL}: LoadGen gave no result: the test ended before its end")
    query = "query_" if load.scenario == "multi_stream" else ""
    percentile = re.compile(rf"result_(\d+\.\d+)_percentile_{'per_' if query else ''}{query}latency_ns")
    mean = values.get(f"result_mean_{query}latency_ns")
    return LoadTest(
        valid=values["result_validity"] == "VALID",
        target_qps=load.target_qps,
        scheduled_qps=values.get("result_scheduled_samples_per_sec"),
        qps=_qps(load, values),
        queries=values.get("result_query_count"),
        mean_latency_ms=None if mean is None else mean / 1e6,
        latency_ms={found[1]: value / 1e6 for key, value in values.items() if (found := percentile.fullmatch(key))},
        problems=_problems(values, _text(folder / SUMMARY)),
        details={key: value for key, value in values.items() if key.startswith(KEPT)},
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
        "offline": "result_samples_per_second",
        "server": "result_completed_samples_per_sec",
    }
    value = values.get(names.get(load.scenario, ""))
    return None if value is None else float(value)


def _problems(values: dict[str, Any], summary: str) -> tuple[str, ...]:
    """LoadGen's words on what is not satisfied, and what it recommends."""
    unmet = [line.partition(":")[0].strip() for line in summary.splitlines() if UNMET.search(line)]
    words = str(values.get("result_invalid_reason", "")).splitlines()
    return (*(f"{what}: no" for what in unmet), *(line.strip() for line in words if line.strip()))
