"""COCO's annotation files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

from bench.errors import DataError

Size: TypeAlias = "tuple[int, int]"  # height, width


def read_annotations(path: str) -> dict[str, Any]:
    """COCO annotations: an object with images, annotations and categories."""
    try:
        data = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not an annotation file: {error}") from error
    needed = ("images", "annotations", "categories")
    missing = [key for key in needed if key not in data] if isinstance(data, dict) else ["all"]
    if missing:
        raise DataError(f"{path}: not COCO annotations: {', '.join(missing)} missing")
    return dict(data)


def sizes_by_id(data: dict[str, Any], path: str) -> dict[int, tuple[str, Size]]:
    """The file's name and the annotated size of each image that is listed; no annotation may be of another."""
    try:
        images = {
            int(image["id"]): (str(image["file_name"]), (image["height"], image["width"])) for image in data["images"]
        }
        strays = {annotation["image_id"] for annotation in data["annotations"]} - images.keys()
    except KeyError as error:
        raise DataError(f"{path}: an image or annotation has no {error}") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: an image or annotation is not as COCO's are: {error}") from error
    if strays:
        raise DataError(
            f"{path}: annotations name {len(strays)} images that it does not list, such as id {min(strays)}"
        )
    return images
