"""What this machine lacks to run TF-TRT, found without importing TensorFlow."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import importlib.util
from pathlib import Path
from typing import Any

from bench.environment import gpus_and_driver

LAST_TENSORFLOW_WITH_TENSORRT = (2, 17)
LIBRARIES = ("libnvinfer.so.8", "libnvinfer.so.10", "libnvinfer.so.9", "libnvinfer.so.7")


def missing_for_tf_trt() -> tuple[str, ...]:
    """What is missing, each with how to get it; empty where TF-TRT can run."""
    found = (missing_gpu(), missing_tensorflow(), missing_tensorrt())
    return tuple(missing for missing in found if missing)


def missing_gpu() -> str | None:
    """Why no GPU can be used; None where one can."""
    gpus, driver, _ = gpus_and_driver()
    if driver is None:
        return "no NVIDIA driver (libnvidia-ml.so.1 does not load): install the driver, or run on a GPU machine"
    return None if gpus else f"no GPU: driver {driver} shows none; see nvidia-smi, or give this container one"


def missing_tensorflow() -> str | None:
    """Why there is no TensorFlow with TF-TRT in it; None where there is."""
    if tensorflow_folder() is None:
        return "no TensorFlow: install the extra gpu"
    found = tensorflow_version() or "of unknown version"
    parts = found.split(".")[:2]
    if all(part.isdigit() for part in parts) and tuple(map(int, parts)) > LAST_TENSORFLOW_WITH_TENSORRT:
        return f"TensorFlow {found} has no TensorRT in it: 2.14 to 2.17 have; the extra gpu installs 2.14.1"
    build = tensorflow_build()
    if build is not None and build.get("is_tensorrt_build") is not True:
        return f"this build of TensorFlow {found} has no TensorRT in it: install `tensorflow`, not `tensorflow-cpu`"
    return None


def tensorflow_folder() -> Path | None:
    """Where TensorFlow is installed."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def tensorflow_build() -> dict[str, Any] | None:
    """What TensorFlow says of its own build, read without importing it; None where it says nothing."""
    folder = tensorflow_folder()
    file = None if folder is None else folder / "python/platform/build_info.py"
    return _pairs(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else None


def tensorflow_version() -> str | None:
    """The installed TensorFlow's version, by whichever name it was installed."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and --help has no use for it

    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _pairs(source: str) -> dict[str, Any]:
    """The pairs (name, constant) in a Python source."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant):
            with contextlib.suppress(ValueError):  # not a constant
                found[str(node.elts[0].value)] = ast.literal_eval(node.elts[1])
    return found


def missing_tensorrt() -> str | None:
    """Why TensorRT's library cannot be loaded; None where it can."""
    if any(_loads(name) for name in LIBRARIES):
        return None
    return (
        "no TensorRT library (libnvinfer.so): install the extra gpu and put its folder, site-packages/tensorrt, on "
        "LD_LIBRARY_PATH"
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
