"""mAP of resampled images, against pycocotools fed with the same images as often as they were drawn."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.accuracy.bootstrap import ResampledMap, draw_weights
from tests.accuracy.test_detection import all_detections, all_ids, make_truth, reference


def evaluated(truth: dict[str, Any]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, **truth}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(all_detections(truth)), "bbox")
        evaluation.params.imgIds = all_ids(truth)
        evaluation.evaluate()
    return evaluation


def drawn(truth: dict[str, Any], counts: list[int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth and detections in which each image stands as often as it was drawn, under an id of its own."""
    images, annotations, detections = [], [], []
    for image, count in zip(truth["images"], counts, strict=True):
        for copy in range(count):
            number = image["id"] + 1000 * copy
            images.append({**image, "id": number})
            annotations += [{**a, "image_id": number} for a in truth["annotations"] if a["image_id"] == image["id"]]
            detections += [{**d, "image_id": number} for d in all_detections(truth) if d["image_id"] == image["id"]]
    annotations = [{**a, "id": place} for place, a in enumerate(annotations, start=1)]
    return {**truth, "images": images, "annotations": annotations}, detections


@pytest.mark.parametrize("crowds", [False, True])
def test_a_resample_has_the_map_of_the_images_that_were_drawn(crowds: bool) -> None:
    truth = make_truth(14, seed=3)
    if crowds:
        for annotation in truth["annotations"][::4]:
            annotation["iscrowd"] = 1
    weights = draw_weights(14, 6)
    weights[0] = 1
    order = np.argsort(all_ids(truth))  # COCOeval sorts the images that it is given
    resampled = ResampledMap(14, weights[:, order])
    resampled.add(evaluated(truth))
    found = resampled.values()
    for row, value in zip(weights, found, strict=True):
        again, detections = drawn(truth, [int(count) for count in row])
        assert value == pytest.approx(reference(again, detections, all_ids(again))["map"], abs=1e-6)


def test_passes_over_as_many_images_are_resampled_alike() -> None:
    np.testing.assert_array_equal(draw_weights(50), draw_weights(50))
    assert (draw_weights(50).sum(axis=1) == 50).all()
    assert len(np.unique(draw_weights(50), axis=0)) > 190
