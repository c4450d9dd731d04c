"""What a dataset holds: its images in order, with their labels; nothing is decoded here."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DataError
from bench.record import Dataset

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Item:
    """One image; `path` is None for a synthetic one."""

    id: int
    path: Path | None
    label: int | None = None
    size: tuple[int, int] | None = None  # height, width, as an annotation says


def list_items(dataset: Dataset, limit: int | None) -> tuple[Item, ...]:
    """The first `limit` images, in the order of their ids, lines or names; all where it is None."""
    if dataset.format == "synthetic":
        return tuple(Item(i, None) for i in range(limit or 0))
    reader = {"coco": _coco, "labels": _labels, "images": _images}[dataset.format]
    try:
        items = reader(dataset)[:limit]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"dataset {dataset.name!r}: cannot be read: {error}") from error
    if not items:
        raise DataError(f"dataset {dataset.name!r}: no images in {dataset.images_dir!r}")
    return tuple(items)


def choose_items(items: Sequence[Item], count: int | None, seed: int) -> tuple[Item, ...]:
    """So many of the items, drawn with a seed and left in their order; all where `count` is None or more than that."""
    if count is None or count >= len(items):
        return tuple(items)
    chosen = sorted(random.Random(seed).sample(range(len(items)), count))
    return tuple(items[index] for index in chosen)


def read_annotations(path: str) -> dict[str, Any]:
    """COCO annotations: an object with images, annotations and categories."""
    try:
        data = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not an annotation file: {error}") from error
    missing = (
        [key for key in ("images", "annotations", "categories") if key not in data] if _is_object(data) else ["all"]
    )
    if missing:
        raise DataError(f"{path}: not COCO annotations: {', '.join(missing)} missing")
    return dict(data)


def _is_object(data: Any) -> bool:
    return isinstance(data, dict)


def _coco(dataset: Dataset) -> list[Item]:
    path = dataset.annotation_path or ""
    data = read_annotations(path)
    folder = Path(dataset.images_dir or "")
    try:
        items = [Item(int(i["id"]), folder / i["file_name"], None, _size(i)) for i in data["images"]]
        strays = {a["image_id"] for a in data["annotations"]} - {item.id for item in items}
    except KeyError as error:
        raise DataError(f"{path}: an image or annotation has no {error}") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: an image or annotation is not as COCO's are: {error}") from error
    if strays:
        raise DataError(
            f"{path}: annotations name {len(strays)} images that it does not list, such as id {min(strays)}"
        )
    return sorted(items, key=lambda item: item.id)


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    return (image["height"], image["width"]) if image.keys() >= {"height", "width"} else None


def _labels(dataset: Dataset) -> list[Item]:
    path = Path(dataset.labels_path or "")
    folder = Path(dataset.images_dir or path.parent)
    items = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, label = line.rpartition(" ")
        if not name or not label.isdecimal():
            raise DataError(f"{path}:{number}: {line!r}: a line is a path, a space and a label from 0 on")
        items.append(Item(number, folder / name, int(label)))
    return items


def _images(dataset: Dataset) -> list[Item]:
    files = sorted(f for f in Path(dataset.images_dir or "").iterdir() if f.suffix.lower() in SUFFIXES)
    return [Item(number, file) for number, file in enumerate(files)]
