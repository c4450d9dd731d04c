"""The doctor on a machine where TF-TRT runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.configs import ROOT


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What `bench doctor --json` finds."""
    command = [sys.executable, "-m", "bench.cli", "doctor", "--json", "--model", "shapes_detector"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    diagnosis: dict[str, Any] = json.loads(done.stdout)
    return diagnosis


def test_every_backend_runs(found: dict[str, Any]) -> None:
    assert [(b["name"], b["runs"], b["device"], b["reasons"]) for b in found["backends"]] == [
        ("tensorflow", True, "GPU", []),
        ("tf-trt", True, "GPU", []),
        ("litert", True, "CPU", []),
    ]
    hidden = found["gpu"]["seen_by_tensorflow"] < len(found["gpu"]["devices"])
    assert [reason.split(":")[-1].split()[0] for reason in found["gpu"]["reasons"]] == ["CUDA_VISIBLE_DEVICES"] * hidden


def test_tensorrt_is_linked_and_loaded(found: dict[str, Any]) -> None:
    versions = found["tensorrt"]["linked"], found["tensorrt"]["loaded"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    assert versions[0].split(".")[0] == versions[1].split(".")[0]


def test_libraries_are_found(found: dict[str, Any]) -> None:
    assert {library["name"]: library["remark"] for library in found["libraries"] if not library["found"]} == {}
    versions = {library["name"]: library["version"] for library in found["libraries"]}
    assert versions["libnvinfer"] == found["tensorrt"]["loaded"]
    assert all(versions[name] for name in ("libcuda", "libcudart", "libcublas", "libcudnn"))


def test_kernels_from_ptx_are_told(found: dict[str, Any]) -> None:
    device, built_for = found["gpu"]["devices"][0], found["tensorflow"]["compute_capabilities"]
    if device["gpu"]["compute_capability"] != "9.0" or built_for[-1] != "compute_80":
        pytest.skip("not a GPU of compute capability 9.0 with TensorFlow 2.14.1")
    assert device["native_code"] == "PTX"
    assert "no machine code for sm_90" in device["explanation"] and "CUDA_CACHE_PATH" in device["explanation"]


def test_the_registry_was_asked(found: dict[str, Any]) -> None:
    assert found["converters"]["asked"]
    assert found["model"]["convertible"]["Conv2D"] == 13
