"""The edit that puts QuantizeAndDequantizeV2 in the place of its like: the ops, their number, and that results stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.case import Edits, Model  # noqa: E402
from bench.graphs import edits as graph_edits  # noqa: E402
from bench.graphs.frozen import frozen_graph  # noqa: E402
from bench.graphs.make import make  # noqa: E402
from bench.graphs.nodes import bodies  # noqa: E402
from bench.graphs.quantizers import ARGS, V2, V3, V4, VARS  # noqa: E402
from bench.graphs.ranges import missing_ranges, unread_on_weights  # noqa: E402
from bench.graphs.savedmodel import SERVING_TAGS, meta_graph  # noqa: E402
from tests.graphs import small  # noqa: E402

LIMIT = 6.0
VALUES = np.random.default_rng(0).uniform(-8, 8, (64, 4)).astype(np.float32)


def quantize(value: Any, op: str, low: float = -LIMIT, narrow: bool = True, bits: int = 8) -> Any:
    if op == ARGS:
        return tf.raw_ops.FakeQuantWithMinMaxArgs(inputs=value, min=low, max=LIMIT, narrow_range=narrow, num_bits=bits)
    if op == VARS:
        return tf.raw_ops.FakeQuantWithMinMaxVars(inputs=value, min=low, max=LIMIT, narrow_range=narrow, num_bits=bits)
    return getattr(tf.raw_ops, op)(
        input=value, input_min=low, input_max=LIMIT, range_given=True, narrow_range=narrow, num_bits=bits
    )


def edited(folder: Path, network: Any, spec: Any, **more: bool) -> tuple[Path, Path, dict[str, int]]:
    """A SavedModel of the network, the same with the edit, or more, and the counts of edits."""
    serve = tf.function(network, input_signature=[spec], autograph=False)
    tf.saved_model.save(tf.Module(), str(folder / "own"), signatures={"serving_default": serve})
    model = Model(name="m", task="detection", path=str(folder / "own"), edits=Edits(replace_quantizers=True, **more))
    saved, counts = make(model, None, 0, folder)
    return folder / "own", saved, counts or {}


def of_values(folder: Path, op: str, **how: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], dict[str, int]]:
    """What comes out before and after, of random values within the range and beyond it."""
    spec = tf.TensorSpec((None, 4), tf.float32, name="x")
    before, after, counts = edited(folder, lambda x: {"y": quantize(x, op, **how)}, spec)
    made = {node.op for body in bodies(meta_graph(after, SERVING_TAGS).graph_def) for node in body.nodes}
    assert (V2 in made) == bool(counts["replace_quantizers"]) and (op in made) == (not counts["replace_quantizers"])
    wanted, found = (small.infer(path, {"x": VALUES})["y"] for path in (before, after))
    return wanted, found, counts


@pytest.mark.parametrize("op", [V3, V4, VARS, ARGS])
def test_a_narrow_symmetric_range_stays_as_it_was(tmp_path: Path, op: str) -> None:
    wanted, found, counts = of_values(tmp_path, op)
    assert counts == {"replace_quantizers": 1}
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert len(np.unique(found)) > 50 and np.abs(found).max() == pytest.approx(LIMIT)


@pytest.mark.parametrize("op", [VARS, ARGS])
def test_another_range_becomes_symmetric_with_127_steps_to_its_end(tmp_path: Path, op: str) -> None:
    wanted, found, _ = of_values(tmp_path, op, low=0.0, narrow=False)
    np.testing.assert_allclose(found, wanted, atol=LIMIT / 127)
    steps = found * 127 / LIMIT
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert found.min() == 0 and found.max() == pytest.approx(LIMIT)


@pytest.mark.parametrize("op", [V3, VARS])
def test_what_has_other_than_8_bits_stays(tmp_path: Path, op: str) -> None:
    wanted, found, counts = of_values(tmp_path, op, bits=4)
    assert counts == {"replace_quantizers": 0}
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("op", [VARS, ARGS])
def test_a_range_that_does_not_hold_0_stays(tmp_path: Path, op: str) -> None:
    wanted, found, counts = of_values(tmp_path, op, low=1.0)
    assert counts == {"replace_quantizers": 0}
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("op", [V3, V4, VARS, ARGS])
def test_weights_are_then_what_tf_trt_converts(tmp_path: Path, op: str) -> None:
    kernel = tf.constant(np.random.default_rng(1).normal(0, 2, (3, 3, 3, 8)), tf.float32)

    def network(images: Any) -> dict[str, Any]:
        return {"y": tf.nn.conv2d(quantize(images, op), quantize(kernel, op), 1, "SAME")}

    before, after, counts = edited(tmp_path, network, tf.TensorSpec((None, 8, 8, 3), tf.float32, name="x"))
    assert counts == {"replace_quantizers": 2}
    graphs = [meta_graph(path, SERVING_TAGS).graph_def for path in (before, after)]
    assert [unread_on_weights(graph) for graph in graphs] == [(op,), ()]
    assert missing_ranges(graphs[1]) == ()
    pixels = np.random.default_rng(2).uniform(-5, 5, (2, 8, 8, 3)).astype(np.float32)
    wanted, found = (small.infer(path, {"x": pixels})["y"] for path in (before, after))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=0.1)


@pytest.mark.parametrize("op", [V2, V3, VARS, ARGS])
def test_weights_get_a_range_where_activations_alone_have_one(tmp_path: Path, op: str) -> None:
    generator = np.random.default_rng(1)
    kernel, beside, last = (generator.normal(0, 2, size) for size in ((3, 3, 3, 8), (3, 3, 3, 8), (8, 2)))

    def network(images: Any) -> dict[str, Any]:
        convolved = tf.nn.conv2d(quantize(images, op), tf.constant(kernel, tf.float32), 1, "SAME")
        without = tf.nn.conv2d(images, tf.constant(beside, tf.float32), 1, "SAME")
        nothing = tf.nn.conv2d(quantize(images, op), tf.zeros((3, 3, 3, 8)), 1, "SAME")
        means = quantize(tf.reduce_mean(convolved + nothing, [1, 2]), op)
        return {"y": means @ tf.constant(last, tf.float32), "without": without}

    spec = tf.TensorSpec((None, 8, 8, 3), tf.float32, name="x")
    before, after, counts = edited(tmp_path, network, spec, quantize_weights=True)
    assert counts == {"replace_quantizers": 0 if op == V2 else 3, "quantize_weights": 2}
    pixels = generator.uniform(-5, 5, (2, 8, 8, 3)).astype(np.float32)
    own, found = (small.infer(path, {"x": pixels}) for path in (before, after))
    np.testing.assert_array_equal(found["without"], own["without"])
    kernel, last = (np.round(w / np.abs(w).max() * 127) * np.abs(w).max() / 127 for w in (kernel, last))
    wanted = small.infer(edited(tmp_path / "rounded", network, spec)[0], {"x": pixels})["y"]
    np.testing.assert_allclose(found["y"], wanted, atol=0.02)
    assert np.abs(found["y"] - own["y"]).max() > 0.03


def weights(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(3).normal(0, 2, shape), tf.float32)


MULTIPLIED = {
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, weights(3, 3, 3, 2), [1, 1, 1, 1], "SAME"),
    "transposed": lambda x: tf.nn.conv2d_transpose(x, weights(2, 2, 5, 3), [2, 16, 16, 5], 2),
    "of three dimensions": lambda x: tf.nn.conv3d(tf.expand_dims(x, 1), weights(1, 2, 2, 3, 4), [1] * 5, "SAME"),
    "behind identity": lambda x: tf.nn.conv2d(x, tf.identity(weights(3, 3, 3, 4)), 1, "SAME"),
    "product": lambda x: tf.matmul(tf.reshape(x, [-1, 3]), weights(4, 3), transpose_b=True),
    "product of its weights": lambda x: tf.matmul(weights(4, 3), tf.reshape(x, [-1, 3]), transpose_b=True),
    "batched product": lambda x: tf.matmul(tf.reshape(x, [1, -1, 3]), weights(1, 3, 4)),
    "batched product of its weights": lambda x: tf.matmul(weights(1, 4, 3), tf.reshape(x, [1, 3, -1])),
    "in a loop": lambda x: tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, looped(y)), [0, x])[1],
}  # fmt: skip


def looped(values: Any) -> Any:
    return tf.nn.conv2d(quantize(values, V2), weights(1, 1, 3, 3), 1, "SAME")


@pytest.mark.parametrize("kind", MULTIPLIED)
def test_weights_get_a_range_whatever_they_multiply(tmp_path: Path, kind: str) -> None:
    spec = tf.TensorSpec((2, 8, 8, 3), tf.float32, name="x")
    network = lambda x: {"y": MULTIPLIED[kind](quantize(x, V2))}  # noqa: E731
    before, after, counts = edited(tmp_path, network, spec, quantize_weights=True)
    assert counts["quantize_weights"] == 1
    assert missing_ranges(frozen_graph(after, tuple(SERVING_TAGS), "serving_default")) == ()
    pixels = {"x": np.random.default_rng(2).uniform(-5, 5, (2, 8, 8, 3)).astype(np.float32)}
    own, found = (small.infer(path, pixels)["y"] for path in (before, after))
    assert 0 < np.abs(found - own).max() < 0.03 * np.abs(own).max()


@pytest.mark.parametrize("op", [V3, V4, VARS, ARGS])
def test_it_is_made_in_functions_too(op: str) -> None:
    inner = tf.function(lambda x: tf.nn.relu(quantize(x, op)), autograph=False)
    outer = tf.function(lambda x: inner(x), autograph=False)
    graph = outer.get_concrete_function(tf.TensorSpec((None, 4), tf.float32, name="x")).graph.as_graph_def()
    assert graph_edits.apply(graph, Edits(replace_quantizers=True)) == {"replace_quantizers": 1}
    with tf.Graph().as_default() as fresh:
        tf.graph_util.import_graph_def(graph, name="")
        with tf.compat.v1.Session(graph=fresh) as session:
            call = next(node.name for node in graph.node if "PartitionedCall" in node.op)
            found = session.run(f"{call}:0", {"x:0": VALUES})
    np.testing.assert_allclose(found, np.maximum(quantize(VALUES, op).numpy(), 0), atol=1e-5)


def test_an_older_record_is_read_by_the_edits_earlier_name() -> None:
    assert Edits.model_validate({"replace_quantize_v4": True}) == Edits(replace_quantizers=True)
