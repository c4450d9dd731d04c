"""What figures of accuracy do not show: what was no answer, and what could hardly be right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.accuracy.misread import Readings

BEYOND_CHANCE = 3  # standard deviations of the difference of two counts of images, which is at most their number's root
PIXEL = 1  # a box no larger is none: relative ones that are said to be in pixels


def doubts_of_classes(best: Any, scores: Any, labels: Any) -> Iterator[str]:
    """Of each image's most likely class, which is counted as labels are, and its score: NaN where all are."""
    count, sound = len(labels), ~np.isnan(scores)
    if not sound.all():
        yield f"{count - sound.sum()} of {count} images have no score but NaN: they count as wrong"
    hits = (sound & (best == labels)).sum()
    for shift, where in ((-1, "before"), (1, "after")):
        beside = (sound & (best == labels + shift)).sum()
        if beside - hits > BEYOND_CHANCE * np.sqrt(count):
            told = f"have the class {where} their label's as the most likely, and {hits} their label's"
            yield f"{beside} of {count} images {told}: class_offset or first_label may be wrong"


def doubts_of_boxes(rows: Any, unsound: int, truth: Any) -> Iterator[str]:
    """Of detections, as COCO.loadRes takes them, and so many that are no numbers, against the annotations of a COCO."""
    if not unsound and not len(rows):
        yield "there is no detection in any image: a score_threshold, or what the model is fed, may be wrong"
    if unsound:
        every = unsound + len(rows)
        yield f"{unsound} of {every} detections hold NaN or infinity: they are left out, as if nothing had been found"
    readings = Readings(rows, truth)
    unknown = ~np.isin(rows[:, 6], list(truth.cats))
    if _most(unknown):
        told = "are of classes that the annotations have no category for: class_offset or class_map may be wrong"
        yield f"{unknown.sum()} of {len(rows)} detections {told}"
    else:
        yield from readings.doubts_of_classes()
    outside = ~_is_inside(rows, truth)
    if _most(outside):
        told = "lie outside of their picture, or are no larger than a pixel: box_format may be wrong"
        yield f"{outside.sum()} of {len(rows)} detections {told}"
    yield from readings.doubts_of_boxes()
    strays = sum(each["category_id"] not in truth.cats for each in truth.dataset["annotations"])
    if strays:
        yield f"{strays} annotations are of categories that the file does not list: they are left out"


def _most(which: Any) -> bool:
    return bool(2 * which.sum() > len(which))


def _is_inside(rows: Any, truth: Any) -> Any:
    ids, places = np.unique(rows[:, 0], return_inverse=True)
    sizes = np.array([(truth.imgs[i]["width"], truth.imgs[i]["height"]) for i in ids]).reshape(-1, 2)[places]
    low, extent = rows[:, 1:3], rows[:, 3:5]
    return ((low < sizes) & (low + extent > 0) & (extent > PIXEL)).all(axis=1)
