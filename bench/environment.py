"""What a record is measured on: machine, GPU, driver, library versions, git. Nothing here imports TensorFlow."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pynvml

from bench.record import Environment, Gpu

PACKAGES = (
    "tensorflow", "tensorflow-cpu", "keras", "tensorrt", "nvidia-cudnn-cu11", "nvidia-cublas-cu11",
    "nvidia-cuda-runtime-cu11", "ai-edge-litert", "numpy", "pillow", "pycocotools",
    "mlcommons-loadgen", "mlcommons_loadgen",  # as its versions call themselves
)  # fmt: skip
# Variables that change results; those that hold paths alone are left out.
VARIABLES = (
    "TF_TRT_", "TF_XLA_FLAGS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_ENABLE_", "TF_DISABLE_", "TF_NUM_", "TF_GPU_",
    "TF_CPP_", "NVIDIA_TF32_OVERRIDE", "CUDA_MODULE_LOADING", "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "OMP_",
)  # fmt: skip


def collect(details: dict[str, Any] | None = None) -> Environment:
    """The environment of this process; `details` adds what only loaded libraries know."""
    gpus, driver, cuda = gpus_and_driver()
    return Environment(
        hostname=platform.node(),
        platform=platform.platform(),
        cpu=_cpu_name(),
        cpu_count=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
        gpus=gpus,
        driver=driver,
        cuda_driver=cuda,
        packages=packages(),
        git_commit=_git_commit(),
        variables={name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)},
        details=details or {},
    )


def usable_cores() -> int:
    """Cores that this process may run on: fewer than the machine's under taskset or in a container."""
    return len(os.sched_getaffinity(0))


def gpus_and_driver() -> tuple[tuple[Gpu, ...], str | None, str | None]:
    """The GPUs, the driver's version and the CUDA version it supports; nothing where there is no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return (), None, None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return (
            tuple(map(_gpu, handles)),
            _text(pynvml.nvmlSystemGetDriverVersion()),
            f"{cuda // 1000}.{cuda % 1000 // 10}",
        )
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: Any) -> Gpu:
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_bytes=pynvml.nvmlDeviceGetMemoryInfo(handle).total,
        compute_capability=f"{major}.{minor}",
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def packages() -> dict[str, str]:
    """The versions of the packages that results depend on, of those installed."""
    from importlib.metadata import distributions  # slow to import, and --help has no use for it

    found = {(d.metadata["Name"] or "").lower(): d.version for d in distributions()}
    return {name: found[name] for name in PACKAGES if name in found}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """The commit of the harness itself, where it runs from a git checkout."""
    root = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
