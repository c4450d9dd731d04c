"""Frozen graphs: all weights are constants. Out of a SavedModel, and into one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from bench.errors import ModelError
from bench.graphs.savedmodel import SERVING_SIGNATURE, read_signature

GraphDef = Any
TRAINING_OPS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


@dataclass(frozen=True)
class Feed:
    """An input: the tensor that is fed, and what it takes."""

    tensor: str
    spec: Any  # a tf.TensorSpec


@dataclass(frozen=True)
class Frozen:
    """A graph without variables; its inputs and outputs by the names that they have in the signature."""

    graph: GraphDef
    inputs: Mapping[str, Feed]
    outputs: Mapping[str, str]  # name -> tensor


def freeze(model_dir: Path, tags: tuple[str, ...], key: str) -> Frozen:
    """A SavedModel's signature with its variables turned into constants and its functions inlined."""
    function, constant = _constant(model_dir, tags, key)
    specs = function.structured_input_signature[1]
    if len(constant.inputs) != len(specs):
        extra = ", ".join(tensor.name for tensor in constant.inputs[len(specs) :])
        raise ModelError(f"{model_dir}: cannot be frozen: it holds what is no variable, such as tables: {extra}")
    inputs = {
        name: Feed(tensor.name, tf.TensorSpec(specs[name].shape, specs[name].dtype, name))
        for name, tensor in zip(sorted(specs), constant.inputs, strict=True)
    }
    outputs = zip(sorted(function.structured_outputs), (tensor.name for tensor in constant.outputs), strict=True)
    return Frozen(constant.graph.as_graph_def(), inputs, dict(outputs))


def frozen_graph(model_dir: Path, tags: tuple[str, ...], key: str) -> GraphDef:
    """The graph alone, to look at: of a SavedModel with tables too."""
    return _constant(model_dir, tags, key)[1].graph.as_graph_def()


def _constant(model_dir: Path, tags: tuple[str, ...], key: str) -> tuple[Any, Any]:
    """A signature's function, and the same without variables and calls."""
    read_signature(model_dir, key, frozenset(tags))  # its errors say what is there instead
    loaded = tf.saved_model.load(str(model_dir), tags=list(tags))  # it holds the variables
    function = loaded.signatures[key]
    return function, convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)


def save(frozen: Frozen, target: Path) -> None:
    """Write it as a SavedModel, tagged `serve`, with the signature `serving_default`."""
    # wrap_function, unlike a tf.function that imports the graph, runs the loops and branches of TensorFlow 1.
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen.graph, name=""), [])
    tensor = wrapped.graph.get_tensor_by_name
    fetches = {name: tensor(output) for name, output in frozen.outputs.items()}
    pruned = wrapped.prune([tensor(feed.tensor) for feed in frozen.inputs.values()], fetches)
    specs = [tf.TensorSpec(feed.spec.shape, feed.spec.dtype, name) for name, feed in frozen.inputs.items()]
    serve = tf.function(lambda *tensors: pruned(*tensors), input_signature=specs, autograph=False)
    tf.saved_model.save(tf.Module(), str(target), signatures={SERVING_SIGNATURE: serve})
    _check_names(frozen, target)


def _check_names(frozen: Frozen, saved: Path) -> None:
    signature = read_signature(saved)
    names = [spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs]
    wanted = sorted(frozen.inputs), sorted(frozen.outputs)
    if names != wanted:
        raise ModelError(f"names change when the graph is saved: {wanted} become {names}")


def write_graph(frozen: Frozen, path: Path) -> None:
    """Write the GraphDef, atomically; its outputs are called as in the signature where these names are free."""
    graph = tf.compat.v1.GraphDef()
    graph.CopyFrom(frozen.graph)
    taken = {node.name for node in graph.node}
    with tf.Graph().as_default() as known:
        tf.graph_util.import_graph_def(frozen.graph, name="")
    for name in sorted(set(frozen.outputs) - taken):
        tensor = known.get_tensor_by_name(frozen.outputs[name])
        node = graph.node.add(name=name, op="Identity", input=[tensor.name.removesuffix(":0")])
        node.attr["T"].type = tensor.dtype.as_datatype_enum
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(graph.SerializeToString())
    partial.replace(path)


def reason(error: Exception) -> str:
    """The line of TensorFlow's message that tells something."""
    empty = ("Graph execution error:", "Detected at node", "Exception encountered when", "Node:")
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line and not line.startswith(empty)), type(error).__name__)[:500]


def refuse_training(graph: GraphDef, source: object) -> None:
    """An error that names the first batch normalization that would use its batch's statistics."""
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    for node in nodes:
        if node.op in TRAINING_OPS and ("is_training" not in node.attr or node.attr["is_training"].b):
            raise ModelError(
                f"{source}: node {node.name!r} ({node.op}) is in training mode; save the model in inference mode"
            )
