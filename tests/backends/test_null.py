"""The null backend answers at once, in the form of the case's task."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.accuracy.outputs import detection_outputs, score_output
from bench.backends.base import Preparation, load_backend
from bench.backends.null import NullBackend, NullSession
from bench.case import Case, Model
from tests.factory import make_case


def make(task: str, **changes: Any) -> Case:
    return make_case(backend="null", model=Model.model_validate({"name": "nothing", "task": task}), **changes)


def open_session(case: Case) -> NullSession:
    backend = NullBackend()
    signature = backend.signature(case, Path())
    return backend.open(Preparation(case, Path(), signature, {}, None, Path(), lambda name: nullcontext()))


def test_is_found_by_its_name() -> None:
    assert isinstance(load_backend("null"), NullBackend)


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_outputs_are_those_of_its_signature(task: str) -> None:
    case = make(task, batch_size=3)
    outputs = open_session(case).infer({})
    specs = NullBackend().signature(case, Path()).outputs
    assert set(outputs) == {spec.name for spec in specs}
    for spec in specs:
        assert outputs[spec.name].dtype == spec.dtype
        assert outputs[spec.name].shape == (3, *spec.shape[1:])


def test_outputs_are_found_by_the_metrics() -> None:
    backend = NullBackend()
    assert score_output(backend.signature(make("classification"), Path())) == "probabilities"
    assert detection_outputs(backend.signature(make("detection"), Path()))["count"] == "num_detections"


@pytest.mark.parametrize(("preprocess", "dtype"), [("raw", np.uint8), ("inception", np.float32)])
def test_takes_images_as_they_are_preprocessed(preprocess: str, dtype: type) -> None:
    case = make("classification")
    case = case.model_copy(update={"model": case.model.model_copy(update={"preprocess": preprocess})})
    (spec,) = NullBackend().signature(case, Path()).inputs
    assert (spec.dtype, spec.shape) == (np.dtype(dtype), (None, 300, 300, 3))


def test_claims_neither_a_conversion_nor_gpu_memory() -> None:
    with open_session(make("detection")) as session:
        session.wait(session.launch(session.stage({})))
        assert session.conversion is None and session.prove({}) is None and session.peak_gpu_bytes() is None
