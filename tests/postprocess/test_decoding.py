"""Raw outputs of hand-made numbers, decoded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.backends.base import Arrays
from bench.errors import ModelError
from bench.postprocess.retinanet import anchor_boxes, decode, retinanet
from bench.postprocess.yolo import yolov5, yolov8

SHAPE = (100, 200)  # height, width
# x, y, width, height in pixels; then the object, then three classes
ROWS = np.array([
    [60, 35, 40, 50, 0.9, 0.1, 0.8, 0.0],
    [61, 35, 40, 50, 0.8, 0.0, 0.7, 0.0],  # the same object
    [150, 50, 20, 20, 0.5, 0.0, 0.0, 0.6],
    [150, 50, 20, 20, 0.0, 1.0, 1.0, 1.0],  # no object
], np.float32)  # fmt: skip
BOX, OTHER = [0.1, 0.2, 0.6, 0.4], [0.4, 0.7, 0.6, 0.8]


def detections(outputs: Arrays, row: int = 0) -> list[tuple[list[float], float, int]]:
    count = int(outputs["num_detections"][row])
    return [
        (np.round(outputs["detection_boxes"][row, i].astype(float), 5).tolist(),
         round(float(outputs["detection_scores"][row, i]), 5), int(outputs["detection_classes"][row, i]))
        for i in range(count)
    ]  # fmt: skip


def test_yolov5_multiplies_and_suppresses() -> None:
    found = yolov5({"raw": ROWS[None]}, SHAPE, score_threshold=0.2)
    assert detections(found) == [(BOX, 0.72, 1), (OTHER, 0.3, 2)]
    assert found["detection_boxes"].shape == (1, 300, 4)


def test_yolov8_is_transposed_and_has_no_object() -> None:
    rows = np.concatenate([ROWS[:, :4], ROWS[:, 4:5] * ROWS[:, 5:]], axis=1)
    found = yolov8({"raw": rows.T[None]}, SHAPE, score_threshold=0.2, max_detections=5)
    assert detections(found) == detections(yolov5({"raw": ROWS[None]}, SHAPE, score_threshold=0.2))
    assert found["detection_boxes"].shape == (1, 5, 4)


def test_images_of_a_batch_are_apart() -> None:
    found = yolov5({"raw": np.stack([ROWS, np.zeros_like(ROWS)])}, SHAPE, score_threshold=0.2)
    assert found["num_detections"].tolist() == [2, 0]


def test_yolo_boxes_may_be_relative() -> None:
    rows = ROWS.copy()
    rows[:, :4] /= (200, 100, 200, 100)
    found = yolov5({"raw": rows[None]}, SHAPE, score_threshold=0.2, boxes="cxcywh")
    assert detections(found)[0] == (BOX, 0.72, 1)


def test_the_output_is_named_where_there_are_several() -> None:
    outputs = {"raw": ROWS[None], "mask": np.zeros((1, 7, 7), np.float32)}
    assert detections(yolov5(outputs, SHAPE, score_threshold=0.2, output="raw"))[0][2] == 1
    with pytest.raises(ModelError, match=r"the one output of three dimensions is needed.*raw \[1, 4, 8\], mask \[1"):
        yolov5(outputs, SHAPE)
    with pytest.raises(ModelError, match="an output 'row' of three dimensions is needed"):
        yolov5(outputs, SHAPE, output="row")


@pytest.mark.parametrize(("function", "shape"), [(yolov5, (1, 9, 5)), (yolov8, (1, 4, 9))])
def test_an_output_without_classes_is_refused(function: Callable[..., Arrays], shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"\+ classes.* is needed, not"):
        function({"raw": np.zeros(shape, np.float32)}, SHAPE)


def test_anchors_are_those_of_the_paper() -> None:
    anchors = anchor_boxes((64, 128), (8, 16), (32, 64), (1.0, 2 ** (1 / 3), 2 ** (2 / 3)), (0.5, 1.0, 2.0), 0.5)
    assert len(anchors) == 9 * (8 * 16 + 4 * 8)
    np.testing.assert_allclose(anchors[0], [4, 4, 32 * math.sqrt(2), 32 / math.sqrt(2)])  # half as high as wide
    np.testing.assert_allclose(anchors[3], [4, 4, 32, 32])
    np.testing.assert_allclose(anchors[9], [12, 4, 32 * math.sqrt(2), 32 / math.sqrt(2)])  # the next column
    np.testing.assert_allclose(anchors[9 * 16], [4, 12, 32 * math.sqrt(2), 32 / math.sqrt(2)])  # the next row
    np.testing.assert_allclose(
        anchors[-1], [120, 56, 64 * 2 ** (2 / 3) / math.sqrt(2), 64 * 2 ** (2 / 3) * math.sqrt(2)]
    )
    areas = anchors[:, 2] * anchors[:, 3]
    np.testing.assert_allclose(np.unique(np.round(np.sqrt(areas[: 9 * 128]), 3)), [32, 40.317, 50.797], atol=1e-3)


def test_offsets_move_and_stretch_anchors() -> None:
    anchors = np.array([[100.0, 50.0, 40.0, 20.0]])
    offsets = np.array([[0.5, -1.0, math.log(2), math.log(3)]])
    np.testing.assert_allclose(decode(offsets, anchors, (1, 1, 1, 1), "xy"), [[120, 30, 80, 60]])
    np.testing.assert_allclose(decode(offsets[:, [1, 0, 3, 2]], anchors, (1, 1, 1, 1), "yx"), [[120, 30, 80, 60]])
    np.testing.assert_allclose(
        decode(offsets / (0.1, 0.1, 0.2, 0.2), anchors, (0.1, 0.1, 0.2, 0.2), "xy"), [[120, 30, 80, 60]]
    )
    assert decode(np.array([[0.0, 0, 99, 99]]), anchors, (1, 1, 1, 1), "xy")[0, 2] == pytest.approx(40 * 1000 / 16)


SMALL: dict[str, Any] = {"strides": (32,), "sizes": (32.0,), "scales": (1.0,), "ratios": (1.0,)}


def test_retinanet_finds_what_its_logits_say() -> None:
    offsets = np.zeros((1, 8, 4), np.float32)  # a grid of 2 by 4 anchors of 32 pixels
    logits = np.full((1, 8, 3), -9.0, np.float32)
    logits[0, 5, 2] = 0.0  # second row, second column
    offsets[0, 5, 2:] = math.log(0.5)
    logits[0, 0, 1] = 2.0
    found = retinanet({"regression": offsets, "classification": logits}, (64, 128), **SMALL)
    assert detections(found) == [
        ([0.0, 0.0, 0.5, 0.25], round(1 / (1 + math.exp(-2)), 5), 1),
        ([0.625, 0.3125, 0.875, 0.4375], 0.5, 2),
    ]


def test_anchors_of_another_number_are_told() -> None:
    outputs = {"a": np.zeros((1, 9, 4), np.float32), "b": np.zeros((1, 9, 3), np.float32)}
    with pytest.raises(ModelError, match=r"9 boxes, and 8 anchors at \[64, 128\]: set strides"):
        retinanet(outputs, (64, 128), **SMALL)


def test_four_classes_must_be_told_from_boxes() -> None:
    outputs = {"a": np.zeros((1, 8, 4), np.float32), "b": np.zeros((1, 8, 4), np.float32)}
    with pytest.raises(ModelError, match="name box_output"):
        retinanet(outputs, (64, 128), **SMALL)
    assert retinanet(outputs, (64, 128), **SMALL, box_output="a", class_output="b")["num_detections"][0] >= 0
