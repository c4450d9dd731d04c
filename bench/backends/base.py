"""The seam between what is measured and what runs it. Nothing here imports TensorFlow."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.case import Case, Optimization
from bench.conversion import Call, Conversion, Profile

Array = NDArray[Any]
Arrays = Mapping[str, Array]  # tensor name -> array
Staged = Any  # a batch on the device, as the backend holds it
Pending = Any  # outputs of an inference that was started

PROFILE = "profile"  # the folder, in a case's workdir, of what the profiler writes

BACKENDS: Mapping[str, str] = {
    "tensorflow": "bench.backends.tensorflow:TensorFlowBackend",
    "tf-trt": "bench.backends.tftrt:TfTrtBackend",
    "litert": "bench.backends.litert:LiteRtBackend",
    "null": "bench.backends.null:NullBackend",
}


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a model's signature; unknown dimensions are None."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives, and where in its SavedModel that stands."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    key: str = "serving_default"
    tags: tuple[str, ...] = ("serve",)


@dataclass(frozen=True)
class Preparation:
    """All that a backend needs to open a session for one case."""

    case: Case
    model_dir: Path  # the SavedModel
    signature: Signature
    sample: Arrays  # one batch, with the shapes and types of every batch to come
    calibration: Callable[[], Iterable[Arrays]] | None  # batches of the calibration split; None unless INT8 needs them
    workdir: Path  # scratch; removed after the case
    phase: Callable[[str], AbstractContextManager[None]]  # `with phase("convert"):` times and announces a phase
    calibration_images: int | None = None  # in the calibration's batches
    calibration_sha256: str | None = None  # of those images, in their order

    @property
    def optimization(self) -> Optimization:
        return self.case.optimization


class Session(Protocol):
    """A model ready to infer."""

    conversion: Conversion | None
    on_device: bool  # whether batches are copied to a device, which then works while the host goes on
    call: Call | None  # how the model is called, where there are several ways

    def infer(self, batch: Arrays) -> Arrays:
        """Host arrays in, host arrays out; returns when they are there."""
        ...

    def stage(self, batch: Arrays) -> Staged:
        """Put a batch on the device."""
        ...

    def launch(self, staged: Staged) -> Pending:
        """Start one inference on it."""
        ...

    def wait(self, pending: Pending) -> None:
        """Return when the device has finished."""
        ...

    def fetch(self, pending: Pending) -> Arrays:
        """The outputs of an inference that was waited for, copied to the host."""
        ...

    def prove(self, batch: Arrays) -> Profile | None:
        """What ran, from a profiled pass after all timing; None where there is no telling.

        What the profiler wrote is left in the folder `PROFILE` of the workdir.
        """
        ...

    def peak_gpu_bytes(self) -> int | None:
        """The most GPU memory held so far; None where there is no GPU or no way to ask."""
        ...

    def __enter__(self) -> Session: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def session_members() -> list[str]:
    """The names that every session has."""
    names = (*Session.__annotations__, *vars(Session))
    return [name for name in names if not name.startswith("_") or name in ("__enter__", "__exit__")]


class Backend(Protocol):
    """What turns a model and an optimization into a session."""

    def check(self, optimization: Optimization) -> None:
        """Raise BackendUnavailable with what is missing and how to get it."""
        ...

    def signature(self, case: Case, model_dir: Path) -> Signature:
        """What the model takes and gives; raises ModelError where it cannot be read."""
        ...

    def open(self, preparation: Preparation) -> Session:
        """Convert, build, save and reload as the backend needs; raises ConversionError."""
        ...

    def environment(self) -> dict[str, Any]:
        """What only the loaded libraries know: versions linked and loaded, devices, modes."""
        ...


def load_backend(name: str) -> Backend:
    """Import the backend's module, now that it is wanted, and make one."""
    module, _, attribute = BACKENDS[name].partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)()
    return backend
