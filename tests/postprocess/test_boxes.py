"""Box formats, and non-maximum suppression against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.backends.base import Array
from bench.postprocess.boxes import best_of, overlaps, packed, suppress, to_relative

SHAPE = (100, 200)  # height, width
# One box: from (40, 10) to (80, 60) as x, y.
SAME = {
    "yxyx": (0.1, 0.2, 0.6, 0.4), "xyxy": (0.2, 0.1, 0.4, 0.6), "xywh": (0.2, 0.1, 0.2, 0.5),
    "cxcywh": (0.3, 0.35, 0.2, 0.5), "yxyx_pixels": (10, 40, 60, 80), "xyxy_pixels": (40, 10, 80, 60),
    "xywh_pixels": (40, 10, 40, 50), "cxcywh_pixels": (60, 35, 40, 50),
}  # fmt: skip


@pytest.mark.parametrize(("box_format", "box"), SAME.items())
def test_a_box_is_the_same_in_every_format(box_format: str, box: tuple[float, ...]) -> None:
    given = np.array([[box, box]], np.float32)
    np.testing.assert_allclose(to_relative(given, box_format, SHAPE), [[SAME["yxyx"]] * 2], rtol=1e-6)


def test_detections_end_where_the_picture_does() -> None:
    found = np.array([[-0.2, 0.1, 0.5, 1.3]]), np.array([0.9]), np.array([2])
    np.testing.assert_allclose(packed([found], 1)["detection_boxes"], [[[0, 0.1, 0.5, 1]]], rtol=1e-6)


def iou(one: Array, other: Array) -> float:
    """By the definition, with plain numbers."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(height, 0) * max(width, 0)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return float(shared / (area - shared)) if area - shared > 0 else 0.0


def brute_force(boxes: Array, scores: Array, classes: Array, threshold: float) -> list[int]:
    """Greedy suppression a class at a time, as torchvision's batched_nms defines it, sorted by score."""
    kept: list[int] = []
    for kind in set(classes.tolist()):
        left = sorted(np.flatnonzero(classes == kind), key=lambda index: (-scores[index], index))
        while left:
            best = left.pop(0)
            kept.append(int(best))
            left = [index for index in left if iou(boxes[best], boxes[index]) <= threshold]
    return sorted(kept, key=lambda index: (-scores[index], index))


corner = st.integers(0, 8).map(lambda value: value / 8)
box = st.tuples(corner, corner, corner, corner).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)
candidate = st.tuples(box, st.integers(0, 20).map(lambda value: value / 20), st.integers(0, 2))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(st.lists(candidate, max_size=25), st.sampled_from([0.0, 0.3, 0.5, 0.99]))
def test_suppression_is_that_of_the_definition(
    found: list[tuple[tuple[float, ...], float, int]], threshold: float
) -> None:
    boxes = np.array([each[0] for each in found], np.float64).reshape(-1, 4)
    scores, classes = np.array([each[1] for each in found]), np.array([each[2] for each in found], int)
    expected = brute_force(boxes, scores, classes, threshold)
    assert suppress(boxes, scores, classes, threshold, 100).tolist() == expected
    assert suppress(boxes, scores, classes, threshold, 3).tolist() == expected[:3]


def test_a_box_at_the_threshold_stays() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0, 1, 0.51]])
    scores, classes = np.array([0.9, 0.8, 0.7]), np.zeros(3, int)
    assert overlaps(boxes[0], boxes[1:]).tolist() == [0.5, 0.51]
    assert suppress(boxes[:2], scores[:2], classes[:2], 0.5, 10).tolist() == [0, 1]
    assert suppress(boxes[[0, 2]], scores[[0, 2]], classes[:2], 0.5, 10).tolist() == [0]


def test_every_class_above_the_threshold_is_a_candidate_of_its_own() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.1, 0.1]], np.float32)
    scores = np.array([[0.9, 0.6], [0.2, 0.05]])
    kept, values, classes = best_of(boxes, scores, 0.1, 0.5, candidates=10, limit=10)
    assert list(zip(values.tolist(), classes.tolist(), strict=True)) == [(0.9, 0), (0.6, 1), (0.2, 0)]
    np.testing.assert_array_equal(kept, boxes[[0, 0, 1]])
    assert best_of(boxes, scores, 0.1, 0.5, candidates=1, limit=10)[1].tolist() == [0.9]


def test_detections_are_padded_and_counted() -> None:
    one = np.ones((2, 4), np.float32), np.array([0.9, 0.8]), np.array([3, 4])
    none = np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, int)
    outputs = packed([one, none], 3)
    assert outputs["num_detections"].tolist() == [2, 0]
    assert outputs["detection_classes"].tolist() == [[3, 4, 0], [0, 0, 0]]
    assert outputs["detection_boxes"].shape == (2, 3, 4)
