"""Quantization ranges that a graph carries itself, and the tensors that lack one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from bench.graphs.nodes import Body, Node, bodies, source

QUANTIZERS = (
    "QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs",
)  # fmt: skip
# What TF-TRT does not convert, though it means the same; TensorFlow 2's own functions make it.
UNCONVERTED = ("QuantizeAndDequantizeV4", "QuantizeAndDequantizeV4Grad", "FakeQuantWithMinMaxVarsPerChannel")
EXPLICIT = "QuantizeAndDequantizeV2"  # with it TF-TRT leaves to these ops alone what is INT8, weights included
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative", "Conv3D", "Conv2DBackpropInput")  # their second input is the weights
MULTIPLIERS = (*CONVOLUTIONS, "MatMul", "BatchMatMul", "BatchMatMulV2")
PASSING = ("Identity", "Reshape", "Transpose", "MaxPool", "Relu", "Relu6", "Squeeze", "ExpandDims", "Pad")
DATA_INPUTS = {"Conv2DBackpropInput": (2, 1)}  # what is multiplied, and by which weights; of others 0 and 1


def has_quantizers(graph: Any) -> bool:
    """Whether any tensor of the graph carries a range that TF-TRT reads."""
    return any(body.of(*QUANTIZERS) for body in bodies(graph))


def missing_ranges(graph: Any) -> tuple[str, ...]:
    """The tensors of a frozen graph that enter a convolution or a product of matrices without a range, in its order.

    Weights need one where the graph has QuantizeAndDequantizeV2 alone: else TensorRT finds theirs itself.
    """
    found = list(bodies(graph))
    explicit = any(body.of(EXPLICIT) for body in found)
    missing: dict[str, None] = {}
    for body in found:
        for node, *places in multiplied(body):
            data, weights = (node.input[place] for place in places)
            if not comes_from(body, data, QUANTIZERS):
                missing[_name(body, data)] = None
            if not comes_from(body, weights, QUANTIZERS if explicit else (*QUANTIZERS, "Const")):
                missing[_name(body, weights)] = None
    return tuple(missing)


def unread_on_weights(graph: Any) -> tuple[str, ...]:
    """The ops on weights of a frozen graph's convolutions that make TF-TRT leave these to TensorFlow, or crash."""
    others = {*QUANTIZERS, *UNCONVERTED} - {EXPLICIT}
    firsts = (_first(body, node.input[1]) for body in bodies(graph) for node in body.of(*CONVOLUTIONS))
    return tuple(dict.fromkeys(first.op for first in firsts if first is not None and first.op in others))


def multiplied(body: Body) -> Iterator[tuple[Node, int, int]]:
    """The nodes that multiply, and which of their inputs is what is multiplied, and which the weights.

    A product of matrices may have its weights first.
    """
    for node in body.of(*MULTIPLIERS):
        data, weights = DATA_INPUTS.get(node.op, (0, 1))
        computed = [body.constant(node.input[place]) is None for place in (data, weights)]
        if node.op not in CONVOLUTIONS and computed == [False, True]:
            data, weights = weights, data
        yield node, data, weights


def _name(body: Body, reference: str) -> str:
    """Of what was there before a call was inlined, which leaves an Identity with a name of its own."""
    node: Node | None = body.by_name.get(source(reference))
    while node is not None and node.op == "Identity":
        reference = node.input[0]
        node = body.by_name.get(source(reference))
    return source(reference)


def comes_from(body: Body, reference: str, ops: Collection[str]) -> bool:
    """Whether one of these ops made a tensor, before others that keep its range."""
    first = _first(body, reference)
    return first is not None and first.op in ops


def _first(body: Body, reference: str) -> Node | None:
    """What made a tensor, before ops that keep its values' range."""
    node: Node | None = body.by_name.get(source(reference))
    while node is not None and node.op in PASSING and node.input:
        node = body.by_name.get(source(node.input[0]))
    return node
