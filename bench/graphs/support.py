"""Which ops a model has, and which ops this TensorFlow's TF-TRT has converters for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from bench.errors import ConfigError, ModelError, nearest
from bench.graphs.savedmodel import SERVING_SIGNATURE, read_signature

# No work of the model's own: constants, arguments, names, order of execution; a call is counted by what it calls.
PLUMBING = frozenset(
    {"Const", "Placeholder", "PlaceholderWithDefault", "Identity", "IdentityN", "NoOp", "_Arg", "_Retval",
     "PartitionedCall", "StatefulPartitionedCall"}
)  # fmt: skip
NO_REGISTRY = frozenset({"undef"})  # what a TensorFlow without TF-TRT answers (seen in 2.21)


def registered_converters() -> tuple[str, ...] | None:
    """The ops in TF-TRT's registry, which needs no TensorRT; None where TensorFlow was built without TF-TRT."""
    library = tf_trt_library()
    ops = frozenset() if library is None else frozenset(library.get_registered_op_converters())
    return tuple(sorted(ops)) if ops - NO_REGISTRY else None


def linked_tensorrt() -> tuple[int, ...] | None:
    """The TensorRT that TensorFlow was built for; None where there is none in it."""
    library = tf_trt_library()
    linked = () if library is None else tuple(library.get_linked_tensorrt_version())
    return linked if any(linked) else None


def loaded_tensorrt() -> tuple[int, ...] | None:
    """The TensorRT that TensorFlow loads. Where the library is not there, this ends the process."""
    library = tf_trt_library()
    loaded = () if library is None else tuple(library.get_loaded_tensorrt_version())
    return loaded if any(loaded) else None


def tf_trt_library() -> Any:
    """TF-TRT's extension module; None where TensorFlow has none."""
    try:
        from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils
    except ImportError:
        return None
    return _pywrap_py_utils


def refuse_unknown_ops(names: Iterable[str]) -> None:
    """A ConfigError about the first name that is no op of this TensorFlow: TF-TRT's deny list takes any, in silence."""
    for name in names:
        if op_def_registry.get(name) is None:
            known = f"TensorFlow {tf.__version__} has no such type of op{nearest(name, dir(tf.raw_ops))}"
            raise ConfigError(f"optimization_config.nodes_blacklist: {name!r}: {known}")


def frozen_graph(model_dir: Path) -> Any:
    """The GraphDef of a SavedModel's serving signature with its variables as constants, as TF-TRT freezes it."""
    read_signature(model_dir)
    try:
        loaded = tf.saved_model.load(str(model_dir))
        return convert_variables_to_constants_v2(loaded.signatures[SERVING_SIGNATURE]).graph.as_graph_def()
    except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError(f"{model_dir}: TensorFlow cannot load and freeze it: {error}") from error


def count_ops(graph: Any) -> Counter[str]:
    """How often a GraphDef has each op, in the functions that it calls too, each counted once; no plumbing."""
    bodies = {function.signature.name: function.node_def for function in graph.library.function}
    counts: Counter[str] = Counter()
    waiting, seen = [graph.node], set[str]()
    while waiting:
        for node in waiting.pop():
            if node.op not in PLUMBING and node.op not in bodies:
                counts[node.op] += 1
            called = {name for name in _called(node) if name in bodies} - seen
            seen |= called
            waiting += [bodies[name] for name in sorted(called)]
    return counts


def _called(node: Any) -> Iterator[str]:
    yield node.op  # a function can be called by its name
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)
