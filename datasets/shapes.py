"""Generate a small image set of shapes over textures; the same pixels everywhere from fixed seeds."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from shapes_drawing import CLASSES, Box, Ints, Placement, add_noise, between, blend, box_of, stamp, texture

SEED = 20210
TASKS = ("detection", "classification")
SPLITS = ("train", "calibration", "validation")
SIZES = {"detection": 128, "classification": 64}
COUNTS = {
    ("detection", "train"): 6000,
    ("detection", "calibration"): 256,
    ("detection", "validation"): 1000,
    ("classification", "train"): 8000,
    ("classification", "calibration"): 256,
    ("classification", "validation"): 1000,
}


@dataclass(frozen=True)
class Label:
    """One object: its class (0-based), the tight box of its visible part and that part's pixel count."""

    kind: int
    box: Box
    area: int


@dataclass(frozen=True)
class Sample:
    """One image (height, width, 3) with its objects."""

    pixels: NDArray[np.uint8]
    labels: tuple[Label, ...]


def _generator(task: str, split: str, *keys: int) -> np.random.RandomState:
    return np.random.RandomState([SEED, TASKS.index(task), SPLITS.index(split), *keys])


def _colour_away(rng: np.random.RandomState, other: Ints, distance: int) -> Ints:
    """A random colour whose channels differ from another's by a distance in all."""
    while True:
        colour = rng.randint(20, 236, size=3, dtype=np.int64)
        if int(np.abs(colour - other).sum()) >= distance:
            return colour


def _bar(rng: np.random.RandomState, size: int) -> Placement:
    x, y = between(rng, 0, 4 * size), between(rng, 0, 4 * size)
    return Placement("square", x, y, between(rng, size // 2, 2 * size), between(rng, 2, 5), between(rng, 0, 255))


def _blob(rng: np.random.RandomState, size: int) -> Placement:
    x, y, radius = between(rng, 0, 4 * size), between(rng, 0, 4 * size), between(rng, 4, 12)
    return Placement("circle", x, y, radius, radius + between(rng, 0, 8), between(rng, 0, 255))


def _clutter(rng: np.random.RandomState, image: Ints, most: int) -> None:
    """Draw up to so many thin bars and small blobs, which belong to no class."""
    size = image.shape[0]
    for _ in range(between(rng, 0, most)):
        make = (_bar, _blob)[between(rng, 0, 1)]
        colour = rng.randint(0, 256, size=3, dtype=np.int64)
        blend(image, stamp(make(rng, size), size), colour)


def _background(rng: np.random.RandomState, size: int) -> tuple[Ints, Ints]:
    """A textured image with clutter, and its main colour."""
    colour = rng.randint(20, 236, size=3, dtype=np.int64)
    image = texture(rng, size, size, colour, between(rng, 0, 50))
    _clutter(rng, image, size // 11)
    return image, colour


def _shape(rng: np.random.RandomState, kind: int, centre: tuple[int, int], radius: int) -> Placement:
    """A shape of a kind, somewhat stretched along one of its own axes, at any angle."""
    other = max(radius * between(rng, 80, 100) // 100, 4)
    radii = (radius, other) if between(rng, 0, 1) else (other, radius)
    return Placement(CLASSES[kind], *centre, *radii, between(rng, 0, 255))


def _paint(
    rng: np.random.RandomState, image: Ints, owners: Ints, owner: int, shape: Placement, around: Ints, contrast: int
) -> None:
    """Draw a textured shape and note its pixels' owner."""
    mark = stamp(shape, image.shape[0])
    colour = _colour_away(rng, around, contrast)
    height, width = mark.coverage.shape
    blend(image, mark, texture(rng, height, width, colour, between(rng, 0, 50)))
    owners[mark.rows, mark.columns][mark.coverage >= 2] = owner


def _overlaps(box: Ints, others: list[Ints]) -> bool:
    """Whether a square (left, top, right, bottom) covers over a quarter of another, or is covered so."""
    for other in others:
        wide = min(box[2], other[2]) - max(box[0], other[0])
        high = min(box[3], other[3]) - max(box[1], other[1])
        least = min((box[2] - box[0]) ** 2, (other[2] - other[0]) ** 2)
        if wide > 0 and high > 0 and 4 * wide * high > least:
            return True
    return False


def _place(rng: np.random.RandomState, size: int, wanted: int) -> list[tuple[int, int, int]]:
    """Centres and radii (quarter pixels) of up to so many objects that overlap each other in part only."""
    placed: list[tuple[int, int, int]] = []
    taken: list[Ints] = []
    for _ in range(4 * wanted):
        radius = between(rng, 28, between(rng, 28, 120))
        x, y = (between(rng, radius // 2, 4 * size - radius // 2) for _ in range(2))
        box = np.array([x - radius, y - radius, x + radius, y + radius], np.int64)
        if len(placed) < wanted and not _overlaps(box, taken):
            placed.append((x, y, radius))
            taken.append(box)
    return placed


def _visible(owners: Ints, kinds: list[int]) -> tuple[Label, ...]:
    """Labels of the objects that show at least 16 pixels."""
    labels = []
    for owner, kind in enumerate(kinds, start=1):
        mask = owners == owner
        area = int(np.count_nonzero(mask))
        if area >= 16:
            labels.append(Label(kind, box_of(mask), area))
    return tuple(labels)


def detection_sample(split: str, index: int) -> Sample:
    """An image of one to eight objects, which may hide each other and leave the image in part."""
    rng = _generator("detection", split, index)
    image, around = _background(rng, SIZES["detection"])
    owners = np.zeros(image.shape[:2], np.int64)
    kinds = []
    for owner, (x, y, radius) in enumerate(_place(rng, image.shape[0], between(rng, 1, 8)), start=1):
        kinds.append(between(rng, 0, len(CLASSES) - 1))
        shape = _shape(rng, kinds[-1], (x, y), radius)
        _paint(rng, image, owners, owner, shape, around, 75)
    _clutter(rng, image, 5)
    return Sample(add_noise(rng, image, between(rng, 0, 60)), _visible(owners, kinds))


def classification_sample(split: str, index: int) -> Sample:
    """An image of one object among clutter; every eight images in a row hold every class once."""
    block, place = divmod(index, len(CLASSES))
    kind = int(_generator("classification", split, block, 1).permutation(len(CLASSES))[place])
    rng = _generator("classification", split, index)
    image, around = _background(rng, SIZES["classification"])
    owners = np.zeros(image.shape[:2], np.int64)
    radius = between(rng, 28, 112)
    centre = (between(rng, 96, 160), between(rng, 96, 160))
    _paint(rng, image, owners, 1, _shape(rng, kind, centre, radius), around, 60)
    _clutter(rng, image, 6)
    return Sample(add_noise(rng, image, between(rng, 0, 80)), _visible(owners, [kind]))


def samples(task: str, split: str, count: int | None = None) -> Iterator[Sample]:
    """The first images of a split in order; all of them without a count."""
    make = detection_sample if task == "detection" else classification_sample
    for index in range(COUNTS[task, split] if count is None else count):
        yield make(split, index)


def pixels_sha256(items: Iterable[Sample]) -> str:
    """The SHA-256 over the pixels, classes and boxes of samples in order."""
    digest = hashlib.sha256()
    for item in items:
        head = [list(item.pixels.shape), [[label.kind, *label.box] for label in item.labels]]
        digest.update(json.dumps(head).encode())
        digest.update(item.pixels.tobytes())
    return digest.hexdigest()


def _name(index: int) -> str:
    return f"{index:06d}.png"


def _save(folder: Path, index: int, sample: Sample) -> None:
    Image.fromarray(sample.pixels).save(folder / "images" / _name(index), format="PNG", compress_level=6)


def _annotation(identity: int, image: int, label: Label) -> dict[str, Any]:
    box = list(label.box)
    head = {"id": identity, "image_id": image, "category_id": label.kind + 1}
    return {**head, "bbox": box, "area": label.area, "iscrowd": 0}


def instances(labels: Sequence[tuple[Label, ...]]) -> dict[str, Any]:
    """The COCO document of the objects of a detection split's images in order; all ids count from 1."""
    size = SIZES["detection"]
    images = [
        {"id": number, "file_name": _name(number - 1), "width": size, "height": size}
        for number in range(1, len(labels) + 1)
    ]
    objects = [(image, label) for image, group in enumerate(labels, start=1) for label in group]
    annotations = [_annotation(identity, *item) for identity, item in enumerate(objects, start=1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _write_detection(folder: Path, items: Iterable[Sample]) -> Iterator[Sample]:
    labels = []
    for index, item in enumerate(items):
        _save(folder, index, item)
        labels.append(item.labels)
        yield item
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances.json").write_text(json.dumps(instances(labels)), encoding="utf-8")


def _write_classification(folder: Path, items: Iterable[Sample]) -> Iterator[Sample]:
    lines = []
    for index, item in enumerate(items):
        _save(folder, index, item)
        lines.append(f"images/{_name(index)} {item.labels[0].kind}\n")
        yield item
    (folder / "labels.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")


def write_split(task: str, split: str, out: Path, count: int | None = None) -> str:
    """Write a split to a folder that does not exist yet, all or nothing; give back its SHA-256."""
    if out.exists():
        raise FileExistsError(f"{out} already exists")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    write = _write_detection if task == "detection" else _write_classification
    try:
        (partial / "images").mkdir()
        digest = pixels_sha256(write(partial, samples(task, split, count)))
        partial.chmod(0o755)
        os.replace(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return digest


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder to create; it must not exist")
    parser.add_argument("--count", type=_positive, help="only the first so many images")
    arguments = parser.parse_args(argv)
    if arguments.out.exists():
        parser.error(f"{arguments.out} already exists")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Write a split from the command line and print its number of images and SHA-256."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    digest = write_split(arguments.task, arguments.split, arguments.out, arguments.count)
    number = arguments.count or COUNTS[arguments.task, arguments.split]
    print(json.dumps({"images": number, "pixels_sha256": digest}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
