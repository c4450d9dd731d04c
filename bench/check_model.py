"""`bench models check`: a card and the model that it describes, or a SavedModel of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.accuracy.outputs import detection_outputs, score_output
from bench.backends.availability import tensorflow_folder
from bench.backends.base import Signature, TensorSpec
from bench.cards import ModelCard, Tensor
from bench.catalog import read_card, shown
from bench.doctor.ask import ask
from bench.errors import CatalogError, ModelError
from bench.find import Found, find_model, saved_model_in

WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True)
class Line:
    """What was found out, and whether something must be done about it."""

    text: str
    is_problem: bool = False


def check_path(path: Path, output_dir: str) -> Iterator[Line]:
    """Everything there is to say; an error where the card or the model cannot be read."""
    if path.suffix == ".json":
        yield from _check_card(path, output_dir)
    elif path.is_file():
        raise CatalogError(f"{path}: is a file: name a card, .json, or the folder of a SavedModel")
    else:
        folder = saved_model_in(path, "PATH")
        signature = read_signature(folder)
        yield Line(f"{folder}: a SavedModel")
        yield from (Line(f"  {text}") for text in _tensors(signature))
        yield from _uses(signature)


def read_signature(folder: Path) -> Signature:
    """A SavedModel's tensors, asked in a child process; an error where they cannot be."""
    if tensorflow_folder() is None:
        raise ModelError(f"{folder}: without TensorFlow, no model can be looked into: install the extra tensorflow")
    answers = ask("signature", str(folder), environment=WITHOUT_GPU)
    if answers.get("error") is not None:
        raise ModelError(answers.get("error"))
    if answers.get("outputs") is None:
        raise ModelError(f"{folder}: {answers.failure}")
    return Signature(_specs(answers.get("inputs")), _specs(answers.get("outputs")))


def _specs(told: Iterable[tuple[str, str, Sequence[int | None]]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, np.dtype(dtype), tuple(shape)) for name, dtype, shape in told)


def _check_card(path: Path, output_dir: str) -> Iterator[Line]:
    if not path.is_file():
        raise CatalogError(f"{path}: no such card")
    card = read_card(path, ModelCard)
    yield Line(f"{path}: a card of a model for {card.task}")
    try:
        found = find_model(card, output_dir, folder=path.parent)
    except CatalogError as error:
        yield Line(str(error), is_problem=True)
        return
    if found is None:
        shape = "" if card.image_shape else ", and needs benchmark_config.image_shape"
        yield Line(f"its architecture, {card.source.keras_application}, is built with random weights{shape}")
        return
    yield Line(f"the model is here: {shown(found.path)}")
    yield from _held_against(card, found)


def _held_against(card: ModelCard, found: Found) -> Iterator[Line]:
    """The card's tensors beside the model's."""
    if found.format != "saved_model":
        yield Line(f"it is a {found.format}: its tensors are looked for when it is used")
        return
    signature = read_signature(found.path)
    for said, there, what in ((card.inputs, signature.inputs, "input"), (card.outputs, signature.outputs, "output")):
        yield from (_differs(tensor, there, what) for tensor in said if not _agrees(tensor, there))
    if card.postprocess is None:
        yield from (line for line in _uses(signature) if line.is_problem or card.task in line.text)


def _agrees(tensor: Tensor, specs: tuple[TensorSpec, ...]) -> bool:
    return any(
        spec.name == tensor.name
        and spec.dtype == np.dtype(tensor.dtype if tensor.dtype != "string" else object)
        and (not spec.shape or len(spec.shape) == len(tensor.shape))
        and all(None in pair or pair[0] == pair[1] for pair in zip(spec.shape, tensor.shape, strict=False))
        for spec in specs
    )


def _differs(tensor: Tensor, specs: tuple[TensorSpec, ...], what: str) -> Line:
    there = "; ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
    return Line(
        f"{what} {tensor.name} {tensor.dtype} {list(tensor.shape)} of the card is not the model's: {there}", True
    )


def _tensors(signature: Signature) -> Iterator[str]:
    for what, specs in (("input", signature.inputs), ("output", signature.outputs)):
        yield from (f"{what} {spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)


def _uses(signature: Signature) -> Iterator[Line]:
    """As what it can be evaluated."""
    if len(signature.inputs) != 1:
        yield Line("it has several inputs: benchmark_config.use_synthetic alone fills them")
    refusals = []
    for task, judge in (("detection", detection_outputs), ("classification", score_output)):
        try:
            judge(signature)
            yield Line(f"it can be evaluated as a model for {task}")
            return
        except ModelError as error:
            refusals.append(str(error))
    yield Line("; ".join([*refusals, "a postprocess could make detections of it"]), is_problem=True)
