"""Tensors without a quantization range, found in graphs that TensorFlow made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.graphs.ranges import QUANTIZERS, has_quantizers, missing_ranges  # noqa: E402


def quantize(value: Any, kind: str = "QuantizeAndDequantizeV2") -> Any:
    if kind == "FakeQuantWithMinMaxArgs":
        return tf.raw_ops.FakeQuantWithMinMaxArgs(inputs=value, min=-1.0, max=1.0)
    if kind == "FakeQuantWithMinMaxVars":
        return tf.raw_ops.FakeQuantWithMinMaxVars(inputs=value, min=-1.0, max=1.0)
    more = {"num_bits": 8} if kind == "QuantizeAndDequantizeV3" else {}
    return getattr(tf.raw_ops, kind)(input=value, input_min=-1.0, input_max=1.0, range_given=True, **more)


def graph_of(network: Any) -> Any:
    function = tf.function(network, autograph=False)
    return function.get_concrete_function(tf.TensorSpec((1, 8, 8, 3), tf.float32, name="images")).graph.as_graph_def()


def network(images: Any, first: str | None, second: str | None, weights: str | None) -> Any:
    def maybe(value: Any, kind: str | None) -> Any:
        return value if kind is None else quantize(value, kind)

    kernels = [tf.constant(np.ones(shape), tf.float32) for shape in ((3, 3, 3, 4), (3, 3, 4, 2))]
    hidden = tf.nn.conv2d(maybe(images, first), maybe(kernels[0], weights), 1, "SAME", name="conv1")
    hidden = tf.nn.relu(hidden, name="activation1")
    return tf.nn.conv2d(maybe(hidden, second), maybe(kernels[1], weights), 1, "SAME", name="conv2")


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_a_graph_with_all_ranges_misses_none(kind: str) -> None:
    graph = graph_of(lambda images: network(images, kind, kind, kind))
    assert has_quantizers(graph)
    assert missing_ranges(graph) == ()


def test_tensors_without_a_range_are_named() -> None:
    kind = QUANTIZERS[0]
    assert missing_ranges(graph_of(lambda images: network(images, kind, None, kind))) == ("activation1",)
    assert missing_ranges(graph_of(lambda images: network(images, None, kind, kind))) == ("images",)


def test_weights_need_a_range_too() -> None:
    graph = graph_of(lambda images: network(images, QUANTIZERS[0], QUANTIZERS[0], None))
    assert missing_ranges(graph) == ("Const", "Const_1")


def test_a_graph_without_any() -> None:
    graph = graph_of(lambda images: network(images, None, None, None))
    assert not has_quantizers(graph)
    assert missing_ranges(graph) == ("images", "activation1")
