"""Annotations and detections of the size of COCO's validation split, made up; run as a program, it evaluates them once.

python -m tests.benchmarks.coco_like ours|pycocotools IMAGES FOLDER prints the seconds and the peak memory in bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from bench.accuracy.detection import BoxMap
from bench.backends.base import Signature, TensorSpec
from bench.inputs.batches import Batch
from bench.inputs.item import Item

CLASSES, BOXES, OBJECTS, SIDE = 80, 100, 7, 640
NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
SHAPES = ((None, BOXES, 4), (None, BOXES), (None, BOXES), (None,))


def objects(number: int) -> tuple[Any, Any]:
    """An image's true boxes, y1, x1, y2, x2 in 0..1, and their classes."""
    generator = np.random.default_rng(number)
    corners = generator.uniform(0, 0.8, (OBJECTS, 2))
    sizes = generator.uniform(0.02, 0.2, (OBJECTS, 2))
    return np.hstack([corners, corners + sizes]), generator.integers(1, CLASSES + 1, OBJECTS)


def detections(number: int) -> tuple[Any, Any, Any]:
    """100 boxes: shifted objects first, then others with small scores, classes and scores; ordered by score."""
    generator = np.random.default_rng((1, number))
    true, classes = objects(number)
    others = BOXES - 2 * OBJECTS
    corners = generator.uniform(0, 0.8, (others, 2))
    boxes = np.vstack([true + generator.normal(0, 0.01, true.shape), true + generator.normal(0, 0.03, true.shape),
                       np.hstack([corners, corners + 0.1])])  # fmt: skip
    found = np.concatenate([classes, classes, generator.integers(1, CLASSES + 1, others)])
    scores = np.sort(generator.beta(0.5, 4, BOXES))[::-1]
    return boxes.clip(0, 1), found, scores


def write_truth(images: int, folder: Path) -> Path:
    """The annotation file."""
    annotations: list[dict[str, Any]] = []
    for number in range(images):
        for (y1, x1, y2, x2), label in zip(*objects(number), strict=True):
            box = [float(v) * SIDE for v in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append({"id": len(annotations) + 1, "image_id": number + 1, "category_id": int(label),
                                "bbox": box, "area": box[2] * box[3], "iscrowd": 0})  # fmt: skip
    listed = [{"id": n + 1, "file_name": f"{n}.jpg", "height": SIDE, "width": SIDE} for n in range(images)]
    categories = [{"id": n, "name": f"class {n}"} for n in range(1, CLASSES + 1)]
    path = folder / f"instances_{images}.json"
    path.write_text(json.dumps({"info": {}, "images": listed, "annotations": annotations, "categories": categories}))
    return path


def ours(truth: Path, images: int) -> float:
    """All of it through BoxMap: mAP."""
    real = np.dtype(np.float32)
    signature = Signature((), tuple(TensorSpec(name, real, shape) for name, shape in zip(NAMES, SHAPES, strict=True)))
    metric = BoxMap(signature, str(truth), 0)
    for number in range(images):
        boxes, classes, scores = detections(number)
        outputs = dict(zip(NAMES, (boxes[None], scores[None], classes[None], np.array([BOXES])), strict=True))
        metric.add(Batch(np.zeros((1, 1, 1, 3)), (Item(number + 1, None),)), outputs)
    return metric.result().metrics["map"]


def pycocotools(truth: Path, images: int) -> float:
    """The same boxes given to pycocotools as its users do."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    coco = COCO(str(truth))
    rows = []
    for number in range(images):
        boxes, classes, scores = detections(number)
        y1, x1, y2, x2 = (boxes * SIDE).T
        rows.append(np.stack([np.full(BOXES, number + 1), x1, y1, x2 - x1, y2 - y1, scores, classes], axis=1))
    evaluation = COCOeval(coco, coco.loadRes(np.concatenate(rows)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


def main() -> None:
    """Evaluate once."""
    which, images, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    truth = folder / f"instances_{images}.json"
    work = {"ours": ours, "pycocotools": pycocotools}[which]
    start = process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        figure = work(truth, images)
    seconds = process_time() - start
    peak = int(Path("/proc/self/status").read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) * 1024
    print(json.dumps({"map": figure, "seconds": seconds, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
