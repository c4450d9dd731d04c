"""Small real models in every format, written with TensorFlow itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bench.backends.base import Array

v1 = tf.compat.v1
SIDE = 8
CLASSES = 5


def images(count: int = 2, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(count, SIDE, SIDE, 3)).astype(np.float32) * 8


def floats(values: Any) -> Array:
    return np.asarray(values, np.float32)


def infer(saved: Path, inputs: Mapping[str, Array], key: str = "serving_default") -> dict[str, Array]:
    loaded = tf.saved_model.load(str(saved))
    outputs = loaded.signatures[key](**{name: tf.constant(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def network(pixels: Any, training: bool = False) -> Any:
    """Scores of a convolution, a batch normalization, Relu6, a loop and a branch, in a graph of TensorFlow 1."""
    random = np.random.default_rng(1)
    kernel = v1.get_variable("kernel", initializer=random.normal(size=(3, 3, 3, 4)).astype(np.float32))
    dense = v1.get_variable("dense", initializer=random.normal(size=(4, CLASSES)).astype(np.float32), use_resource=True)
    four = [tf.constant(random.uniform(0.5, 1, 4).astype(np.float32)) for _ in range(4)]
    maps = tf.nn.conv2d(pixels, kernel, 1, "SAME", name="conv")
    maps, *_ = v1.nn.fused_batch_norm(maps, *four, is_training=training, name="norm")
    means = tf.reduce_mean(tf.nn.relu6(maps, name="relu6"), [1, 2])
    v1.disable_control_flow_v2()  # as files of that time have it
    try:
        _, means = v1.while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, x * 0.5), [tf.constant(0), means])
        means = v1.cond(tf.reduce_sum(means) > 0, lambda: means * 2, lambda: means * 3)
    finally:
        v1.enable_control_flow_v2()
    return tf.nn.softmax(tf.matmul(means, dense), name="scores")


def write_v1(folder: Path, training: bool = False) -> Array:
    """frozen.pb and a checkpoint model.ckpt of the network; gives its scores for images()."""
    with tf.Graph().as_default() as graph, v1.Session() as session:
        pixels = v1.placeholder(tf.float32, (None, SIDE, SIDE, 3), name="images")
        scores = network(pixels, training)
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        saver.save(session, str(folder / "model.ckpt"), write_state=False)
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["scores"])
        (folder / "frozen.pb").write_bytes(frozen.SerializeToString())
        wanted: Array = session.run(scores, {pixels: images()})
    return wanted


def write_graph(path: Path, graph: Any) -> Path:
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def make_keras(training: bool | None = None) -> Any:
    """Two inputs and two outputs, with a batch normalization that has seen something."""
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    pixels = tf.keras.Input((SIDE, SIDE, 3), name="images")
    more = tf.keras.Input((2,), name="more")
    maps = layers.Conv2D(4, 3, activation="relu", name="conv")(pixels)
    norm = layers.BatchNormalization(name="norm")
    maps = norm(maps) if training is None else norm(maps, training=training)
    maps = layers.Dropout(0.5, name="dropout")(layers.GlobalAveragePooling2D(name="pool")(maps))
    scores = layers.Dense(CLASSES, activation="softmax", name="scores")(layers.Concatenate(name="both")([maps, more]))
    model = tf.keras.Model([pixels, more], [scores, layers.Dense(1, name="side")(maps)])
    norm.set_weights([np.random.default_rng(2).uniform(0.5, 1, 4) for _ in range(4)])
    return model


def write_saved_model(folder: Path) -> Path:
    """A SavedModel of TensorFlow 1: two inputs, two outputs, tags and a signature of its own."""
    build = v1.saved_model.build_tensor_info
    with tf.Graph().as_default(), v1.Session() as session:
        pixels = v1.placeholder(tf.float32, (None, SIDE, SIDE, 3), name="x")
        scale = v1.placeholder(tf.float32, (None, 1), name="y")
        scores = tf.nn.softmax(tf.reduce_mean(pixels, [1, 2]) * scale * v1.get_variable("w", initializer=2.0))
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.build_signature_def(
            {"pixels": build(pixels), "a_scale": build(scale)},
            {"scores": build(scores), "best": build(tf.argmax(scores, 1))},
            "tensorflow/serving/predict",
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve", "cpu"], {"predict": signature})
        builder.save()
    return folder


class Detector(tf.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Resizes, asserts, convolves in a function of its own, and suppresses what overlaps."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.random.default_rng(0).normal(size=(1, 1, 3, 5)).astype(np.float32))

    @tf.function(autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
    def heads(self, pixels: Any) -> Any:
        return tf.nn.relu6(tf.nn.conv2d(pixels, self.kernel, 1, "SAME"))

    def __call__(self, image_tensor: Any) -> dict[str, Any]:
        guard = tf.debugging.Assert(tf.reduce_all(image_tensor > -1000.0), ["too dark"], name="Assert")
        with tf.control_dependencies([guard] if guard is not None else []):
            pixels = tf.image.resize(image_tensor, [6, 6])
        flat = tf.reshape(self.heads(pixels), [tf.shape(image_tensor)[0], -1, 5])
        boxes = tf.concat([flat[..., :2] / 12, flat[..., :2] / 12 + 0.4], -1)
        found = tf.image.combined_non_max_suppression(
            boxes[:, :, None], flat[..., 2:] / 6, 4, 8, iou_threshold=0.5, score_threshold=0.5, name="nms"
        )
        return dict(
            zip(("detection_boxes", "detection_scores", "detection_classes", "num_detections"), found, strict=True)
        )


def write_detector(folder: Path) -> Path:
    module = Detector()
    spec = tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32, name="image_tensor")
    serve = tf.function(lambda image_tensor: module(image_tensor), input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder
