"""Train and export the shapes models on the CPU; TensorFlow 2.14.1 made the kept files, 2.21 works too."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "datasets"))

import numpy as np  # noqa: E402
import shapes  # noqa: E402
import shapes_detection  # noqa: E402
import shapes_networks  # noqa: E402
import tensorflow as tf  # noqa: E402
from shapes_networks import Array, Folded, Optimizer, Training  # noqa: E402

SEED = 7
BATCH = 64
MOST_OBJECTS = 8
RATE = 4e-3


def _scaled(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32) * (1.0 / 127.5) - 1.0


def _truth(sample: shapes.Sample) -> Array:
    """One image's objects as rows of y1, x1, y2, x2 in 0..1 and class from 1; unused rows are 0."""
    rows = np.zeros((MOST_OBJECTS, 5), np.float32)
    size = sample.pixels.shape[0]
    for row, label in zip(rows, sample.labels, strict=False):
        x, y, width, height = label.box
        row[:] = y / size, x / size, (y + height) / size, (x + width) / size, label.kind + 1
    return rows


def load(task: str, split: str, count: int | None = None) -> tuple[Array, Array]:
    """A split's images and labels (rows of objects, or classes) as arrays."""
    items = list(shapes.samples(task, split, count))
    pixels = np.stack([item.pixels for item in items])
    if task == "detection":
        return pixels, np.stack([_truth(item) for item in items])
    return pixels, np.array([item.labels[0].kind for item in items], np.int32)


def augment(rng: np.random.RandomState, images: Array, truth: Array) -> tuple[Array, Array]:
    """One of the eight symmetries of the square, a channel order and maybe inverted colours for a whole batch."""
    boxed = truth.ndim == 3
    truth = truth.copy()
    if rng.randint(2):
        images = images.transpose(0, 2, 1, 3)
        truth = truth[..., [1, 0, 3, 2, 4]] if boxed else truth
    for axis in (1, 2):
        if rng.randint(2):
            images = np.flip(images, axis)
            near, far = axis - 1, axis + 1
            if boxed:
                truth[..., [near, far]] = 1.0 - truth[..., [far, near]]
    images = images[..., rng.permutation(3)]
    return np.ascontiguousarray(255 - images if rng.randint(2) else images), truth


def batches(images: Array, truth: Array, steps: int) -> Iterator[tuple[Array, Array]]:
    """Augmented batches, shuffled anew in every pass over the data."""
    rng = np.random.RandomState(SEED)
    order = np.zeros(0, np.int64)
    for _ in range(steps):
        if len(order) < BATCH:
            order = rng.permutation(len(images))
        chosen, order = order[:BATCH], order[BATCH:]
        yield augment(rng, images[chosen], truth[chosen])


def rate_at(step: int, steps: int) -> float:
    """A linear rise over the first twentieth, then half a cosine down to 0."""
    rise = max(steps // 20, 1)
    return RATE * min(step / rise, 0.5 + 0.5 * math.cos(math.pi * min(step, steps) / steps))


def train(network: Training, model: Model, data: tuple[Array, Array], steps: int) -> None:
    """Run so many training steps and print the loss now and then."""
    optimizer = Optimizer(list(network.trainable_variables))

    @tf.function  # type: ignore[untyped-decorator]
    def update(images: tf.Tensor, truth: tf.Tensor, rate: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = model.cost(model.forward(network.run, _scaled(images)), truth)
        optimizer.apply(tape.gradient(value, optimizer.variables), rate, step)
        return value

    mean = 0.0
    for step, (images, truth) in enumerate(batches(*data, steps), start=1):
        rate = tf.constant(rate_at(step, steps), tf.float32)
        value = float(update(tf.constant(images), tf.constant(truth), rate, tf.constant(float(step))))
        mean = value if step == 1 else mean * 0.95 + value * 0.05
        if step % 100 == 0 or step == steps:
            print(f"step {step} of {steps}: loss {mean:.4f}", flush=True)


def classifier_cost(logits: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """Cross entropy."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits))


def detector_cost(outputs: tuple[tf.Tensor, tf.Tensor], truth: tf.Tensor) -> tf.Tensor:
    """The detection loss."""
    return shapes_detection.loss(*outputs, truth)


def export_classifier(network: Folded, folder: Path) -> None:
    """Save the classifier: images in -1..1 to class probabilities."""
    spec = tf.TensorSpec([None, 64, 64, 3], tf.float32, name="input")

    @tf.function(input_signature=[spec])  # type: ignore[untyped-decorator]
    def serve(input: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(shapes_networks.classify(network.run, input))}

    _save(network, serve, folder)


def export_detector(network: Folded, folder: Path) -> None:
    """Save the detector: bytes to the Object Detection API's outputs."""
    spec = tf.TensorSpec([None, shapes_detection.SIZE, shapes_detection.SIZE, 3], tf.uint8, name="image_tensor")

    @tf.function(input_signature=[spec])  # type: ignore[untyped-decorator]
    def serve(image_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return shapes_detection.select(*shapes_networks.detect(network.run, _scaled(image_tensor)))

    _save(network, serve, folder)


def _save(network: Folded, serve: Any, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    signatures = {"serving_default": serve.get_concrete_function()}
    tf.saved_model.save(network, str(folder), signatures=signatures)


def predictions(folder: Path, images: Array) -> Iterator[tuple[int, dict[str, Array]]]:
    """The saved model's outputs for batches of inputs, with each batch's first index."""
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    name = next(iter(serve.structured_input_signature[1]))
    for first in range(0, len(images), 50):
        outputs = serve(**{name: tf.constant(images[first : first + 50])})
        yield first, {key: value.numpy() for key, value in outputs.items()}


def classifier_figures(folder: Path) -> dict[str, float]:
    """The saved classifier's top-1 accuracy on the validation split."""
    images, truth = load("classification", "validation")
    ready = images.astype(np.float32) / 127.5 - 1.0
    right = 0
    for first, outputs in predictions(folder, ready):
        found = outputs["probabilities"].argmax(-1)
        right += int((found == truth[first : first + len(found)]).sum())
    return {"top1": right / len(images)}


def _results(first: int, outputs: dict[str, Array]) -> Iterator[dict[str, Any]]:
    for offset, number in enumerate(outputs["num_detections"].astype(int)):
        boxes = outputs["detection_boxes"][offset] * shapes_detection.SIZE
        scores, kinds = outputs["detection_scores"][offset], outputs["detection_classes"][offset]
        for box, score, kind in list(zip(boxes, scores, kinds, strict=True))[:number]:
            y1, x1, y2, x2 = (float(side) for side in box)
            place = {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(score)}
            yield {"image_id": first + offset + 1, "category_id": int(kind), **place}


def detector_figures(folder: Path) -> dict[str, float]:
    """The saved detector's COCO mean average precision on the validation split."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    items = list(shapes.samples("detection", "validation"))
    images = np.stack([item.pixels for item in items])
    found = [row for first, outputs in predictions(folder, images) for row in _results(first, outputs)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = shapes.instances([item.labels for item in items])
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"map": float(evaluation.stats[0]), "map_50": float(evaluation.stats[1])}


@dataclass(frozen=True)
class Model:
    """What one model is made of and how it is trained, saved and measured."""

    task: str
    layers: dict[str, shapes_networks.Layer]
    forward: Callable[..., Any]
    cost: Callable[[Any, tf.Tensor], tf.Tensor]
    export: Callable[[Folded, Path], None]
    figures: Callable[[Path], dict[str, float]]
    steps: int


MODELS = {
    "shapes_detector": Model(
        "detection",
        shapes_networks.DETECTOR,
        shapes_networks.detect,
        detector_cost,
        export_detector,
        detector_figures,
        1300,
    ),
    "shapes_classifier": Model(
        "classification",
        shapes_networks.CLASSIFIER,
        shapes_networks.classify,
        classifier_cost,
        export_classifier,
        classifier_figures,
        3000,
    ),
}


def make(name: str, out: Path, former: Training | None, arguments: argparse.Namespace) -> Training:
    """Train, export and measure one model, starting from a former network's layers where they are the same."""
    model = MODELS[name]
    begin = time.perf_counter()
    data = load(model.task, "train", arguments.count)
    loaded = time.perf_counter()
    network = Training(model.layers, SEED)
    if former is not None:
        network.adopt(former)
    train(network, model, data, arguments.steps or model.steps)
    seconds = {"generation": round(loaded - begin, 1), "training": round(time.perf_counter() - loaded, 1)}
    model.export(Folded(network), out / name)
    report(name, out, {"seconds": seconds})
    return network


def report(name: str, out: Path, more: dict[str, Any]) -> None:
    """Print a saved model's figures on the validation split as one JSON line."""
    figures = MODELS[name].figures(out / name)
    print(json.dumps({"model": name, **figures, **more, "tensorflow": tf.__version__}), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Train the detector, then the classifier from its first layers; or measure the saved ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the SavedModel folders")
    parser.add_argument("--steps", type=int, help="training steps of each model, for a trial")
    parser.add_argument("--count", type=int, help="training images of each model, for a trial")
    parser.add_argument("--measure", action="store_true", help="only measure the saved models")
    arguments = parser.parse_args(argv)
    network = None
    for name in MODELS:
        if arguments.measure:
            report(name, arguments.out, {})
        else:
            network = make(name, arguments.out, network, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
