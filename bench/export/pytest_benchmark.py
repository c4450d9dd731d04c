"""pytest-benchmark's JSON: the latencies of every case as rounds, for `pytest-benchmark compare` and `histogram`.

The format has no place for what is not valid. Its own file leaves out a benchmark that failed, and so does this one
with cases that failed or are broken: they are under `left_out`. A case whose latency is not valid says so in its name,
so that it is held against no valid one of that name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

from bench import __version__
from bench.export.run import ExportedCase, ExportedRun
from bench.record import Environment, Record
from bench.repeats import processes
from bench.report.figures import plain

NOT_VALID = " [not valid]"
FENCE = 1.5  # interquartile ranges, Tukey's


def pytest_benchmark_json(run: ExportedRun) -> str:
    """A file as `--benchmark-save` writes it."""
    kept = [
        case for case in run.cases if case.status in ("valid", "not valid") and case.record and samples(case.record)
    ]
    why = {case.id: f"{case.status}: {case.reason}" if case.reason else "no latency" for case in run.cases}
    document = {
        "machine_info": _machine(run.environment),
        "commit_info": {
            "id": run.commit, "time": None, "author_time": None, "dirty": None, "project": run.suite, "branch": None,
        },
        "benchmarks": [_benchmark(run, case, case.record) for case in kept if case.record is not None],
        "datetime": run.started.isoformat(),
        "version": f"tf-bench {__version__}",
        "suite": run.suite,
        "run": run.name,
        "verdict": run.verdict,
        "left_out": {case.id: plain(why[case.id]) for case in run.cases if case not in kept},
    }  # fmt: skip
    return json.dumps(document, indent=1) + "\n"


def samples(record: Record) -> list[float]:
    """Seconds of all timed inferences, process by process."""
    timed = (each.latency for each in processes(record) if each.latency is not None)
    return [time / 1e9 for latency in timed for time in latency.times_ns]


def extra_info(case: ExportedCase) -> dict[str, Any]:
    """What the harness knows besides: its own statistics, and what they are worth."""
    figures = {each.metric.name: each.value for each in case.figures if each.is_valid}
    doubts = {each.metric.name: plain(each.doubt) for each in case.figures if each.doubt}
    return {"status": case.status, "reason": plain(case.reason), "processes": case.processes,
            "statistics": figures, "not_valid": doubts}  # fmt: skip


def is_doubtful(case: ExportedCase) -> bool:
    """Whether its latencies are not to be relied on, whatever else may be."""
    return any(each.metric.name == "avg_latency_ms" and not each.is_valid for each in case.figures)


def _benchmark(run: ExportedRun, case: ExportedCase, record: Record) -> dict[str, Any]:
    name = case.id + (NOT_VALID if is_doubtful(case) else "")
    what = record.case
    params = {
        "model": what.model.name, "backend": what.optimization.backend, "precision": what.optimization.precision_mode,
        "dataset": what.dataset.name, "batch_size": what.batch_size,
    }  # fmt: skip
    return {
        "group": what.comparison,
        "name": name,
        "fullname": f"{run.suite}::{name}",
        "params": params,
        "param": what.optimization.precision_mode,
        "extra_info": extra_info(case),
        "options": {"timer": "perf_counter_ns", "warmup": True},
        "stats": stats(samples(record)),
    }


def _machine(environment: Environment | None) -> Mapping[str, Any]:
    if environment is None:
        return {"cpu": {}}
    return {
        "node": environment.hostname,
        "processor": environment.cpu,
        "machine": environment.platform,
        "python_version": environment.python,
        "cpu": {"brand_raw": environment.cpu, "count": environment.cpu_count},
        "gpus": [gpu.name for gpu in environment.gpus],
        "driver": environment.driver,
        "packages": environment.packages,
    }


def stats(data: Sequence[float]) -> dict[str, Any]:
    """pytest-benchmark's statistics of some seconds, by its own definitions."""
    ordered, mean = sorted(data), fmean(data)
    deviation = stdev(data) if len(data) > 1 else 0.0
    low, high = _quartiles(ordered)
    fences = low - FENCE * (high - low), high + FENCE * (high - low)
    within = [value for value in ordered if fences[0] <= value <= fences[1]]
    far = sum(not mean - deviation <= value <= mean + deviation for value in data)
    outliers = len(data) - len(within)
    return {
        "min": ordered[0], "max": ordered[-1], "mean": mean, "stddev": deviation, "rounds": len(data),
        "median": median(ordered), "iqr": high - low, "q1": low, "q3": high, "iqr_outliers": outliers,
        "stddev_outliers": far, "outliers": f"{far};{outliers}", "ld15iqr": within[0], "hd15iqr": within[-1],
        "ops": len(data) / sum(data), "total": sum(data), "data": list(data), "iterations": 1,
    }  # fmt: skip


def _quartiles(ordered: Sequence[float]) -> tuple[float, float]:
    """Medians of both halves; of an odd number, between neighbours (Mendenhall and Sincich, "method 3")."""
    count = len(ordered)
    if count == 1:
        return ordered[0], ordered[0]
    if count % 2 == 0:
        return median(ordered[: count // 2]), median(ordered[count // 2 :])
    n = count // 4
    if count % 4 == 1:
        return (
            0.25 * ordered[n - 1] + 0.75 * ordered[n],
            0.75 * ordered[3 * n] + 0.25 * ordered[3 * n + 1],
        )
    return 0.75 * ordered[n] + 0.25 * ordered[n + 1], 0.25 * ordered[3 * n + 1] + 0.75 * ordered[3 * n + 2]
