"""The shapes image sets: fixed pixels, disjoint splits, valid annotations, all-or-nothing writing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
sys.path.insert(0, str(DATASETS))

import shapes  # noqa: E402
import shapes_drawing  # noqa: E402

FIRST_20 = {
    "detection": "11d39eafcecfb5f853111b7a292e0619765ebb1cc37a7b6bae0e192cd22d9424",
    "classification": "3e97602867cc398b531ef697d2fdcc93b36d18a8168376ad9c8375af817efe38",
}


def _card(task: str, split: str) -> dict[str, Any]:
    return json.loads((DATASETS / f"shapes-{task}-{split}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DATASETS / "shapes.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("task", shapes.TASKS)
def test_first_images_have_the_pinned_hash(task: str) -> None:
    assert shapes.pixels_sha256(shapes.samples(task, "validation", 20)) == FIRST_20[task]


@pytest.mark.parametrize("split", ["validation", "calibration"])
@pytest.mark.parametrize("task", shapes.TASKS)
def test_whole_split_has_the_hash_and_count_in_its_card(task: str, split: str) -> None:
    card = _card(task, split)
    assert shapes.pixels_sha256(shapes.samples(task, split)) == card["source"]["pixels_sha256"]
    assert card["num_images"] == shapes.COUNTS[task, split]
    assert card["source"]["arguments"] == ["--task", task, "--split", split]


@pytest.mark.parametrize("task", shapes.TASKS)
def test_cards_name_their_calibration_card(task: str) -> None:
    assert _card(task, "validation")["calibration"] == _card(task, "calibration")["name"]
    assert _card(task, "calibration")["calibration"] is None


@pytest.mark.parametrize("task", shapes.TASKS)
def test_splits_share_no_image(task: str) -> None:
    seen = [
        hashlib.sha256(item.pixels.tobytes()).hexdigest()
        for split in shapes.SPLITS
        for item in shapes.samples(task, split, 150)
    ]
    assert len(set(seen)) == len(seen)


def test_classes_are_balanced() -> None:
    labels = Counter(item.labels[0].kind for item in shapes.samples("classification", "validation", 400))
    assert labels == dict.fromkeys(range(8), 50)
    objects = Counter(label.kind for item in shapes.samples("detection", "validation", 200) for label in item.labels)
    mean = sum(objects.values()) / 8
    assert len(objects) == 8
    assert all(0.7 * mean < number < 1.3 * mean for number in objects.values())


def test_detection_folder_is_valid_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    out = tmp_path / "deep" / "set"
    assert shapes.main(["--task", "detection", "--split", "calibration", "--out", str(out), "--count", "30"]) == 0
    coco = COCO(str(out / "annotations" / "instances.json"))
    capsys.readouterr()
    assert len(coco.getImgIds()) == 30
    assert [coco.cats[number]["name"] for number in range(1, 9)] == list(shapes_drawing.CLASSES)
    annotations = coco.dataset["annotations"]
    assert len({row["id"] for row in annotations}) == len(annotations)
    assert {row["image_id"] for row in annotations} == set(coco.getImgIds())
    for row in annotations:
        _check_annotation(row, coco.imgs[row["image_id"]])


def _check_annotation(row: dict[str, Any], image: dict[str, Any]) -> None:
    x, y, width, height = row["bbox"]
    assert 0 <= x < x + width <= image["width"]
    assert 0 <= y < y + height <= image["height"]
    assert 0 < row["area"] <= width * height
    assert row["iscrowd"] == 0
    assert 1 <= row["category_id"] <= 8


@pytest.mark.parametrize("task", shapes.TASKS)
def test_written_images_hold_the_generated_pixels(task: str, tmp_path: Path) -> None:
    out = tmp_path / "set"
    digest = shapes.write_split(task, "calibration", out, 5)
    items = list(shapes.samples(task, "calibration", 5))
    assert digest == shapes.pixels_sha256(items)
    files = sorted((out / "images").iterdir())
    assert [file.name for file in files] == [f"{index:06d}.png" for index in range(5)]
    for file, item in zip(files, items, strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), item.pixels)


def test_classification_folder_lists_paths_and_labels(tmp_path: Path) -> None:
    out = tmp_path / "set"
    shapes.write_split("classification", "calibration", out, 8)
    lines = [line.split() for line in (out / "labels.txt").read_text(encoding="utf-8").splitlines()]
    assert all((out / path).is_file() for path, _ in lines)
    assert sorted(int(label) for _, label in lines) == list(range(8))
    assert (out / "classes.txt").read_text(encoding="utf-8").split() == list(shapes_drawing.CLASSES)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_interrupted_generation_leaves_nothing(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shapes.detection_sample

    def broken(split: str, index: int) -> shapes.Sample:
        if index == 3:
            raise error
        return whole(split, index)

    monkeypatch.setattr(shapes, "detection_sample", broken)
    with pytest.raises(error):
        shapes.write_split("detection", "train", tmp_path / "set", 5)
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x", encoding="utf-8")
    with pytest.raises(FileExistsError):
        shapes.write_split("detection", "train", tmp_path, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--task", "segmentation", "--split", "train", "--out", "NEW"],
        ["--task", "detection", "--split", "test", "--out", "NEW"],
        ["--task", "detection", "--split", "train"],
        ["--task", "detection", "--split", "train", "--out", "NEW", "--count", "0"],
        ["--task", "detection", "--split", "train", "--out", "NEW", "--count", "many"],
        ["--task", "detection", "--split", "train", "--out", "."],
    ],
)
def test_wrong_arguments_are_a_usage_error(arguments: list[str], tmp_path: Path) -> None:
    new = tmp_path / "new"
    result = _run(*(str(new) if word == "NEW" else word for word in arguments))
    assert result.returncode == 2
    assert "usage:" in result.stderr
    assert "Traceback" not in result.stderr
    assert not new.exists()


def test_command_prints_count_and_hash(tmp_path: Path) -> None:
    out = tmp_path / "set"
    result = _run("--task", "classification", "--split", "validation", "--out", str(out), "--count", "20")
    assert result.returncode == 0
    assert json.loads(result.stdout) == {"images": 20, "pixels_sha256": FIRST_20["classification"]}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", shapes_drawing.CLASSES)
def test_every_shape_stays_within_its_radius(kind: str) -> None:
    for angle in range(0, 256, 32):
        mark = shapes_drawing.stamp(shapes_drawing.Placement(kind, 256, 256, 160, 160, angle), 128)
        left, top, width, height = shapes_drawing.box_of(mark.coverage >= 2)
        assert 38 <= width <= 102 and 38 <= height <= 102
        assert left > 0 and top > 0 and mark.coverage[0].max() == 0 and mark.coverage[:, -1].max() == 0
