"""What a dataset lists, in which order, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.case import Dataset
from bench.errors import DataError
from bench.inputs.cases import items_sha256
from bench.inputs.item import Item
from bench.inputs.items import choose_items, list_items


def coco(folder: Path, data: Any) -> Dataset:
    path = folder / "instances.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return Dataset(name="own", format="coco", images_dir=str(folder / "images"), annotation_path=str(path))


def labels(folder: Path, text: str) -> Dataset:
    path = folder / "labels.txt"
    path.write_text(text, encoding="utf-8")
    return Dataset(name="own", format="labels", labels_path=str(path))


def image(number: int) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number}.jpg", "height": 4, "width": 5}


def instances(**changes: Any) -> dict[str, Any]:
    return {"images": [image(30), image(4), image(17)], "annotations": [], "categories": [], **changes}


def test_coco_images_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    items = list_items(coco(tmp_path, instances()), None)
    assert items == tuple(Item(i, tmp_path / "images" / f"{i}.jpg", size=(4, 5)) for i in (4, 17, 30))


def test_the_first_images_are_taken_after_ordering(tmp_path: Path) -> None:
    assert [item.id for item in list_items(coco(tmp_path, instances()), 2)] == [4, 17]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "not an annotation file"),
        ([], "all missing"),
        ({"images": []}, "annotations, categories missing"),
        (instances(images=[{"file_name": "a.jpg"}]), "no 'id'"),
        (instances(images=[{"id": 1}]), "no 'file_name'"),
        (instances(images=[{"id": 1, "file_name": "a.jpg"}]), "no 'height'"),
        (instances(annotations=[{"bbox": [0, 0, 1, 1]}]), "no 'image_id'"),
        (instances(annotations=[{"image_id": 5}]), "1 images that it does not list, such as id 5"),
        (instances(images=[]), "no images in"),
    ],
)
def test_bad_coco_annotations_are_refused(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list_items(coco(tmp_path, data), None)


def test_labels_keep_their_lines_order_and_may_have_spaces_in_paths(tmp_path: Path) -> None:
    items = list_items(labels(tmp_path, "b/my cat.jpg 281\n\na.jpg 0\n"), None)
    assert [(item.path, item.label) for item in items] == [(tmp_path / "b/my cat.jpg", 281), (tmp_path / "a.jpg", 0)]


def test_labels_name_images_relative_to_images_dir(tmp_path: Path) -> None:
    dataset = labels(tmp_path, "a.jpg 3\n").model_copy(update={"images_dir": "/elsewhere"})
    assert list_items(dataset, None)[0].path == Path("/elsewhere/a.jpg")


@pytest.mark.parametrize("line", ["a.jpg", "a.jpg cat", "a.jpg -1", "a.jpg 1.5", " 7"])
def test_a_line_without_path_and_label_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"labels\.txt:2: "):
        list_items(labels(tmp_path, f"ok.jpg 1\n{line}\n"), None)


@pytest.mark.parametrize(
    "dataset",
    [
        Dataset(name="gone", format="labels", labels_path="nowhere/labels.txt"),
        Dataset(name="gone", format="coco", annotation_path="nowhere/instances.json"),
        Dataset(name="gone", format="images", images_dir="nowhere"),
    ],
    ids=lambda dataset: dataset.format,
)
def test_a_dataset_that_is_not_there_is_named(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="nowhere"):
        list_items(dataset, None)


def test_a_folder_lists_its_images_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "c.jpeg", "notes.txt", "d.json", "e.webp", "f.BMP", "Thumbs.db"):
        (tmp_path / name).touch()
    items = list_items(Dataset(name="own", format="images", images_dir=str(tmp_path)), None)
    assert [item.path.name for item in items if item.path] == ["a.jpg", "b.PNG", "c.jpeg", "e.webp", "f.BMP"]
    assert [(item.id, item.label) for item in items] == [(number, None) for number in range(5)]


def test_a_folder_of_folders_is_told_what_they_are_for(tmp_path: Path) -> None:
    dataset = Dataset(name="own", format="images", images_dir=str(tmp_path))
    with pytest.raises(DataError, match=f"no images in '{tmp_path}'$"):
        list_items(dataset, None)
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=r"; class_folders is for a folder for each class$"):
        list_items(dataset, None)


def test_synthetic_items_are_as_many_as_asked_for() -> None:
    items = list_items(Dataset(name="synthetic", format="synthetic"), 3)
    assert items == (Item(0, None), Item(1, None), Item(2, None))


def test_what_synthetic_images_are_drawn_to_is_part_of_their_hash() -> None:
    """By it calibration tables are kept."""
    plain = Dataset(name="synthetic", format="synthetic")
    drawn = plain.model_copy(update={"mean": (1.0, 2.0, 3.0), "deviation": (4.0, 5.0, 6.0)})
    other = drawn.model_copy(update={"deviation": (4.0, 5.0, 7.0)})
    assert len({items_sha256(list_items(dataset, 3)) for dataset in (plain, drawn, other)}) == 3


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 9))
def test_a_choice_is_of_that_size_in_order_and_the_same_for_a_seed(available: int, count: int, seed: int) -> None:
    items = [Item(number, None) for number in range(available)]
    chosen = choose_items(items, count, seed)
    assert len(chosen) == min(available, count) == len(set(chosen))
    assert list(chosen) == sorted(chosen, key=lambda item: item.id)
    assert chosen == choose_items(items, count, seed)


def test_a_choice_is_not_the_first_ones_and_depends_on_the_seed() -> None:
    items = [Item(number, None) for number in range(100)]
    choices = {choose_items(items, 10, seed) for seed in range(5)}
    assert len(choices) == 5
    assert tuple(items[:10]) not in choices
