"""A frozen graph out of a checkpoint of TensorFlow 1: the graph of its .meta, the weights of its .index and .data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from bench.errors import ModelError
from bench.graphs.frozen import Frozen, reason
from bench.graphs.graphdef import assemble, find_names, imported

v1 = tf.compat.v1


def freeze_checkpoint(prefix: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Frozen:
    """The part of the graph between the inputs and the outputs, with the checkpoint's weights as constants."""
    with tf.Graph().as_default() as graph, v1.Session() as session:
        saver = _import(prefix)
        feeds, fetches = find_names(graph, inputs, outputs, prefix)
        if saver is not None:
            _restore(saver, session, prefix)
        ends = sorted({tensor.op.name for tensor in (*feeds, *fetches)})
        graph_def = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ends)
    constant = imported(graph_def, prefix)
    of = constant.get_tensor_by_name
    return assemble(graph_def, [of(t.name) for t in feeds], [of(t.name) for t in fetches], prefix)


def _import(prefix: Path) -> Any:
    try:
        return v1.train.import_meta_graph(f"{prefix}.meta", clear_devices=True)
    except (OSError, ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        raise ModelError(f"{prefix}.meta: not a graph that TensorFlow {tf.__version__} takes: {error}") from error


def _restore(saver: Any, session: Any, prefix: Path) -> None:
    try:
        saver.restore(session, str(prefix))
    except (ValueError, tf.errors.OpError) as error:
        raise ModelError(f"{prefix}: the weights cannot be read: {reason(error)}") from error
