"""A metric that sees what a model's postprocess makes of its outputs."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bench.backends.base import Array, Arrays
from bench.inputs.batches import Batch
from bench.postprocess.apply import GIVEN, KEY, Process
from bench.postprocess.boxes import Shape
from bench.record import Accuracy

TOLERANCE = 1e-3
HELD_BYTES = 64 << 20  # of the first batch's outputs; larger ones are not tried again
JUDGED = {name for shapes in GIVEN.values() for name in shapes}


class Metric(Protocol):
    """What judges a pass."""

    def add(self, batch: Batch, outputs: Arrays) -> None: ...

    def result(self) -> Accuracy: ...


class Postprocessed:
    """A metric of what a model's postprocess, box format and class map make of its outputs."""

    def __init__(self, metric: Metric, process: Process) -> None:
        self._metric = metric
        self._process = process
        self._is_begun = False
        self._first: tuple[Arrays, Shape, Arrays] | None = None  # outputs of the first batch, and what was made of them

    def add(self, batch: Batch, outputs: Arrays) -> None:
        """Take one batch's raw outputs in; the first ones, which the caller compares, are given as a copy."""
        height, width = batch.images.shape[1:3]
        given = outputs if self._is_begun else _copied(outputs)
        made = self._process(given, (height, width))
        if not self._is_begun and sum(array.nbytes for array in given.values()) <= HELD_BYTES:
            self._first = _copied(outputs), (height, width), _judged(made)
        self._is_begun = True
        self._metric.add(batch, made)

    def result(self) -> Accuracy:
        """The metric's own, with a note where the first batch's outputs are now made into something else."""
        found = self._metric.result()
        if self._first is None:
            return found
        outputs, shape, before = self._first
        made = _judged(self._process(outputs, shape))
        others = [name for name, array in before.items() if name not in made or not _alike(array, made[name])]
        if not others:
            return found
        what = f"{KEY} gives other {', '.join(others)} for the same outputs a second time"
        note = f"{what}: the figures would differ, too"
        return found.model_copy(update={"notes": (*found.notes, note)})


def _copied(arrays: Arrays) -> Arrays:
    return {name: np.array(value) for name, value in arrays.items()}


def _judged(made: Arrays) -> Arrays:
    """What metrics look at, and what came from the model; a function may give anything else beside it."""
    return {name: np.array(value) for name, value in made.items() if name in JUDGED or isinstance(value, np.ndarray)}


def _alike(one: Array, other: Array) -> bool:
    """But for what the order of sums makes of floating point; what is no number is left out."""
    if one.dtype.kind not in "fiub" or other.dtype.kind not in "fiub":
        return True
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
