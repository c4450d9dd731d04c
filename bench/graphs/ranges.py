"""Quantization ranges that a graph carries itself, and the tensors that lack one."""

from __future__ import annotations

from typing import Any

from bench.graphs.nodes import Body, Node, bodies, source

QUANTIZERS = (
    "QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs",
)  # fmt: skip
# What TF-TRT does not convert, though it means the same; TensorFlow 2's own functions make it.
UNCONVERTED = ("QuantizeAndDequantizeV4", "QuantizeAndDequantizeV4Grad", "FakeQuantWithMinMaxVarsPerChannel")
MULTIPLIERS = (
    "Conv2D", "DepthwiseConv2dNative", "Conv3D", "Conv2DBackpropInput", "MatMul", "BatchMatMul", "BatchMatMulV2",
)  # fmt: skip
PASSING = ("Identity", "Reshape", "Transpose", "MaxPool", "Relu", "Relu6", "Squeeze", "ExpandDims", "Pad")
DATA_INPUTS = {"Conv2DBackpropInput": (2, 1)}  # (what is multiplied, by which weights)


def has_quantizers(graph: Any) -> bool:
    """Whether any tensor of the graph carries a range that TF-TRT reads."""
    return any(body.of(*QUANTIZERS) for body in bodies(graph))


def missing_ranges(graph: Any) -> tuple[str, ...]:
    """The tensors that enter a convolution or a product of matrices without a range, in the graph's order."""
    missing: dict[str, None] = {}
    for body in bodies(graph):
        for node in body.of(*MULTIPLIERS):
            for index in DATA_INPUTS.get(node.op, (0, 1)):
                if not _has_range(body, node.input[index]):
                    missing[node.input[index].partition(":")[0]] = None
    return tuple(missing)


def _has_range(body: Body, reference: str) -> bool:
    """Whether the tensor comes from a quantizer, through nothing but ops that keep its values' range."""
    node: Node | None = body.by_name.get(source(reference))
    while node is not None and node.op in PASSING and node.input:
        node = body.by_name.get(source(node.input[0]))
    return node is not None and node.op in QUANTIZERS
