"""Images are checked before anything is measured."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from bench.case import Dataset
from bench.errors import DataError
from bench.inputs.annotations import check_annotations
from bench.inputs.check import Checked, check_data
from bench.inputs.items import choose_items, list_items
from tests.faults import ROOT


def folder_of(path: Path, first: int, count: int, suffix: str = "jpg") -> Dataset:
    """A folder of images that all differ."""
    path.mkdir()
    for number in range(first, first + count):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{number}.{suffix}")
    return Dataset(name=path.name, format="images", images_dir=str(path))


def test_counts_the_images_that_will_be_evaluated(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path / "val", 0, 5)
    assert check_data(dataset, 100, None, None) == Checked(5, ())
    assert check_data(dataset, 3, None, None) == Checked(3, ())


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    dataset = folder_of(tmp_path / "val", 0, 3, suffix)
    broken = tmp_path / "val" / f"1.{suffix}"
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"val/1\.{suffix}: cannot be decoded"):
        check_data(dataset, 100, None, None)


def test_an_image_beyond_the_first_ones_is_not_looked_at(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path / "val", 0, 3)
    (tmp_path / "val" / "2.jpg").write_bytes(b"")
    assert check_data(dataset, 2, None, None).count == 2


def test_an_image_that_the_labels_name_but_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("gone.jpg 1\n", encoding="utf-8")
    dataset = Dataset(name="own", format="labels", labels_path=str(tmp_path / "labels.txt"))
    with pytest.raises(DataError, match=r"gone\.jpg: no such image"):
        check_data(dataset, 100, None, None)


REPETITIONS = {
    "contradicting": ("3", "and their labels differ: remove the wrong one"),
    "alike": ("1", "which would count twice: remove one of them"),
}


@pytest.mark.parametrize(("again", "told"), REPETITIONS.values(), ids=REPETITIONS)
@pytest.mark.parametrize("kind", ["labels", "csv"])
def test_an_image_that_is_listed_twice_is_named_with_both_lines(
    tmp_path: Path, kind: Literal["labels", "csv"], again: str, told: str
) -> None:
    images = folder_of(tmp_path / "val", 0, 3).images_dir
    rows = [("0.jpg", "1"), ("1.jpg", "2"), ("2.jpg", "1"), ("./0.jpg", again)]
    header, between = ([("path", "label")], ",") if kind == "csv" else ([], " ")
    listed = tmp_path / "listed"
    listed.write_text("".join(f"{name}{between}{label}\n" for name, label in [*header, *rows]), encoding="utf-8")
    dataset = Dataset(name="own", format=kind, images_dir=images, labels_path=str(listed))
    first = 1 + len(header)
    lines = f"{listed}: lines {first} and {first + 3} are of one image, {tmp_path}/val/0.jpg, {told}"
    with pytest.raises(DataError, match=re.escape(lines)):
        check_data(dataset, None, None, None)
    assert check_data(dataset, 3, None, None).count == 3


def test_a_truncated_calibration_image_is_named(tmp_path: Path) -> None:
    dataset, calibration = folder_of(tmp_path / "val", 0, 2), folder_of(tmp_path / "train", 10, 2)
    (tmp_path / "train" / "11.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"train/11\.jpg"):
        check_data(dataset, 100, calibration, None)


def test_synthetic_images_to_calibrate_with_fill_a_batch_too(tmp_path: Path) -> None:
    dataset, calibration = folder_of(tmp_path / "val", 0, 2), Dataset(name="synthetic", format="synthetic")
    assert check_data(dataset, 100, calibration, None, batch=4).count == 2
    with pytest.raises(DataError, match="2 calibration images do not fill one batch of calib_batch_size 4"):
        check_data(dataset, 100, calibration, 2, batch=4)


def test_images_of_another_split_may_calibrate(tmp_path: Path) -> None:
    dataset, calibration = folder_of(tmp_path / "val", 0, 4), folder_of(tmp_path / "train", 10, 4)
    assert check_data(dataset, 100, calibration, None).count == 4


def test_an_image_under_another_name_in_both_splits_is_refused(tmp_path: Path) -> None:
    dataset, calibration = folder_of(tmp_path / "val", 0, 4), folder_of(tmp_path / "train", 10, 4)
    shutil.copy(tmp_path / "val" / "2.jpg", tmp_path / "train" / "zebra.jpg")
    with pytest.raises(DataError, match=r"train/zebra\.jpg: calibrated on and evaluated \(.*val/2\.jpg\)"):
        check_data(dataset, 100, calibration, None)


def test_only_images_that_are_used_can_overlap(tmp_path: Path) -> None:
    dataset, calibration = folder_of(tmp_path / "val", 0, 4), folder_of(tmp_path / "train", 10, 5)
    items = list_items(calibration, None)
    (unused,) = set(items) - set(choose_items(items, 4, seed=7))
    assert unused.path is not None
    shutil.copy(tmp_path / "val" / "2.jpg", unused.path)
    assert check_data(dataset, 100, calibration, 4, seed=7).count == 4
    with pytest.raises(DataError, match="calibrated on and evaluated"):
        check_data(dataset, 100, calibration, 5, seed=7)


def test_images_of_one_size_in_bytes_do_not_overlap_by_that(tmp_path: Path) -> None:
    for name, value in (("val", 0), ("train", 255)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4), (value, 0, 0)).save(tmp_path / name / "a.bmp.png", compress_level=0)
    sizes = {path.stat().st_size for path in tmp_path.rglob("*.png")}
    assert len(sizes) == 1
    dataset, calibration = (
        Dataset(name=name, format="images", images_dir=str(tmp_path / name)) for name in ("val", "train")
    )
    assert check_data(dataset, 100, calibration, None).count == 1


@pytest.mark.parametrize(
    ("good", "code", "answer"), [(True, 0, {"num_images": 2}), (False, 2, {"error": "0.jpg: cannot be decoded"})]
)
def test_as_a_program_it_answers_in_json(tmp_path: Path, good: bool, code: int, answer: dict[str, Any]) -> None:
    dataset = folder_of(tmp_path / "val", 0, 2)
    if not good:
        (tmp_path / "val" / "0.jpg").write_bytes(b"")
    request = {
        "dataset": dataset.model_dump(),
        "num_images": 9,
        "calibration": None,
        "num_calibration": None,
        "seed": 0,
        "calib_batch_size": 1,
        "preprocess": "raw",
        "postprocessed": None,
        "max_corrupt": 0,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.inputs.check"],
        cwd=ROOT,
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    ((key, value),) = answer.items()
    assert str(value) in str(json.loads(done.stdout)[key])


def test_corrupt_images_are_named_counted_and_refused_above_a_bound(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path / "val", 0, 9)
    for number in (1, 3, 4, 5, 6, 7, 8):
        (tmp_path / "val" / f"{number}.jpg").write_bytes(b"no image")
    with pytest.raises(
        DataError, match=r"7 of 9 images cannot be used, max_corrupt_images allows 6: .*1\.jpg.*and 2 more$"
    ):
        check_data(dataset, 100, None, None, max_corrupt=6)
    checked = check_data(dataset, 100, None, None, max_corrupt=7)
    assert checked.count == 2
    assert [number for number, _ in checked.left_out] == [1, 3, 4, 5, 6, 7, 8]
    assert all(f"{number}.jpg: cannot be decoded" in problem for number, problem in checked.left_out)


def test_not_all_images_may_be_corrupt(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path / "val", 0, 1)
    (tmp_path / "val" / "0.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be used"):
        check_data(dataset, 100, None, None, max_corrupt=10)


def test_an_image_of_another_size_than_its_annotation_says_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path / "val", 0, 1)
    listed = {
        "images": [{"id": 5, "file_name": "0.jpg", "height": 99, "width": 16}],
        "annotations": [{"image_id": 5, "category_id": 1, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(listed), encoding="utf-8")
    dataset = Dataset(
        name="val", format="coco", images_dir=str(tmp_path / "val"), annotation_path=str(tmp_path / "instances.json")
    )
    with pytest.raises(DataError, match=r"0\.jpg: has 16 x 16 pixels, and its annotation says 16 x 99"):
        check_data(dataset, 100, None, None)


WHOLE: dict[str, Any] = {
    "images": [{"id": 5, "file_name": "0.jpg", "height": 16, "width": 16}],
    "annotations": [
        {"id": 0, "image_id": 5, "category_id": 1, "bbox": [0, 0, 9.5, 9], "iscrowd": 0, "segmentation": []}
    ],
    "categories": [{"id": 1, "name": "cup", "supercategory": "kitchen"}],
}


def boxed(*boxes: list[float]) -> dict[str, Any]:
    """WHOLE, whose picture has 16 x 16 pixels, with these boxes."""
    return {**WHOLE, "annotations": [{"image_id": 5, "category_id": 1, "bbox": box} for box in boxes]}


def test_boxes_given_as_shares_of_their_picture_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "instances.json"
    shares: list[list[float]] = [[0.1, 0.1, 0.4, 0.5], [0, 0, 1, 1]]
    file.write_text(json.dumps(boxed(*shares)), encoding="utf-8")
    told = f"{file}: annotations: all 2 boxes lie in their picture's first pixel: COCO's are in pixels"
    with pytest.raises(DataError, match=re.escape(told)):
        check_annotations(str(file))
    for sound in ([*shares, [0, 0, 2, 1]], [[0, 0, 1, 1]]):
        file.write_text(json.dumps(boxed(*sound)), encoding="utf-8")
        check_annotations(str(file))


def test_an_image_that_annotations_list_under_two_ids_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path / "val", 0, 2)
    file = tmp_path / "instances.json"
    again = {**WHOLE["images"][0], "id": 9}
    file.write_text(json.dumps({**WHOLE, "images": [*WHOLE["images"], again]}), encoding="utf-8")
    data = Dataset(name="val", format="coco", images_dir=str(tmp_path / "val"), annotation_path=str(file))
    told = f"{file}: images: ids {WHOLE['images'][0]['id']} and 9 are of one image, "
    with pytest.raises(DataError, match=re.escape(told)):
        check_data(data, None, None, None)
    assert check_data(data, 1, None, None).count == 1


def test_boxes_given_as_two_corners_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "instances.json"
    corners: list[list[float]] = [[1, 1, 4, 4], [8, 8, 15, 15], [2, 9, 9, 16], [10, 3, 16, 12], [9, 9, 12, 12]]
    file.write_text(json.dumps(boxed(*corners)), encoding="utf-8")
    told = f"{file}: annotations: 4 of 5 boxes leave their picture, and none would if bbox were x1, y1, x2, y2: COCO's"
    with pytest.raises(DataError, match=re.escape(told)):
        check_annotations(str(file))
    sound = [[x, y, c - x, d - y] for x, y, c, d in corners]
    rounded = [[x, y, w + 1.5, h + 1.5] for x, y, w, h in sound]
    for boxes in (sound, rounded, corners[:4], [*corners, [12, 1, 2, 3]], [[1, 1, 15, 15]] * 9 + [[9, 9, 12, 12]]):
        file.write_text(json.dumps(boxed(*boxes)), encoding="utf-8")
        check_annotations(str(file))


@pytest.mark.parametrize(("key", "change", "words"), [
    ("images", {"id": "5"}, 'images.0.id: "5": Input should be a valid integer'),
    ("images", {"id": 2**60}, "images.0.id: 1152921504606846976: Input should be less than"),
    ("images", {"width": "16"}, 'images.0.width: "16": Input should be a valid number'),
    ("images", {"height": None}, "images.0.height: null: Input should be a valid number"),
    ("annotations", {"image_id": None}, "annotations.0.image_id: null: Input should be a valid integer"),
    ("annotations", {"bbox": [1, 2, 3]}, "annotations.0.bbox.3: "),
    ("annotations", {"bbox": [1, 2, 3, float("nan")]}, "annotations.0.bbox.3: NaN: Input should be a finite number"),
    ("categories", {"id": "1"}, 'categories.0.id: "1": Input should be a valid integer'),
    ("categories", {"name": None}, "categories.0.name: null: Input should be a valid string"),
])  # fmt: skip
def test_annotations_that_are_not_as_coco_s_are_named(
    tmp_path: Path, key: str, change: dict[str, Any], words: str
) -> None:
    folder_of(tmp_path / "val", 0, 1)
    file = tmp_path / "instances.json"
    data = Dataset(name="val", format="coco", images_dir=str(tmp_path / "val"), annotation_path=str(file))
    file.write_text(json.dumps(WHOLE), encoding="utf-8")
    assert check_data(data, None, None, None).count == 1
    for content, told in (
        ({**WHOLE, key: [{**WHOLE[key][0], **change}]}, words),
        ({**WHOLE, "categories": WHOLE["categories"] * 2}, "categories: id 1 is there 2 times"),
        ({**WHOLE, "annotations": []}, "annotations is empty: there is nothing to evaluate"),
    ):
        file.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(DataError, match=re.escape(f"{file}: {told}")):
            check_data(data, None, None, None)
