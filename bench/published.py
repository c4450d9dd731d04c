"""A case's accuracy held against the published one: a verdict in words, for tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench.case import Case, PublishedAccuracy
from bench.catalog.cards import Published
from bench.record import Record
from bench.statistics.summary import Summary

ACCURACY = ("top1", "top5", "map", "map50")
PUBLISHED_ON = {  # the beginning of a dataset's name, and what figures are of
    "classification": ("imagenet", "ImageNet's validation split"),
    "detection": ("coco", "COCO's validation split"),
}
OTHER_SPLIT = re.compile(r"[-_](mini)?(train|test|calib)")  # in a dataset's name


def published_accuracy(figures: Published | None, dataset: str | None) -> PublishedAccuracy | None:
    """What a card's `published` says of accuracy: by name the native figures, in `modes` those of other precisions.

    They are of the dataset that they name, else of the card's own, else of those that everybody publishes on.
    """
    if figures is None:
        return None
    native = {name: figure for name in ACCURACY if (figure := getattr(figures, name)) is not None}
    modes: dict[str, dict[str, float]] = {mode: dict(found.items()) for mode, found in figures.modes.items()}
    known = {mode: found for mode, found in {"native": native, **modes}.items() if found}
    if not known:
        return None
    return PublishedAccuracy(source=figures.source, figures=known, dataset=figures.dataset or dataset)


def against_published(record: Record, summary: Summary) -> Iterator[str]:
    """A sentence for each published figure of this precision, or why it is not compared. `null` runs no model."""
    published = record.case.model.published
    if published is None or record.accuracy is None or record.case.optimization.backend == "null":
        return
    optimization = record.case.optimization
    own = published.dataset
    prefix, images = PUBLISHED_ON[record.case.model.task] if own is None else (own, own)
    for name, figure in published.figures.get(optimization.precision_mode, {}).items():
        if name not in summary.values:
            continue
        told = f"{name} {summary.values[name]:.4g}"
        where = record.case.dataset.name
        if not is_as_published(record.case):
            yield f"{told} is of {optimization.backend}; the published {figure:g} is of TF-TRT ({published.source})"
        elif not _are_of(where, prefix):
            yield f"{told} is of {where}; the published {figure:g} is of {images} ({published.source})"
        else:
            decimals = max(_decimals(each[name]) for each in published.figures.values() if name in each)
            yield f"{told} {_verdict(name, figure, decimals, summary)} ({published.source})"


def is_as_published(case: Case) -> bool:
    """Whether a case runs in what gave the published figure of its precision: TF-TRT, or natively TensorFlow."""
    return case.optimization.backend == ("tensorflow" if case.optimization.precision_mode == "native" else "tf-trt")


def _are_of(dataset: str, prefix: str) -> bool:
    """Whether figures of the datasets that are called `prefix` are of this one's images, too."""
    more = dataset.removeprefix(prefix)
    return dataset == prefix or (more != dataset and more.startswith("-") and OTHER_SPLIT.search(more) is None)


def _verdict(name: str, figure: float, decimals: int, summary: Summary) -> str:
    """A published figure is rounded: it stands for all values that round to it."""
    if name not in summary.bounds:
        return f"has no interval, so it is not held against the published {figure:g}"
    rounding = 0.5 * 10.0**-decimals
    low, high = summary.bounds[name]
    sure = f", {summary.values[name] - figure:+.4f}; 95 % interval {low:.4g} to {high:.4g}"
    if figure + rounding < low:
        return f"is above the published {figure:g}{sure}"
    if figure - rounding > high:
        return f"is below the published {figure:g}{sure}"
    return f"is as published, {figure:g}{sure}"


def _decimals(figure: float) -> int:
    """At least two, for accuracy is published in percent: JSON has no 0.20, and 0.2 does not stand for 0.15 to 0.25."""
    return max(2, len(f"{figure!r}".partition(".")[2]))
