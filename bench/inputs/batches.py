"""Batches of preprocessed images, made by threads ahead of their use, in order and in bounded memory."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np

from bench.backends.base import Array, Arrays
from bench.environment import usable_cores
from bench.errors import DataError
from bench.inputs.item import Item

Place = TypeVar("Place")


@dataclass(frozen=True)
class TimedBatch:
    """A batch to time, and how many of its images are not padding."""

    arrays: Arrays
    images: int


@dataclass(frozen=True)
class Batch:
    """Images of one batch, [batch size, height, width, 3]; the last ones may be padding."""

    images: Array
    items: tuple[Item, ...]  # as many as are not padding

    @property
    def count(self) -> int:
        """Images that are not padding."""
        return len(self.items)


class _Filling:
    """A batch's array, made when its first image is there, and filled by the threads that load them."""

    def __init__(self, batch_size: int) -> None:
        self._size = batch_size
        self._lock = Lock()
        self._images: Array | None = None

    def put(self, place: int, image: Array) -> None:
        """Take in the image at a place of the batch."""
        with self._lock:
            if self._images is None and self._size == 1:
                self._images = image[None]  # not copied
                return
            if self._images is None:
                self._images = np.empty((self._size, *image.shape), image.dtype)
        if image.shape != self._images.shape[1:]:
            sizes = f"{list(image.shape)} and {list(self._images.shape[1:])}"
            raise DataError(f"images of {sizes} cannot share a batch: set benchmark_config.image_shape")
        self._images[place] = image

    def filled(self, count: int) -> Array:
        """All of it; after so many images come copies of the last one."""
        assert self._images is not None
        if count < self._size:
            self._images[count:] = self._images[count - 1]
        return self._images


def iterate_batches(
    items: Sequence[Item], batch_size: int, load: Callable[[Item], Array], workers: int | None = None
) -> Iterator[Batch]:
    """All items in order; the last batch is padded with its last image, so that every batch has one shape.

    At most two batches, and an image for each worker, are held ahead of the consumer. Pillow frees the interpreter
    while it decodes and resizes, so threads keep all cores busy without copying pixels between processes. Each writes
    its image into the batch: one that is held until others are there would leave the processor's caches.
    """
    workers = workers or usable_cores()
    batches = [(_Filling(batch_size), tuple(items[at : at + batch_size])) for at in range(0, len(items), batch_size)]

    def fill(place: tuple[_Filling, int, Item]) -> None:
        place[0].put(place[1], load(place[2]))

    places = ((filling, number, item) for filling, group in batches for number, item in enumerate(group))
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        done = _ahead(pool, fill, places, batch_size * 2 + workers)
        with contextlib.closing(done):  # a consumer that stops early waits for no more than what is being decoded
            for number, (filling, group) in enumerate(batches):
                for _ in group:
                    next(done)
                batches[number] = (_Filling(0), ())  # so that no batch outlives its consumer
                yield Batch(filling.filled(len(group)), group)


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Place], None], places: Iterable[Place], depth: int
) -> Generator[None, None, None]:
    """Does all the work, in order as far as is seen here, and so much of it ahead."""
    waiting: deque[Future[None]] = deque()
    try:
        for place in places:
            waiting.append(pool.submit(work, place))
            if len(waiting) >= depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
