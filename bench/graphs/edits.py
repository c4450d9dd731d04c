"""The edits of the original examples, made in a frozen graph and in the functions of its library.

The original set the score threshold and the resizer's shape in the pipeline.config of an Object Detection API model,
and exported it anew. An exported graph does not heed that file, so here its constants are changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.case import Edits
from bench.errors import ModelError
from bench.graphs.nodes import Body, Node, bodies, drop, source, tensor_proto, value
from bench.graphs.quantizers import quantize_weights, replace_quantizers

NMS = "NonMaxSuppression"
SCORE_THRESHOLDS = {  # op -> index of the input
    "CombinedNonMaxSuppression": 5,
    "NonMaxSuppressionV3": 4,
    "NonMaxSuppressionV4": 4,
    "NonMaxSuppressionV5": 4,
    "NonMaxSuppressionWithOverlaps": 4,
}
RESIZERS = ("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea")
LEARNED = frozenset(
    {"Conv2D", "DepthwiseConv2dNative", "Conv3D", "MatMul", "BatchMatMulV2", "Einsum", "FusedBatchNorm",
     "FusedBatchNormV2", "FusedBatchNormV3", "MaxPool", "AvgPool"}
)  # fmt: skip


def apply(graph: Any, edits: Edits) -> dict[str, int]:
    """Make the edits that are asked for, in place; how often each was made, by its name."""
    done: dict[str, int] = {}
    if edits.remove_assert:
        done["remove_assert"] = sum(remove_assert(body) for body in bodies(graph))
    if edits.replace_relu6:
        done["replace_relu6"] = sum(replace_relu6(body) for body in bodies(graph))
    if edits.replace_quantizers:
        done["replace_quantizers"] = sum(replace_quantizers(body) for body in bodies(graph))
    if edits.quantize_weights:
        done["quantize_weights"] = sum(quantize_weights(body) for body in bodies(graph))
    if edits.nms_score_threshold is not None:
        done["override_nms_score_threshold"] = set_score_threshold(graph, edits.nms_score_threshold)
    if edits.resizer_shape is not None:
        done["override_resizer_shape"] = set_resizer_shape(graph, edits.resizer_shape)
    if edits.force_nms_cpu:
        done["force_nms_cpu"] = sum(force_nms_cpu(body) for body in bodies(graph))
    return done


def force_nms_cpu(body: Body) -> int:
    """Put every node whose name contains NonMaxSuppression on the CPU, and every node whose op does.

    The original looks at names alone, which finds CombinedNonMaxSuppression only where nobody renamed it.
    """
    found = [node for node in body.nodes if NMS in node.name or NMS in node.op]
    for node in found:
        node.device = "/device:CPU:0"
    return len(found)


def replace_relu6(body: Body) -> int:
    """Relu6(x) becomes relu(x) - relu(x - 6), of ops that every TensorRT knows.

    The same numbers up to rounding, which grows with x beyond 12, and NaN where x is infinite.
    """
    found = body.of("Relu6")
    for node in found:
        _expand_relu6(body, node)
    body.rename({f"{node.name}:activations:0": f"{node.name}:z:0" for node in found})
    return len(found)


def _expand_relu6(body: Body, node: Node) -> None:
    x, *edges = node.input
    name, dtype = node.name, node.attr["T"].type

    def add(suffix: str, op: str, inputs: Iterable[str]) -> Node:
        new = body.add(f"{name}/{suffix}", op, inputs, node.device)
        new.attr["T"].type = dtype
        return new

    six = body.add_constant(f"{name}/six", 6, dtype, node)
    low = add("low", "Relu", [x])
    above = add("above", "Sub", [x, six])
    high = add("high", "Relu", [body.reference(above.name, "z")])
    node.op = "Sub"
    del node.input[:]
    node.input.extend([body.reference(low.name, "activations"), body.reference(high.name, "activations"), *edges])


def remove_assert(body: Body) -> int:
    """Delete Assert ops, the guards around them that nothing else uses, and the control edges to both."""
    asserts = {node.name for node in body.of("Assert")}
    dead = asserts | _guards(body, asserts)
    guarded = {node.name for node in body.nodes if node.name in dead and node.op in ("If", "StatelessIf")}
    if dead:
        drop(body.nodes, dead)
        _forget_control_outputs(body, dead)
    return len(asserts) + len(guarded)


def _guards(body: Body, dead: set[str]) -> set[str]:
    """Nodes of the branch around an assertion, called AssertGuard, whose outputs no other node takes."""
    candidates = {node.name for node in body.nodes if "AssertGuard" in node.name} - dead
    if body.function is not None:
        candidates -= {source(reference) for reference in body.function.ret.values()}
    while True:
        used = {
            source(reference)
            for node in body.nodes
            if node.name not in dead and node.name not in candidates
            for reference in node.input
            if not reference.startswith("^")
        }
        if not candidates & used:
            return candidates
        candidates -= used


def _forget_control_outputs(body: Body, dead: set[str]) -> None:
    if body.function is None:
        return
    for key in [key for key, name in body.function.control_ret.items() if name in dead]:
        del body.function.control_ret[key]
        if key in body.function.signature.control_output:
            body.function.signature.control_output.remove(key)


def set_score_threshold(graph: Any, threshold: float) -> int:
    """Set the score below which non-maximum suppression drops boxes, wherever it is a constant.

    Older models of the Object Detection API filter boxes before: a Greater called FilterGreaterThan is set too.
    """
    key = "model_config.override_nms_score_threshold"
    count, computed = 0, []
    for body in bodies(graph):
        places = [(node, SCORE_THRESHOLDS[node.op]) for node in body.of(*SCORE_THRESHOLDS)]
        places += [(node, 1) for node in body.of("Greater") if "FilterGreaterThan" in node.name]
        for node, index in places:
            if body.set_constant(node, index, threshold, "score_threshold"):
                count += 1
            else:
                computed.append(node.name)
    if computed:
        raise ModelError(f"{key}: {threshold}: the threshold of {', '.join(computed)} is computed, not a constant")
    if not count:
        raise ModelError(f"{key}: {threshold}: nothing to set it in: the graph has no {' or '.join(SCORE_THRESHOLDS)}")
    return count


def set_resizer_shape(graph: Any, shape: tuple[int, int]) -> int:
    """Set the size to which the model resizes its images before anything learned."""
    key, shown = "model_config.override_resizer_shape", list(shape)
    count, computed = 0, []
    for body in bodies(graph):
        for node in _resizers(body):
            old = body.constant(node.input[1])
            if old is None:
                computed.append(node.name)
                continue
            _set_true_shapes(body, tuple(value(old)), shape)
            body.set_constant(node, 1, shape, "size")
            count += 1
    if computed:
        raise ModelError(f"{key}: {shown}: the size of {', '.join(computed)} is computed, not a constant")
    if not count:
        raise ModelError(f"{key}: {shown}: the graph has no {' or '.join(RESIZERS)} before what is learned")
    return count


def _resizers(body: Body) -> list[Node]:
    """Those of the Object Detection API's Preprocessor; else those that nothing learned comes before."""
    found = body.of(*RESIZERS)
    named = [node for node in found if "Preprocessor" in node.name]
    if named or body.function is not None:
        return named
    return [node for node in found if not LEARNED & _ops_before(body, node)]


def _ops_before(body: Body, node: Node) -> set[str]:
    waiting, seen = [source(node.input[0])], set()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in body.by_name:
            seen.add(name)
            waiting.extend(map(source, body.by_name[name].input))
    return {body.by_name[name].op for name in seen}


def _set_true_shapes(body: Body, old: tuple[int, ...], new: tuple[int, int]) -> None:
    """The Object Detection API keeps [height, width, channels] of the resized image, to scale boxes with."""
    for node in body.of("Const"):
        if "ResizeImage" in node.name and node.attr["value"].tensor.tensor_shape.dim:
            kept = value(node)
            if kept.shape == (3,) and tuple(kept[:2]) == old:
                node.attr["value"].tensor.CopyFrom(tensor_proto([*new, kept[2]], node.attr["dtype"].type))
