"""Top-1 and top-5 of a pass over labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.accuracy.doubts import doubts_of_classes
from bench.accuracy.outputs import rows_of, score_output
from bench.backends.base import Arrays, Signature
from bench.errors import DataError
from bench.evidence import KEPT_ANSWERS, Answers
from bench.inputs.batches import Batch
from bench.record import Accuracy

DIGITS = 5  # of a score that is kept
NO_CLASS = -1  # is most likely where all scores are NaN


class TopK:
    """Counts the images whose label is the most likely class, or among the five most likely."""

    def __init__(self, signature: Signature, class_offset: int, folders: Sequence[Path] | None = None) -> None:
        """`folders`: one for each class, where their order alone gives the labels; a DataError where some lack."""
        self._output = score_output(signature)
        self._offset = class_offset
        self._folders = folders
        self._labels: list[int] = []
        self._best: list[int] = []
        self._scores: list[float] = []
        self._ranks: list[str] = []
        shape = next(spec.shape for spec in signature.outputs if spec.name == self._output)
        if shape and shape[-1] is not None:
            self._check_folders(shape[-1])

    def add(self, batch: Batch, outputs: Arrays) -> None:
        """Take one batch's outputs in; padding is left out."""
        rows = rows_of(outputs, self._output, len(batch.images))
        scores = rows[: batch.count].reshape(batch.count, -1).astype(np.float64)
        labels = np.array([item.label for item in batch.items]) + self._offset
        self._check_folders(scores.shape[1])
        if labels.max(initial=0) >= scores.shape[1]:
            place, offset = batch.items[int(labels.argmax())].place, self._offset
            told = f"{place}: label {labels.max() - offset} is beyond the model's {scores.shape[1]} classes"
            counted = "benchmark_config.first_label what labels are counted from"
            raise DataError(f"{told}; model_config.class_offset, {offset} here, says where label 0 is, {counted}")
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        likely = np.take_along_axis(scores, best, axis=1)
        hits = (best == labels[:, None]) & ~np.isnan(likely)  # NaN comes last, and is among five of few classes
        self._labels += (labels - self._offset).tolist()
        self._best += np.where(np.isnan(likely[:, 0]), NO_CLASS, best[:, 0] - self._offset).tolist()
        self._scores += [float(f"{score:.{DIGITS}g}") for score in likely[:, 0]]
        self._ranks += np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(str).tolist()

    def result(self) -> Accuracy:
        """top1 and top5 as fractions."""
        every = Answers(best=tuple(self._best), scores=tuple(self._scores), ranks="".join(self._ranks))
        count = len(self._ranks)
        metrics = {"top1": every.hits(1) / count, "top5": every.hits(5) / count}
        kept = every if count <= KEPT_ANSWERS else None
        notes = tuple(doubts_of_classes(*map(np.array, (self._best, self._scores, self._labels))))
        return Accuracy(metrics=metrics, num_images=count, answers=kept, notes=notes)

    def _check_folders(self, classes: int) -> None:
        if not self._folders or len(self._folders) + self._offset == classes:
            return
        asked = f"{classes} classes with model_config.class_offset {self._offset}"
        raise DataError(
            f"{self._folders[0].parent}: {len(self._folders)} folders for the model's {asked}: their order gives "
            "labels only where none is missing; benchmark_config.classes_path can list all classes"
        )
