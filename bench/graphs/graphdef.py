"""Frozen GraphDefs of the user's: read, and their inputs and outputs found where the graph leaves no doubt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from bench.declared import signature_names
from bench.errors import ModelError, nearest
from bench.graphs.frozen import Feed, Frozen, GraphDef, refuse_training

DETECTION = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
DETECTION_MORE = ("detection_masks", "raw_detection_boxes", "raw_detection_scores")
VARIABLES = ("Variable", "VariableV2", "VarHandleOp", "TemporaryVariable")
CONTROL_FLOW = ("Switch", "While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase")
NO_OUTPUT = re.compile(r"Assign.*|Apply.*|ResourceApply.*|ResourceScatter.*|Scatter.*Update|.*Summary|Assert|Print.*")
SHOWN = 12  # names in an error


def read_frozen(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Frozen:
    """The graph in a .pb file; errors say what it is instead, or which names it has."""
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError has moved between modules over the years
        raise ModelError(f"{path}: not a GraphDef: {error}") from error
    variable = next((node for node in graph_def.node if node.op in VARIABLES), None)
    if variable is not None:
        raise ModelError(f"{path}: not frozen: {variable.name!r} is a variable; name its checkpoint as `checkpoint`")
    feeds, fetches = find_names(imported(graph_def, path), inputs, outputs, path)
    return assemble(graph_def, feeds, fetches, path)


def imported(graph_def: GraphDef, path: Path) -> Any:
    """The tf.Graph; a ModelError where there is nothing in it, or this TensorFlow does not know it."""
    with tf.Graph().as_default() as graph:
        try:
            tf.graph_util.import_graph_def(graph_def, name="")
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ModelError(f"{path}: not a graph that TensorFlow {tf.__version__} takes: {error}") from error
    if not graph.get_operations():
        raise ModelError(f"{path}: not a GraphDef: it has no nodes")
    return graph


def find_names(graph: Any, inputs: Sequence[str], outputs: Sequence[str], path: Path) -> tuple[list[Any], list[Any]]:
    """The tensors to feed and to fetch: those of the names given, else those that there is no doubt about."""
    fetches = [_tensor(graph, name, "output_names", path) for name in outputs] or _ends(graph, path)
    feeds = [_tensor(graph, name, "input_names", path) for name in inputs] or _begins(fetches, path)
    left = _placeholders(fetches, feeds)
    if left:
        raise ModelError(
            f"model_config.input_names: {', '.join(inputs)}: the outputs need {_list(left)} of {path} too; name all"
        )
    return feeds, fetches


def assemble(graph_def: GraphDef, feeds: Sequence[Any], fetches: Sequence[Any], path: Path) -> Frozen:
    """The part of the graph that leads to the outputs, in inference mode."""
    part = tf.compat.v1.graph_util.extract_sub_graph(graph_def, sorted({t.op.name for t in (*feeds, *fetches)}))
    refuse_training(part, path)
    inputs = {
        name: Feed(tensor.name, tf.TensorSpec(tensor.shape, tensor.dtype, name))
        for name, tensor in zip(signature_names([tensor.name for tensor in feeds], "input"), feeds, strict=True)
    }
    fetched = [tensor.name for tensor in fetches]
    outputs = zip(signature_names(fetched, "output"), fetched, strict=True)
    return Frozen(part, inputs, dict(outputs))


def _tensor(graph: Any, name: str, key: str, path: Path) -> Any:
    full = name if ":" in name else f"{name}:0"
    try:
        return graph.get_tensor_by_name(full)
    except (KeyError, ValueError) as error:
        known = [operation.name for operation in graph.get_operations()]
        likely = _sinks(graph) if key == "output_names" else _all_placeholders(graph)
        hint = nearest(name.partition(":")[0], known) or f"; likely: {_list(likely)}"
        raise ModelError(f"model_config.{key}: {name!r}: no such tensor in {path}{hint}") from error


def _ends(graph: Any, path: Path) -> list[Any]:
    """The outputs of a graph that ends in one tensor, or in those of a detector."""
    sinks = _sinks(graph)
    named = {tensor.op.name: tensor for tensor in sinks}
    if all(name in named for name in DETECTION):
        return [named[name] for name in (*DETECTION, *DETECTION_MORE) if name in named]
    if len(sinks) == 1:
        return sinks
    what = f"ends in several tensors: {_list(sinks)}; name those to fetch" if sinks else "has no output; name one"
    raise ModelError(f"model_config.output_names: missing: {path} {what}")


def _begins(fetches: Sequence[Any], path: Path) -> list[Any]:
    """The one placeholder that the outputs depend on."""
    found = _placeholders(fetches, ())
    if len(found) == 1:
        return found
    what = f"depend on several placeholders: {_list(found)}" if found else "depend on no placeholder"
    raise ModelError(
        f"model_config.input_names: missing: the outputs {_list(fetches)} of {path} {what}; name what is to be fed"
    )


def _sinks(graph: Any) -> list[Any]:
    """Tensors that come from a placeholder and that nothing in the graph takes."""
    waiting = [tensor.op for tensor in _all_placeholders(graph)]
    seen = set(waiting)
    while waiting:
        for tensor in waiting.pop().outputs:
            fresh = [operation for operation in tensor.consumers() if operation not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
    ends = [operation for operation in graph.get_operations() if operation in seen and _is_end(operation)]
    ends = [operation for operation in ends if not _is_left_over(operation)] or ends
    return [tensor for operation in ends for tensor in operation.outputs]


def _is_end(operation: Any) -> bool:
    if operation.type == "Placeholder" or NO_OUTPUT.fullmatch(operation.type):
        return False
    return bool(operation.outputs) and not any(tensor.consumers() for tensor in operation.outputs)


def _is_left_over(operation: Any) -> bool:
    """Whether it is what nobody wanted of a loop's or branch's results, such as its counter."""
    if operation.type not in ("Identity", "Exit"):
        return False
    return operation.type == "Exit" or operation.inputs[0].op.type in CONTROL_FLOW


def _all_placeholders(graph: Any) -> list[Any]:
    return [operation.outputs[0] for operation in graph.get_operations() if operation.type == "Placeholder"]


def _placeholders(fetches: Iterable[Any], feeds: Sequence[Any]) -> list[Any]:
    """Those that the outputs depend on, when these tensors are fed; in the graph's order."""
    waiting = list(fetches)
    seen: set[str] = set()
    found = {}
    while waiting:
        tensor = waiting.pop()
        if tensor.name in seen or any(tensor is feed for feed in feeds):
            continue
        seen.add(tensor.name)
        if tensor.op.type == "Placeholder":
            found[tensor.name] = tensor
        waiting.extend(tensor.op.inputs)
    return [found[name] for name in sorted(found)]


def _list(tensors: Iterable[Any]) -> str:
    texts = [f"{tensor.name} ({tensor.dtype.name} {_shape(tensor)})" for tensor in tensors]
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def _shape(tensor: Any) -> str:
    return "of any shape" if tensor.shape.rank is None else str(tensor.shape.as_list())
