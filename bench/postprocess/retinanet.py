"""RetinaNet (Lin et al., 2017): offsets from anchors and a logit for each class, at five levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from bench.backends.base import Array, Arrays
from bench.errors import ModelError
from bench.postprocess.boxes import Count, Overlap, Shape, Threshold, best_of, packed, to_relative
from bench.postprocess.raw import listed, of_three_dimensions

LONGEST = float(np.log(1000 / 16))  # of a predicted logarithm of a size, as in the authors' own code


def retinanet(
    outputs: Arrays,
    image_shape: Shape,
    score_threshold: Threshold = 0.05,
    iou_threshold: Overlap = 0.5,
    max_detections: Count = 100,
    candidates: Count = 5_000,
    strides: Sequence[int] = (8, 16, 32, 64, 128),
    sizes: Sequence[float] = (32, 64, 128, 256, 512),
    scales: Sequence[float] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3)),
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    offset: float = 0.5,
    variances: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    order: Literal["xy", "yx"] = "xy",
    box_output: str | None = None,
    class_output: str | None = None,
) -> Arrays:
    """Offsets [batch, n, 4] and logits [batch, n, classes]; n runs over levels, rows, columns, ratios and scales.

    `ratios` are of height to width; `offset` is an anchor's center in its cell; `variances` multiply the offsets; with
    `order` "yx" these are y, x, height, width.
    """
    offsets, logits = _outputs(outputs, box_output, class_output)
    anchors = anchor_boxes(
        tuple(image_shape), tuple(strides), tuple(sizes), tuple(scales), tuple(ratios), float(offset)
    )  # fmt: skip
    if len(anchors) != offsets.shape[1]:
        raise ModelError(
            f"retinanet: {offsets.shape[1]} boxes, and {len(anchors)} anchors at {list(image_shape)}: set strides, "
            "sizes, scales and ratios in model_config.postprocess_options"
        )
    found = []
    for rows, classes in zip(offsets, logits, strict=True):
        likely = (classes > _logit(score_threshold)).any(axis=1)
        boxes = decode(rows[likely], anchors[likely], variances, order)
        corners = np.clip(to_relative(boxes, "cxcywh_pixels", image_shape), 0, 1)
        scores = 1 / (1 + np.exp(-classes[likely].astype(np.float64)))
        found.append(best_of(corners, scores, score_threshold, iou_threshold, candidates, max_detections))
    return packed(found, max_detections)


def decode(offsets: Array, anchors: Array, variances: Sequence[float], order: str) -> Array:
    """Boxes as center and size, in pixels, of offsets from anchors in the same form."""
    scaled = np.asarray(offsets, np.float64) * np.asarray(variances)
    if order == "yx":
        scaled = scaled[:, [1, 0, 3, 2]]
    centers = anchors[:, :2] + scaled[:, :2] * anchors[:, 2:]
    return np.concatenate([centers, anchors[:, 2:] * np.exp(np.minimum(scaled[:, 2:], LONGEST))], axis=1)


@lru_cache(maxsize=4)
def anchor_boxes(
    image_shape: Shape,
    strides: tuple[int, ...],
    sizes: tuple[float, ...],
    scales: tuple[float, ...],
    ratios: tuple[float, ...],
    offset: float,
) -> Array:
    """All anchors [n, 4] as center x, center y, width, height, in pixels."""
    levels = []
    for stride, size in zip(strides, sizes, strict=True):
        rows, columns = (-(-side // stride) for side in image_shape)
        shapes = [(size * scale / ratio**0.5, size * scale * ratio**0.5) for ratio in ratios for scale in scales]
        y, x = np.meshgrid(np.arange(rows) + offset, np.arange(columns) + offset, indexing="ij")
        centers = np.repeat(np.stack([x.ravel(), y.ravel()], axis=1) * stride, len(shapes), axis=0)
        levels.append(np.concatenate([centers, np.tile(np.array(shapes), (rows * columns, 1))], axis=1))
    return np.concatenate(levels)


def _outputs(outputs: Arrays, box_output: str | None, class_output: str | None) -> tuple[Array, Array]:
    """Offsets and logits: as named, else the two outputs of three dimensions, that of four columns being the boxes."""
    likely = of_three_dimensions(outputs)
    boxes = [box_output] if box_output else [name for name, value in likely.items() if value.shape[2] == 4]
    classes = [class_output] if class_output else [name for name in likely if name not in boxes]
    if len(boxes) == len(classes) == 1 and boxes[0] in likely and classes[0] in likely:
        return likely[boxes[0]], likely[classes[0]]
    raise ModelError(
        "model_config.postprocess_options: name box_output, [batch, n, 4], and class_output, [batch, n, classes]; "
        f"the model gives {listed(outputs)}"
    )


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share))) if 0 < share < 1 else -np.inf
