"""What the figures of detections do not show: what was no detection, and what could hardly be right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

PIXEL = 1  # a box no larger is none: relative ones that are said to be in pixels


def doubts(rows: Any, unsound: int, truth: Any) -> Iterator[str]:
    """Of detections, as COCO.loadRes takes them, and so many that are no numbers, against the annotations of a COCO."""
    if unsound:
        every = unsound + len(rows)
        yield f"{unsound} of {every} detections hold NaN or infinity: they are left out, as if nothing had been found"
    unknown = ~np.isin(rows[:, 6], list(truth.cats))
    if _most(unknown):
        told = "are of classes that the annotations have no category for: class_offset or class_map may be wrong"
        yield f"{unknown.sum()} of {len(rows)} detections {told}"
    outside = ~_is_inside(rows, truth)
    if _most(outside):
        told = "lie outside of their picture, or are no larger than a pixel: box_format may be wrong"
        yield f"{outside.sum()} of {len(rows)} detections {told}"
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
