"""`bench models check`: a card and the model that it describes, or a model of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.accuracy.outputs import detection_outputs, score_output
from bench.backends.availability import tensorflow_folder
from bench.backends.base import Signature, TensorSpec
from bench.case import Model, ModelFormat, Task
from bench.catalog.cards import ModelCard
from bench.catalog.find import Found, find_model, saved_model_in
from bench.catalog.lookup import dataset_card, model_file, read_card, shown
from bench.declared import disagreements, kind_of
from bench.doctor.ask import WITHOUT_GPU, Answers, ask, of_what_is_made
from bench.errors import BenchError, CatalogError, ModelError
from bench.functions import is_function
from bench.inputs.feeds import CHANNELS_LAST, image_input, is_channels_first, random_values
from bench.inputs.preprocess import PREPROCESS, own_function
from bench.postprocess import check_name
from bench.postprocess.apply import load_postprocess
from bench.sources import model_of_file, weights_of

KINDS: Mapping[ModelFormat, str] = {
    "saved_model": "SavedModel", "frozen_graph": "frozen graph", "checkpoint": "checkpoint", "keras": "Keras model",
}  # fmt: skip


@dataclass(frozen=True)
class Seen(Signature):
    """What a model takes and gives, and what else its SavedModel says."""

    scalars: tuple[str, ...] = ()  # outputs that are one number for a whole batch
    others: tuple[str, ...] = ()  # keys of its other signatures


@dataclass(frozen=True)
class Line:
    """What was found out, and whether something must be done about it."""

    text: str
    is_problem: bool = False


def check_path(named: str, output_dir: str) -> Iterator[Line]:
    """Everything there is to say of a card, by name or path, or of a model; an error where it cannot be read."""
    path = Path(named)
    if not path.exists() and Path(f"{named}.meta").is_file():  # a checkpoint's prefix
        path = Path(f"{named}.meta")
    if path.suffix == ".json" or (not path.exists() and path.name == named):
        yield from _check_card(model_file(named), output_dir)
    else:
        model = model_of_file(path, "PATH") if path.is_file() else None
        place = path if model else saved_model_in(path, "PATH")
        signature = read_signature(place, model)
        yield Line(f"{place}: a {KINDS[model.format if model else 'saved_model']}")
        yield from (Line(f"  {text}") for text in _tensors(signature))
        if model is None and signature.others:
            others = f"beside {signature.key} it has {', '.join(signature.others)}"
            yield Line(f"{others}, which model_config.input_saved_model_signature_key names")
        yield from _uses(signature)


def read_signature(place: Path, other: Model | None = None) -> Seen:
    """A SavedModel's tensors, asked in a child process, or those of one made of a model in another format; an error
    where they cannot be.
    """
    question = ("signature", str(place)) if other is None else of_what_is_made(other, "signature")
    answers = _answers(str(place), *question)
    if answers.get("outputs") is None:
        raise ModelError(f"{place}: {answers.failure}")
    return Seen(
        inputs=_specs(answers.get("inputs")),
        outputs=_specs(answers.get("outputs")),
        scalars=tuple(answers.get("scalars") or ()),
        others=tuple(answers.get("others") or ()),
    )


def _answers(what: str, *question: str) -> Answers:
    """What a child process with TensorFlow says; a ModelError where it has none, or says what is wrong."""
    if tensorflow_folder() is None:
        raise ModelError(f"{what}: without TensorFlow, no model can be looked into: install the extra tensorflow")
    answers = ask(*question, environment=WITHOUT_GPU)
    if answers.get("error") is not None:
        raise ModelError(answers.get("error"))
    return answers


def _specs(told: Iterable[tuple[str, str, Sequence[int | None]]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, np.dtype(dtype), tuple(shape)) for name, dtype, shape in told)


def _check_card(path: Path, output_dir: str) -> Iterator[Line]:
    card = read_card(path, ModelCard)
    yield Line(f"{shown(path)}: a card of a model for {card.task}")
    yield from (Line(f"{key}: {text}", is_problem=True) for key, text in _mistakes(card))
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
    yield from _held_against(card, found, path)


def _mistakes(card: ModelCard) -> Iterator[tuple[str, str]]:
    """What a run would stumble over, whether or not the model is here: the key, and what is wrong."""
    for key, look in LOOKS.items():
        try:
            look(card)
        except BenchError as error:
            yield key, str(error).removeprefix("model_config.").removeprefix(f"{key}: ")


def _look_at_dataset(card: ModelCard) -> None:
    if card.dataset is not None:
        dataset_card(card.dataset)


def _look_at_preprocess(card: ModelCard) -> None:
    if is_function(card.preprocess):
        own_function(card.preprocess)


def _look_at_postprocess(card: ModelCard) -> None:
    if card.postprocess is not None:
        check_name(card.postprocess)
        options = {"postprocess": card.postprocess, "postprocess_options": card.postprocess_options}
        load_postprocess(Model(name=card.name, task=card.task, **options))


def _look_at_architecture(card: ModelCard) -> None:
    source = card.source
    if source.keras_application is not None:
        _answers(source.keras_application, "architecture", source.keras_application, json.dumps(source.arguments))


LOOKS: Mapping[str, Callable[[ModelCard], None]] = {
    "dataset": _look_at_dataset,
    "preprocess": _look_at_preprocess,
    "postprocess": _look_at_postprocess,
    "source.keras_application": _look_at_architecture,
}


def _held_against(card: ModelCard, found: Found, path: Path) -> Iterator[Line]:
    """The card's tensors beside the model's."""
    is_other = found.format != "saved_model"
    model = Model(name=card.name, task=card.task, **weights_of(card, found, path))
    signature = read_signature(found.path, model if is_other else None)
    if model.declared is not None:
        yield from (Line(text, is_problem=True) for text in disagreements(model.declared, signature))
    yield from (Line(text, is_problem=True) for text in _misfits(card, signature))
    if card.postprocess is None:
        yield from _uses(signature, (card.task,), is_function(card.preprocess))


def _misfits(card: ModelCard, signature: Signature) -> Iterator[str]:
    """What the card says of images and classes that the model's tensors do not bear out."""
    images = image_input(signature)
    if images is not None and len(images.shape) == 4 and not is_channels_first(images):
        pairs = zip(images.shape[1:3], card.image_shape or (None, None), strict=True)
        if any(None not in pair and pair[0] != pair[1] for pair in pairs):
            takes = f"the model's input {images.name} is {list(images.shape)}"
            yield f"image_shape: {list(card.image_shape or ())}, and {takes}"
    named = PREPROCESS.get(card.preprocess)
    if images is not None and images.dtype.kind in "iu" and named is not None and not named.whole_numbers:
        yield f"preprocess: {card.preprocess!r} makes fractions, and the model's input is {images.dtype}; use 'raw'"
    if card.task == "classification" and card.postprocess is None:
        with suppress(ModelError):  # no scores: told as what it can be used for
            name = score_output(signature)
            classes = next((spec.shape[-1] for spec in signature.outputs if spec.name == name and spec.shape), None)
            if classes is not None and card.class_offset >= classes:
                yield f"class_offset: {card.class_offset}, and the model has {classes} classes"


def _why_no_pictures(spec: TensorSpec, by_own_function: bool) -> str | None:
    """Why an input takes no pictures; None where it does."""
    if is_channels_first(spec):
        return CHANNELS_LAST
    fits = len(spec.shape) == 4 and (by_own_function or spec.shape[3] in (None, 3))
    if spec.dtype.kind != "O" and (fits or not spec.shape):
        return None
    more = "; a preprocess of your own can give other channels" if len(spec.shape) == 4 else ""
    return f"pictures are fed as numbers [batch, height, width, 3]{more}"


def _tensors(signature: Signature) -> Iterator[str]:
    for what, specs in (("input", signature.inputs), ("output", signature.outputs)):
        yield from (f"{what} {spec.name} {kind_of(spec)} {list(spec.shape)}" for spec in specs)


def _uses(
    seen: Seen, tasks: Sequence[Task] = ("detection", "classification"), by_own_function: bool = False
) -> Iterator[Line]:
    """As which of these it can be evaluated; `by_own_function` makes pictures into what it takes."""
    if len(seen.inputs) != 1:
        yield _how_filled(seen)
        return
    only = seen.inputs[0]
    if why := _why_no_pictures(only, by_own_function):
        yield Line(f"its input {only.name} is {kind_of(only)} {list(only.shape)}, and {why}", is_problem=True)
        return
    refusals = []
    for task in tasks:
        try:
            JUDGES[task](seen)
            yield Line(f"it can be evaluated as a model for {task}")
            return
        except ModelError as error:
            refusals.append(str(error))
    yield Line("; ".join([*refusals, "a postprocess could make what is needed"]), is_problem=True)


def _how_filled(seen: Seen) -> Line:
    """What can be done with a model that has not one input."""
    images = image_input(seen)
    try:
        for spec in seen.inputs:
            if spec is not images:
                random_values(spec, 1, (0, 0))
    except ModelError as error:
        return Line(f"it has several inputs, which pictures do not fill: {error}", is_problem=True)
    if not seen.inputs:
        return Line("it has no input", is_problem=True)
    alone = "benchmark_config.use_synthetic alone fills them"
    return Line(f"it has several inputs: {alone}, for its speed; it cannot be evaluated")


def _scores(seen: Seen) -> str:
    name = score_output(seen)
    if name in seen.scalars:
        told = f"not a classifier: its output {name} is one number for a whole batch"
        raise ModelError(f"{told}; of a graph, model_config.output_names names others")
    return name


JUDGES: Mapping[Task, Callable[[Seen], object]] = {"detection": detection_outputs, "classification": _scores}
