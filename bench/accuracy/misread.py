"""Whether detections fit the annotations far better under another reading: other classes, other boxes.

A detection is on an annotated object where the two overlap by half, whatever their classes: the more likely detections
choose first, and each object is found once. Only the most likely detections of an image are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from bench.postprocess.boxes import to_relative

FEWEST = 20  # objects of which anything is said
LIKELY = 20  # detections of an image
IMAGES = 500  # tell enough
LEAST_IOU = 0.5
FEW = 0.2  # of the detections on an object: no more of them have its category
BEYOND_CHANCE = 5  # standard deviations of the difference of two counts; several readings are tried
Image: TypeAlias = "tuple[Any, Any, Any, Any]"  # detections x, y, w, h in 0..1; categories; objects; theirs
RAW: Mapping[str, Callable[[Any], Any]] = {
    "yxyx": lambda b: np.stack([b[:, 1], b[:, 0], b[:, 1] + b[:, 3], b[:, 0] + b[:, 2]], axis=1),
    "xyxy": lambda b: np.hstack([b[:, :2], b[:, :2] + b[:, 2:]]),
    "xywh": lambda b: b,
    "cxcywh": lambda b: np.hstack([b[:, :2] + b[:, 2:] / 2, b[:, 2:]]),
}  # what a model gave, by the format that its boxes, x, y, width and height by now, were read as
SWAPPED = ("yxyx", "xyxy")  # the other way round it is the same


class Readings:
    """Detections as COCO.loadRes takes them, [n, 7], against the annotations of a COCO."""

    def __init__(self, rows: Any, truth: Any) -> None:
        self._images = list(_images(rows, truth))
        self._names = {category: each["name"] for category, each in truth.cats.items()}
        self._objects = sum(len(objects) for _, _, objects, _ in self._images)
        self._pairs = [
            (int(classes[detection]), int(categories[place]))
            for found, classes, objects, categories in self._images
            for detection, place in _on(found, objects)
        ]

    def doubts_of_classes(self) -> Iterator[str]:
        """That what lies on an object has hardly ever its category."""
        right = sum(found == there for found, there in self._pairs)
        if len(self._pairs) < FEWEST or right > FEW * len(self._pairs):
            return
        ((found, there), times), *_ = Counter(pair for pair in self._pairs if pair[0] != pair[1]).most_common(1)
        said = repr(self._names[found]) if found in self._names else f"id {found}"
        told = f"{right} of {len(self._pairs)} detections that lie on an annotated object have its category"
        wrong = "class_offset, class_map or the ids of the annotations' categories may be wrong"
        yield f"{told}, and {times} say {said} of {self._names[there]!r}: {wrong}"

    def doubts_of_boxes(self) -> Iterator[str]:
        """That far more objects are found where boxes are read as another format."""
        given = len(self._pairs)
        if self._objects < FEWEST or 2 * given > self._objects:
            return
        counts = {
            (taken, meant): self._found_as(taken, meant)
            for taken in RAW
            for meant in RAW
            if taken != meant and (meant, taken) != SWAPPED
        }
        (taken, meant), most = max(counts.items(), key=lambda each: each[1])
        if most - given > BEYOND_CHANCE * np.sqrt(most + given):
            told = "x and y change places" if (taken, meant) == SWAPPED else f"what is read as {taken!r} is {meant!r}"
            found = f"a detection lies on {given} of {self._objects} annotated objects, and on {most} if {told}"
            yield f"{found}: box_format, or the form of the annotations' boxes, may be wrong"

    def _found_as(self, taken: str, meant: str) -> int:
        """Objects that are found where boxes that are taken for one format are of another."""
        return sum(len(_on(_reread(found, taken, meant), objects)) for found, _, objects, _ in self._images)


def _reread(boxes: Any, taken: str, meant: str) -> Any:
    y1, x1, y2, x2 = to_relative(RAW[taken](boxes), meant, (1, 1)).T
    return np.stack([x1, y1, x2 - x1, y2 - y1], axis=1)


def _images(rows: Any, truth: Any) -> Iterator[Image]:
    """Of images, evenly chosen, that have both detections and objects that count."""
    ids, first, counts = np.unique(rows[:, 0], return_index=True, return_counts=True)
    for place in np.unique(np.linspace(0, len(ids) - 1, min(IMAGES, len(ids))).astype(int)):
        image = truth.imgs[int(ids[place])]
        every = truth.imgToAnns[image["id"]]
        objects = [each for each in every if not each["iscrowd"] and each["category_id"] in truth.cats]
        if not objects:
            continue
        size = np.array((image["width"], image["height"]) * 2)
        mine = rows[first[place] : first[place] + counts[place]]
        mine = mine[np.argsort(-mine[:, 5], kind="stable")[:LIKELY]]
        boxes = np.array([each["bbox"] for each in objects]) / size
        yield mine[:, 1:5] / size, mine[:, 6], boxes, [each["category_id"] for each in objects]


def _on(found: Any, objects: Any) -> list[tuple[int, int]]:
    """Which detection is on which object."""
    overlap = _overlaps(found, objects)
    pairs = []
    for place in np.flatnonzero(overlap.max(axis=1) >= LEAST_IOU):
        best = int(overlap[place].argmax())
        if overlap[place, best] >= LEAST_IOU:
            pairs.append((int(place), best))
            overlap[:, best] = 0
    return pairs


def _overlaps(ours: Any, others: Any) -> Any:
    """Intersection over union of every pair of boxes x, y, w, h."""
    low = np.maximum(ours[:, None, :2], others[None, :, :2])
    high = np.minimum((ours[:, :2] + ours[:, 2:])[:, None], (others[:, :2] + others[:, 2:])[None])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [boxes[:, 2:].clip(0).prod(axis=1) for boxes in (ours, others)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-12)
