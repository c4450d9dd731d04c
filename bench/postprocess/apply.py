"""The postprocess of a case, found and checked, and what else is done to outputs before they are judged."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from bench.backends.base import Array, Arrays, Signature, TensorSpec
from bench.case import Model
from bench.errors import ConfigError, ModelError
from bench.functions import kept_running, load_function
from bench.postprocess import NAMED
from bench.postprocess.boxes import Shape, to_relative

NO_CATEGORY = -1  # what a background class, below the offset, is mapped to
PARAMETERS = ("outputs", "image_shape")
KEY = "model_config.postprocess"
GIVEN: Mapping[str, Mapping[str, tuple[int | None, ...]]] = {
    "detection": {
        "detection_boxes": (None, None, 4),
        "detection_scores": (None, None),
        "detection_classes": (None, None),
        "num_detections": (None,),
    },
    "classification": {"probabilities": (None, None)},
}
Process = Callable[[Arrays, Shape], Arrays]


def judged_signature(model: Model, signature: Signature) -> Signature:
    """What the metric finds: the model's own outputs, or what its postprocess makes of them."""
    if model.postprocess is None:
        return signature
    outputs = tuple(TensorSpec(name, np.dtype(np.float32), shape) for name, shape in GIVEN[model.task].items())
    return Signature(signature.inputs, outputs, signature.key, signature.tags)


def processing(model: Model, names: Mapping[str, str]) -> Process | None:
    """What is done to a model's outputs before they are judged; None where that is nothing.

    `names` tells which outputs are boxes and classes.
    """
    steps: list[Process] = []
    if model.postprocess is not None:
        steps.append(load_postprocess(model))
    if model.box_format != "yxyx":
        steps.append(_changing(names["boxes"], lambda boxes, shape: to_relative(boxes, model.box_format, shape)))
    if model.class_map:
        steps.append(_changing(names["classes"], lambda classes, _: _mapped(classes, model)))
    return _one_after_the_other(steps) if steps else None


def load_postprocess(model: Model) -> Process:
    """The function with its options bound and its answers checked; a ConfigError says what is wrong with it."""
    name, options = model.postprocess or "", model.postprocess_options
    try:
        function = load_function(NAMED.get(name, name), PARAMETERS)
        _check_options(name, function, options)
        if name in NAMED:
            _check_values(name, function, options)
    except ConfigError as error:
        raise ConfigError(f"{KEY}: {error}") from error

    def process(outputs: Arrays, image_shape: Shape) -> Arrays:
        with kept_running(KEY, name):
            made: Arrays = function(outputs, image_shape, **options)
        missing = [key for key in GIVEN[model.task] if not isinstance(made, Mapping) or key not in made]
        if missing:
            raise ModelError(f"{KEY}: {name!r} gives no {', '.join(missing)}, as {model.task} needs")
        _check_answer(name, {key: np.asarray(made[key]) for key in GIVEN[model.task]}, model.task)
        return made

    return process


def _check_answer(name: str, made: Mapping[str, Array], task: str) -> None:
    """A ModelError where arrays are not of the shapes that the metric takes, or do not go together."""
    for key, shape in GIVEN[task].items():
        array = made[key]
        fits = array.ndim == len(shape) and all(a in (None, b) for a, b in zip(shape, array.shape, strict=True))
        if not fits or array.dtype.kind not in "fiu":
            wanted = ", ".join("?" if size is None else str(size) for size in shape)
            got = f"{array.dtype} [{', '.join(map(str, array.shape))}]"
            raise ModelError(f"{KEY}: {name!r} gives {key} as {got}; numbers [{wanted}] are needed")
    if task != "detection":
        return
    boxes, scores, classes, counts = made.values()
    if not boxes.shape[:2] == scores.shape == classes.shape or len(counts) != len(boxes):
        shapes = ", ".join(f"{key} [{', '.join(map(str, array.shape))}]" for key, array in made.items())
        raise ModelError(f"{KEY}: {name!r} gives arrays that do not go together: {shapes}")
    if not ((counts >= 0) & (counts <= boxes.shape[1])).all():
        raise ModelError(f"{KEY}: {name!r} gives num_detections of {counts.tolist()}, and {boxes.shape[1]} boxes each")


def _check_options(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
        signature.bind(*PARAMETERS, **options)
    except TypeError as error:
        known = ", ".join(key for key in signature.parameters if key not in PARAMETERS)
        raise ConfigError(f"{name!r}: postprocess_options: {error}; it takes: {known or 'none'}") from error
    except ValueError:  # some functions written in C do not tell their signature
        return


def _check_values(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Of a postprocess of ours, whose types and ranges are known."""
    types = get_type_hints(function, include_extras=True)
    for key, value in options.items():
        try:
            TypeAdapter(types[key]).validate_python(value, strict=True)
        except ValidationError as error:
            told = error.errors()[0]["msg"]
            raise ConfigError(f"{name!r}: postprocess_options.{key}: {json.dumps(value)}: {told}") from error


def _changing(name: str, change: Callable[[Array, Shape], Array]) -> Process:
    return lambda outputs, image_shape: {**outputs, name: change(np.asarray(outputs[name]), image_shape)}


def _mapped(classes: Array, model: Model) -> Array:
    """Categories by the class map, with the offset that the metric takes off."""
    indices = np.rint(classes).astype(int) - model.class_offset
    if indices.size and indices.max() >= len(model.class_map):
        raise ModelError(
            f"model_config.class_map: class {indices.max()} is beyond its {len(model.class_map)} categories"
        )
    mapped: Array = np.where(indices < 0, NO_CATEGORY, np.take(model.class_map, np.clip(indices, 0, None)))
    return mapped + model.class_offset


def _one_after_the_other(steps: list[Process]) -> Process:
    def process(outputs: Arrays, image_shape: Shape) -> Arrays:
        for step in steps:
            outputs = step(outputs, image_shape)
        return outputs

    return process
