"""Load tests in a config: what is asked for, and what is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.aa import of_pairs
from bench.load.result import Load
from bench.suite import load_suite
from tests.configs import GONE, bench, write_config

SCENARIOS = "benchmark_config.load_scenarios"
SERVER = {SCENARIOS: ["server"], "benchmark_config.load_latency_bound_ms": 100}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loads(changes: dict[str, Any]) -> tuple[Load, ...]:
    (case,) = load_suite(Path(write_config(changes))).cases
    return case.load


def keys(**values: Any) -> dict[str, Any]:
    return {f"benchmark_config.load_{name}": value for name, value in values.items()}


def test_there_is_none_unless_asked_for() -> None:
    assert loads({}) == ()


def test_scenarios_run_in_one_order_with_what_is_theirs() -> None:
    asked = {
        SCENARIOS: ["server", "multi_stream", "offline"], "benchmark_config.seed": 7,
        **keys(latency_bound_ms=50, percentile=99.9, samples_per_query=4, threads=2, min_duration_s=5, searches=2),
    }  # fmt: skip
    common = {"threads": 2, "min_duration_s": 5.0, "seed": 7, "samples_per_query": 4}
    assert loads(asked) == (
        Load(scenario="multi_stream", **common),
        Load(scenario="offline", **common),
        Load(scenario="server", latency_bound_ms=50.0, percentile=99.9, searches=2, min_queries=6636, **common),
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({SCENARIOS: ["server"]}, ["load_latency_bound_ms", "missing"]),
        ({SCENARIOS: ["offline", "offline"]}, ["load_scenarios", "twice"]),
        ({SCENARIOS: ["burst"]}, ["load_scenarios[0]", '"burst"', "single_stream"]),
        ({SCENARIOS: ["offline"], "benchmark_config.image_shape": GONE}, ["image_shape"]),
        ({SCENARIOS: ["offline"], **keys(target_qps=5)}, ["load_target_qps", "5", "'server'"]),
        ({SCENARIOS: ["offline"], **keys(searches=2)}, ["load_searches", "2", "'server'"]),
        ({SCENARIOS: ["offline"], **keys(samples_per_query=2)}, ["load_samples_per_query", "'multi_stream'"]),
        (keys(threads=2), ["load_threads", "2", "load_scenarios is empty"]),
        (keys(latency_bound_ms=2), ["load_latency_bound_ms", "2", "'server'"]),
        ({**SERVER, **keys(percentile=98)}, ["load_percentile", "98", "99.9"]),
        ({**SERVER, **keys(target_qps=5, searches=2)}, ["load_searches", "load_target_qps"]),
        ({**SERVER, **keys(min_duration_s=1)}, ["load_min_duration_s", "1", "100 ms", "use 2 or more"]),
        ({**SERVER, "benchmark_config.phase_timeout_s": 60}, ["load_min_duration_s", "10", "phase_timeout_s"]),
        ({**SERVER, "assertions": ["offline_fps > 1"]}, ["assertions[0]", "offline_fps", '"offline"']),
        ({**SERVER, "assertions": ["native.server_qps_spread < 1"]}, ["server_qps_spread", "load_searches"]),
        (
            {SCENARIOS: ["offline"], **keys(threads=2), "optimization_config.backend": "litert",
             "optimization_config.precision_mode": "FP16", "benchmark_config.image_shape": [224, 224]},
            ["load_threads", "2", "LiteRT"],
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_key(changes: dict[str, Any], words: list[str]) -> None:
    if "benchmark_config.image_shape" in changes and changes["benchmark_config.image_shape"] is GONE:
        changes = {**changes, "model_config": {"input_saved_model_dir": _own_model(), "task": "classification"}}
    done = bench("test", write_config(changes), "--dry-run")
    assert done.exit_code == 2
    assert [word for word in ("test.json", *words) if word not in done.stderr] == []


def _own_model() -> str:
    folder = Path("model")
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    return str(folder)


def test_a_matrix_of_scenarios_shares_the_keys_of_all() -> None:
    matrix = {SCENARIOS: [[], ["offline"], ["server"]]}
    cases = load_suite(Path(write_config({"matrix": matrix, **keys(latency_bound_ms=50, threads=2)}))).cases
    assert [[load.scenario for load in case.load] for case in cases] == [[], ["offline"], ["server"]]


def test_a_case_against_itself_makes_no_load_tests() -> None:
    suite = load_suite(Path(write_config({SCENARIOS: ["offline"]})))
    assert [case.load for case in of_pairs(suite, 2).cases] == [()] * 4


def test_a_missing_library_is_an_error_at_the_start_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = bench("test", write_config({SCENARIOS: ["offline"]}), "--results", "results")
    assert done.exit_code == 2
    assert "load_scenarios" in done.stderr and "'.[load]'" in done.stderr
    assert not Path("results").exists()


def test_a_scenario_can_be_set_on_the_command_line() -> None:
    path = write_config({})
    text = json.dumps(["offline"])
    (case,) = load_suite(Path(path), [f"{SCENARIOS}={text}"]).cases
    assert [load.scenario for load in case.load] == ["offline"]
