"""A graph as TensorBoard reads it: TensorFlow's own reader gives it back, weights aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tensorflow.core.framework.graph_pb2 import GraphDef  # noqa: E402

from bench.graphs.events import LARGEST_CONSTANT, write_graph  # noqa: E402
from bench.graphs.savedmodel import meta_graph  # noqa: E402
from tests.graphs.converted import Made, write_converted  # noqa: E402

TAGS = frozenset({"serve"})


def shown(folder: Path) -> Any:
    """The one graph in the one event file of a folder."""
    (file,) = folder.glob("events.out.*")
    events = tf.compat.v1.train.summary_iterator(str(file))
    (graph,) = [GraphDef.FromString(event.graph_def) for event in events if event.graph_def]
    return graph


def all_ops(graph: Any) -> list[str]:
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    return sorted(node.op for nodes in bodies for node in nodes)


def test_the_whole_graph_is_there_without_its_weights(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    spec = tf.TensorSpec((None, 32), tf.float32, name="x")
    serve = tf.function(lambda x: {"y": tf.nn.relu(x @ tf.constant(kernel)) + 1.0}, input_signature=[spec])
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), signatures={"serving_default": serve})
    write_graph(tmp_path / "model", ("serve",), tmp_path / "events")
    graph, before = shown(tmp_path / "events"), meta_graph(tmp_path / "model", TAGS).graph_def
    assert all_ops(graph) == all_ops(before) and {"MatMul", "Relu"} <= set(all_ops(graph))
    assert before.ByteSize() > kernel.nbytes > LARGEST_CONSTANT > 0
    assert graph.ByteSize() < before.ByteSize() - kernel.nbytes + LARGEST_CONSTANT


def test_engines_are_shown_without_what_was_serialized_in_them(tmp_path: Path) -> None:
    table = b"TRT-8503" + bytes(2 * LARGEST_CONSTANT)
    saved = write_converted(tmp_path / "model", [Made(calibration=table)], ["Cast"])
    write_graph(saved, ("serve",), tmp_path / "events")
    graph = shown(tmp_path / "events")
    assert {"TRTEngineOp", "Cast"} <= set(all_ops(graph))
    assert table not in graph.SerializeToString() and table in (saved / "saved_model.pb").read_bytes()
