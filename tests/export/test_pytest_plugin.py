"""`pytest --bench-config`: cases of a config as pytest-benchmark cases, run by pytest from outside."""

from __future__ import annotations

import fnmatch
import json
import os
from typing import Any

import pytest

from tests.configs import ROOT, make_config
from tests.faults import inject

pytest_plugins = ["pytester"]
PRECISIONS = {"optimization_config.precision_mode": ["native", "FP32"]}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # it would disable benchmarks


def run(pytester: pytest.Pytester, *arguments: str, **changes: Any) -> pytest.RunResult:
    quick = {"benchmark_config.telemetry": False, "benchmark_config.interleave": False}
    config = make_config({"name": "nightly", "matrix": PRECISIONS, **quick, **changes})
    (pytester.path / "test.json").write_text(json.dumps(config), encoding="utf-8")
    return pytester.runpytest_subprocess(
        "-p", "bench.pytest_plugin", "-p", "no:cacheprovider", "-rsf", "--bench-config", "test.json",
        "--benchmark-columns=min,median,rounds", "--benchmark-json=out.json", *arguments,
    )  # fmt: skip


def kept(pytester: pytest.Pytester) -> dict[str, Any]:
    """The records by case, of the one run there is."""
    files = (file for file in (pytester.path / "results" / "nightly").glob("*/*.json") if "-" in file.name)
    records = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    return {record["case"]["id"]: record for record in records}


def test_rounds_are_the_latencies_that_the_worker_kept(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): assert False")
    outcome = run(pytester, "--benchmark-only", "--benchmark-save-data")
    outcome.assert_outcomes(passed=3, skipped=1)
    records = kept(pytester)
    benchmarks = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["benchmarks"]
    assert {each["name"] for each in benchmarks} == {*records} and len(records) == 2
    for each in benchmarks:
        samples = [time / 1e9 for time in records[each["name"]]["latency"]["times_ns"]]
        assert each["stats"]["rounds"] == len(samples) == 5 and each["stats"]["min"] == min(samples)
        assert each["group"] == records[each["name"]]["case"]["comparison"]
        assert each["extra_info"]["status"] == "valid"


def test_what_fails_fails_and_what_is_not_valid_is_skipped(pytester: pytest.Pytester) -> None:
    """One case crashes, of the others p99 has too few samples and one bound does not hold."""
    for name, value in inject(pytester.path, "infer", "raise", case="FP32").items():
        pytester._monkeypatch.setenv(name, value)
    precisions = {"optimization_config.precision_mode": ["native", "FP32", "FP16"]}
    assertions = ["p99_latency_ms >= 0", "native.avg_latency_ms < 0"]
    outcome = run(pytester, "--benchmark-only", matrix=precisions, assertions=assertions)
    outcome.assert_outcomes(failed=2, skipped=1, passed=1)
    outcome.stdout.fnmatch_lines(["*failed: error in phase*", "*SKIPPED*inconclusive: p99_latency_ms*"])


def test_selection_is_that_of_the_command_and_baselines_are_told(pytester: pytest.Pytester) -> None:
    selected = ["-k", "native or suite", "--bench-set", "benchmark_config.num_iterations=7"]
    held = run(pytester, "--benchmark-only", *selected, "--bench-baseline", "latest", "--bench-inconclusive", "fail")
    (record,) = kept(pytester).values()
    assert record["case"]["optimization"]["precision_mode"] == "native" and len(record["latency"]["times_ns"]) == 7
    held.assert_outcomes(passed=1, failed=1, deselected=1)
    held.stdout.fnmatch_lines(["*no earlier run of suite nightly*"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bench-config", "nowhere.json"], "*--bench-config nowhere.json: no such file*"),
        (["--bench-set", "benchmark_config.batch_sizes=3"], "*did you mean 'benchmark_config.batch_size'?*"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_measured(
    pytester: pytest.Pytester, arguments: list[str], told: str
) -> None:
    outcome = run(pytester, *arguments)
    assert outcome.ret != 0 and not (pytester.path / "results").exists()
    assert fnmatch.fnmatch(outcome.stdout.str() + outcome.stderr.str(), told)


@pytest.mark.parametrize(
    ("baseline", "told"),
    [
        ("nowhere", "*--bench-baseline: nowhere: not a run's folder, here or in results, and not latest, golden*"),
        ("golden", "*--bench-baseline: results: suite nightly has no golden run*"),
        ("", "*--bench-baseline: '': not a run's folder*"),
    ],
)
def test_a_wrong_baseline_is_a_usage_error(pytester: pytest.Pytester, baseline: str, told: str) -> None:
    outcome = run(pytester, "--benchmark-only", "--bench-baseline", baseline)
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR and not (pytester.path / "results").exists()
    outcome.stderr.fnmatch_lines([told])
    assert "failed" not in outcome.stdout.str()


def test_nothing_is_measured_where_benchmarks_are_disabled(pytester: pytest.Pytester) -> None:
    outcome = run(pytester, "--benchmark-disable")
    outcome.assert_outcomes(skipped=3)
    assert not (pytester.path / "results").exists()


def test_pytest_benchmark_is_needed(pytester: pytest.Pytester) -> None:
    (pytester.path / "test.json").write_text(json.dumps(make_config()), encoding="utf-8")
    outcome = pytester.runpytest_subprocess(
        "-p", "bench.pytest_plugin", "-p", "no:benchmark", "--bench-config=test.json"
    )
    outcome.stderr.fnmatch_lines(["*--bench-config needs pytest-benchmark*"])
