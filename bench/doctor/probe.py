"""python -m bench.doctor.probe QUESTION ARGUMENT...: the questions are the functions below, by name.

What can end a process, or needs TensorFlow, is asked here, in a child of the doctor's. Answers are lines of JSON, each
sent as soon as it is known; what libraries write to standard output goes to standard error instead.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.backends.availability import missing_tensorrt, tensorflow_build
from bench.backends.base import load_backend
from bench.case import Model, Optimization, Precision
from bench.doctor.libraries import find_libraries
from bench.errors import BackendUnavailable, ModelError, nearest

PRECISIONS: dict[str, Precision] = {"tensorflow": "native", "tf-trt": "FP32", "litert": "FP32"}
Answers = Iterator[tuple[str, Any]]


def main(arguments: list[str]) -> int:
    """Answer one question."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    question, *details = arguments
    for name, value in QUESTIONS[question](*details):
        answers.write(json.dumps({"name": name, "value": value}) + "\n")
        answers.flush()
    return 0


def libraries() -> Answers:
    """NVIDIA's libraries; one that was found twice, the second time with its version."""
    for library in find_libraries(tensorflow_build() or {}):
        yield library.name, library.model_dump()


def tensorflow() -> Answers:
    """What TensorFlow sees and has, and what each backend says; last, what may end the process."""
    import tensorflow as tf

    from bench.graphs import support

    yield "gpus", len(tf.config.list_physical_devices("GPU"))
    yield "linked", _dotted(support.linked_tensorrt())
    yield "converters", support.registered_converters()
    for name in PRECISIONS:
        yield name, _refusal(name)
    yield "loaded", None if missing_tensorrt() else _dotted(support.loaded_tensorrt())


def model(path: str) -> Answers:
    """A SavedModel's ops."""
    from bench.graphs.support import count_ops, frozen_graph

    try:
        yield "ops", dict(count_ops(frozen_graph(Path(path))))
    except ModelError as error:
        yield "error", str(error)


def made(question: str, description: str, folder: str) -> Answers:
    """A question about a SavedModel, which is made first of a model in another format."""
    from bench.graphs.make import make

    try:
        built, _ = make(Model.model_validate_json(description), None, 0, Path(folder))
    except ModelError as error:
        yield "error", str(error)
    else:
        yield from QUESTIONS[question](str(built))


def signature(path: str) -> Answers:
    """What a SavedModel takes and gives by its usual signature, and which others it has."""
    from bench.graphs.savedmodel import other_signatures, read_signature, scalar_outputs

    try:
        found = read_signature(Path(path))
    except ModelError as error:
        yield "error", str(error)
        return
    for side in ("inputs", "outputs"):
        yield side, [(spec.name, spec.dtype.name, spec.shape) for spec in getattr(found, side)]
    yield "scalars", scalar_outputs(Path(path))
    yield "others", other_signatures(Path(path))


def architecture(name: str, arguments: str) -> Answers:
    """Whether an architecture is known, and takes these arguments."""
    from bench.graphs.architectures import architectures, find_architecture

    build = find_architecture(name)
    if build is None:
        yield "error", f"no architecture {name!r} in this TensorFlow{nearest(name, architectures())}"
        return
    try:
        inspect.signature(build).bind(input_shape=None, **json.loads(arguments))
    except TypeError as error:
        yield "error", f"{name} cannot be built with the arguments {arguments}: {error}"


def application(name: str, arguments: str, height: str, width: str, folder: str) -> Answers:
    """The ops of an architecture, which is built first."""
    from bench.graphs.keras import export_application

    try:
        built = export_application(name, json.loads(arguments), (int(height), int(width)), 0, Path(folder))
    except ModelError as error:
        yield "error", str(error)
    else:
        yield from model(str(built))


def _refusal(name: str) -> str | None:
    """Why a backend refuses to run here; None where it does not."""
    optimization = Optimization.model_validate(
        {"backend": name, "requested_backend": name, "precision_mode": PRECISIONS[name]}
    )
    try:
        load_backend(name).check(optimization)
    except BackendUnavailable as error:
        return str(error)
    return None


def _dotted(version: tuple[int, ...] | None) -> str | None:
    return None if version is None else ".".join(map(str, version))


QUESTIONS: dict[str, Callable[..., Answers]] = {
    "libraries": libraries,
    "tensorflow": tensorflow,
    "model": model,
    "made": made,
    "signature": signature,
    "architecture": architecture,
    "application": application,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
