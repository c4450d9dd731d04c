"""NVIDIA's shared libraries by name: does the loader find them, which are they.

Called in a child process, since asking a library can end the process: cuDNN 8 does where a library that it needs is
missing. It is asked last, after cuBLAS, which is one of those.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.backends.availability import LIBRARIES
from bench.doctor.diagnosis import Library

NAMES = ("libcuda", "libcudart", "libcublas", "libnvinfer", "libnvinfer_plugin", "libcudnn")
FOLDERS = ("nvidia/*/lib", "tensorrt", "tensorrt_libs")  # of NVIDIA's packages, in site-packages
CUDA_MAJORS, CUDNN_MAJORS = ("11", "12", "13"), ("8", "9")
WITH_DRIVER = "not found: it comes with NVIDIA's driver"
BY_TENSORFLOW = "not on the loader's path; TensorFlow looks there by itself"
NO_VERSION = "it tells no version here"
NO_CUDA = "not found: it comes with the extra gpu; this TensorFlow, if any, is built without CUDA"


def find_libraries(build: Mapping[str, Any]) -> Iterator[Library]:
    """Each library that this build of TensorFlow loads; one that was found is given again with its version."""
    for name, sonames in _wanted(build).items():
        library = _find(name, sonames, build)
        yield library
        if library.found:
            version = _version(library)
            remarks = filter(None, (library.remark, None if version else NO_VERSION))
            yield library.model_copy(update={"version": version, "remark": "; ".join(remarks) or None})


def _wanted(build: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """The names under which each library is asked for, in the order of NAMES."""
    cuda = _majors(build.get("cuda_version"), CUDA_MAJORS)
    cudnn = _majors(build.get("cudnn_version"), CUDNN_MAJORS)
    sonames: tuple[Sequence[str], ...] = (
        ["libcuda.so.1"],
        [f"libcudart.so.{'11.0' if major == '11' else major}" for major in cuda],
        [f"libcublas.so.{major}" for major in cuda],
        LIBRARIES,
        [name.replace("libnvinfer", "libnvinfer_plugin") for name in LIBRARIES],
        [f"libcudnn.so.{major}" for major in cudnn],
    )
    return dict(zip(NAMES, sonames, strict=True))


def _majors(version: str | None, otherwise: Sequence[str]) -> Sequence[str]:
    return [version.partition(".")[0]] if version else otherwise


def _find(name: str, sonames: Sequence[str], build: Mapping[str, Any]) -> Library:
    soname = next((soname for soname in sonames if _load(soname) is not None), None)
    if soname is not None:
        return Library(name=name, found=True, soname=soname, path=_path(soname))
    lying = next(_in_packages(sonames), None)
    if lying is None:
        return Library(name=name, found=False, remark=_remedy(name, sonames, build))
    theirs = not name.startswith("libnvinfer")
    to_do = f"{lying.name} is not on the loader's path: put {lying.parent} on LD_LIBRARY_PATH"
    return Library(
        name=name, found=theirs, soname=lying.name, path=str(lying), remark=BY_TENSORFLOW if theirs else to_do
    )


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _in_packages(sonames: Sequence[str]) -> Iterator[Path]:
    for entry in sys.path:
        for folder in FOLDERS:
            yield from (path for soname in sonames for path in Path(entry or ".").glob(f"{folder}/{soname}"))


def _remedy(name: str, sonames: Sequence[str], build: Mapping[str, Any]) -> str:
    if name == "libcuda":
        return WITH_DRIVER
    if name.startswith("libnvinfer"):
        return "not found: it comes with the extra gpu; TensorFlow 2.18 and later do not use it"
    if not build.get("cuda_version"):
        return NO_CUDA
    return f"{sonames[0]} not found: install tensorflow[and-cuda]"


def _path(soname: str) -> str | None:
    """Where a library of this process was loaded from."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    paths = (line.split(maxsplit=5)[-1] for line in lines if "/" in line)
    stem = re.escape(soname.partition(".so")[0])  # libcuda.so.1 is a link to libcuda.so.580.95.05
    return next((path for path in paths if re.search(rf"/{stem}\.so[\d.]*$", path)), None)


def _version(found: Library) -> str | None:
    library = _load(found.path or found.soname or "")
    if library is None or found.name not in VERSIONS:
        return None
    try:
        return VERSIONS[found.name](library)
    except AttributeError:  # a version of the library without this function
        return None


def _cuda(function: str) -> Callable[[ctypes.CDLL], str | None]:
    def ask(library: ctypes.CDLL) -> str | None:
        value = ctypes.c_int()
        failed = getattr(library, function)(ctypes.byref(value))
        return None if failed or not value.value else f"{value.value // 1000}.{value.value % 1000 // 10}"

    return ask


def _properties(function: str) -> Callable[[ctypes.CDLL], str | None]:
    """Major, minor and patch level, one call each."""

    def ask(library: ctypes.CDLL) -> str | None:
        values = [ctypes.c_int() for _ in range(3)]
        failed = [getattr(library, function)(kind, ctypes.byref(value)) for kind, value in enumerate(values)]
        return None if any(failed) else ".".join(str(value.value) for value in values)

    return ask


def _tensorrt(library: ctypes.CDLL) -> str | None:
    """8503 is 8.5.3; 100300 is 10.3.0."""
    number = int(library.getInferLibVersion())
    major = 10_000 if number >= 100_000 else 1000
    return f"{number // major}.{number % major // 100}.{number % 100}"


VERSIONS: Mapping[str, Callable[[ctypes.CDLL], str | None]] = {
    "libcuda": _cuda("cuDriverGetVersion"),
    "libcudart": _cuda("cudaRuntimeGetVersion"),
    "libcudnn": _properties("cudnnGetProperty"),
    "libcublas": _properties("cublasGetProperty"),
    "libnvinfer": _tensorrt,
}
