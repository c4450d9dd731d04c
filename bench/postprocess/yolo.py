"""Detectors of the YOLO family, whose graphs end in one tensor of boxes and scores."""

from __future__ import annotations

from bench.backends.base import Array, Arrays
from bench.case import BoxFormat
from bench.errors import ModelError
from bench.postprocess.boxes import Count, Overlap, Shape, Threshold, best_of, packed, to_relative
from bench.postprocess.raw import listed, of_three_dimensions


def yolov5(
    outputs: Arrays,
    image_shape: Shape,
    score_threshold: Threshold = 0.001,
    iou_threshold: Overlap = 0.6,
    max_detections: Count = 300,
    candidates: Count = 30_000,
    boxes: BoxFormat = "cxcywh_pixels",
    output: str | None = None,
) -> Arrays:
    """[batch, n, 5 + classes]: a box, how likely there is an object, and how likely it is of each class."""
    raw = _raw(outputs, output)
    if raw.shape[2] < 6:
        raise ModelError(f"yolov5: an output of [batch, n, 5 + classes] is needed, not {list(raw.shape)}")
    found = []
    for rows in raw:
        likely = rows[rows[:, 4] > score_threshold]  # the product cannot be above it elsewhere
        corners = to_relative(likely[:, :4], boxes, image_shape)
        scores = likely[:, 4:5] * likely[:, 5:]
        found.append(best_of(corners, scores, score_threshold, iou_threshold, candidates, max_detections))
    return packed(found, max_detections)


def yolov8(
    outputs: Arrays,
    image_shape: Shape,
    score_threshold: Threshold = 0.001,
    iou_threshold: Overlap = 0.7,
    max_detections: Count = 300,
    candidates: Count = 30_000,
    boxes: BoxFormat = "cxcywh_pixels",
    output: str | None = None,
) -> Arrays:
    """[batch, 4 + classes, n]: a box, and how likely it is of each class."""
    raw = _raw(outputs, output)
    if raw.shape[1] < 5:
        raise ModelError(f"yolov8: an output of [batch, 4 + classes, n] is needed, not {list(raw.shape)}")
    found = []
    for columns in raw:
        likely = columns[:, (columns[4:] > score_threshold).any(axis=0)].T
        corners = to_relative(likely[:, :4], boxes, image_shape)
        found.append(best_of(corners, likely[:, 4:], score_threshold, iou_threshold, candidates, max_detections))
    return packed(found, max_detections)


def _raw(outputs: Arrays, name: str | None) -> Array:
    """The output that is asked for, else the only one of three dimensions."""
    likely = of_three_dimensions(outputs)
    if name is None and len(likely) == 1:
        return next(iter(likely.values()))
    if name in likely:
        return likely[name]
    asked = "the one output of three dimensions" if name is None else f"an output {name!r} of three dimensions"
    raise ModelError(f"postprocess_options.output: {asked} is needed; the model gives {listed(outputs)}")
