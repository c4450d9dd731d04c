"""How accuracy passes over the same images agree, and how sure their figures are.

Intervals are bootstrap intervals over images: what other images of the same kind would show. Differences are paired:
both passes are resampled alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from bench.evidence import Answers, Boxes
from bench.record import Record
from bench.statistics.bounds import LEVEL, Interval, NoInterval

RESAMPLES = 10_000  # of hits, which need no evaluation
FEWEST_IMAGES = 20
FEWEST_RESAMPLES = 20  # in which there is any object
ALIKE = NoInterval("all images are alike, so that resampling them shows no spread")
LEAST_IOU = 0.5  # of two boxes that agree
HITS = {"top1": 1, "top5": 5}
PLACES = {"images_dir", "annotation_path", "labels_path", "classes_path", "pattern"}  # may differ between machines
AGREEMENT, SCORES = "agreement", "largest_score_difference"
Bounds = dict[str, Interval | NoInterval]


def accuracy_intervals(record: Record) -> Bounds:
    """Of a record's top-1, top-5 and mAP."""
    accuracy = record.accuracy
    if accuracy is None:
        return {}
    found: Bounds = {name: _of_resamples(values, accuracy.num_images) for name, values in accuracy.resampled.items()}
    if accuracy.answers is not None:
        images = len(accuracy.answers.ranks)
        found |= {name: _of_hits(accuracy.answers.hits(among), 0, images) for name, among in HITS.items()}
    return found


def difference_intervals(record: Record, native: Record) -> Bounds:
    """Of the same figures less the native case's, over the same images; none of what was seen of other ones."""
    mine, theirs = record.accuracy, native.accuracy
    if mine is None or theirs is None or record is native or not _same_images(record, native):
        return {}
    found: Bounds = {
        name: _of_resamples([a - b for a, b in zip(values, theirs.resampled[name], strict=True)], mine.num_images)
        for name, values in mine.resampled.items()
        if len(theirs.resampled.get(name, ())) == len(values)
    }
    if mine.answers is not None and theirs.answers is not None:
        pairs = list(zip(mine.answers.ranks, theirs.answers.ranks, strict=True))
        for name, among in HITS.items():
            right = [(_hit(a, among), _hit(b, among)) for a, b in pairs]
            found[name] = _of_hits(right.count((True, False)), right.count((False, True)), len(right))
    return found


def agreement(record: Record, native: Record) -> dict[str, float]:
    """The share of images, or of boxes, that both say the same of, and the largest difference of their scores."""
    mine, theirs = record.accuracy, native.accuracy
    if mine is None or theirs is None or record is native or not _same_images(record, native):
        return {}
    if mine.answers is not None and theirs.answers is not None:
        return _of_answers(mine.answers, theirs.answers)
    if mine.boxes is not None and theirs.boxes is not None:
        return dict(_of_boxes(mine.boxes, theirs.boxes))
    return {}


def _same_images(record: Record, native: Record) -> bool:
    a, b = record.case, native.case
    mine, theirs = (case.dataset.model_dump(exclude=PLACES) for case in (a, b))
    return (mine, a.num_images) == (theirs, b.num_images)


def _hit(rank: str, among: int) -> bool:
    return 0 < int(rank) <= among


def _of_answers(mine: Answers, theirs: Answers) -> dict[str, float]:
    same = sum(a == b for a, b in zip(mine.best, theirs.best, strict=True))
    furthest = [abs(a - b) for a, b in zip(mine.scores, theirs.scores, strict=True)]
    return {AGREEMENT: same / len(mine.best), SCORES: math.inf if any(map(math.isnan, furthest)) else max(furthest)}


@lru_cache(maxsize=64)
def _of_boxes(mine: Boxes, theirs: Boxes) -> tuple[tuple[str, float], ...]:
    """Boxes of one class that overlap by half are the same; each has one partner, the higher scores choose first."""
    boxes = matched = 0
    furthest = 0.0
    for ours, others in zip(mine.unpack(), theirs.unpack(), strict=True):
        pairs = match(ours, others)
        matched += len(pairs)
        boxes += len(ours) + len(others)
        furthest = max([furthest, *(abs(float(ours[i, 5] - others[j, 5])) for i, j in pairs)])
    return ((AGREEMENT, 2 * matched / boxes), (SCORES, furthest)) if boxes else ()


def match(ours: Any, others: Any) -> list[tuple[int, int]]:
    """Pairs of boxes, [boxes, 6] as `Boxes` has them: which of ours is which of the others."""
    if not len(ours) or not len(others):
        return []
    overlap = _overlaps(ours, others) * (ours[:, None, 4] == others[None, :, 4])
    pairs = []
    for i in range(len(ours)):
        j = int(overlap[i].argmax())
        if overlap[i, j] >= LEAST_IOU:
            pairs.append((i, j))
            overlap[:, j] = 0
    return pairs


def _overlaps(ours: Any, others: Any) -> Any:
    """Intersection over union of every pair."""
    import numpy as np

    low = np.maximum(ours[:, None, :2], others[None, :, :2])
    high = np.minimum(ours[:, None, 2:4], others[None, :, 2:4])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:4] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (ours, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    return shared / np.maximum(union, 1e-12)


def _of_resamples(values: Sequence[float], images: int) -> Interval | NoInterval:
    """Of a figure in resamples of so many images."""
    if images < FEWEST_IMAGES:
        return _too_few(images)
    known = {value for value in values if not math.isnan(value)}
    return ALIKE if len(known) == 1 else _of_values(values)


def _of_values(values: Any) -> Interval | NoInterval:
    """Of resampled figures: the middle 95 %."""
    import numpy as np

    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if len(known) < FEWEST_RESAMPLES:
        return NoInterval(f"{len(known)} resamples of the {FEWEST_RESAMPLES} that an interval needs")
    low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(float(low), float(high))


@lru_cache(maxsize=256)
def _of_hits(more: int, less: int, images: int) -> Interval | NoInterval:
    """Of (more - less) / images, where so many images count for one, and so many against it."""
    import numpy as np

    if images < FEWEST_IMAGES:
        return _too_few(images)
    if max(more, less, images - more - less) == images:
        return ALIKE
    shares = np.array((more, less, images - more - less)) / images
    drawn = np.random.default_rng(0).multinomial(images, shares, RESAMPLES)
    return _of_values((drawn[:, 0] - drawn[:, 1]) / images)


def _too_few(images: int) -> NoInterval:
    return NoInterval(f"{images} images of the {FEWEST_IMAGES} that an interval needs")
