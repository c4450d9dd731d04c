"""Mean average precision of many resamples of the images, from one evaluation by pycocotools.

Nothing is matched again: a resample gives every image a weight, how often it was drawn, and with it its boxes and
objects. Resamples are drawn with a fixed seed, so that passes over the same images resample alike, and the differences
between two passes can be taken resample by resample.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

RESAMPLES = 200
SEED = 20240229
Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"


def draw_weights(images: int, resamples: int = RESAMPLES) -> Floats:
    """How often each image is in each resample, [resamples, images]."""
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(0, images, (resamples, images))
    return np.stack([np.bincount(row, minlength=images) for row in drawn]).astype(np.float32)


class ResampledMap:
    """The mean average precision of each resample, out of a COCOeval that evaluates some categories at a time."""

    def __init__(self, images: int, weights: Floats | None = None) -> None:
        self._weights = draw_weights(images) if weights is None else weights
        self._total = np.zeros(len(self._weights))
        self._classes = np.zeros(len(self._weights))

    def add(self, evaluation: Any) -> None:
        """Take in the categories that `evaluate()` has just evaluated."""
        for category in range(len(evaluation.params.catIds)):
            precision = _average_precision(evaluation, category, self._weights)
            if precision is not None:
                known = ~np.isnan(precision)
                self._total[known] += precision[known]
                self._classes[known] += 1

    def values(self) -> list[float]:
        """By resample; NaN where one has no object at all."""
        with np.errstate(invalid="ignore"):
            return [float(value) for value in self._total / self._classes]


def _average_precision(evaluation: Any, category: int, weights: Floats) -> Floats | None:
    """Of one class, the mean over the IoU thresholds; None where no image has an object of it."""
    seen = _of_category(evaluation, category)
    objects = np.array([0 if each is None else np.count_nonzero(each["gtIgnore"] == 0) for each in seen], np.float32)
    positives = weights @ objects
    if not objects.any():
        return None
    found = [(number, each) for number, each in enumerate(seen) if each is not None and each["dtScores"]]
    if not found:
        return np.where(positives > 0, 0.0, np.nan).astype(np.float32)
    scores = np.concatenate([each["dtScores"] for _, each in found])
    order = np.argsort(-scores, kind="mergesort")
    image = np.repeat([number for number, _ in found], [len(each["dtScores"]) for _, each in found])[order]
    matched = np.concatenate([each["dtMatches"] for _, each in found], axis=1)[:, order] != 0
    ignored = np.concatenate([each["dtIgnore"] for _, each in found], axis=1)[:, order].astype(bool)
    shown = np.cumsum(weights[:, image], axis=1)  # boxes up to each, by resample
    recalls = evaluation.params.recThrs
    parts = [
        _at_threshold(m & ~i, i, image, shown, weights, positives, recalls)
        for m, i in zip(matched, ignored, strict=True)
    ]
    return np.where(positives > 0, np.mean(parts, axis=0), np.nan).astype(np.float32)


def _at_threshold(
    true: Any, ignored: Any, image: Any, shown: Floats, weights: Floats, positives: Floats, recalls: Any
) -> Any:
    """Average precision at one IoU threshold, by resample; precision is highest where a true box is added."""
    at = np.flatnonzero(true)
    if not len(at):
        return np.zeros(len(weights))
    hits = np.cumsum(weights[:, image[at]], axis=1)
    passed = np.flatnonzero(ignored)
    left_out = np.pad(np.cumsum(weights[:, image[passed]], axis=1), ((0, 0), (1, 0)))
    boxes = shown[:, at] - left_out[:, np.searchsorted(passed, at)]
    precision = hits / np.maximum(boxes, 1)
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(positives, 1)[:, None].astype(np.float64)
    steps = np.diff(_reached(recall, recalls), axis=1, prepend=0)
    return (highest * steps).sum(axis=1) / len(recalls)


def _reached(recall: Any, recalls: Any) -> Any:
    """How many of the thresholds, evenly from 0 to 1, a recall reaches: searchsorted from the right, but faster."""
    last = len(recalls) - 1
    near = (recall * last).astype(np.intp)
    after = np.minimum(near + 1, last)
    return near + (recalls[near] <= recall) + ((after > near) & (recalls[after] <= recall))


def _of_category(evaluation: Any, category: int) -> list[Any]:
    """The evaluated images of one class, objects of any size; None where an image has neither box nor object."""
    images, areas = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    start = category * areas * images
    return list(evaluation.evalImgs[start : start + images])
