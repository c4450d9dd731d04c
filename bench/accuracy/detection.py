"""COCO box mAP of a pass over annotated images, by pycocotools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.accuracy.bootstrap import ResampledMap
from bench.accuracy.doubts import doubts_of_boxes
from bench.accuracy.outputs import detection_outputs, rows_of
from bench.backends.base import Arrays, Signature
from bench.errors import DataError
from bench.evidence import BOXES_PER_IMAGE, Boxes
from bench.inputs.annotations import read_annotations
from bench.inputs.batches import Batch
from bench.inputs.geometry import letterbox_place
from bench.record import Accuracy

ROLES = ("boxes", "scores", "classes")
CATEGORIES_AT_A_TIME = 20
STATISTICS = (
    "map", "map50", "map75", "map_small", "map_medium", "map_large",
    "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip


class BoxMap:
    """Collects detections and evaluates them on the images that were seen."""

    def __init__(self, signature: Signature, annotation_path: str, class_offset: int, preprocess: str = "raw") -> None:
        self._names = detection_outputs(signature)
        self._truth, self._without_area = _load_truth(annotation_path)
        self._offset = class_offset
        self._letterbox = preprocess == "letterbox"
        self._seen: list[int] = []
        self._unsound = 0  # detections that hold NaN or infinity
        self._kept: list[Any] = []  # of each image, the boxes that a record keeps
        self._rows: list[Any] = []  # image id, x, y, width, height, score, category: as COCO.loadRes takes them

    def add(self, batch: Batch, outputs: Arrays) -> None:
        """Take one batch's outputs in; boxes are y1, x1, y2, x2 in 0..1 of what the model was shown."""
        size = len(batch.images)
        boxes, scores, classes = (rows_of(outputs, self._names[role], size) for role in ROLES)
        counts = np.ravel(outputs[self._names["count"]])
        for row, item in enumerate(batch.items):
            self._seen.append(item.id)
            count = round(float(counts[row]))
            self._kept.append(np.zeros((0, 6)))
            if count:
                image = self._truth.imgs[item.id]
                found = boxes[row, :count].astype(np.float64)
                if self._letterbox:
                    found = unboxed(found, (image["height"], image["width"]), batch.images.shape[1:3])
                made = np.column_stack([found, scores[row, :count], np.rint(classes[row, :count]) - self._offset])
                sound = made[np.isfinite(made).all(axis=1)]  # pycocotools takes a box of NaN for a perfect one
                self._unsound += count - len(sound)
                found, kept = sound[:, :4], (sound[:, 4], sound[:, 5])
                self._kept[-1] = _best(found, *kept)
                if len(sound):
                    self._rows.append(_rows(item.id, found, *kept, image["height"], image["width"]))

    def result(self) -> Accuracy:
        """The twelve COCO figures as fractions."""
        boxes = Boxes.pack(self._kept)
        notes = tuple(doubts_of_boxes(np.concatenate([np.zeros((0, 7)), *self._rows]), self._unsound, self._truth))
        evaluation = COCOeval(self._truth, _loaded(self._truth, self._rows), "bbox")
        self._rows.clear()
        evaluation.params.imgIds = self._seen
        resampled = _evaluate(evaluation, len(self._seen))
        figures = zip(STATISTICS, map(float, evaluation.stats), strict=True)
        known = {name: value for name, value in figures if value >= 0}  # -1: no object of that size at all
        if self._without_area:
            told = f"{self._without_area} annotations have no area"
            notes += (f"{told}: their boxes' tells small, medium and large apart, which is more than an outline's",)
        if "map" not in known:
            notes += ("the images have no object but what is annotated as a crowd: there is no mAP",)
        return Accuracy(
            metrics=known,
            num_images=len(self._seen),
            per_class=_per_class(evaluation),
            resampled={"map": tuple(resampled)},
            boxes=boxes,
            notes=notes,
        )


def _loaded(truth: Any, rows: Sequence[Any]) -> Any:
    """The detections as pycocotools takes them; its loadRes needs one at least."""
    if rows:
        return truth.loadRes(np.concatenate(rows))
    none = COCO()
    none.dataset = {**truth.dataset, "annotations": []}
    none.createIndex()
    return none


def _evaluate(evaluation: Any, images: int) -> list[float]:
    """Evaluate a few categories at a time, which takes a fraction of the memory; gives the mAP of resamples."""
    categories = list(evaluation.params.catIds)
    resamples = ResampledMap(images)
    parts = []
    for start in range(0, len(categories), CATEGORIES_AT_A_TIME):
        evaluation.params.catIds = categories[start : start + CATEGORIES_AT_A_TIME]
        evaluation.evaluate()
        resamples.add(evaluation)
        evaluation.accumulate()
        parts.append(evaluation.eval)
        evaluation.evalImgs, evaluation.ious = [], {}
    evaluation.params.catIds = categories
    precision = np.concatenate([part["precision"] for part in parts], axis=2)
    recall = np.concatenate([part["recall"] for part in parts], axis=1)
    evaluation.eval = {"params": evaluation.params, "precision": precision, "recall": recall}
    evaluation.summarize()
    return resamples.values()


def _best(boxes: Any, scores: Any, classes: Any) -> Any:
    """Corners, class and score of the boxes with the highest scores."""
    order = np.argsort(-scores, kind="stable")[:BOXES_PER_IMAGE]
    return np.column_stack([boxes[order], classes[order], scores[order]])


def _per_class(evaluation: Any) -> dict[str, float]:
    """The mAP of each category that there are objects of, by its name, and by its id where others have that."""
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # any size, as many boxes as are evaluated at all
    categories = evaluation.cocoGt.loadCats(evaluation.params.catIds)
    named = Counter(str(category["name"]) for category in categories)
    names = [f"{c['name']}" if named[str(c["name"])] == 1 else f"{c['name']} (id {c['id']})" for c in categories]
    means = precision.mean(axis=(0, 1))
    return {name: float(mean) for name, mean in zip(names, means, strict=True) if mean >= 0}


def unboxed(boxes: Any, size: tuple[int, int], shape: tuple[int, int]) -> Any:
    """Boxes in 0..1 of a letterbox of that shape, as 0..1 of the picture in it, which has that size.

    They are cut at the picture's edges, as the YOLO family's own evaluation does: annotations end there.
    """
    top, left, height, width = letterbox_place(size, shape)
    return np.clip((boxes * (shape * 2) - (top, left, top, left)) / (height, width, height, width), 0, 1)


def _load_truth(path: str) -> tuple[Any, int]:
    """The annotations, and how many of them have no area of their own: it is then that of the box."""
    truth, without_area = COCO(), 0
    truth.dataset = read_annotations(path)
    truth.dataset.setdefault("info", {})  # loadRes copies it
    try:
        for number, annotation in enumerate(truth.dataset["annotations"], start=1):
            annotation["id"] = number  # pycocotools takes the id 0 of a match for none
            annotation.setdefault("iscrowd", 0)
            without_area += "area" not in annotation
            annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
        truth.createIndex()
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: an annotation has no usable {error}") from error
    return truth, without_area


def _rows(image_id: int, boxes: Any, scores: Any, classes: Any, height: int, width: int) -> Any:
    y1, x1, y2, x2 = (boxes * (height, width, height, width)).T
    return np.stack([np.full(len(boxes), image_id), x1, y1, x2 - x1, y2 - y1, scores, classes], axis=1)
