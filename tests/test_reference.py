"""Trained models, by their cards, on real images against what an independent script measured; needs ../shared/data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.record import Record, read_record
from tests.faults import ROOT

pytest.importorskip("tensorflow")

DATA = ROOT.parent / "shared" / "data"
COCO, NIPS = DATA / "datasets" / "coco", DATA / "datasets" / "nips17"
CLASSIFIER, DETECTOR = (
    {"model_name": f"results/reference/cards/{name}.json", "input_dir": str(DATA / "models" / name)}
    for name in ("mobilenet_v1_0.75_224", "ssd_mobilenet_v1_coco")
)
LABELLED = {
    "images_dir": str(NIPS), "labels_path": str(NIPS / "labels.txt"), "image_shape": [224, 224],
    "batch_size": 8,
}  # fmt: skip
ANNOTATED = {
    "images_dir": str(COCO / "val2017"),
    "annotation_path": str(COCO / "annotations" / "instances_val2017_159.json"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real models and images are not there: ../shared/data"),
]


def measure(folder: Path, model: dict[str, Any], benchmark: dict[str, Any], backend: str = "tensorflow") -> Record:
    """The record of python -m bench.test, on the CPU alone."""
    precision = "native" if backend == "tensorflow" else "FP32"
    config = {
        "name": backend,
        "model_config": model,
        "optimization_config": {"backend": backend, "precision_mode": precision},
        "benchmark_config": {"num_warmup_iterations": 1, "max_warmup_s": 0, "num_iterations": 5, **benchmark},
    }
    path = folder / f"{backend}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "bench.test", str(path), "--results", str(folder)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (folder / backend).glob(f"*/*-{precision}-*.json")
    return read_record(file.read_text(encoding="utf-8"), file.name)


def metric(record: Record, name: str, images: int) -> float:
    assert record.accuracy is not None and record.accuracy.num_images == images
    return record.accuracy.metrics[name]


def test_top1_of_a_trained_classifier(tmp_path: Path) -> None:
    native = measure(tmp_path, CLASSIFIER, {**LABELLED, "num_images": 500})
    assert metric(native, "top1", 500) == pytest.approx(0.802, abs=0.004)
    assert native.latency is not None and len(native.latency.times_ns) == 5


def test_map_of_a_trained_detector_on_images_of_their_own_sizes(tmp_path: Path) -> None:
    native = measure(tmp_path, DETECTOR, ANNOTATED)
    assert metric(native, "map", 159) == pytest.approx(0.2474, abs=0.0005)
    assert metric(native, "map50", 159) == pytest.approx(0.4009, abs=0.001)
    assert metric(native, "ar100", 159) == pytest.approx(0.3741, abs=0.001)


def test_map_of_a_trained_detector_on_resized_images_in_batches(tmp_path: Path) -> None:
    native = measure(tmp_path, DETECTOR, {**ANNOTATED, "image_shape": [300, 300], "batch_size": 8})
    assert metric(native, "map", 159) == pytest.approx(0.2454, abs=0.0005)
    assert metric(native, "map50", 159) == pytest.approx(0.3973, abs=0.001)


def test_litert_in_fp32_is_as_right_as_native(tmp_path: Path) -> None:
    litert = measure(tmp_path, CLASSIFIER, {**LABELLED, "num_images": 500}, "litert")
    assert litert.conversion is not None and litert.conversion.converter.startswith("LiteRT")
    assert metric(litert, "top1", 500) == pytest.approx(0.802, abs=0.006)
