"""Boxes: their formats, how much they overlap, and which of them non-maximum suppression keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from bench.backends.base import Array, Arrays

Shape = tuple[int, int]  # height, width
Threshold = Annotated[float, Field(ge=0, lt=1)]  # of a score, which is above it
Overlap = Annotated[float, Field(ge=0, le=1)]  # intersection over union, of which more is suppressed
Count = Annotated[int, Field(ge=1)]


def to_relative(boxes: Array, box_format: str, image_shape: Shape) -> Array:
    """Boxes [..., 4] of any format as y1, x1, y2, x2 in 0..1 of the image, float32."""
    order, _, unit = box_format.partition("_")
    first, second, third, fourth = np.moveaxis(np.asarray(boxes, np.float64), -1, 0)
    if order == "yxyx":
        corners = first, second, third, fourth
    elif order == "xyxy":
        corners = second, first, fourth, third
    elif order == "xywh":
        corners = second, first, second + fourth, first + third
    else:  # cxcywh
        corners = second - fourth / 2, first - third / 2, second + fourth / 2, first + third / 2
    stacked = np.stack(corners, axis=-1)
    scaled = stacked / (image_shape * 2) if unit == "pixels" else stacked
    return scaled.astype(np.float32)


def overlaps(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box with each of several; 0 where neither has an area."""
    top_left, bottom_right = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), axis=1)
    union = _areas(box[None]) + _areas(boxes) - shared
    shares: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def suppress(boxes: Array, scores: Array, classes: Array, iou_threshold: float, limit: int) -> Array:
    """Non-maximum suppression: indices of the boxes that are kept, the best first, `limit` at most.

    A box goes where one of its class with a better score, that is kept, overlaps it by more than the threshold. Of
    equal scores the earlier goes first.
    """
    boxes = np.asarray(boxes, np.float64)
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(left) and len(kept) < limit:
        best, left = left[0], left[1:]
        kept.append(int(best))
        rival = (classes[left] == classes[best]) & (overlaps(boxes[best], boxes[left]) > iou_threshold)
        left = left[~rival]
    return np.array(kept, np.intp)


def packed(found: Sequence[tuple[Array, Array, Array]], limit: int) -> Arrays:
    """Each image's boxes, scores and classes as the Object Detection API's outputs, padded with zeros to `limit`.

    Boxes are cut at the edges of what the model was shown.
    """
    batch = len(found)
    outputs = {
        "detection_boxes": np.zeros((batch, limit, 4), np.float32),
        "detection_scores": np.zeros((batch, limit), np.float32),
        "detection_classes": np.zeros((batch, limit), np.float32),
        "num_detections": np.array([len(scores) for _, scores, _ in found], np.float32),
    }
    for row, (boxes, scores, classes) in enumerate(found):
        outputs["detection_boxes"][row, : len(scores)] = np.clip(boxes, 0, 1)
        outputs["detection_scores"][row, : len(scores)] = scores
        outputs["detection_classes"][row, : len(scores)] = classes
    return outputs


def best_of(
    boxes: Array, scores: Array, score_threshold: float, iou_threshold: float, candidates: int, limit: int
) -> tuple[Array, Array, Array]:
    """Detections of one image: boxes [n, 4] y1, x1, y2, x2 and a score [n, classes] for each of their classes.

    Every class of a box whose score is above the threshold is a candidate of its own; the best `candidates` of them
    are compared.
    """
    rows, classes = np.nonzero(scores > score_threshold)
    values = scores[rows, classes]
    if len(values) > candidates:
        best = np.argsort(-values, kind="stable")[:candidates]
        rows, classes, values = rows[best], classes[best], values[best]
    kept = suppress(boxes[rows], values, classes, iou_threshold, limit)
    return boxes[rows[kept]], values[kept], classes[kept]


def _areas(boxes: Array) -> Array:
    areas: Array = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return areas
