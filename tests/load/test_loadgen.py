"""LoadGen itself over sessions whose service time is known."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backends.base import Arrays
from bench.backends.null import NullSession
from bench.errors import BackendUnavailable
from bench.load import loadgen
from bench.load.result import SUMMARY, Load, LoadTest
from bench.statistics.percentiles import samples_needed

pytest.importorskip("mlperf_loadgen", reason="MLCommons LoadGen is not installed: the extra load")
pytestmark = pytest.mark.alone  # queues grow where anything runs beside the server

SERVICE_S = 0.004
IMAGES = [{"x": np.full((1, 2, 2, 3), number, np.uint8)} for number in range(16)]


class Server(NullSession):
    """Takes a while for every batch, and notes what it was given."""

    def __init__(self, seconds: float = SERVICE_S) -> None:
        super().__init__({})
        self.seconds, self.batches = seconds, list[Any]()

    def infer(self, batch: Arrays) -> Arrays:
        self.batches.append(batch["x"])
        time.sleep(self.seconds)
        return {}


def run(tmp_path: Path, scenario: str, batch_size: int = 1, session: Server | None = None, **bounds: Any) -> LoadTest:
    load = Load.model_validate(
        {"scenario": scenario, "min_duration_s": 0.5, "min_queries": 64, "expected_qps": 100, **bounds}
    )
    return loadgen.run_test(session or Server(), IMAGES, batch_size, load, tmp_path / "logs")


def test_single_stream_is_one_query_after_another(tmp_path: Path) -> None:
    result = run(tmp_path, "single_stream")
    assert result.latency_ms["50.00"] == pytest.approx(1e3 * SERVICE_S, rel=0.5)
    assert result.latency_ms["50.00"] >= 1e3 * SERVICE_S
    assert result.qps == pytest.approx(1 / SERVICE_S, rel=0.4)
    assert (tmp_path / "logs" / SUMMARY).is_file()


def test_multi_stream_queries_are_split_into_batches_and_the_last_is_filled_up(tmp_path: Path) -> None:
    server = Server()
    result = run(tmp_path, "multi_stream", batch_size=4, session=server, samples_per_query=6)
    assert {len(batch) for batch in server.batches} == {4}
    assert result.latency_ms["50.00"] >= 2e3 * SERVICE_S  # of the query, not of a sample
    assert result.mean_latency_ms is not None and result.mean_latency_ms >= 2e3 * SERVICE_S


def test_a_query_may_have_more_images_than_there_are(tmp_path: Path) -> None:
    result = run(tmp_path, "multi_stream", batch_size=8, samples_per_query=3 * len(IMAGES))
    assert result.latency_ms["50.00"] >= 6e3 * SERVICE_S


def test_offline_is_as_fast_as_full_batches(tmp_path: Path) -> None:
    result = run(tmp_path, "offline", batch_size=8, expected_qps=2000)
    assert result.valid
    assert result.qps is not None and 0.5 * 8 / SERVICE_S < result.qps <= 8 / SERVICE_S


def test_several_threads_infer_at_once(tmp_path: Path) -> None:
    one, four = (
        run(tmp_path / str(threads), "offline", expected_qps=300, threads=threads).qps or 0.0 for threads in (1, 4)
    )
    assert four > 2.5 * one


def test_waiting_counts_from_the_scheduled_arrival(tmp_path: Path) -> None:
    """Twice the rate that the server can do: the queue grows, and the latency with it, far above the service time."""
    result = run(tmp_path, "server", target_qps=2 / SERVICE_S, latency_bound_ms=20)
    assert not result.valid
    assert "Performance constraints satisfied: no" in result.problems
    assert result.latency_ms["99.00"] > 20 * 1e3 * SERVICE_S


def test_a_rate_well_below_is_valid(tmp_path: Path) -> None:
    result = run(tmp_path, "server", target_qps=0.4 / SERVICE_S, latency_bound_ms=100, percentile=90)
    assert result.valid and result.problems == ()
    assert result.latency_ms["50.00"] < 5e3 * SERVICE_S


@pytest.mark.parametrize("percent", [90, 95, 99])
def test_our_minimum_of_samples_is_loadgens_own(tmp_path: Path, percent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """LoadGen's early stopping wants exactly as many queries as samples_needed says, and not one fewer."""
    needed = samples_needed(percent)
    real = loadgen._settings

    def exactly(count: int) -> bool:
        def settings(module: Any, load: Load) -> Any:
            made = real(module, load)
            made.single_stream_target_latency_percentile = percent / 100
            made.single_stream_expected_latency_ns = 1000  # so many are made; max_query_count ends it
            made.min_query_count = made.max_query_count = count
            return made

        monkeypatch.setattr(loadgen, "_settings", settings)
        return run(tmp_path / str(count), "single_stream", session=Server(0), min_duration_s=0.0).valid

    assert exactly(needed)
    assert not exactly(needed - 1)


def test_a_session_that_fails_ends_the_test_with_its_error(tmp_path: Path) -> None:
    class Broken(Server):
        def infer(self, batch: Arrays) -> Arrays:
            if len(self.batches) == 20:
                raise ValueError("out of paper")
            return super().infer(batch)

    with pytest.raises(ValueError, match="out of paper"):
        run(tmp_path, "offline", session=Broken())


def test_a_session_that_fails_at_once_is_not_put_under_load(tmp_path: Path) -> None:
    class Broken(Server):
        def infer(self, batch: Arrays) -> Arrays:
            raise ValueError("out of paper")

    with pytest.raises(ValueError, match="out of paper"):
        run(tmp_path, "server", session=Broken(), target_qps=10, min_duration_s=600)


def test_without_loadgen_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(BackendUnavailable, match="install the extra load"):
        run(tmp_path, "offline")
