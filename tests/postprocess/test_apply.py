"""Postprocesses by name and of the user's own, from the config to the metric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.accuracy.detection import BoxMap
from bench.accuracy.outputs import detection_outputs
from bench.accuracy.postprocessed import Postprocessed
from bench.backends.base import Arrays, Signature, TensorSpec
from bench.case import Model
from bench.errors import ConfigError, ModelError
from bench.inputs.batches import Batch
from bench.inputs.item import Item
from bench.postprocess.apply import judged_signature, processing
from bench.record import Accuracy, read_record
from bench.sources import COCO80
from bench.suite import load_suite
from tests.configs import ROOT, bench, write_config, write_images

RAW = Signature((), (TensorSpec("raw", np.dtype(np.float32), (None, None, 85)),))
SHAPE = (100, 200)


def detector(**fields: Any) -> Model:
    return Model(name="yolo", task="detection", path="yolo", **fields)


def own(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """The name of a function of the user's own, in a module of its own."""
    monkeypatch.chdir(folder)
    name = f"own_{abs(hash(str(folder))) % 10**9}"
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return f"{name}:detect"


def raw_of(*objects: tuple[float, float, float, float, int]) -> Arrays:
    """What a YOLO v5 gives that sees objects at x, y, width, height, of a class."""
    rows = np.zeros((1, 20, 85), np.float32)
    for row, (x, y, width, height, kind) in enumerate(objects):
        rows[0, row, :5] = x + width / 2, y + height / 2, width, height, 0.9
        rows[0, row, 5 + kind] = 0.9
    return {"raw": rows}


def test_a_raw_detector_that_sees_everything_has_a_map_of_one(tmp_path: Path) -> None:
    """From raw outputs at another size, over classes and categories, to pycocotools."""
    truth = {
        "images": [{"id": 7, "file_name": "7.jpg", "height": 50, "width": 400}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 90, "bbox": [20, 5, 100, 30]},  # class 79: toothbrush
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [200, 10, 60, 20]},
        ],
        "categories": [{"id": id, "name": str(id)} for id in (1, 90)],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(truth), encoding="utf-8")
    model = detector(postprocess="yolov5", class_map=COCO80)
    signature = judged_signature(model, RAW)
    process = processing(model, detection_outputs(signature))
    assert process is not None
    metric = Postprocessed(BoxMap(signature, str(path), 0), process)
    images = np.zeros((1, *SHAPE, 3), np.float32)  # half as wide, twice as high as the image
    metric.add(Batch(images, (Item(id=7, path=None),)), raw_of((10, 10, 50, 60, 79), (100, 20, 30, 40, 0)))
    assert metric.result().metrics["map"] == pytest.approx(1.0)


def test_boxes_of_another_format_and_classes_of_another_numbering() -> None:
    model = detector(box_format="xyxy_pixels", class_map=(10, 30), class_offset=1)
    names = {"boxes": "detection_boxes", "classes": "detection_classes"}
    process = processing(model, names)
    assert process is not None
    outputs = {
        "detection_boxes": np.array([[[40, 10, 80, 60]]], np.float32),
        "detection_classes": np.array([[2.0]], np.float32),
        "detection_scores": np.array([[0.5]], np.float32),
    }
    made = process(outputs, SHAPE)
    np.testing.assert_allclose(made["detection_boxes"], [[[0.1, 0.2, 0.6, 0.4]]], rtol=1e-6)
    assert made["detection_classes"].tolist() == [[31]]  # 30, and the offset that the metric takes off
    assert made["detection_scores"] is outputs["detection_scores"]
    with pytest.raises(ModelError, match="class_map: class 2 is beyond its 2 categories"):
        process({**outputs, "detection_classes": np.array([[3.0]], np.float32)}, SHAPE)


def test_a_model_of_the_usual_form_is_left_alone() -> None:
    assert processing(detector(), {"boxes": "detection_boxes", "classes": "detection_classes"}) is None
    assert judged_signature(detector(), RAW) is RAW


def test_a_function_of_ones_own_gets_outputs_shape_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import numpy as np\n"
        "def detect(outputs, image_shape, factor=1.0):\n"
        "    height, width = image_shape\n"
        "    score = outputs['raw'].max() * factor\n"
        "    return {'detection_boxes': np.array([[[0, 0, height, width]]], np.float32),\n"
        "            'detection_scores': np.array([[score]]), 'detection_classes': np.array([[1]]),\n"
        "            'num_detections': np.array([1])}\n"
    )
    model = detector(postprocess=own(tmp_path, monkeypatch, text), postprocess_options={"factor": 2.0})
    process = processing(model, {})
    assert process is not None
    made = process({"raw": np.array([1.0, 3.0])}, SHAPE)
    assert made["detection_boxes"].tolist() == [[[0, 0, 100, 200]]]
    assert made["detection_scores"].tolist() == [[6.0]]


BAD = {
    "not there": ("", "cannot be imported: ModuleNotFoundError", "nowhere:detect", {}),
    "breaks": ("1 / 0\n", "cannot be imported: ZeroDivisionError", None, {}),
    "no such function": ("def find(outputs, image_shape): ...\n", "has no function 'detect'", None, {}),
    "takes too little": ("def detect(outputs): ...\n", r"it is called as detect\(outputs, image_shape\)", None, {}),
    "takes other options": (
        "def detect(outputs, image_shape, factor=1): ...\n", "unexpected keyword.*it takes: factor", None, {"facto": 2},
    ),
    "a format that is none": (
        "", r"postprocess_options.boxes: \"polar\": Input should be 'yxyx', 'xyxy'", "yolov8", {"boxes": "polar"},
    ),
    "a threshold in percent": (
        "", "postprocess_options.score_threshold: 25: .* less than 1", "yolov8", {"score_threshold": 25},
    ),
    "an overlap below none": ("", "postprocess_options.iou_threshold: -0.5: ", "retinanet", {"iou_threshold": -0.5}),
    "no detections at all": ("", "postprocess_options.max_detections: 0: ", "yolov5", {"max_detections": 0}),
    "a number in words": ("", "postprocess_options.iou_threshold: \"half\": ", "yolov5", {"iou_threshold": "half"}),
    "an order that is none": ("", "postprocess_options.order: \"zx\": ", "retinanet", {"order": "zx"}),
    "a list of words": ("", "postprocess_options.strides: ", "retinanet", {"strides": ["8"]}),
    "an option that ours has not": ("", "unexpected keyword.*it takes: score_threshold, ", "yolov5", {"iou": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words", "name", "options"), BAD.values(), ids=BAD)
def test_what_cannot_be_called_is_one_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    words: str,
    name: str | None,
    options: dict[str, Any],
) -> None:
    given = name or own(tmp_path, monkeypatch, text)
    with pytest.raises(ConfigError, match=words) as error:
        processing(detector(postprocess=given, postprocess_options=options), {})
    assert str(error.value).startswith(f"model_config.postprocess: {given!r}: ")


def test_a_run_judges_what_the_function_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_images("images")
    truth = {
        "images": [{"id": 1, "file_name": "0.jpg", "height": 8, "width": 8}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 0, 4, 8]}],
        "categories": [{"id": 1, "name": "bar"}],
    }
    Path("truth.json").write_text(json.dumps(truth), encoding="utf-8")
    Path("own.py").write_text(
        "import numpy as np\n"
        "def detect(outputs, image_shape):\n"
        "    return {'detection_boxes': np.array([[[2, 0, 6, 8]]]), 'detection_scores': np.array([[1.0]]),\n"
        "            'detection_classes': np.array([[1]]), 'num_detections': np.array([1])}\n"
        "def torn(first, second):\n"
        "    raise ValueError('torn')\n",
        encoding="utf-8",
    )
    Path("mine").mkdir()
    Path("mine/saved_model.pb").touch()
    section = {"input_saved_model_dir": "mine", "postprocess": "own:detect", "box_format": "xyxy_pixels"}
    data = {"benchmark_config.images_dir": "images", "benchmark_config.annotation_path": "truth.json"}
    config = write_config({"model_config": section, **data, "benchmark_config.use_synthetic": False})
    outcome = bench("test", config)
    assert outcome.exit_code == 0, outcome.stderr
    told = bench("test", config, "--set", "model_config.postprocess=own:find")
    assert told.exit_code == 2
    assert "model_config.postprocess: 'own:find': " in told.stderr and "has no function 'find'" in told.stderr
    for key in ("preprocess", "postprocess"):
        told = bench("test", config, "--set", f"model_config.{key}=own:torn", "--results", key)
        assert told.exit_code == 4
        assert f"ValueError: torn, within 'own:torn' of model_config.{key}" in told.stdout.replace("\n  ", " ")
    (path,) = Path("results").glob("test/*/mine-*.json")
    record = read_record(path.read_text(encoding="utf-8"), str(path))
    assert record.accuracy is not None and record.accuracy.metrics["map"] == pytest.approx(1.0)
    assert record.stages is not None and len(record.stages.postprocess_ns) == 1


def test_an_answer_without_boxes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = own(tmp_path, monkeypatch, "def detect(outputs, image_shape):\n    return {'detection_boxes': 0}\n")
    process = processing(detector(postprocess=name), {})
    assert process is not None
    with pytest.raises(ModelError, match="gives no detection_scores, detection_classes, num_detections, as detection"):
        process({}, SHAPE)


def test_the_config_names_it_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changes: dict[str, Any] = {
        "model_config.task": "detection",
        "model_config.postprocess": "yolov8",
        "model_config.postprocess_options": {"score_threshold": 0.3},
        "model_config.class_map": "coco80",
        "model_config.box_format": "cxcywh_pixels",
    }
    model = load_suite(Path(write_config(changes)), []).cases[0].model
    assert (model.postprocess, model.postprocess_options) == ("yolov8", {"score_threshold": 0.3})
    assert (model.class_map, model.box_format) == (COCO80, "cxcywh_pixels")
    listed = load_suite(Path(write_config({**changes, "model_config.class_map": [3, 7]})), []).cases[0].model
    assert listed.class_map == (3, 7)
    with pytest.raises(ConfigError, match=r"model_config.postprocess: 'yolov9' is not one of .*did you mean 'yolov"):
        load_suite(Path(write_config({"model_config.postprocess": "yolov9"})), [])
    with pytest.raises(ConfigError, match=r"model_config.box_format: \"polar\" is not one of"):
        load_suite(Path(write_config({"model_config.box_format": "polar"})), [])


@pytest.mark.parametrize("changes", [{"model_config.class_map": "coco80"}, {"model_config.box_format": "xyxy"}])
def test_a_classifier_has_no_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    (key,) = changes
    with pytest.raises(ConfigError, match=f"{key}: goes with detection, and this is a model of classification"):
        load_suite(Path(write_config(changes)), [])


def test_a_background_class_is_of_no_category() -> None:
    process = processing(detector(class_map=(10, 30), class_offset=1), {"classes": "detection_classes"})
    assert process is not None
    made = process({"detection_classes": np.array([[0.0, 1.0, 2.0]], np.float32)}, SHAPE)
    assert (made["detection_classes"] - 1).tolist() == [[-1, 10, 30]]


@pytest.mark.parametrize(("change", "words"), [
    ("boxes=np.zeros((2, 5))", r"gives detection_boxes as float64 \[2, 5\]; numbers \[\?, \?, 4\] are needed"),
    ("boxes=np.zeros((2, 5, 5))", r"gives detection_boxes as float64 \[2, 5, 5\]"),
    ("scores=np.array([['a'] * 5] * 2)", r"gives detection_scores as <U1 \[2, 5\]"),
    ("classes=np.zeros((2, 4))", r"arrays that do not go together: detection_boxes \[2, 5, 4\], detection_scores"),
    ("counts=np.zeros(1)", "arrays that do not go together"),
    ("counts=np.array([0, -2])", r"gives num_detections of \[0, -2\], and 5 boxes each"),
    ("counts=np.array([0, 6])", r"gives num_detections of \[0, 6\]"),
])  # fmt: skip
def test_an_answer_of_other_shapes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, words: str
) -> None:
    text = (
        "import numpy as np\n\n\ndef made(boxes=np.zeros((2, 5, 4)), scores=np.zeros((2, 5)), "
        "classes=np.zeros((2, 5)), counts=np.zeros(2)):\n"
        "    return dict(detection_boxes=boxes, detection_scores=scores, detection_classes=classes, "
        "num_detections=counts)\n\n\n"
        f"def detect(outputs, image_shape):\n    return made({change})\n"
    )
    process = processing(detector(postprocess=own(tmp_path, monkeypatch, text)), {})
    assert process is not None
    with pytest.raises(ModelError, match=words):
        process({}, SHAPE)


class Judge:
    """A metric that looks at nothing."""

    def add(self, batch: Batch, outputs: Arrays) -> None:
        assert set(outputs) >= {"probabilities"}

    def result(self) -> Accuracy:
        return Accuracy(metrics={}, num_images=4, notes=("one",))


POSTPROCESSES = {
    "random": (
        "import numpy\ndef detect(outputs, image_shape): return {'probabilities': numpy.random.rand(2, 8)}",
        True,
    ),
    "counting": (
        "calls = []\n"
        "def detect(outputs, image_shape):\n"
        "    calls.append(1)\n"
        "    return {'probabilities': outputs['raw'] + len(calls)}",
        True,
    ),
    "in place": (
        "def detect(outputs, image_shape):\n"
        "    outputs['raw'] *= 2\n"
        "    return {'probabilities': outputs['raw'], 'more': [[1], [2, 3]]}",
        False,
    ),
    "one buffer": (
        "import numpy\n"
        "buffer = numpy.zeros((2, 8))\n"
        "def detect(outputs, image_shape):\n"
        "    buffer[:] = outputs['raw']\n"
        "    return {'probabilities': buffer}",
        False,
    ),
}


@pytest.mark.parametrize(("text", "told"), POSTPROCESSES.values(), ids=POSTPROCESSES)
def test_a_function_that_makes_something_else_of_the_same_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: bool
) -> None:
    model = Model(name="mine", task="classification", path="mine", postprocess=own(tmp_path, monkeypatch, text))
    process = processing(model, {})
    assert process is not None
    metric = Postprocessed(Judge(), process)
    batch = Batch(np.zeros((2, *SHAPE, 3)), (Item(id=0, path=None), Item(id=1, path=None)))
    first = {"raw": np.ones((2, 8))}
    metric.add(batch, first)
    np.testing.assert_equal(first["raw"], 1)  # what the timed loop gave is held against them afterwards
    metric.add(batch, {"raw": np.full((2, 8), 3.0)})
    told_of = "model_config.postprocess gives other probabilities for the same outputs a second time"
    note = f"{told_of}: the figures would differ, too"
    assert metric.result().notes == (("one", note) if told else ("one",))


def test_a_function_that_ends_the_process_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = own(tmp_path, monkeypatch, "import sys\ndef detect(outputs, image_shape): sys.exit(3)")
    process = processing(detector(postprocess=name), {})
    assert process is not None
    with pytest.raises(ConfigError, match=f"^model_config.postprocess: '{name}' calls sys.exit: 3$"):
        process({}, SHAPE)
