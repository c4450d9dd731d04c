"""What this machine lacks to run TF-TRT, found without importing TensorFlow."""

from __future__ import annotations

import ast
import ctypes
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.environment import gpus_and_driver

LAST_TENSORFLOW_WITH_TENSORRT = (2, 17)
LIBRARIES = ("libnvinfer.so.8", "libnvinfer.so.10", "libnvinfer.so.9", "libnvinfer.so.7")


def missing_for_tf_trt() -> tuple[str, ...]:
    """What is missing, each with how to get it; empty where TF-TRT can run."""
    found = (_driver_and_gpu(), _tensorflow(), _tensorrt())
    return tuple(missing for missing in found if missing)


def _driver_and_gpu() -> str | None:
    gpus, driver, _ = gpus_and_driver()
    if driver is None:
        return "no NVIDIA driver (libnvidia-ml.so.1 does not load): install the driver, or run on a GPU machine"
    return None if gpus else f"no GPU: driver {driver} shows none"


def _tensorflow() -> str | None:
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        return "no TensorFlow: install the extra gpu"
    found = tensorflow_version() or "of unknown version"
    parts = found.split(".")[:2]
    if all(part.isdigit() for part in parts) and tuple(map(int, parts)) > LAST_TENSORFLOW_WITH_TENSORRT:
        return f"TensorFlow {found} has no TensorRT in it: 2.14 to 2.17 have; the extra gpu installs 2.14.1"
    build_info = Path(spec.submodule_search_locations[0]) / "python/platform/build_info.py"
    if build_info.is_file() and not _built_with_tensorrt(build_info.read_text(encoding="utf-8")):
        return f"this build of TensorFlow {found} has no TensorRT in it: install `tensorflow`, not `tensorflow-cpu`"
    return None


def tensorflow_version() -> str | None:
    """The installed TensorFlow's version, by whichever name it was installed."""
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _built_with_tensorrt(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            key, value = node.elts
            if isinstance(key, ast.Constant) and key.value == "is_tensorrt_build":
                return isinstance(value, ast.Constant) and value.value is True
    return False


def _tensorrt() -> str | None:
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
