"""Gather what this machine has into a Diagnosis."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import __version__
from bench.backends.availability import (
    missing_for_tf_trt,
    missing_gpu,
    missing_tensorflow,
    missing_tensorrt,
    tensorflow_build,
    tensorflow_folder,
    tensorflow_version,
)
from bench.case import Model
from bench.catalog.cards import ModelCard
from bench.catalog.find import find_model, saved_model_in
from bench.catalog.lookup import cache_dir, model_file, names, read_card
from bench.doctor import known_ops
from bench.doctor.ask import WITHOUT_GPU, Answers, ask, of_what_is_made
from bench.doctor.diagnosis import (
    BackendFacts,
    Converters,
    Device,
    Diagnosis,
    GpuFacts,
    Library,
    ModelOps,
    TensorFlowFacts,
    TensorRTFacts,
)
from bench.doctor.kernels import explain
from bench.doctor.libraries import NAMES
from bench.environment import gpus_and_driver
from bench.errors import CatalogError, ModelError, nearest
from bench.sources import model_of_file, weights_of

NO_TENSORFLOW = "no TensorFlow: install the extra tensorflow, or on a GPU machine with Python 3.10 the extra gpu"
Build = Mapping[str, Any]


def examine(model: str | None = None) -> Diagnosis:
    """All that can be found out here; an error where there is no such model."""
    question = None if model is None else _model_question(model)
    build = tensorflow_build() or {}
    answers = ask("tensorflow") if tensorflow_folder() else Answers(failure=NO_TENSORFLOW)
    converters = _converters(answers)
    return Diagnosis(
        bench=__version__,
        python=platform.python_version(),
        backends=tuple(_backends(answers)),
        gpu=_gpu(build, answers),
        tensorflow=_tensorflow(build, answers),
        tensorrt=_tensorrt(answers),
        libraries=_libraries(ask("libraries")),
        converters=converters,
        model=None if model is None or question is None else _model(model, question, converters),
    )


def _backends(answers: Answers) -> Iterator[BackendFacts]:
    missing = missing_for_tf_trt()
    for name, device in (("tensorflow", "GPU" if answers.get("gpus") else "CPU"), ("tf-trt", "GPU"), ("litert", "CPU")):
        refusal = answers.get(name)
        if name == "tf-trt" and missing:
            yield BackendFacts(name=name, runs=False, reasons=missing)
        elif name not in answers.values:
            known = tensorflow_folder() is None
            yield BackendFacts(name=name, runs=False if known else None, reasons=(_failure(answers),))
        elif refusal is not None:
            yield BackendFacts(name=name, runs=False, reasons=(refusal,))
        else:
            yield BackendFacts(name=name, runs=True, device=device)


def _gpu(build: Build, answers: Answers) -> GpuFacts:
    gpus, driver, cuda = gpus_and_driver()
    cache = os.environ.get("CUDA_CACHE_PATH")
    devices = []
    for gpu in gpus:
        kind, words = explain(gpu.compute_capability, build.get("cuda_compute_capabilities", ()), cache)
        devices.append(Device(gpu=gpu, native_code=kind, explanation=words))
    seen = answers.get("gpus")
    return GpuFacts(
        driver=driver,
        cuda_driver=cuda,
        devices=tuple(devices),
        seen_by_tensorflow=seen,
        reasons=tuple(_gpu_reasons(len(gpus), seen, build, cuda)),
        cuda_cache_path=cache,
    )


def _gpu_reasons(count: int, seen: int | None, build: Build, cuda: str | None) -> Iterator[str]:
    """Why a GPU is missing, or is there and not used."""
    missing = missing_gpu()
    if missing is not None:
        yield missing
        return
    needed = build.get("cuda_version")
    if needed and cuda and int(needed.partition(".")[0]) > int(cuda.partition(".")[0]):
        yield f"the driver is for CUDA up to {cuda} and TensorFlow was built for {needed}: install a newer driver"
    if seen is not None and seen < count:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = "see which libraries are not found" if visible is None else f"CUDA_VISIBLE_DEVICES is {visible!r}"
        why = "it was built without CUDA: install the extra gpu" if build.get("is_cuda_build") is False else why
        yield f"TensorFlow sees {seen} of {count} GPUs: {why}"


def _tensorflow(build: Build, answers: Answers) -> TensorFlowFacts:
    return TensorFlowFacts(
        version=tensorflow_version(),
        cuda_version=build.get("cuda_version"),
        cudnn_version=build.get("cudnn_version"),
        compute_capabilities=tuple(build.get("cuda_compute_capabilities", ())),
        is_cuda_build=build.get("is_cuda_build"),
        is_tensorrt_build=build.get("is_tensorrt_build"),
        reason=answers.failure,
    )


def _tensorrt(answers: Answers) -> TensorRTFacts:
    linked, loaded = answers.get("linked"), answers.get("loaded")
    linked_reason = missing_tensorflow() or _failure(answers)
    loaded_reason = missing_tensorrt() or linked_reason
    return TensorRTFacts(
        linked=linked,
        linked_reason=None if linked else linked_reason,
        loaded=loaded,
        loaded_reason=None if loaded else loaded_reason,
    )


def _libraries(answers: Answers) -> tuple[Library, ...]:
    found = [Library.model_validate(value) for value in answers.values.values()]
    if answers.failure and found:
        last = found[-1]
        found[-1] = last.model_copy(update={"remark": f"it is there, and does not work: {answers.failure}"})
    unasked = (name for name in NAMES if name not in answers.values)
    return (*found, *(Library(name=name, found=None, remark=answers.failure) for name in unasked))


def _converters(answers: Answers) -> Converters:
    ops = answers.get("converters")
    if ops:
        return Converters(source=f"the registry of TensorFlow {tensorflow_version()}", asked=True, ops=tuple(ops))
    return Converters(source=known_ops.SOURCE, asked=False, ops=known_ops.OPS)


def _failure(answers: Answers) -> str:
    return answers.failure or "TensorFlow did not say"


def _model_question(model: str) -> tuple[str, ...]:
    """What to ask the probe about a card's name, a file or a folder."""
    if model not in names("models") and not model.endswith(".json"):
        if Path(model).is_file():
            return of_what_is_made(model_of_file(Path(model), "--model"), "model")
        if Path(model).exists() or os.sep in model:
            return "model", str(saved_model_in(Path(model), "--model"))
        hint = nearest(model, names("models")) or "; `bench models list` shows the cards"
        raise CatalogError(f"--model: no card and no folder {model!r}{hint}")
    file = model_file(model)
    card = read_card(file, ModelCard)
    found = find_model(card, ".", folder=file.parent)
    if found is not None:
        if found.format != "saved_model":
            made_of = Model(name=card.name, task=card.task, **weights_of(card, found, file))
            return of_what_is_made(made_of, "model")
        return "model", str(found.path)
    if card.image_shape is None:
        raise ModelError(f"model {card.name!r}: an architecture needs image_shape in its card")
    shape = map(str, card.image_shape)
    arguments = json.dumps(card.source.arguments)
    return "application", str(card.source.keras_application), arguments, *shape, str(cache_dir() / "models")


def _model(model: str, question: tuple[str, ...], converters: Converters) -> ModelOps:
    if tensorflow_folder() is None:
        return ModelOps(model=model, reason=NO_TENSORFLOW)
    answers = ask(*question, environment=WITHOUT_GPU)
    if answers.get("error") is not None:
        raise ModelError(answers.get("error"))
    if answers.get("ops") is None:
        return ModelOps(model=model, reason=_failure(answers))
    counts = sorted(answers.get("ops").items(), key=lambda item: (-item[1], item[0]))
    known = set(converters.ops)
    return ModelOps(
        model=model,
        convertible={op: count for op, count in counts if op in known},
        staying={op: count for op, count in counts if op not in known},
    )
