"""Tests that only a GPU with TF-TRT can answer; skipped with what is missing elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.backends.availability import missing_for_tf_trt
from bench.record import Record
from bench.store import load_records

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = missing_for_tf_trt()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            item.add_marker(pytest.mark.alone)  # one process at a time has the GPU's memory
            if missing:
                item.add_marker(pytest.mark.skip(reason="TF-TRT cannot run here: " + "; ".join(missing)))


def run_module(*arguments: str) -> Any:
    """What a module of these tests prints as its last line, in a process that has the GPU to itself."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing converted earlier is found, so that these tests can run again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


Runner = Callable[..., tuple[int, dict[str, Record], Path]]


@pytest.fixture(scope="session")
def run_config(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Runs a config as a user would; gives the exit code, the records by case and the run's folder."""

    def run(config: dict[str, Any]) -> tuple[int, dict[str, Record], Path]:
        folder = tmp_path_factory.mktemp("gpu")
        (folder / "test.json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "bench.test", str(folder / "test.json"), "--results", str(folder / "results")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        runs = list((folder / "results").glob("*/*"))
        assert runs, done.stderr
        return done.returncode, {record.case.id: record for record in load_records(runs[0])}, runs[0]

    return run


@pytest.fixture(scope="module")
def run_one(run_config: Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Runs one case of the shipped classifier, with a conversion cache of these tests' own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))

    def run(optimization: dict[str, Any], benchmark: dict[str, Any] | None = None, **more: Any) -> Any:
        config = {
            "model_config": {"model_name": "shapes_classifier"},
            "optimization_config": {"use_trt": True, "precision_mode": "FP16", **optimization},
            "benchmark_config": {
                "use_synthetic": True, "image_shape": [64, 64], "batch_size": 4, "num_images": 8, "num_iterations": 70,
                "num_warmup_iterations": 5, **(benchmark or {}),
            },
            **more,
        }  # fmt: skip
        code, records, folder = run_config(config)
        (record,) = records.values()
        return code, record, folder

    yield run
    patch.undo()
