"""What a dataset holds: its images in order, with their labels; nothing is decoded here."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from bench.case import Dataset
from bench.errors import DataError
from bench.inputs.annotations import read_annotations, sizes_by_id
from bench.inputs.item import Item, is_image
from bench.inputs.labelled import folder_items, label_items, table_items
from bench.inputs.tfrecords import record_items


def list_items(dataset: Dataset, limit: int | None) -> tuple[Item, ...]:
    """The first `limit` images, in the order of their ids, lines or names; all where it is None.

    Those that the dataset leaves out are not among them.
    """
    if dataset.format == "synthetic":
        statistics = None if dataset.mean is None or dataset.deviation is None else (dataset.mean, dataset.deviation)
        return tuple(Item(i, None, statistics=statistics) for i in range(limit or 0))
    left_out = {number for number, _ in dataset.left_out}
    try:
        items = tuple(islice((item for item in READERS[dataset.format](dataset) if item.id not in left_out), limit))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"dataset {dataset.name!r}: cannot be read: {error}") from error
    if not items:
        where = dataset.pattern or dataset.labels_path or dataset.annotation_path or dataset.images_dir
        folders = dataset.format == "images" and any(entry.is_dir() for entry in Path(where or "").iterdir())
        remedy = "; class_folders is for a folder for each class" if folders else ""
        raise DataError(f"dataset {dataset.name!r}: no images in {where!r}{remedy}")
    return items


def choose_items(items: Sequence[Item], count: int | None, seed: int) -> tuple[Item, ...]:
    """So many of the items, drawn with a seed and left in their order; all where `count` is None or more than that."""
    if count is None or count >= len(items):
        return tuple(items)
    chosen = sorted(random.Random(seed).sample(range(len(items)), count))
    return tuple(items[index] for index in chosen)


def _coco(dataset: Dataset) -> Iterator[Item]:
    path = dataset.annotation_path or ""
    folder = Path(dataset.images_dir or "")
    images = sizes_by_id(read_annotations(path), path)
    return (Item(number, folder / name, size=size) for number, (name, size) in sorted(images.items()))


def _images(dataset: Dataset) -> Iterator[Item]:
    files = sorted(filter(is_image, Path(dataset.images_dir or "").iterdir()))
    return (Item(number, file) for number, file in enumerate(files))


READERS: Mapping[str, Callable[[Dataset], Iterator[Item]]] = {
    "coco": _coco,
    "images": _images,
    "labels": label_items,
    "csv": table_items,
    "folders": folder_items,
    "tfrecords": record_items,
}
