"""COCO's annotation files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import NotRequired, TypedDict

from bench.errors import DataError

EXACT = 2**53  # pycocotools holds ids as floats
Id = Annotated[int, Field(strict=True, gt=-EXACT, lt=EXACT)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Length = Annotated[float, Field(strict=True, gt=0)]
Extent = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
BEYOND = 2  # pixels that a rounded box may leave its picture by
FEWEST = 5  # boxes that tell anything
MANY = 1 / 3  # of them: of corners taken for a place and a size, those right of or below the middle leave
Size: TypeAlias = "tuple[int, int]"  # height, width


def _flag(value: Any) -> Any:
    """pycocotools takes any text for yes."""
    if not isinstance(value, int) or value not in (0, 1):
        raise PydanticCustomError("flag", "must be 0 or 1")
    return value


Flag = Annotated[int, BeforeValidator(_flag)]


def read_annotations(path: str) -> dict[str, Any]:
    """COCO annotations: an object with images, annotations and categories."""
    try:
        data = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not an annotation file: {error}") from error
    needed = ("images", "annotations", "categories")
    missing = [key for key in needed if key not in data] if isinstance(data, dict) else ["all"]
    if missing:
        raise DataError(f"{path}: not COCO annotations: {', '.join(missing)} missing")
    return dict(data)


class _Image(TypedDict):
    id: Id
    file_name: str
    height: Length
    width: Length


class _Annotation(TypedDict):
    image_id: Id
    category_id: Id
    bbox: tuple[Number, Number, Extent, Extent]
    area: NotRequired[Number]
    iscrowd: NotRequired[Flag]


class _Category(TypedDict):
    id: Id
    name: str


class _Instances(TypedDict):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def check_annotations(path: str) -> None:
    """A DataError where a file does not tell all that mAP takes: what pycocotools stumbles over, or believes."""
    data = read_annotations(path)
    for key in ("annotations", "categories"):
        if data[key] == []:
            raise DataError(
                f"{path}: {key} is empty: there is nothing to evaluate; images_dir alone is for speed alone"
            )
    try:
        TypeAdapter(_Instances).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {place}: {json.dumps(first['input'])[:80]}: {first['msg']}") from error
    _refuse_shares(data, path)
    _refuse_corners(data, path)
    for key in ("images", "categories"):
        (most, times), *_ = Counter(each["id"] for each in data[key]).most_common(1) or [(None, 0)]
        if times > 1:
            raise DataError(f"{path}: {key}: id {most} is there {times} times")


def _refuse_shares(data: dict[str, Any], path: str) -> None:
    """An error where all boxes lie in the first pixel, and do not fill it: they are shares of width and height."""
    boxes = [each["bbox"] for each in data["annotations"]]
    is_whole = all(float(number).is_integer() for box in boxes for number in box)
    if not is_whole and all(max(x + w, y + h) <= 1 for x, y, w, h in boxes):
        told = f"all {len(data['annotations'])} boxes lie in their picture's first pixel"
        raise DataError(f"{path}: annotations: {told}: COCO's are in pixels; multiply by width and height, as area")


def _refuse_corners(data: dict[str, Any], path: str) -> None:
    """An error where boxes are given by two corners: too many leave their picture, and as corners none would.

    Some boxes of a sound file may leave it: rounded ones by a pixel, those of hidden parts by more.
    """
    sizes = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    known = [(*each["bbox"], *sizes[each["image_id"]]) for each in data["annotations"] if each["image_id"] in sizes]
    leaving = sum(x + w > width + BEYOND or y + h > height + BEYOND for x, y, w, h, width, height in known)
    as_corners = all(
        a <= c <= width + BEYOND and b <= d <= height + BEYOND for a, b, c, d, width, height in known
    )  # fmt: skip
    if len(known) >= FEWEST and leaving > MANY * len(known) and as_corners:
        told = f"{leaving} of {len(known)} boxes leave their picture, and none would if bbox were x1, y1, x2, y2"
        raise DataError(f"{path}: annotations: {told}: COCO's is x, y, width, height; write x2 - x1 and y2 - y1")


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
        one = min(strays, key=repr)
        raise DataError(f"{path}: annotations name {len(strays)} images that it does not list, such as id {one}")
    return images
