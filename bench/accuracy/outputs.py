"""Find a task's outputs among those that a model gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.backends.base import Array, Arrays, Signature, TensorSpec
from bench.errors import ModelError

DETECTION_NAMES: Mapping[str, Sequence[str]] = {
    "boxes": ("detection_boxes", "boxes"),
    "scores": ("detection_scores", "scores"),
    "classes": ("detection_classes", "classes"),
    "count": ("num_detections",),
}
SCORE_NAMES = ("probabilities", "logits", "predictions", "softmax")


def detection_outputs(signature: Signature) -> Mapping[str, str]:
    """boxes, scores, classes and count, each with the output that holds it."""
    names = [spec.name for spec in signature.outputs]
    found = {role: next((n for n in known if n in names), None) for role, known in DETECTION_NAMES.items()}
    missing = [DETECTION_NAMES[role][0] for role, name in found.items() if name is None]
    if missing:
        raise ModelError(f"not a detector: it has no output {', '.join(missing)}; it has {', '.join(names)}")
    return {role: name for role, name in found.items() if name is not None}


def score_output(signature: Signature) -> str:
    """The output with a score for each class."""
    candidates = [spec for spec in signature.outputs if _is_scores(spec)]
    named = [spec.name for spec in candidates if spec.name in SCORE_NAMES]
    if named:
        return named[0]
    if len(candidates) == 1:
        return candidates[0].name
    names = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in signature.outputs)
    raise ModelError(f"not a classifier: no single output [batch, classes] of scores among {names}")


def _is_scores(spec: TensorSpec) -> bool:
    return spec.dtype.kind == "f" and (len(spec.shape) == 2 or spec.shape == ())


def rows_of(outputs: Arrays, name: str, images: int) -> Array:
    """An output, which must have a row for each image of the batch, padding included."""
    array = np.asarray(outputs[name])
    if array.ndim == 0 or len(array) != images:
        shape = ", ".join(map(str, array.shape))
        raise ModelError(f"output {name!r} is [{shape}] for a batch of {images}: it needs a row for each image")
    return array
