"""What a worker's environment gets before TensorFlow is loaded in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.backends.variables import worker_variables
from bench.case import Edits
from tests.factory import make_case, make_optimization, run_worker


def trt(**changes: Any) -> dict[str, str]:
    return worker_variables(make_case(optimization=make_optimization("FP16", **changes)), {})


def test_tf_trt_is_made_to_say_what_it_leaves_out() -> None:
    variables = trt()
    assert variables["TF_TRT_SHOW_DETAILED_REPORT"] == "1"
    assert variables["TF_CPP_VMODULE"] == "segment=1"  # more would log every execution while it is timed
    assert variables["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert "TF_TRT_OP_DENYLIST" not in variables
    assert "TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION" not in variables


def test_builds_are_told_where_they_can_happen_while_timed() -> None:
    assert trt(allow_build_at_runtime=True)["TF_CPP_VMODULE"] == "segment=1,trt_engine_op=1"


def test_keys_that_tf_trt_takes_from_the_environment_alone() -> None:
    variables = trt(nodes_blacklist=("Softmax", "Relu6"), use_function_backup=False)
    assert variables["TF_TRT_OP_DENYLIST"] == "Softmax,Relu6"
    assert variables["TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"] == "False"


@pytest.mark.parametrize(("precision", "backend"), [("native", "tensorflow"), ("FP32", "litert"), ("FP32", "null")])
def test_other_backends_get_the_users_logging_alone(precision: str, backend: str) -> None:
    case = make_case(precision, backend)
    assert worker_variables(case, {"TF_CPP_VMODULE": "old=1"}) == {}
    asked = case.model_copy(update={"tf_cpp_vmodule": "segment=2"})
    assert worker_variables(asked, {}) == {"TF_CPP_VMODULE": "segment=2"}


def test_of_several_words_on_a_module_the_highest_level_counts() -> None:
    case = make_case(optimization=make_optimization("FP16"), tf_cpp_vmodule="segment=3,trt_engine_op=0")
    wanted = worker_variables(case, {"TF_CPP_VMODULE": "convert_graph=1,segment=2"})["TF_CPP_VMODULE"]
    assert wanted == "segment=3,convert_graph=1,trt_engine_op=0"


def test_suppression_that_is_to_run_on_the_cpu_is_in_no_engine() -> None:
    case = make_case(optimization=make_optimization("FP16", nodes_blacklist=("Softmax",)))
    edited = case.model.model_copy(update={"edits": Edits(force_nms_cpu=True)})
    denied = worker_variables(case.model_copy(update={"model": edited}), {})["TF_TRT_OP_DENYLIST"].split(",")
    assert denied[:2] == ["Softmax", "CombinedNonMaxSuppression"] and "NonMaxSuppressionV5" in denied


def test_a_worker_starts_with_them(tmp_path: Path) -> None:
    case = make_case("FP32", "null", num_iterations=2, tf_cpp_vmodule="segment=2", image_shape=(8, 8))
    dataset = case.dataset.model_copy(update={"format": "synthetic"})
    record = run_worker(
        case.model_copy(update={"dataset": dataset, "num_images": 2}), tmp_path / "log", lambda *event: None
    )
    assert record.failure is None
    assert record.environment is not None
    assert record.environment.variables["TF_CPP_VMODULE"] == "segment=2"
