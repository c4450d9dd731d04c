"""Batches of preprocessed images, made by threads ahead of their use, in order and in bounded memory."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from bench.backends.base import Array, Arrays
from bench.environment import usable_cores
from bench.inputs.item import Item


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


def iterate_batches(
    items: Sequence[Item], batch_size: int, load: Callable[[Item], Array], workers: int | None = None
) -> Iterator[Batch]:
    """All items in order; the last batch is padded with its last image, so that every batch has one shape.

    At most two batches, and an image for each worker, are held ahead of the consumer. Pillow frees the interpreter
    while it decodes and resizes, so threads keep all cores busy without copying pixels between processes.
    """
    workers = workers or usable_cores()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        images = _ahead(pool, load, items, batch_size * 2 + workers)
        with contextlib.closing(images):  # a consumer that stops early waits for no more than what is being decoded
            yield from _group(images, items, batch_size)


def _group(images: Iterator[Array], items: Sequence[Item], batch_size: int) -> Iterator[Batch]:
    for start in range(0, len(items), batch_size):
        group = tuple(items[start : start + batch_size])
        loaded = list(itertools.islice(images, len(group)))
        yield Batch(np.stack(loaded + loaded[-1:] * (batch_size - len(group))), group)


def _ahead(
    pool: ThreadPoolExecutor, load: Callable[[Item], Array], items: Iterable[Item], depth: int
) -> Generator[Array, None, None]:
    waiting: deque[Future[Array]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(load, item))
            if len(waiting) >= depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
