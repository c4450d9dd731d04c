"""python -m bench.inputs.check: whether a case's images can be read, before anything is measured.

Runs as a child, so that a large annotation file never weighs on the parent. Takes one line of JSON on standard input,
gives the number of images, or what is wrong, as one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from bench.environment import usable_cores
from bench.errors import BenchError, DataError
from bench.functions import is_function
from bench.inputs.items import Item, choose_items, list_items
from bench.inputs.preprocess import own_function
from bench.record import Dataset

CALIBRATION_KEY = "optimization_config.calib_images_dir or calib_dataset"
END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}


def check_data(
    dataset: Dataset,
    num_images: int,
    calibration: Dataset | None,
    num_calibration: int | None,
    batch: int = 1,
    seed: int = 0,
) -> int:
    """The number of images that will be evaluated; raises DataError for the first that cannot be."""
    items = list_items(dataset, num_images)
    _check_images(items)
    if calibration is not None and calibration.format != "synthetic":
        try:
            _check_calibration(items, choose_items(list_items(calibration, None), num_calibration, seed), batch)
        except DataError as error:
            raise CalibrationError(str(error)) from error
    return len(items)


def check_preprocessing(name: str) -> None:
    """A ConfigError where it is a function of the user's own that cannot be called."""
    if is_function(name):
        own_function(name)


class CalibrationError(DataError):
    """What is wrong with the images to calibrate with."""


def _check_calibration(evaluated: Sequence[Item], ours: Sequence[Item], batch: int) -> None:
    if len(ours) < batch:
        raise DataError(f"{len(ours)} calibration images do not fill one batch of calib_batch_size {batch}")
    _check_images(ours)
    refuse_overlap(evaluated, ours)


def refuse_overlap(evaluated: Sequence[Item], calibration: Sequence[Item]) -> None:
    """An error if an image, by content, is both evaluated and calibrated on."""
    by_size = defaultdict(list)
    for item in evaluated:
        if item.path is not None:
            by_size[item.path.stat().st_size].append(item.path)
    for item in calibration:
        if item.path is None:
            continue
        for other in by_size.get(item.path.stat().st_size, ()):
            if _digest(other) == _digest(item.path):
                raise DataError(
                    f"{item.path}: calibrated on and evaluated ({other}); calibrate on images of another split"
                )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_images(items: Iterable[Item]) -> None:
    with ThreadPoolExecutor(usable_cores()) as pool:
        for problem in pool.map(_problem, (item.path for item in items if item.path is not None)):
            if problem:
                raise DataError(problem)


def _problem(path: Path) -> str | None:
    """What is wrong with a file. A file without its end marker is decoded to see whether anything is missing."""
    try:
        with Image.open(path) as image:
            marker = END_MARKERS.get(image.format or "")
            if marker is None or marker not in _tail(path):
                image.load()
    except FileNotFoundError:
        return f"{path}: no such image"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"{path}: cannot be decoded: {error}"
    return None


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        return file.read()


def main() -> int:
    """Check what standard input describes."""
    request = json.loads(sys.stdin.readline())
    calibration = request["calibration"]
    try:
        check_preprocessing(request["preprocess"])
        count = check_data(
            Dataset.model_validate(request["dataset"]),
            request["num_images"],
            None if calibration is None else Dataset.model_validate(calibration),
            request["num_calibration"],
            request["calib_batch_size"],
            request["seed"],
        )
    except BenchError as error:
        key = CALIBRATION_KEY if isinstance(error, CalibrationError) else "benchmark_config"
        told = str(error) if str(error).startswith("model_config.") else f"{key}: {error}"
        print(json.dumps({"error": told}))
        return error.exit_code
    print(json.dumps({"num_images": count}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
