"""Bad input gets one message that names the file and the key, exit code 2, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from bench.backends import availability
from tests.configs import GONE, ROOT, Outcome, bench, make_config, write_config, write_images

OWN_IMAGES = {"benchmark_config.use_synthetic": GONE, "benchmark_config.images_dir": "images"}
CALIBRATED = {
    **OWN_IMAGES,
    "optimization_config.backend": "litert",
    "optimization_config.precision_mode": "INT8",
    "optimization_config.calib_images_dir": "calibration",
}
SEED = {
    "model_config": {"model_name": "ssd_inception_v2_coco", "output_dir": "models"},
    "optimization_config": {"use_trt": True, "precision_mode": "FP16"},
    "benchmark_config": {
        "images_dir": "coco/val2017",
        "annotation_path": "coco/annotations/instances_val2017.json",
        "batch_size": 1,
        "image_shape": [600, 600],
        "num_images": 2048,
        "output_path": "stats/ssd_inception_v2_coco_trt_fp16.json",
    },
}
URL = "http://download.tensorflow.org/models/object_detection/ssd_inception_v2_coco_2018_01_28.tar.gz"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which workers leave as empty as they found it; they find `bench` all the same."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("BENCH_CACHE", "cache")
    return folder


def run(*arguments: str) -> Outcome:
    """`bench test`, which must not write anything."""
    before = sorted(Path().rglob("*"))
    outcome = bench("test", *arguments)
    assert sorted(Path().rglob("*")) == before
    return outcome


def assert_refused(outcome: Outcome, *words: str) -> None:
    assert outcome.exit_code == 2, outcome
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("error: ") == outcome.stderr.count("\n") == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr + outcome.stdout
    for word in words:
        assert word in outcome.stderr


FILES = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n", "the file is empty"),
    "malformed": (b'{"name": "a",}', "not valid JSON: "),
    "cut off": (b'{"name": ', "line 1 column 10"),
    "not UTF-8": (b'{"name": "\xff"}', "cannot be read: "),
    "an array": (b"[]", "a config is a JSON object, not an array"),
    "null": (b"null", "a config is a JSON object, not null"),
    "nested too deeply": (b"[" * 100_000, "not valid JSON: "),
    "not a number of JSON's": (b'{"benchmark_config": {"phase_timeout_s": Infinity}}', "Infinity is no JSON number"),
    "half a character": (b'{"model_config": {}, "name": "\\ud800"}', "not valid JSON: "),
    "a key twice": (b'{"name": "a", "name": "b"}', "the key 'name' stands twice"),
    "a key twice inside": (b'{"model_config": {"task": "a", "task": "a"}}', "the key 'task' stands twice"),
    "both names of a section": (b'{"model_config": {}, "source_model": {}}', "model_config and source_model"),
}


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_config_is_refused(content: bytes, words: str) -> None:
    Path("test.json").write_bytes(content)
    assert_refused(run("test.json"), "test.json: ", words)


@pytest.mark.parametrize("path", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_refused(path: str) -> None:
    assert_refused(run(path), f"{path}: cannot be read: ")


UNCOUNTED = {"benchmark_config.num_iterations": GONE}
KEYS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no model": ({"model_config": GONE}, "model_config", "missing"),
    "an empty model": ({"model_config": {}}, "model_config", "set either model_name"),
    "two models": ({"model_config.input_saved_model_dir": "."}, "model_config", "set either model_name"),
    "unknown section": ({"benchmark": {}}, "benchmark", "did you mean 'benchmark_config'?"),
    "unknown key": ({"benchmark_config.batchsize": 1}, "benchmark_config.batchsize", "did you mean 'batch_size'?"),
    "a key of another section": (
        {"optimization_config.input_saved_model_tags": ["serve"]}, "optimization_config.input_saved_model_tags",
        "unknown key; it belongs in model_config",
    ),
    "unlike any key": ({"model_config.zzz": 1}, "model_config.zzz", "unknown key; known: model_name, "),
    "text for a number": ({"benchmark_config.batch_size": "8"}, "benchmark_config.batch_size", '"8"'),
    "fraction of an image": ({"benchmark_config.num_images": 0.5}, "benchmark_config.num_images", "0.5"),
    "number for text": ({"model_config.model_name": 5}, "model_config.model_name", "5"),
    "number for true": ({"optimization_config.use_trt": 1}, "optimization_config.use_trt", "1"),
    "section as text": ({"model_config": "resnet50"}, "model_config", '"resnet50"'),
    "one dimension": ({"benchmark_config.image_shape": [8]}, "benchmark_config.image_shape[1]", "missing"),
    "no dimension": ({"benchmark_config.image_shape": [8, 0]}, "benchmark_config.image_shape[1]", "0"),
    "batch size 0": ({"benchmark_config.batch_size": 0}, "benchmark_config.batch_size", "greater than or equal to 1"),
    "batch size -1": ({"benchmark_config.batch_size": -1}, "benchmark_config.batch_size", "-1"),
    "no images": ({"benchmark_config.num_images": 0}, "benchmark_config.num_images", "0"),
    "negative warm-up": ({"benchmark_config.num_warmup_iterations": -1}, "num_warmup_iterations", "-1"),
    "negative patience": ({"benchmark_config.max_warmup_s": -1}, "max_warmup_s", "greater than or equal to 0"),
    "windows of nothing": ({"benchmark_config.settle_window": 1}, "settle_window", "greater than or equal to 4"),
    "a tolerance of nothing": ({"benchmark_config.settle_tolerance": 0}, "settle_tolerance", "greater than 0"),
    "the highest sample": ({"benchmark_config.percentile": 100}, "benchmark_config.percentile", "less than or equal"),
    "a minimum above the maximum": (
        {**UNCOUNTED, "benchmark_config.min_duration_s": 30}, "benchmark_config.min_duration_s", "30: longer than max"
    ),
    "clocks the wrong way round": (
        {"benchmark_config.lock_gpu_clocks": [1800, 1500]},
        "benchmark_config.lock_gpu_clocks",
        "write the lower clock first",
    ),
    "one clock": ({"benchmark_config.lock_gpu_clocks": 1500}, "benchmark_config.lock_gpu_clocks", "1500"),
    "no period": ({"benchmark_config.telemetry_period_s": 0}, "benchmark_config.telemetry_period_s", "0.01"),
    "no time": ({"benchmark_config.phase_timeout_s": 0}, "benchmark_config.phase_timeout_s", "greater than 0"),
    "unknown model": ({"model_config.model_name": "resnet5"}, "model_config.model_name", "did you mean 'resnet50'?"),
    "unlike any model": ({"model_config.model_name": "zzz"}, "model_config.model_name", "known: "),
    "unknown dataset": (
        {"benchmark_config.use_synthetic": False, "benchmark_config.dataset": "shapes-detection-validatoin"},
        "benchmark_config.dataset",
        "did you mean 'shapes-detection-validation'?",
    ),
    "unknown calibration dataset": (
        {**CALIBRATED, "optimization_config.calib_images_dir": GONE, "optimization_config.calib_dataset": "zzz"},
        "optimization_config.calib_dataset",
        "known: ",
    ),
    "unknown backend": ({"optimization_config.backend": "lightrt"}, "optimization_config.backend", "mean 'litert'?"),
    "unknown precision": ({"optimization_config.precision_mode": "FP61"}, "precision_mode", "did you mean 'FP16'?"),
    "precision in small letters": ({"optimization_config.precision_mode": "fp16"}, "precision_mode", "mean 'FP16'?"),
    "backend and use_trt": ({"optimization_config.use_trt": True}, "optimization_config.use_trt", "contradicts"),
    "native LiteRT": (
        {"optimization_config.backend": "litert", "optimization_config.precision_mode": "native"},
        "optimization_config.precision_mode",
        "runs in TensorFlow",
    ),
    "FP16 TensorFlow": (
        {"optimization_config.backend": "tensorflow", "optimization_config.precision_mode": "FP16"},
        "optimization_config.precision_mode",
        'runs "native" alone',
    ),
    "segments of nothing": (
        {"optimization_config.minimum_segment_size": 0}, "optimization_config.minimum_segment_size", "0: at least 1",
    ),
    "a graph edit that is no switch": ({"optimization_config.replace_relu6": 1}, "replace_relu6", "1: "),
    "above max_batch_size": (
        {"benchmark_config.batch_size": 8, "optimization_config.max_batch_size": 4},
        "benchmark_config.batch_size",
        "8: max_batch_size is 4",
    ),
    "options of no postprocess": (
        {"model_config.postprocess_options": {"iou_threshold": 0.5}}, "postprocess_options", "goes with postprocess",
    ),
    "a negative category": ({"model_config.class_map": [1, -1]}, "model_config.class_map", "ids, 0 or more"),
    "an unknown class map": ({"model_config.class_map": "coco"}, "model_config.class_map", "should be 'coco80'"),
    "two batch sizes": ({"model_config.batch_size": 8}, "model_config.batch_size", "batch_size is 1"),
    "no data": ({"benchmark_config.use_synthetic": GONE}, "benchmark_config", "names no data"),
    "no task": (
        {"model_config": {"input_saved_model_dir": "own"}}, "model_config.task", "classification or detection",
    ),
    "sizes that differ in a batch": (
        {
            **OWN_IMAGES,
            "model_config": {"input_saved_model_dir": "own", "task": "classification"},
            "benchmark_config.image_shape": GONE,
            "benchmark_config.batch_size": 2,
        },
        "benchmark_config.image_shape",
        "missing: images of different sizes cannot share a batch of 2",
    ),
    "synthetic images without a shape": (
        {
            "model_config": {"input_saved_model_dir": "own", "task": "classification"},
            "benchmark_config.image_shape": GONE,
        },
        "benchmark_config.image_shape",
        "missing: synthetic images need a shape",
    ),
    "no such images": ({**OWN_IMAGES, "benchmark_config.images_dir": "no"}, "benchmark_config.images_dir", "'no'"),
    "no such annotations": (
        {**OWN_IMAGES, "benchmark_config.annotation_path": "no"}, "benchmark_config.annotation_path", "'no'",
    ),
    "no such labels": ({**OWN_IMAGES, "benchmark_config.labels_path": "no"}, "benchmark_config.labels_path", "'no'"),
    "images and a dataset": ({**OWN_IMAGES, "benchmark_config.dataset": "a"}, "benchmark_config.dataset", "'a'"),
    "no calibration images": (
        {**CALIBRATED, "optimization_config.calib_images_dir": GONE}, "calib_images_dir", "missing: INT8",
    ),
    "no such calibration images": (CALIBRATED, "optimization_config.calib_images_dir", "'calibration': no such folder"),
    "no such SavedModel": ({"model_config": {"input_saved_model_dir": "no"}}, "input_saved_model_dir", "'no'"),
    "an empty folder as a SavedModel": (
        {"model_config": {"input_saved_model_dir": "images"}},
        "model_config.input_saved_model_dir",
        "'images': is not a SavedModel: no saved_model.pb in it",
    ),
    "a file as a SavedModel": (
        {"model_config": {"input_saved_model_dir": "test.json"}}, "model_config.input_saved_model_dir", "'test.json'",
    ),
    "unknown matrix key": (
        {"matrix": {"optimization_config.precision": ["FP32"]}},
        "matrix.optimization_config.precision",
        "did you mean 'optimization_config.precision_mode'?",
    ),
    "a matrix value of the wrong type": (
        {"matrix": {"benchmark_config.batch_size": [1, "2"]}}, "benchmark_config.batch_size", '"2"',
    ),
    "an empty axis": ({"matrix": {"benchmark_config.seed": []}}, "matrix.benchmark_config.seed", "at least one value"),
    "a value twice": ({"matrix": {"benchmark_config.seed": [1, 1]}}, "matrix.benchmark_config.seed", "stands there"),
    "an axis that is no list": ({"matrix": {"benchmark_config.seed": 1}}, "matrix.benchmark_config.seed", "1"),
    "code as an assertion": (
        {"assertions": ["map > 0", "__import__('os').system('touch hacked')"]}, "assertions[1]", "is not allowed",
    ),
    "an unknown statistic": ({"assertions": ["topp1 > 0"]}, "assertions[0]", "did you mean 'top1'?"),
    "a broken assertion": ({"assertions": ["top1 >"]}, "assertions[0]", "not an expression"),
    "an assignment for a comparison": ({"assertions": ["top1 = 0.5"]}, "assertions[0]", "write `==`"),
    "C's and": ({"assertions": ["top1 > 0 && speedup > 1"]}, "assertions[0]", "write `and` for &&"),
    "a percentage": ({"assertions": ["top1 >= native.top1 - 1%"]}, "assertions[0]", "such as 0.01 for 1 %"),
    "a name with a slash": ({"name": "../name"}, "name", '"../name": letters, digits, '),
    "a shape of three": ({"benchmark_config.image_shape": [64, 64, 3]}, "image_shape", "2 numbers are needed, not 3"),
    "a function's path": ({"benchmark_config.wrap_session": "slow.py"}, "wrap_session", "package.module:function"),
    "a tmp_dir that cannot be": ({"benchmark_config.tmp_dir": "test.json/no"}, "tmp_dir", "'test.json/no'"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "words"), KEYS.values(), ids=KEYS)
def test_a_bad_value_is_refused_by_its_key(changes: dict[str, Any], key: str, words: str) -> None:
    Path("images").mkdir()
    Path("own").mkdir()
    Path("own/saved_model.pb").touch()
    assert_refused(run(write_config(changes)), "test.json", key + ": ", words)


def test_every_unknown_key_is_named_in_the_one_message() -> None:
    outcome = run(write_config({"benchmark_config.batchsize": 1, "optimization_config.precison_mode": "FP16"}))
    assert outcome.exit_code == 2
    assert outcome.stderr.count("error: ") == 1
    assert "benchmark_config.batchsize" in outcome.stderr
    assert "optimization_config.precison_mode" in outcome.stderr


SETTINGS = {
    "no value": ("benchmark_config.batch_size", "write KEY=VALUE"),
    "unknown key": ("benchmark_config.batchsize=1", "did you mean 'benchmark_config.batch_size'?"),
    "no section": ("precision_mode=FP16", "did you mean 'optimization_config.precision_mode'?"),
    "matrix of no list": ("matrix.benchmark_config.batch_size=8", "8: the matrix needs a list, such as [1, 8]"),
    "matrix of an unknown key": ("matrix.benchmark_config.batchsize=[8]", "did you mean 'benchmark_config.batch_size'"),
    "matrix that is none": ("matrix=8", "test.json: matrix: 8: input should be"),
    "wrong type": ("benchmark_config.batch_size=many", 'test.json: benchmark_config.batch_size: "many"'),
}


@pytest.mark.parametrize(("setting", "words"), SETTINGS.values(), ids=SETTINGS)
def test_a_bad_setting_is_refused(setting: str, words: str) -> None:
    assert_refused(run(write_config(), "--set", setting), words)


def test_a_setting_inside_a_section_that_is_none_is_refused() -> None:
    outcome = run(write_config({"model_config": 3}), "--set", "model_config.model_name=resnet50")
    assert_refused(outcome, "test.json: model_config: an object is needed, not a number")


def test_a_selection_of_no_case_is_refused() -> None:
    assert_refused(run(write_config(), "--select", "*INT8*"), "test.json: --select *INT8*", "resnet50-FP32-b1")


def test_one_bad_config_of_several_stops_all() -> None:
    assert_refused(run(write_config(path="good.json"), write_config({"name": 1}, "bad.json")), "bad.json: name: 1")


@pytest.mark.parametrize("folder", ["test.json", "test.json/results", "/proc/results"])
def test_results_that_cannot_be_written_are_refused(folder: str) -> None:
    assert_refused(
        run(write_config(), "--results", folder), f"{folder}: results cannot be written there: ", "--results"
    )


@pytest.mark.parametrize("key", ["benchmark_config.tmp_dir", "benchmark_config.output_path"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked")  # root may write anywhere
    folder = "locked" if key.endswith("tmp_dir") else "locked/out.json"
    assert_refused(run(write_config({key: folder})), f"{key}: nothing can be written in 'locked'", "name another")


def test_a_generated_dataset_that_cannot_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", "test.json/cache")
    name = "shapes-classification-validation"
    changes = {"benchmark_config.use_synthetic": GONE, "benchmark_config.dataset": name}
    assert_refused(run(write_config(changes)), "test.json/cache", "BENCH_CACHE")


def test_a_model_that_is_not_here_is_to_be_fetched() -> None:
    card = {
        "name": "remote", "description": "far away", "task": "detection", "image_shape": [8, 8],
        "source": {"url": "http://models.invalid/remote.tar.gz", "inside": "remote_2018/saved_model"},
    }  # fmt: skip
    Path("models").mkdir()
    Path("models/remote.json").write_text(json.dumps(card), encoding="utf-8")
    config = write_config({"model_config": {"model_name": "remote", "output_dir": "zoo"}})
    place = "zoo/remote/remote_2018/saved_model/saved_model.pb"
    assert_refused(run(config), "test.json: model_config.model_name", "http://models.invalid/remote.tar.gz", place)
    Path(place).parent.mkdir(parents=True)
    Path(place).touch()
    assert run(config, "--dry-run").exit_code == 0


def test_the_original_config_asks_for_its_model_then_for_what_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "gpus_and_driver", lambda: ((), None, None))
    Path("test.json").write_text(json.dumps(SEED), encoding="utf-8")
    place = "models/ssd_inception_v2_coco/ssd_inception_v2_coco_2018_01_28/saved_model/saved_model.pb"
    assert_refused(run("test.json"), "test.json: model_config.model_name", URL, place)
    Path(place).parent.mkdir(parents=True)
    Path(place).touch()
    assert_refused(run("test.json"), "test.json: optimization_config: TF-TRT cannot run", "no NVIDIA driver")


MISSING = {
    "driver": "no NVIDIA driver",
    "GPU": "no GPU: driver 580 shows none",
    "TensorFlow": "no TensorFlow: install",
    "new TensorFlow": "TensorFlow 2.18.0 has no TensorRT in it: 2.14 to 2.17 have",
    "build": "this build of TensorFlow 2.14.1 has no TensorRT in it",
    "TensorRT": "no TensorRT library (libnvinfer.so)",
}


@pytest.mark.parametrize("part", MISSING)
def test_use_trt_says_what_is_missing(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_info = tmp_path / "tensorflow/python/platform/build_info.py"
    build_info.parent.mkdir(parents=True)
    build_info.write_text(f"build_info = [('is_tensorrt_build', {part != 'build'})]", encoding="utf-8")
    spec = None if part == "TensorFlow" else SimpleNamespace(submodule_search_locations=[tmp_path / "tensorflow"])
    version = "2.18.0" if part == "new TensorFlow" else "2.14.1"
    gpus = () if part in ("driver", "GPU") else ("GPU",)
    monkeypatch.setattr(availability, "gpus_and_driver", lambda: (gpus, None if part == "driver" else "580", "13.0"))
    monkeypatch.setattr(availability, "tensorflow_version", lambda: version)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(availability, "_loads", lambda library: part != "TensorRT")
    outcome = run(write_config({"optimization_config": {"use_trt": True, "precision_mode": "FP16"}}))
    assert_refused(outcome, "test.json: optimization_config: TF-TRT cannot run on this machine: " + MISSING[part])
    assert "Remove use_trt to use LiteRT" in outcome.stderr  # "backend": "auto" beside it would change nothing
    assert not any(words in outcome.stderr for other, words in MISSING.items() if other != part)


def truncate(image: Path) -> None:
    """A photograph that says its size and lacks its end."""
    Image.effect_noise((64, 64), 50).save(image)
    image.write_bytes(image.read_bytes()[:-100])


def coco(images: list[str], image_ids: list[int]) -> str:
    """Annotations that list images, and name them by id."""
    listed = [{"id": number, "file_name": name, "height": 8, "width": 8} for number, name in enumerate(images)]
    boxes = [{"id": n, "image_id": i, "category_id": 1, "bbox": [0, 0, 1, 1]} for n, i in enumerate(image_ids)]
    return json.dumps({"images": listed, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]})


ANNOTATIONS = {
    "image that is not there": (coco(["0.jpg", "gone.jpg"], [0, 1]), "images/gone.jpg: no such image"),
    "image that is not listed": (coco(["0.jpg"], [0, 77]), "annotations.json: annotations name 1 images", "id 77"),
    "no annotations": ('{"images": []}', "annotations.json: not COCO annotations: annotations, categories missing"),
    "no sizes": (
        '{"images": [{"id": 0, "file_name": "0.jpg"}], "annotations": [{}], "categories": [{}]}',
        'annotations.json: images.0.height: {"id": 0, "file_name": "0.jpg"}: Field required',
    ),
    "not JSON": ("annotations", "annotations.json: not an annotation file"),
    "nested without end": ("[" * 200_000, "annotations.json: not an annotation file"),
    "a crowd in words": (
        coco(["0.jpg"], [0]).replace('"bbox"', '"iscrowd": "0", "bbox"'),
        'annotations.json: annotations.0.iscrowd: "0": must be 0 or 1',
    ),
    "a box of less than nothing": (
        coco(["0.jpg"], [0]).replace("[0, 0, 1, 1]", "[0, 0, -1, 1]"),
        "annotations.json: annotations.0.bbox.2: -1",
    ),
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations_that_do_not_fit_are_refused(name: str) -> None:
    text, *words = ANNOTATIONS[name]
    write_images("images")
    Path("annotations.json").write_text(text, encoding="utf-8")
    keys = {**OWN_IMAGES, "benchmark_config.annotation_path": "annotations.json", "model_config.task": "detection"}
    assert_refused(run(write_config(keys)), *words)


def test_data_of_another_task_are_refused() -> None:
    write_images("images")
    Path("annotations.json").write_text(coco(["0.jpg"], [0]), encoding="utf-8")
    keys = {**OWN_IMAGES, "benchmark_config.annotation_path": "annotations.json", "model_config.task": "classification"}
    assert_refused(run(write_config(keys)), "is of format 'coco'; classification needs 'labels'")


def test_boxes_that_are_found_in_a_crop_are_refused() -> None:
    write_images("images")
    Path("annotations.json").write_text(coco(["0.jpg"], [0]), encoding="utf-8")
    keys = {**OWN_IMAGES, "benchmark_config.annotation_path": "annotations.json", "model_config.task": "detection",
            "model_config.preprocess": "vgg"}  # fmt: skip
    assert_refused(run(write_config(keys)), "test.json: model_config.preprocess: 'vgg' crops pictures", "'letterbox'")


def test_a_label_that_is_no_number_is_refused() -> None:
    write_images("images")
    Path("labels.txt").write_text("0.jpg 1\n0.jpg cat\n", encoding="utf-8")
    assert_refused(run(write_config({**OWN_IMAGES, "benchmark_config.labels_path": "labels.txt"})), "labels.txt:2: ")


def test_a_folder_without_images_is_refused() -> None:
    Path("images").mkdir()
    assert_refused(run(write_config(OWN_IMAGES)), "no images in 'images'")


def test_a_truncated_image_is_refused() -> None:
    image = write_images("images", 2) / "1.jpg"
    truncate(image)
    assert_refused(run(write_config(OWN_IMAGES)), "images/1.jpg: cannot be decoded: ")


def test_a_truncated_calibration_image_is_refused() -> None:
    write_images("images", 2)
    image = write_images("calibration", 2, first_colour=100) / "1.jpg"
    truncate(image)
    assert_refused(run(write_config(CALIBRATED)), "calibration/1.jpg: cannot be decoded: ")


def test_calibration_on_evaluated_images_is_refused() -> None:
    write_images("images", 3)
    copy = write_images("calibration", 2, first_colour=100) / "copy.jpg"
    copy.write_bytes(Path("images/2.jpg").read_bytes())
    assert_refused(run(write_config(CALIBRATED)), "calibration/copy.jpg: calibrated on and evaluated (images/2.jpg)")


def test_calibration_on_images_beyond_num_images_is_allowed() -> None:
    write_images("images", 3)
    copy = write_images("calibration", 2, first_colour=100) / "copy.jpg"
    copy.write_bytes(Path("images/2.jpg").read_bytes())
    outcome = run(write_config({**CALIBRATED, "benchmark_config.num_images": 2}), "--results", "test.json")
    assert_refused(outcome, "test.json: results cannot be written there")


def bench_test(*arguments: str) -> Outcome:
    """python -m bench.test ARGUMENT..."""
    command = [sys.executable, "-m", "bench.test", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"benchmark_config.batch_size": 0}, "test.json: benchmark_config.batch_size: 0"),
        ({"assertions": ["__import__('os').system('touch hacked')"]}, "test.json: assertions[0]: "),
        (OWN_IMAGES, "images/0.jpg: cannot be decoded"),
    ],
    ids=["key", "assertion", "image"],
)
def test_the_program_refuses_as_the_function_does(changes: dict[str, Any], words: str) -> None:
    image = write_images("images") / "0.jpg"
    truncate(image)
    before = [*Path().rglob("*"), Path("test.json")]
    assert_refused(bench_test(write_config(changes)), words)
    assert set(Path().rglob("*")) == set(before)


def test_no_config_is_a_usage_error() -> None:
    outcome = bench_test()
    assert outcome.exit_code == 2
    assert "Missing argument" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow reads SavedModels")
def test_a_saved_model_of_other_content_is_refused_by_the_worker() -> None:
    Path("own").mkdir()
    Path("own/saved_model.pb").write_text("not a SavedModel", encoding="utf-8")
    model = {"input_saved_model_dir": "own", "task": "classification"}
    config = make_config({"model_config": model, "optimization_config": {"precision_mode": "native"}})
    Path("test.json").write_text(json.dumps(config), encoding="utf-8")
    outcome = bench("test", "test.json")
    assert outcome.exit_code == 2
    assert "own/saved_model.pb: not a SavedModel: " in outcome.stdout
    assert "Traceback" not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"class_folders": True}, ("benchmark_config.class_folders", "images_dir is missing")),
        ({"tfrecords": "gone/validation-*"}, ("benchmark_config.tfrecords", "no such files")),
        ({"images_dir": "images", "tfrecords": "x"}, ("benchmark_config.tfrecords", "images_dir is set too")),
        ({"images_dir": "images", "class_folders": True, "labels_path": "x"}, ("class_folders", "keep one of them")),
        ({"images_dir": "images", "first_label": 1}, ("benchmark_config.first_label", "goes with labels_path")),
        ({"images_dir": "images", "classes_path": "x"}, ("benchmark_config.classes_path", "goes with class_folders")),
        ({"tfrecords": "images"}, ("benchmark_config.tfrecords: 'images': no such files, but a folder",)),
        ({"images_dir": "images", "class_folders": True}, ("images: no folders in it; class_folders is for",)),
        ({"use_synthetic": True, "synthetic_mean": [1, 2, 3]}, ("synthetic_mean", "go together; set both")),
        ({"use_synthetic": True, "synthetic_mean": [1, 2, 300]}, ("synthetic_mean[2]", "300", "equal to 255")),
        ({"images_dir": "images", "synthetic_mean": [1, 2, 3]}, ("synthetic_mean", "goes with use_synthetic")),
    ],
)
def test_keys_of_data_that_do_not_fit_are_named(keys: dict[str, Any], words: tuple[str, ...]) -> None:
    write_images("images")
    changes = {"benchmark_config.use_synthetic": False, **{f"benchmark_config.{key}": v for key, v in keys.items()}}
    assert_refused(run(write_config(changes)), *words)


@pytest.mark.parametrize(("name", "words"), [
    ("vgg19", ("'raw'", "package.module:function", "did you mean 'vgg'?")),
    ("nowhere_at_all:f", ("model_config.preprocess", "cannot be imported")),
])  # fmt: skip
def test_a_preprocessing_that_is_not_there_is_named(name: str, words: tuple[str, ...]) -> None:
    assert_refused(run(write_config({"model_config.preprocess": name})), "model_config.preprocess", *words)
