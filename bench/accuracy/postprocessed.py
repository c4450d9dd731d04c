"""A metric that sees what a model's postprocess makes of its outputs."""

from __future__ import annotations

from typing import Protocol

from bench.backends.base import Arrays
from bench.inputs.batches import Batch
from bench.postprocess.apply import Process
from bench.record import Accuracy


class Metric(Protocol):
    """What judges a pass."""

    def add(self, batch: Batch, outputs: Arrays) -> None: ...

    def result(self) -> Accuracy: ...


class Postprocessed:
    """A metric of what a model's postprocess, box format and class map make of its outputs."""

    def __init__(self, metric: Metric, process: Process) -> None:
        self._metric = metric
        self._process = process

    def add(self, batch: Batch, outputs: Arrays) -> None:
        """Take one batch's raw outputs in."""
        height, width = batch.images.shape[1:3]
        self._metric.add(batch, self._process(outputs, (height, width)))

    def result(self) -> Accuracy:
        """The metric's own."""
        return self._metric.result()
