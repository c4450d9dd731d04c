"""Top-1 and top-5 of a pass over labelled images."""

from __future__ import annotations

import numpy as np

from bench.accuracy.outputs import score_output
from bench.backends.base import Arrays, Signature
from bench.errors import DataError
from bench.inputs.batches import Batch
from bench.record import Accuracy


class TopK:
    """Counts the images whose label is the most likely class, or among the five most likely."""

    def __init__(self, signature: Signature, class_offset: int) -> None:
        self._output = score_output(signature)
        self._offset = class_offset
        self._top1 = self._top5 = self._count = 0

    def add(self, batch: Batch, outputs: Arrays) -> None:
        """Take one batch's outputs in; padding is left out."""
        scores = np.asarray(outputs[self._output])[: batch.count].reshape(batch.count, -1)
        labels = np.array([item.label for item in batch.items]) + self._offset
        if labels.max(initial=0) >= scores.shape[1]:
            raise DataError(f"label {labels.max() - self._offset} is beyond the model's {scores.shape[1]} classes")
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        hits = best == labels[:, None]
        self._top1 += int(hits[:, 0].sum())
        self._top5 += int(hits.any(axis=1).sum())
        self._count += batch.count

    def result(self) -> Accuracy:
        """top1 and top5 as fractions."""
        metrics = {"top1": self._top1 / self._count, "top5": self._top5 / self._count}
        return Accuracy(metrics=metrics, num_images=self._count)
