"""What is seen of timed inputs and outputs, outside all timing: raw facts for validity.py to judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from bench.accuracy.outputs import DETECTION_NAMES
from bench.backends.base import Array, Arrays, Session, Signature
from bench.inputs.batches import TimedBatch
from bench.inputs.feeds import image_input
from bench.record import Observations


def observe(session: Session, pool: Sequence[TimedBatch], signature: Signature, outputs: Arrays) -> Observations:
    """Facts of the pool; `outputs` are the timed ones of its first batch. Infers again where those detect nothing."""
    return Observations(
        pool_batches=len(pool),
        pool_images=sum(batch.images for batch in pool),
        identical_images=_are_identical(_images(pool, signature)),
        flat_images=_are_flat(_images(pool, signature)),
        detections=_detections(chain([outputs], (session.infer(batch.arrays) for batch in pool[1:]))),
    )


def differences(timed: Arrays, again: Arrays) -> dict[str, float]:
    """How far each output differs: the sum of |a - b| over the greater of |a| and |b|; 1 where no number says it."""
    return {name: _difference(array, again.get(name)) for name, array in timed.items()}


def round_of(pool: Sequence[TimedBatch]) -> int:
    """Batches after which those of the same shapes come again: all of the pool, unless they are of one shape."""
    shapes = {tuple(array.shape for array in batch.arrays.values()) for batch in pool}
    return len(pool) if len(shapes) > 1 else 1


def _difference(array: Array, other: Array | None) -> float:
    if other is None or array.shape != other.shape:
        return 1.0
    if np.array_equal(array, other):
        return 0.0
    if array.dtype.kind not in "fiub":
        return 1.0
    a, b = array.astype(np.float64), other.astype(np.float64)
    scale = max(float(np.abs(a).sum()), float(np.abs(b).sum()))
    found = float(np.abs(a - b).sum()) / scale if scale else 0.0
    return min(found, 2.0) if np.isfinite(found) else 1.0  # the sums are rounded


def _detections(outputs: Iterable[Arrays]) -> int | None:
    """Of the first batch that has any; None where the model does not count them."""
    for batch in outputs:
        count = next((batch[name] for name in DETECTION_NAMES["count"] if name in batch), None)
        if count is None:
            return None
        if np.any(count):
            return round(float(np.sum(count)))
    return 0


def _images(pool: Sequence[TimedBatch], signature: Signature) -> Iterator[Array]:
    spec = image_input(signature)
    for batch in pool:
        if spec is not None:
            yield from batch.arrays[spec.name][: batch.images]


def _are_identical(images: Iterator[Array]) -> bool:
    first = next(images, None)
    return first is not None and all(np.array_equal(first, image) for image in images)


def _are_flat(images: Iterator[Array]) -> bool:
    first = next(images, None)
    return first is not None and all((image == image[:1, :1]).all() for image in chain([first], images))
