"""Load tests as a user runs them, over a session of known service time; and how they are sized."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from bench.backends.base import Preparation
from bench.backends.null import NullSession
from bench.errors import ModelError
from bench.inputs.batches import TimedBatch
from bench.load.phase import MOST_QPS, expected_qps, run_loads, single_images
from bench.load.result import DETAIL, SUMMARY, Load, LoadTest
from bench.record import PHASES, Record, Samples, Throughput
from bench.store import load_records
from tests.configs import bench, write_config
from tests.factory import make_case
from tests.faults import SERVICE_S, inject

BOUND_MS = 20.0
QUICK = {"benchmark_config.load_min_duration_s": 0.4, "benchmark_config.load_min_queries": 64}


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, at: str, do: str, changes: dict[str, Any]) -> tuple[Any, Path]:
    """How `bench test` ended on a session that goes wrong, or slow, and the run's folder."""
    pytest.importorskip("mlperf_loadgen", reason="MLCommons LoadGen is not installed: the extra load")
    monkeypatch.chdir(folder)
    for name, value in inject(folder, at, do).items():
        monkeypatch.setenv(name, value)
    done = bench("test", write_config({**QUICK, **changes}), "--results", "results")
    (home,) = Path("results/test").iterdir()
    return done, home


@pytest.mark.alone
def test_a_server_of_known_service_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The highest rate lies below one over the service time, its percentile within the bound; logs are kept."""
    # Without telemetry: a machine whose hypervisor takes CPU time makes a run not valid, which is not what is tested.
    done, home = run(monkeypatch, tmp_path, "infer", "serve", {
        "benchmark_config.telemetry": False,
        "benchmark_config.load_scenarios": ["server", "offline"],
        "benchmark_config.load_latency_bound_ms": BOUND_MS,
        "benchmark_config.load_percentile": 50.0,
        "assertions": ["server_qps > 1", "offline_fps > 1"],
    })  # fmt: skip
    assert done.exit_code == 0, done.stdout + done.stderr
    (record,) = load_records(home)
    offline, server = record.load
    assert (offline.load.scenario, server.load.scenario) == ("offline", "server")
    assert 0.2 / SERVICE_S < (offline.chosen.qps or 0) < 1 / SERVICE_S
    # In a test as short as this, a rate that is too high by so much has not piled up a bound's worth of queries.
    slack = 1 + BOUND_MS / 1e3 / 0.4 / 0.5
    assert 0.3 / SERVICE_S < (server.chosen.scheduled_qps or 0) < slack / SERVICE_S
    assert server.chosen.valid and server.chosen.latency_ms["50.00"] <= BOUND_MS
    assert server.next_higher is not None and len(server.tests) > 4
    _check_logs(home, record)
    _check_reports(home, done.stdout, f"{server.chosen.target_qps:.4g}")
    assert [phase.name for phase in record.phases][-2:] == ["load test: offline", "load test: server"]
    assert {phase.name for phase in record.phases} < set(PHASES)
    assert record.case.load_dir == ""


def _check_logs(home: Path, record: Record) -> None:
    logs = home / f"{record.case.id}.load"
    kept = {f"{test.logs}/{name}" for result in record.load for test in result.tests for name in (DETAIL, SUMMARY)}
    found = {str(path.relative_to(logs)) for path in logs.rglob("*") if path.is_file()}
    assert kept == found and "offline/1/mlperf_log_summary.txt" in kept and "server/2/mlperf_log_summary.txt" in kept
    assert "Scenario : Server" in (logs / "server/1" / SUMMARY).read_text(encoding="utf-8")


def _check_reports(home: Path, screen: str, rate: str) -> None:
    markdown, html = ((home / f"comparison.{kind}").read_text(encoding="utf-8") for kind in ("md", "html"))
    for text in (screen, markdown, html):
        assert "Load tests" in text and "highest rate that keeps p50 within 20 ms" in text
    assert rate in " ".join(screen.split()) and rate in markdown and rate in html
    assert "load test: server" in screen  # while it ran


def test_a_load_test_that_fails_leaves_the_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, home = run(
        monkeypatch, tmp_path, "load test", "raise", {"benchmark_config.load_scenarios": ["single_stream"]}
    )
    assert done.exit_code == 4
    (record,) = load_records(home)
    assert record.failure is not None and record.failure.phase == "load test: single_stream"
    assert "the engine is broken" in record.failure.message
    assert record.latency is not None and len(record.latency.times_ns) == 5
    assert json.loads((home / "suite.json").read_text(encoding="utf-8"))["verdict"] == "broken"


def batch(count: int, images: int, **others: Any) -> TimedBatch:
    return TimedBatch({"x": np.arange(count).reshape(count, 1, 1, 1), **others}, images)


def test_padding_is_not_put_under_load() -> None:
    images = list(single_images([batch(4, 4), batch(4, 3)], 4))
    assert [int(image["x"][0, 0, 0, 0]) for image in images] == [0, 1, 2, 3, 0, 1, 2]
    assert {image["x"].shape for image in images} == {(1, 1, 1, 1)}


def test_an_input_that_is_no_batch_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'rate' is .*a load test puts images together"):
        list(single_images([batch(4, 4, rate=np.zeros(()))], 4))


def timed(batch_ms: float, launch_ms: float, batch_size: int) -> tuple[Samples, Throughput]:
    samples = Samples(times_ns=(round(1e6 * batch_ms),) * 5, images=(batch_size,) * 5)
    return samples, Throughput(block_ns=(round(1e7 * launch_ms),), launches_per_block=10, images_per_launch=batch_size)


@pytest.mark.parametrize(
    ("load", "queries"),
    [
        (Load(scenario="single_stream"), 100),  # one image fills no more than one batch of 10 ms
        (Load(scenario="multi_stream", samples_per_query=9), 1e3 / 30),  # three batches of four
        (Load(scenario="multi_stream", samples_per_query=9, threads=2), 1e3 / 20),
        (Load(scenario="offline"), 400),
        (Load(scenario="offline", threads=2), 500),  # no more than several batches in flight did
        (Load(scenario="server", threads=2), 500),
    ],
)
def test_what_to_expect_comes_from_what_was_timed(load: Load, queries: float) -> None:
    assert expected_qps(load, 4, *timed(10, 8, 4)) == pytest.approx(queries)


def test_a_session_that_answers_at_once_does_not_fill_the_memory() -> None:
    assert expected_qps(Load(scenario="offline"), 64, *timed(0.001, 0.0005, 64)) == MOST_QPS


def test_a_test_that_ran_out_of_queries_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The session does 1000 images a second, of the 100 that its single inferences let expect."""
    asked: list[float] = []

    def run_test(session: Any, images: Any, batch_size: int, load: Load, folder: Path) -> LoadTest:
        asked.append(load.expected_qps or 0.0)
        enough = asked[-1] >= 1000
        return LoadTest(valid=enough, qps=1000.0, details={"result_min_duration_met": enough})

    monkeypatch.setattr("bench.load.phase.run_test", run_test)
    preparation = SimpleNamespace(
        case=make_case(backend="null", load=(Load(scenario="offline"),), load_dir=str(tmp_path)),
        phase=lambda name: contextlib.nullcontext(),
    )
    parts: dict[str, Any] = {}
    run_loads(NullSession({}), cast(Preparation, preparation), [batch(1, 1)], *timed(10, 10, 1), parts.__setitem__)
    (result,) = parts["load"]
    assert [(test.valid, test.logs) for test in result.tests] == [(False, "offline/1"), (True, "offline/2")]
    assert asked[0] == pytest.approx(100) and result.chosen.valid
