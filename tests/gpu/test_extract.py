"""Extraction where TensorRT is: the plans that come out are engines that it takes."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.configs import ROOT
from tests.gpu.conftest import Runner

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorRT 8.5 deprecates what 8.4 has alone
BATCH = 4
INPUT, OUTPUT = "TensorRTInputPH_", "TensorRTOutputPH_"
Extract = Callable[[bool], dict[str, Any]]  # whether shapes are dynamic -> what was extracted


@pytest.fixture(scope="module")
def extracted(run_config: Runner, tmp_path_factory: pytest.TempPathFactory) -> Extract:
    """What `bench engine extract --json` wrote of the shipped classifier at INT8, with dynamic shapes or without."""

    @functools.cache
    def extract(dynamic: bool) -> dict[str, Any]:
        model, output = convert(run_config, tmp_path_factory.mktemp("kept"), dynamic), tmp_path_factory.mktemp("plans")
        command = [sys.executable, "-m", "bench.cli", "engine", "extract", str(model), "--output", str(output)]
        done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        extraction: dict[str, Any] = json.loads(done.stdout)
        return extraction

    return extract


def convert(run_config: Runner, folder: Path, dynamic: bool) -> Path:
    """The shipped classifier as a run keeps it."""
    optimization = {"use_trt": True, "precision_mode": "INT8", "calib_batch_size": BATCH, "num_calib_images": 8}
    config = {
        "model_config": {"model_name": "shapes_classifier"},
        "optimization_config": {**optimization, "use_dynamic_shape": dynamic, "output_path": str(folder / "model")},
        "benchmark_config": {"batch_size": BATCH, "num_images": 8, "num_iterations": 10, "num_warmup_iterations": 2},
    }
    code, records, _ = run_config(config)
    assert code == 0, {record.case.id: record.failure for record in records.values()}
    (saved,) = folder.glob("model*/saved_model.pb")
    return saved.parent


def matches(binding: tuple[int, ...], tensor: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether a binding's shape is the graph's, in which unknown dimensions are None; TensorRT writes -1, or a size."""
    shape = tensor["shape"][1 if item["implicit_batch"] else 0 :]
    return len(binding) == len(shape) and all(b == s or s is None for b, s in zip(binding, shape, strict=True))


def deserialize(plan: dict[str, Any]) -> Any:
    """TensorRT's engine of a plan, without TensorFlow."""
    trt: Any = importlib.import_module("tensorrt")
    logger = trt.Logger(trt.Logger.WARNING)
    trt.init_libnvinfer_plugins(logger, "")
    engine = trt.Runtime(logger).deserialize_cuda_engine(Path(plan["path"]).read_bytes())
    assert engine is not None, f"TensorRT does not take {plan['path']}"
    return engine


def bindings(engine: Any, inputs: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what an engine takes, or gives."""
    places = [place for place in range(engine.num_bindings) if engine.binding_is_input(place) == inputs]
    return {engine.get_binding_name(place): tuple(engine.get_binding_shape(place)) for place in places}


@pytest.mark.parametrize("dynamic", [False, True])
def test_plans_are_engines_with_the_shapes_that_were_said(extracted: Extract, dynamic: bool) -> None:
    extraction = extracted(dynamic)
    assert extraction["engines"]
    for item in extraction["engines"]:
        assert item["implicit_batch"] != dynamic
        for plan in item["plans"]:
            engine = deserialize(plan)
            inputs, outputs = (item["engine"][side] for side in ("inputs", "outputs"))
            assert all(matches(bindings(engine, True)[f"{INPUT}{i}"], t, item) for i, t in enumerate(inputs))
            assert all(matches(bindings(engine, False)[f"{OUTPUT}{i}"], t, item) for i, t in enumerate(outputs))
            assert engine.num_bindings == len(inputs) + len(outputs)


@pytest.mark.parametrize("dynamic", [False, True])
def test_plans_are_of_the_batch_size_that_was_built_for(extracted: Extract, dynamic: bool) -> None:
    for item in extracted(dynamic)["engines"]:
        assert {shape[0] for plan in item["plans"] for shape in plan["built_for"]} == {BATCH}
        for engine in map(deserialize, item["plans"]):
            assert engine.has_implicit_batch_dimension == item["implicit_batch"]
            assert dynamic or engine.max_batch_size == BATCH


def test_calibration_tables_are_tensorrts(extracted: Extract) -> None:
    tables = [Path(item["calibration"]) for item in extracted(False)["engines"] if item["calibration"]]
    assert tables
    assert all(table.read_text().startswith("TRT-") and "TensorRTInputPH_0: " in table.read_text() for table in tables)


@pytest.mark.parametrize("dynamic", [False, True])
def test_one_engine_is_the_whole_of_this_model(extracted: Extract, dynamic: bool) -> None:
    extraction = extracted(dynamic)
    assert len(extraction["engines"]) == 1
    assert (extraction["left_in_tensorflow"], extraction["obstacles"]) == ({}, [])
