"""What a batch of JPEGs costs beside decoding them.

python -m tests.benchmarks.decoding FOLDER [IMAGES] prints, of so many images (768) out of a folder's JPEGs, again from
the first one where there are not as many, milliseconds an image in CPU time and by the clock: the least of six passes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from PIL import Image

from bench.backends.base import Array
from bench.environment import usable_cores
from bench.inputs.batches import iterate_batches
from bench.inputs.images import load_image
from bench.inputs.item import Item
from bench.inputs.preprocess import PREPROCESS, cut_and_scale

BATCH, PASSES, SHAPE = 8, 6, (224, 224)


def decode(items: list[Item]) -> None:
    """The same files by as many threads, and nothing else."""

    def one(item: Item) -> None:
        with Image.open(item.path or "") as image:
            image.load()

    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(one, items))


def feed(items: list[Item], shape: tuple[int, int] | None, name: str, by: str, batch: int = BATCH) -> None:
    """As an accuracy pass gets its batches."""
    dtype = np.dtype(np.uint8 if name == "raw" else np.float32)

    def load(item: Item) -> Array:
        return load_image(item, shape, name, dtype, 0)

    if by == "tf.data":
        from bench.inputs.tfdata import fast_batches

        parts = cut_and_scale(name)
        assert parts is not None and shape is not None
        batches = fast_batches(items, batch, load, *parts, shape)
    else:
        batches = iterate_batches(items, batch, load)
    assert sum(batch.count for batch in batches) == len(items)


def seconds(work: Callable[[], None]) -> tuple[float, float]:
    """Of CPU time, and by the clock."""
    start = process_time(), perf_counter()
    work()
    return process_time() - start[0], perf_counter() - start[1]


def main(folder: Path, images: int) -> None:
    """Print a line for each preprocessing and each way to it."""
    items = [Item(number, path) for number, path in enumerate(islice(cycle(sorted(folder.glob("*.jpg"))), images))]
    works: dict[str, Callable[[], None]] = {
        "decoding alone": partial(decode, items),
        "raw, size kept": partial(feed, items, None, "raw", "Pillow", batch=1),
    }
    for name in PREPROCESS:
        for by in ("Pillow", "tf.data") if cut_and_scale(name) else ("Pillow",):
            works[f"{name} by {by}"] = partial(feed, items, SHAPE, name, by)
    passes = [{name: seconds(work) for name, work in works.items()} for _ in range(PASSES)]
    for name in works:
        cpu, clock = (1000 * min(each[name][which] for each in passes) / images for which in (0, 1))
        print(f"{name:28} {cpu:6.2f} {clock:6.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 768)
