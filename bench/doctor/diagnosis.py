"""What the doctor finds: frozen records. What is not known is None, and a reason beside it says why and what helps."""

from __future__ import annotations

from typing import Literal

from bench.part import Part
from bench.record import Gpu

NativeCode = Literal["machine code", "PTX", "none"]


class Device(Part):
    """A GPU, and what TensorFlow's build has for it."""

    gpu: Gpu
    native_code: NativeCode | None = None
    explanation: str


class GpuFacts(Part):
    """The driver and its GPUs."""

    driver: str | None
    cuda_driver: str | None
    devices: tuple[Device, ...]
    seen_by_tensorflow: int | None
    reasons: tuple[str, ...]  # why a GPU is missing, or not used
    cuda_cache_path: str | None


class TensorFlowFacts(Part):
    """TensorFlow as it was built."""

    version: str | None
    cuda_version: str | None = None
    cudnn_version: str | None = None
    compute_capabilities: tuple[str, ...] = ()
    is_cuda_build: bool | None = None
    is_tensorrt_build: bool | None = None
    reason: str | None = None


class TensorRTFacts(Part):
    """The TensorRT that TensorFlow was built for, and the one that it loads."""

    linked: str | None = None
    linked_reason: str | None = None
    loaded: str | None = None
    loaded_reason: str | None = None


class Library(Part):
    """A shared library: whether it is found, under which name, of which version."""

    name: str
    found: bool | None
    soname: str | None = None
    version: str | None = None
    path: str | None = None
    remark: str | None = None  # what to know of one that was found; why one was not, and what helps


class BackendFacts(Part):
    """Whether a backend can run here."""

    name: str
    runs: bool | None
    device: str | None = None
    reasons: tuple[str, ...] = ()


class Converters(Part):
    """The ops that TF-TRT has a converter for."""

    source: str
    asked: bool  # of this TensorFlow itself; else a list that was kept
    ops: tuple[str, ...]


class ModelOps(Part):
    """A model's ops: those with a converter, and those that would stay in TensorFlow."""

    model: str
    convertible: dict[str, int] | None = None
    staying: dict[str, int] | None = None
    reason: str | None = None


class Diagnosis(Part):
    """Everything."""

    bench: str
    python: str
    backends: tuple[BackendFacts, ...]
    gpu: GpuFacts
    tensorflow: TensorFlowFacts
    tensorrt: TensorRTFacts
    libraries: tuple[Library, ...]
    converters: Converters
    model: ModelOps | None = None
