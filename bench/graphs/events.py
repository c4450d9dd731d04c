"""A SavedModel's graph as an event file, which TensorBoard shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from bench.graphs.savedmodel import meta_graph

LARGEST_CONSTANT = 1024  # bytes; weights are no part of a picture


def write_graph(model_dir: Path, tags: Sequence[str], folder: Path) -> None:
    """Write the graph and its functions, without large constants."""
    graph_def = meta_graph(model_dir, frozenset(tags)).graph_def
    for nodes in (graph_def.node, *(function.node_def for function in graph_def.library.function)):
        for node in nodes:
            _shorten(node)
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        tf.summary.graph(graph_def)
    writer.close()


def _shorten(node: object) -> None:
    for value in node.attr.values():  # type: ignore[attr-defined]
        if value.tensor.ByteSize() > LARGEST_CONSTANT:
            value.tensor.Clear()
        if len(value.s) > LARGEST_CONSTANT:
            value.s = b""
