"""Labelled images in every form: the same images, the same labels, the same accuracy."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.accuracy.classification import TopK
from bench.backends.base import Signature, TensorSpec
from bench.case import Dataset
from bench.errors import DataError
from bench.inputs.batches import iterate_batches
from bench.inputs.check import check_data
from bench.inputs.images import load_image
from bench.inputs.items import list_items
from bench.inputs.labelled import classes_by_folder
from bench.inputs.tfrecords import masked_crc32c
from bench.record import Accuracy
from tests.inputs.labelled_forms import Images, as_folders, as_labels, as_records, as_table, make_images

FORMS = (as_labels, as_table, as_folders, as_records)
FLOAT32 = np.dtype(np.float32)


def evaluated(dataset: Dataset) -> Accuracy:
    """Top-1 of a fixed function of the pixels, which is right about as often as not."""
    weights = np.random.default_rng(1).normal(size=(8 * 8 * 3, 8)).astype(np.float32)
    metric = TopK(Signature((), (TensorSpec("probabilities", FLOAT32, (None, 8)),)), 0)
    load = lambda item: load_image(item, (8, 8), "vgg", FLOAT32, 0)  # noqa: E731
    for batch in iterate_batches(list_items(dataset, None), 5, load):
        metric.add(batch, {"probabilities": batch.images.reshape(5, -1) @ weights})
    return metric.result()


def test_every_form_gives_the_same_accuracy_to_the_last_digit(tmp_path: Path) -> None:
    found = [evaluated(make(tmp_path, make_images())) for make in FORMS]
    assert len({str(accuracy.metrics) for accuracy in found}) == 1
    assert 0 < found[0].metrics["top1"] < found[0].metrics["top5"] < 1
    assert {accuracy.num_images for accuracy in found} == {24}


@pytest.mark.parametrize("make", FORMS)
def test_every_form_has_each_image_with_its_label(
    tmp_path: Path, make: Callable[[Path, list[tuple[str, int, bytes]]], Dataset]
) -> None:
    images = make_images()
    items = list_items(make(tmp_path, images), None)
    found = {(hashlib.sha256(item.content()).hexdigest(), item.label) for item in items}
    assert found == {(hashlib.sha256(data).hexdigest(), label) for _, label, data in images}
    assert len({item.id for item in items}) == len(items)
    assert all(item.bytes_count == len(item.content()) for item in items)


def test_records_come_in_the_order_of_their_files_and_as_many_as_are_wanted(tmp_path: Path) -> None:
    images = make_images()
    dataset = as_records(tmp_path, images)
    assert [item.content() for item in list_items(dataset, 11)] == [data for _, _, data in images[:11]]
    assert check_data(dataset, 1000, None, None).count == len(images)


def test_folders_of_some_classes_keep_their_labels_by_the_list(tmp_path: Path) -> None:
    dataset = as_folders(tmp_path, [image for image in make_images() if image[1] == 2])
    (tmp_path / "folders" / "n01440764").rmdir()
    assert {item.label for item in list_items(dataset, None)} == {1}  # by the order of the folders that there are
    assert classes_by_folder(dataset) == sorted((tmp_path / "folders").iterdir())
    as_table(tmp_path, make_images())
    listed = dataset.model_copy(update={"classes_path": str(tmp_path / "synsets.txt")})
    assert {item.label for item in list_items(listed, None)} == {2}
    assert classes_by_folder(listed) is None


def test_a_folder_that_is_no_class_is_named(tmp_path: Path) -> None:
    as_table(tmp_path, make_images(3))
    dataset = as_folders(tmp_path, make_images(3))
    (tmp_path / "folders" / "zebra").mkdir()
    with pytest.raises(DataError, match=r"1 folders are no classes of .*synsets\.txt, such as 'zebra'"):
        list_items(dataset.model_copy(update={"classes_path": str(tmp_path / "synsets.txt")}), None)


@pytest.mark.parametrize("first", [0, 1])
def test_a_list_of_classes_may_number_its_lines(tmp_path: Path, first: int) -> None:
    dataset = as_folders(tmp_path, make_images())
    names = sorted(folder.name for folder in (tmp_path / "folders").iterdir())
    lines = [f"{number} {name} a shape" for number, name in enumerate(names, first)]
    (tmp_path / "classes.txt").write_text("\n".join(lines), encoding="utf-8")
    listed = dataset.model_copy(update={"classes_path": str(tmp_path / "classes.txt")})
    labels = [item.label for item in list_items(dataset, None)]
    assert [item.label for item in list_items(listed, None)] == labels
    (tmp_path / "classes.txt").write_text("\n".join(lines[::-1]), encoding="utf-8")
    with pytest.raises(DataError, match=r"folders are no classes of .*classes\.txt"):
        list_items(listed, None)


def test_numbers_that_a_numbered_list_of_classes_lacks_are_no_labels(tmp_path: Path) -> None:
    """Counted otherwise than the list is, they would be mixed with its own."""
    (tmp_path / "classes.txt").write_text("1 circle\n2 square\n", encoding="utf-8")
    dataset = Dataset(
        name="c", format="csv", labels_path=str(tmp_path / "l.csv"), classes_path=str(tmp_path / "classes.txt")
    )
    (tmp_path / "l.csv").write_text("path,label\na.jpg,1\nb.jpg,square\n", encoding="utf-8")
    assert [item.label for item in list_items(dataset, None)] == [0, 1]
    (tmp_path / "l.csv").write_text("path,label\na.jpg,1\nb.jpg,0\n", encoding="utf-8")
    told = r"l\.csv:3: the label '0' is no class of .*classes\.txt, which numbers them 1 to 2; without it, labels are"
    with pytest.raises(DataError, match=told):
        list_items(dataset, None)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,what\na.jpg,1\n", r"names no column label or class or class_id; it is file, what"),
        ("", "names no column path or .*; it is empty"),
        ("path,label\na.jpg,cat\n", r"labels\.csv:2: the label 'cat' is no whole number from 0 on; classes_path"),
        (
            f'path,label\n"{"a" * 200_000}',
            r"labels\.csv: cannot be read as a table in UTF-8: field larger than field limit",
        ),
        (f"path,label\na.jpg,{'9' * 5000}\n", r"labels\.csv:2: the label '9+' is no whole number"),
        ("path,class_id,label\na.jpg,1,2\n", "names label and class_id: rename those that are not meant"),
        ("path,file,label\na.jpg,a.jpg,2\n", "names path and file: rename those that are not meant"),
        ("path,label,label\na.jpg,1,2\n", "names label and label: rename"),
        ("path,label\na.jpg,\n", r"labels\.csv:2: a row needs a path and a label"),
        ("path,label\na.jpg,1\nb.jpg,0\n", r"labels\.csv:3: label 0, and labels begin at 1: see first_label"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    dataset = Dataset(name="c", format="csv", labels_path=str(tmp_path / "labels.csv"), first_label=1)
    with pytest.raises(DataError, match=message):
        list_items(dataset, None)


def framed(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc32c(head)) + data + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" * 4, "not a TFRecord file, or damaged: at byte 0, the length's checksum"),
        (
            gzip.compress(framed(b"\x0a\x00"), mtime=0),
            "compressed by gzip, and images are read where they lie: unpack it",
        ),
        (framed(b"\x0a\x00")[:-1], "ends within a record, which begins at byte 12"),
        (b"abc", "ends within a record, at byte 3"),
        (framed(b"\xff\xff\xff"), "record at byte 12: not a tf.train.Example"),
        (framed(b"\x0a\x7f"), "record at byte 12: not a tf.train.Example"),
        (framed(b"\x0a\x00"), "no image/encoded and no image/class/label; it has none"),
    ],
)
def test_a_damaged_record_is_named_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "validation-00000-of-00001").write_bytes(content)
    dataset = Dataset(name="t", format="tfrecords", pattern=str(tmp_path / "validation-*"), first_label=1)
    with pytest.raises(DataError, match=message):
        list_items(dataset, None)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_records_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    home = tmp_path_factory.mktemp("records")
    (home / "any").write_bytes(framed(data))
    with pytest.raises(DataError):
        list_items(Dataset(name="t", format="tfrecords", pattern=str(home / "any")), None)


def test_no_file_of_the_pattern_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file is called like '.*validation-\*'"):
        list_items(Dataset(name="t", format="tfrecords", pattern=str(tmp_path / "validation-*")), None)


def test_a_corrupt_image_in_a_record_is_named_by_its_place(tmp_path: Path) -> None:
    images = make_images(4)
    images[2] = (images[2][0], images[2][1], images[2][2][:200])
    dataset = as_records(tmp_path, images, shards=1)
    with pytest.raises(DataError, match=r"validation-00000-of-00001, bytes \d+ to \d+: cannot be decoded"):
        check_data(dataset, 100, None, None)
    checked = check_data(dataset, 100, None, None, max_corrupt=1)
    assert checked.count == 3 and [number for number, _ in checked.left_out] == [2]
    used = list_items(dataset.model_copy(update={"left_out": checked.left_out}), checked.count)
    assert [item.id for item in used] == [0, 1, 3]


def test_a_shard_that_is_not_there_is_missed(tmp_path: Path) -> None:
    dataset = as_records(tmp_path, make_images(), shards=3)
    gone = tmp_path / "validation-00001-of-00003"
    gone.unlink()
    with pytest.raises(DataError, match=f"1 files are not there, such as {gone}; to do without"):
        list_items(dataset, None)
    twice = dataset.model_copy(update={"pattern": f"{tmp_path}//validation-?????-of-?????"})
    with pytest.raises(DataError, match=r"1 files are not there, such as .*validation-00001-of-00003"):
        list_items(twice, None)
    some = dataset.model_copy(update={"pattern": str(tmp_path / "validation-0000[02]-of-*")})
    assert len(list_items(some, None)) == 16


def test_a_label_below_zero_is_told_as_it_is(tmp_path: Path) -> None:
    (name, _, data), *_ = make_images()
    with pytest.raises(DataError, match=r"validation-00000-of-00001.*: label -1, and labels begin at 1"):
        list_items(as_records(tmp_path, [(name, -2, data)], shards=1), None)


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    dataset = as_folders(tmp_path, make_images())
    wanted = list_items(dataset, None)
    (tmp_path / "folders" / ".ipynb_checkpoints").mkdir()
    assert list_items(dataset, None) == wanted


@pytest.mark.parametrize("make", [as_labels, as_table])
def test_a_text_may_begin_with_the_mark_of_its_encoding(
    tmp_path: Path, make: Callable[[Path, Images], Dataset]
) -> None:
    dataset = make(tmp_path, make_images())
    wanted = list_items(dataset, None)
    for path in filter(None, (dataset.labels_path, dataset.classes_path)):
        Path(path).write_bytes(codecs.BOM_UTF8 + Path(path).read_bytes())
    assert list_items(dataset, None) == wanted


def test_a_text_that_is_not_utf8_or_empty_is_named(tmp_path: Path) -> None:
    dataset = as_labels(tmp_path, make_images())
    for content, words in ((b"\xff\xfea", "labels.txt: not a text in UTF-8"), (b"", "no images in '.*labels.txt'")):
        Path(dataset.labels_path or "").write_bytes(content)
        with pytest.raises(DataError, match=words):
            list_items(dataset, None)
    table = as_table(tmp_path, make_images())
    Path(table.labels_path or "").write_bytes("path,label\ncafé.jpg,1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"\.csv: cannot be read as a table in UTF-8: 'utf-8' codec"):
        list_items(table, None)
