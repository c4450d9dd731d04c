"""Detector arithmetic in TensorFlow: target assignment, losses, box decoding and non-maximum suppression."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from shapes_networks import CLASSES, Array

SIZE = 128
STRIDE = 8
CANDIDATES = 64
IOU_LIMIT = 0.5
LOW_SCORE = 0.01
SWEEPS = 6


def _centres() -> Array:
    """The (y, x) centres of the grid's cells [256, 2], in pixels."""
    steps = np.arange(SIZE // STRIDE, dtype=np.float32) * STRIDE + STRIDE / 2
    rows, columns = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], -1)


def decode(sides: tf.Tensor) -> tf.Tensor:
    """Boxes (y1, x1, y2, x2 in 0..1) from each cell's logarithmic distances to the sides."""
    reach = tf.exp(tf.minimum(sides, 3.0)) * (STRIDE / SIZE)
    centres = tf.constant(_centres() / SIZE)
    boxes = tf.concat([centres - reach[..., :2], centres + reach[..., 2:]], -1)
    return tf.clip_by_value(boxes, 0.0, 1.0)


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlap(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Intersections and unions of boxes [..., 4], broadcast."""
    near = tf.maximum(a[..., :2], b[..., :2])
    far = tf.minimum(a[..., 2:], b[..., 2:])
    sides = tf.nn.relu(far - near)
    both = sides[..., 0] * sides[..., 1]
    return both, _area(a) + _area(b) - both


def suppress(boxes: tf.Tensor, scores: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Scores with those of suppressed boxes at 0; the inputs are sorted by descending score.

    A box stays unless a kept, higher-scoring box of its class overlaps it by more than the limit. Starting from all
    kept and applying this rule to all boxes at once reaches greedy suppression in as many sweeps as the longest chain
    of suppressions has links.
    """
    both, union = overlap(boxes[:, :, None], boxes[:, None])
    alike = tf.cast(tf.equal(classes[:, :, None], classes[:, None]), tf.float32)
    above = tf.constant(np.triu(np.ones((CANDIDATES, CANDIDATES), np.float32), 1))
    rivals = tf.cast(both > IOU_LIMIT * union, tf.float32) * alike * above
    kept = tf.ones_like(scores)
    for _ in range(SWEEPS):
        kept = 1.0 - tf.reduce_max(rivals * kept[:, :, None], 1)
    return scores * kept


def _at(table: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    return tf.gather(table, order, axis=1, batch_dims=1)


def select(logits: tf.Tensor, sides: tf.Tensor) -> dict[str, tf.Tensor]:
    """The final detections, by descending score; one class a cell, at most 64 an image.

    Classes stay integers to the end, apart from the boxes, so that quantization cannot mix them up.
    """
    scores, cells = tf.math.top_k(tf.sigmoid(tf.reduce_max(logits, -1)), CANDIDATES)
    boxes = _at(decode(sides), cells)
    classes = _at(tf.argmax(logits, -1, output_type=tf.int32), cells) + 1
    scores, order = tf.math.top_k(suppress(boxes, scores, classes), CANDIDATES)
    return {
        "detection_boxes": _at(boxes, order),
        "detection_scores": scores,
        "detection_classes": tf.cast(_at(classes, order), tf.float32),
        "num_detections": tf.reduce_sum(tf.cast(scores > LOW_SCORE, tf.float32), -1),
    }


def assign(truth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each cell's box and class (0 for none) from objects [N, M, 5] of y1, x1, y2, x2 in 0..1 and class.

    A cell belongs to the smallest object whose middle part holds the cell's centre.
    """
    boxes = truth[:, None, :, :4]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    reach = tf.maximum((boxes[..., 2:] - boxes[..., :2]) * 0.25, 4.01 / SIZE)
    away = tf.abs(tf.constant(_centres() / SIZE)[None, :, None] - middle)
    held = tf.reduce_all(away <= reach, -1) & (truth[:, None, :, 4] > 0)
    order = tf.where(held, _area(boxes) + tf.zeros_like(away[..., 0]), 9.0)
    chosen = tf.gather(truth, tf.argmin(order, -1, output_type=tf.int32), axis=1, batch_dims=1)
    found = tf.reduce_any(held, -1)
    return chosen[..., :4], tf.where(found, tf.cast(chosen[..., 4], tf.int32), 0)


def loss(logits: tf.Tensor, sides: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """Quality focal loss (the score learns the box's overlap) plus generalised-overlap loss."""
    goal, kind = assign(truth)
    positive = tf.cast(kind > 0, tf.float32)
    found = decode(sides)
    both, union = overlap(found, goal)
    ratio = both / tf.maximum(union, 1e-7)
    near, far = tf.minimum(found[..., :2], goal[..., :2]), tf.maximum(found[..., 2:], goal[..., 2:])
    hull = tf.maximum((far - near)[..., 0] * (far - near)[..., 1], 1e-7)
    boxes = tf.reduce_sum((1.0 - ratio + (hull - union) / hull) * positive)
    quality = tf.one_hot(kind - 1, CLASSES) * tf.stop_gradient(ratio)[..., None]
    cross = tf.nn.sigmoid_cross_entropy_with_logits(quality, logits)
    scores = tf.reduce_sum(tf.square(tf.sigmoid(logits) - quality) * cross)
    return (2.0 * boxes + 2.0 * scores) / tf.maximum(tf.reduce_sum(positive), 1.0)
