"""INT8 by the ranges that a graph has itself: which ops TF-TRT takes where, and what is said where one is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.graphs.quantizers import ARGS, V2, V3, V4, VARS
from bench.statistics.summary import summarize

OWN_RANGES = {"precision_mode": "INT8", "use_calibration": False, "use_dynamic_shape": True}
EDGES = (0.5, 1.0, 6.0)


def write_model(
    folder: Path, op: str, weights: bool = True, everywhere: bool = True, layout: str = "NHWC"
) -> dict[str, Any]:
    """A network of two convolutions with ranges, and what a config says of it.

    Ranges are on all that enters the convolutions: weights too or not, the second one's images too or not. Those of
    FakeQuantWithMinMaxVars are variables, as training finds them.
    """
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # of this process, which would be a stranger beside the worker
    module = tf.Module()
    module.low, module.high = ([tf.Variable(sign * edge) for edge in EDGES] for sign in (-1, 1))

    def quantize(value: Any, limit: float) -> Any:
        if op == ARGS:
            return tf.raw_ops.FakeQuantWithMinMaxArgs(inputs=value, min=-limit, max=limit, narrow_range=True)
        if op == VARS:
            low, high = (ends[EDGES.index(limit)] for ends in (module.low, module.high))
            return tf.raw_ops.FakeQuantWithMinMaxVars(inputs=value, min=low, max=high, narrow_range=True)
        return getattr(tf.raw_ops, op)(
            input=value, input_min=-limit, input_max=limit, range_given=True, narrow_range=True, num_bits=8
        )

    generator = np.random.default_rng(0)
    kernels = [tf.constant(generator.normal(0, 0.1, shape), tf.float32) for shape in ((3, 3, 3, 32), (3, 3, 32, 32))]

    def network(images: Any) -> dict[str, Any]:
        first, second = (quantize(kernel, 0.5) if weights else kernel for kernel in kernels)
        images = tf.transpose(images, [0, 3, 1, 2]) if layout == "NCHW" else images
        hidden = tf.nn.relu(tf.nn.conv2d(quantize(images, 1.0), first, 1, "SAME", layout), name="hidden")
        hidden = quantize(hidden, 6.0) if everywhere else hidden
        hidden = tf.nn.relu(tf.nn.conv2d(hidden, second, 1, "SAME", layout))
        return {"scores": tf.reduce_mean(quantize(hidden, 6.0), [2, 3] if layout == "NCHW" else [1, 2])}

    spec = tf.TensorSpec((None, 64, 64, 3), tf.float32, name="images")
    serve = tf.function(network, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return {"model_config": {"input_saved_model_dir": str(folder), "task": "classification", "preprocess": "tf"}}


@pytest.mark.parametrize("op", [V2, V3, V4, VARS, ARGS])
def test_ranges_on_activations_and_weights_run_in_int8(run_one: Any, tmp_path: Path, op: str) -> None:
    asked = {**OWN_RANGES, "replace_quantizers": op != V2}
    code, record, _ = run_one(asked, **write_model(tmp_path / "quantized", op))
    assert (code, record.failure) == (0, None)
    assert record.conversion.share_converted > 0.9 and not record.conversion.warnings
    assert summarize(record).values["int8_share"] > 0.1


@pytest.mark.parametrize("op", [V2, V3, VARS, ARGS])
def test_weights_that_get_a_range_run_in_int8_with_ranges_on_activations_alone(
    run_one: Any, tmp_path: Path, op: str
) -> None:
    asked = {**OWN_RANGES, "replace_quantizers": op != V2, "quantize_weights": True}
    code, record, _ = run_one(asked, **write_model(tmp_path / "quantized", op, weights=False))
    assert (code, record.failure, record.edits["quantize_weights"]) == (0, None, 2)
    assert record.conversion.share_converted > 0.9 and not record.conversion.warnings
    assert summarize(record).values["int8_share"] > 0.1


@pytest.mark.parametrize("op", [V3, VARS, ARGS])
def test_ranges_on_activations_alone_leave_int8_to_tensorrt_which_is_told(
    run_one: Any, tmp_path: Path, op: str
) -> None:
    """It may find another precision faster, as it does for a network as small as this one."""
    code, record, run = run_one(OWN_RANGES, **write_model(tmp_path / "quantized", op, weights=False))
    assert (code, record.failure) == (0, None)
    assert record.conversion.share_converted > 0.9
    told = "no kernel that ran is known to compute in INT8" in (run / "comparison.md").read_text(encoding="utf-8")
    assert told == (summarize(record).values["int8_share"] == 0)


def types_tried_for_convolutions(log: str) -> set[str]:
    """What their inputs were as TensorRT timed its kernels for them, by its own most detailed log."""
    found, types = set(), ""
    for line in log.splitlines():
        if combination := re.search(r"Autotuning format combination: (\w+)\(", line):
            types = combination[1]
        elif re.search(r"Timing Runner: .*\(\w*Conv", line):
            found.add(types)
    return found


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_tensorrt_tries_int8_by_ranges_on_activations_alone(run_one: Any, tmp_path: Path, layout: str) -> None:
    logged = {"tf_cpp_vmodule": "trt_logger=2,convert_nodes=1"}
    model = write_model(tmp_path / "quantized", V3, weights=False, layout=layout)
    code, record, run = run_one(OWN_RANGES, logged, **model)
    assert (code, record.failure) == (0, None) and record.conversion.share_converted > 0.9
    tried = types_tried_for_convolutions((run / f"{record.case.id}.log").read_text(errors="replace"))
    print(layout, "convolutions tried in:", tried, "INT8 of the kernels' time:", summarize(record).values["int8_share"])
    assert tried == {"Float", "Half", "Int8"}


@pytest.mark.parametrize("op", [V2, VARS])
def test_a_tensor_without_a_range_is_named(run_one: Any, tmp_path: Path, op: str) -> None:
    code, record, _ = run_one(OWN_RANGES, **write_model(tmp_path / "quantized", op, weights=op == V2, everywhere=False))
    assert (code, record.failure) == (0, None)
    assert record.conversion.warnings[0].endswith("PartitionedCall/hidden: what it enters is not INT8")


@pytest.mark.parametrize("op", [V3, VARS])
def test_weights_that_tf_trt_would_not_convert_are_refused(run_one: Any, tmp_path: Path, op: str) -> None:
    code, record, _ = run_one(OWN_RANGES, **write_model(tmp_path / "quantized", op))
    assert code == 4 and record.failure is not None
    assert f"{op}: set replace_quantizers" in record.failure.message


def test_a_graph_without_ranges_is_not_int8(run_one: Any) -> None:
    code, record, _ = run_one({"precision_mode": "INT8", "use_calibration": False})
    assert code == 4 and record.failure is not None
    assert "ranges" in record.failure.message and "use_calibration" in record.failure.message
