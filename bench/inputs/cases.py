"""A case's batches: to time, to evaluate, and to calibrate with."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from bench.backends.base import Array, Arrays, Signature
from bench.case import Case
from bench.inputs.batches import Batch, TimedBatch, iterate_batches
from bench.inputs.feeds import check_shapes, feed, image_input
from bench.inputs.images import load_image
from bench.inputs.item import Item
from bench.inputs.items import choose_items, list_items
from bench.inputs.preprocess import cut_and_scale

POOL_BYTES = 128 << 20  # of preprocessed batches that the timed loop goes round
POOL_BATCHES = 32
CALIBRATION_KEYS = ("optimization_config.calib_image_shape", "optimization_config.calib_batch_size")
SYNTHETIC_CALIBRATION_BATCHES = 8  # where num_calib_images does not say


def evaluated_batches(case: Case, signature: Signature, limit: int) -> Iterator[Batch]:
    """The first images of the dataset."""
    items = list_items(case.dataset, limit)
    return iterate_batches(items, case.batch_size, _loader(case, signature, case.image_shape))


def accuracy_batches(case: Case, signature: Signature) -> Iterator[Batch]:
    """All that is evaluated; made by `tf.data` where it gives the same, and TensorFlow is loaded anyway."""
    parts, shape = cut_and_scale(case.model.preprocess), case.image_shape
    is_float32 = _images_dtype(signature) == np.float32
    if parts is None or shape is None or not is_float32 or "tensorflow" not in sys.modules:
        return evaluated_batches(case, signature, case.num_images)
    from bench.inputs.tfdata import fast_batches

    items = list_items(case.dataset, case.num_images)
    return fast_batches(items, case.batch_size, _loader(case, signature, shape), *parts, shape)


def preparing_first_batch(case: Case, signature: Signature) -> Callable[[], Array]:
    """What decodes and preprocesses the dataset's first batch, in the thread that calls it: to be timed."""
    load = _loader(case, signature, case.image_shape)
    items = list_items(case.dataset, min(case.batch_size, case.num_images))
    return lambda: np.stack([load(item) for item in items])


def timed_batches(case: Case, signature: Signature) -> Sequence[TimedBatch]:
    """The batches that the timed loop goes round: the dataset's first ones, held in bounded memory."""
    pool: list[TimedBatch] = []
    size = 0
    for batch in evaluated_batches(case, signature, min(case.num_images, POOL_BATCHES * case.batch_size)):
        size += batch.images.nbytes
        if pool and (size > POOL_BYTES or batch.count < case.batch_size):
            break
        pool.append(TimedBatch(feed(batch, signature, case.seed), batch.count))
    return pool


def calibration_batches(case: Case, signature: Signature) -> Callable[[], Iterable[Arrays]] | None:
    """Batches of the calibration split; None where the case needs none."""
    if case.calibration is None:
        return None
    items = calibration_items(case)
    load = _loader(case, signature, case.optimization.calib_image_shape or case.image_shape)

    def generate() -> Iterator[Arrays]:
        for batch in iterate_batches(items, case.optimization.calib_batch_size, load):
            arrays = feed(batch, signature, case.seed)
            check_shapes(arrays, signature, *CALIBRATION_KEYS)
            yield arrays

    return generate


def calibration_items(case: Case) -> tuple[Item, ...]:
    """What an INT8 conversion is calibrated on, in order; as in the original, an incomplete last batch is left out."""
    calibration, optimization = case.calibration, case.optimization
    if calibration is None:
        return ()
    count = optimization.num_calib_images
    if calibration.format == "synthetic":
        items = list_items(calibration, count or SYNTHETIC_CALIBRATION_BATCHES * optimization.calib_batch_size)
    else:
        items = choose_items(list_items(calibration, None), count, case.seed)
    return items[: len(items) - len(items) % optimization.calib_batch_size]


def items_sha256(items: Sequence[Item]) -> str | None:
    """A hash of the images' content, in their order; None of no images."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.content())
    return digest.hexdigest() if items else None


def _loader(case: Case, signature: Signature, shape: tuple[int, int] | None) -> Callable[[Item], Array]:
    dtype = _images_dtype(signature)
    return lambda item: load_image(item, shape, case.model.preprocess, dtype, case.seed)


def _images_dtype(signature: Signature) -> np.dtype[Any]:
    images = image_input(signature)
    return np.dtype(np.uint8) if images is None else images.dtype
