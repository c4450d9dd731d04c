"""The backend that answers at once: it tests the harness and measures its overhead. It runs no model."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from bench.backends.base import Arrays, Preparation, Signature, TensorSpec
from bench.case import Case, Optimization
from bench.conversion import Call, Conversion, Profile

DETECTIONS = 100
CLASSES = 1000


class NullBackend:
    """Runs nothing, on any machine."""

    def check(self, optimization: Optimization) -> None:
        """Nothing can be missing."""

    def signature(self, case: Case, model_dir: Path) -> Signature:
        """Images in, the outputs of the case's task out."""
        shape = case.image_shape or (None, None)
        dtype = np.dtype(np.uint8 if case.model.preprocess == "raw" else np.float32)
        return Signature((TensorSpec("images", dtype, (None, *shape, 3)),), _outputs(case.model.task))

    def open(self, preparation: Preparation) -> NullSession:
        """A session at once."""
        batch_size = preparation.case.batch_size
        outputs = {
            spec.name: np.zeros((batch_size, *(n or 1 for n in spec.shape[1:])), spec.dtype)
            for spec in preparation.signature.outputs
        }
        return NullSession(outputs)

    def environment(self) -> dict[str, Any]:
        """Nothing is loaded."""
        return {}


class NullSession:
    """Gives the same zeros for every batch."""

    conversion: Conversion | None = None
    call: Call | None = None
    on_device = False

    def __init__(self, outputs: Arrays) -> None:
        self._outputs = outputs

    def infer(self, batch: Arrays) -> Arrays:
        return self._outputs

    def stage(self, batch: Arrays) -> Arrays:
        return batch

    def launch(self, staged: Arrays) -> Arrays:
        return self._outputs

    def wait(self, pending: Arrays) -> None:
        return None

    def fetch(self, pending: Arrays) -> Arrays:
        return pending

    def prove(self, batch: Arrays) -> Profile | None:
        return None

    def peak_gpu_bytes(self) -> int | None:
        return None

    def __enter__(self) -> NullSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


def _outputs(task: str) -> tuple[TensorSpec, ...]:
    real = np.dtype(np.float32)
    if task == "classification":
        return (TensorSpec("probabilities", real, (None, CLASSES)),)
    return (
        TensorSpec("detection_boxes", real, (None, DETECTIONS, 4)),
        TensorSpec("detection_classes", real, (None, DETECTIONS)),
        TensorSpec("detection_scores", real, (None, DETECTIONS)),
        TensorSpec("num_detections", real, (None,)),
    )
