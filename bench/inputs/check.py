"""python -m bench.inputs.check: whether a case's images can be read, before anything is measured.

Runs as a child, so that a large annotation file never weighs on the parent. Takes one line of JSON on standard input,
gives the number of images, or what is wrong, as one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from bench.case import Dataset, Model
from bench.environment import usable_cores
from bench.errors import BenchError, DataError
from bench.functions import is_function
from bench.inputs.annotations import check_annotations
from bench.inputs.images import ORIENTATION, SIDEWAYS, decoding, open_picture
from bench.inputs.item import Item
from bench.inputs.items import choose_items, list_items
from bench.inputs.preprocess import own_function
from bench.postprocess.apply import load_postprocess

CALIBRATION_KEY = "optimization_config.calib_images_dir or calib_dataset"
NAMED = 5  # of the images that cannot be used
LeftOut: TypeAlias = "tuple[tuple[int, str], ...]"
END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}


@dataclass(frozen=True)
class Checked:
    """How many images will be evaluated, and which are left out."""

    count: int
    left_out: LeftOut


def check_data(
    dataset: Dataset,
    num_images: int | None,
    calibration: Dataset | None,
    num_calibration: int | None,
    batch: int = 1,
    seed: int = 0,
    max_corrupt: int = 0,
) -> Checked:
    """What will be evaluated; raises DataError where more than `max_corrupt` images cannot be."""
    if dataset.format == "coco":
        check_annotations(dataset.annotation_path or "")
    items = list_items(dataset, num_images)
    if dataset.labels_path is not None:
        _refuse_repetition(items, f"{dataset.labels_path}: lines")
    if dataset.format == "coco":
        _refuse_repetition(items, f"{dataset.annotation_path}: images: ids")
    left_out = _problems(items)
    if len(left_out) > max_corrupt or len(left_out) == len(items):
        raise DataError(_told(left_out, len(items), max_corrupt))
    unusable = {number for number, _ in left_out}
    items = tuple(item for item in items if item.id not in unusable)
    if calibration is not None:
        try:
            is_drawn = calibration.format == "synthetic"
            there = list_items(calibration, (num_calibration or batch) if is_drawn else None)
            _check_calibration(items, choose_items(there, num_calibration, seed), batch)
        except DataError as error:
            raise CalibrationError(str(error)) from error
    return Checked(len(items), left_out)


def check_preprocessing(name: str) -> None:
    """A ConfigError where it is a function of the user's own that cannot be called."""
    if is_function(name):
        own_function(name)


def _refuse_repetition(items: Sequence[Item], places: str) -> None:
    """An error if a file is listed twice, which would count it twice: right and wrong, where the labels differ."""
    first: dict[str, Item] = {}
    for item in items:
        other = first.setdefault(os.path.normpath(item.path or ""), item)
        if other is item:
            continue
        lines = f"{places} {other.id} and {item.id} are of one image, {item.place}"
        if other.label != item.label:
            raise DataError(f"{lines}, and their labels differ: remove the wrong one")
        raise DataError(f"{lines}, which would count twice: remove one of them")


class CalibrationError(DataError):
    """What is wrong with the images to calibrate with."""


def _check_calibration(evaluated: Sequence[Item], ours: Sequence[Item], batch: int) -> None:
    if len(ours) < batch:
        raise DataError(f"{len(ours)} calibration images do not fill one batch of calib_batch_size {batch}")
    if problems := _problems(ours):
        raise DataError(_told(problems, len(ours), 0))
    refuse_overlap(evaluated, ours)


def refuse_overlap(evaluated: Sequence[Item], calibration: Sequence[Item]) -> None:
    """An error if an image, by content, is both evaluated and calibrated on."""
    by_size = defaultdict(list)
    for item in evaluated:
        if item.path is not None:
            by_size[item.bytes_count].append(item)
    for item in calibration:
        if item.path is None:
            continue
        for other in by_size.get(item.bytes_count, ()):
            if _digest(other) == _digest(item):
                raise DataError(
                    f"{item.place}: calibrated on and evaluated ({other.place}); calibrate on images of another split"
                )


@cache
def _digest(item: Item) -> str:
    return hashlib.sha256(item.content()).hexdigest()


def _problems(items: Iterable[Item]) -> LeftOut:
    """The images that cannot be used, by id, each with what is wrong."""
    files = [item for item in items if item.path is not None]
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = zip(files, pool.map(_problem, files), strict=True)
        return tuple((item.id, problem) for item, problem in found if problem is not None)


def _told(problems: LeftOut, count: int, allowed: int) -> str:
    """One message for all of them; the first ones are named."""
    first = "; ".join(problem for _, problem in problems[:NAMED])
    if len(problems) == 1 and not allowed:
        return first
    more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    bound = f", max_corrupt_images allows {allowed}" if allowed < count else ""
    return f"{len(problems)} of {count} images cannot be used{bound}: {first}{more}"


def _problem(item: Item) -> str | None:
    """What is wrong with an image. One without its end marker is decoded to see whether anything is missing."""
    try:
        with decoding(item), open_picture(item) as image:
            turned = image.getexif().get(ORIENTATION) in SIDEWAYS
            sizes = {image.size[::-1], image.size if turned else image.size[::-1]}
            marker = END_MARKERS.get(image.format or "")
            if marker is None or marker not in _tail(item):
                image.load()
    except DataError as error:
        return str(error)
    if item.size is not None and item.size not in sizes:
        width, height = image.size
        return f"{item.place}: has {width} x {height} pixels, and its annotation says {item.size[1]} x {item.size[0]}"
    return None


def _tail(item: Item) -> bytes:
    if item.path is None:
        return b""
    end = item.span[1] if item.span is not None else item.path.stat().st_size
    with item.path.open("rb") as file:
        file.seek(max(0, end - 64))
        return file.read(min(64, end))


def main() -> int:
    """Check what standard input describes."""
    request = json.loads(sys.stdin.readline())
    calibration = request["calibration"]
    try:
        check_preprocessing(request["preprocess"])
        if request["postprocessed"] is not None:
            load_postprocess(Model.model_validate(request["postprocessed"]))
        checked = check_data(
            Dataset.model_validate(request["dataset"]),
            request["num_images"],
            None if calibration is None else Dataset.model_validate(calibration),
            request["num_calibration"],
            request["calib_batch_size"],
            request["seed"],
            request["max_corrupt"],
        )
    except BenchError as error:
        key = f"{CALIBRATION_KEY}: " if isinstance(error, CalibrationError) else ""
        print(json.dumps({"error": f"{key}{error}"}))
        return error.exit_code
    print(json.dumps({"num_images": checked.count, "left_out": checked.left_out}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
