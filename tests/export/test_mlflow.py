"""A run in MLflow, read back by its client."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.configs import bench
from tests.export.runs import CRASHED, FELL_BACK, GONE, NATIVE, UNSETTLED, write_run
from tests.history.nights import night_record, write_night


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")


@pytest.mark.filterwarnings("ignore")
def test_a_run_is_read_back_by_mlflow() -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    good = write_night(Path("results"), 1, [night_record(10.0, "native")])
    for run in (write_run(), good):
        assert bench("export", str(run), "--format", "mlflow").stdout.startswith("MLflow: experiment nightly, run ")
    client = tracking.MlflowClient()
    found = client.search_runs([client.get_experiment_by_name("nightly").experiment_id])
    runs = {run.data.tags["bench.verdict"]: run for run in found}
    assert {verdict: run.info.status for verdict, run in runs.items()} == {"broken": "FAILED", "passed": "FINISHED"}
    broken = runs["broken"].data
    assert broken.metrics[f"{NATIVE}/median_latency_ms"] == 10.0
    assert {name.partition("/")[0] for name in broken.metrics if "latency" in name} == {NATIVE}
    status = {case: broken.tags[f"bench.case.{case}"] for case in (NATIVE, UNSETTLED, CRASHED, FELL_BACK, GONE)}
    assert [text.partition(":")[0] for text in status.values()] == ["valid", "not valid", "failed", "broken", "failed"]
    assert broken.tags["mlflow.source.git.commit"] == "0123456789abcdef"
    artifacts = [artifact.path for artifact in client.list_artifacts(runs["broken"].info.run_id)]
    assert sorted(artifacts) == ["run.csv", "summary.md"]


def test_a_missing_mlflow_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    outcome = bench("export", str(write_run()), "--format", "mlflow")
    assert outcome.exit_code == 2 and "pip install 'tf-bench[mlflow]'" in outcome.stderr


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("where", ["http://127.0.0.1:9", "nowhere://runs"])
def test_a_server_that_cannot_be_reached_is_told(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    outcome = bench("export", str(write_run()), "--format", "mlflow")
    assert outcome.exit_code == 2 and "MLflow refused the run" in outcome.stderr
    assert "MLFLOW_TRACKING_URI" in outcome.stderr
