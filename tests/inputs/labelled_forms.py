"""The same labelled images in each of the forms that a dataset may have."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench.case import Dataset

CLASSES = ("n01440764", "n01443537", "n01484850")
Images = list[tuple[str, int, bytes]]  # name, label and JPEG of each


def make_images(count: int = 24) -> Images:
    """Names in an order in which classes alternate."""
    made = []
    for number in range(count):
        file = io.BytesIO()
        pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3), np.uint8)
        Image.fromarray(pixels).save(file, "JPEG")
        made.append((f"ILSVRC2012_val_{number:08}.JPEG", number % len(CLASSES), file.getvalue()))
    return made


def as_labels(home: Path, images: Images) -> Dataset:
    _write(home / "flat", images)
    (home / "labels.txt").write_text("".join(f"{name} {label}\n" for name, label, _ in images), encoding="utf-8")
    return Dataset(name="l", format="labels", images_dir=str(home / "flat"), labels_path=str(home / "labels.txt"))


def as_table(home: Path, images: Images, classes: Sequence[str] = CLASSES) -> Dataset:
    _write(home / "table", images)
    (home / "synsets.txt").write_text("".join(f"{name} a word or two\n" for name in classes), encoding="utf-8")
    with (home / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("class", "path"), *((classes[label], name) for name, label, _ in images)])
    return Dataset(
        name="c", format="csv", images_dir=str(home / "table"), labels_path=str(home / "labels.csv"),
        classes_path=str(home / "synsets.txt"),
    )  # fmt: skip


def as_folders(home: Path, images: Images, classes: Sequence[str] = CLASSES) -> Dataset:
    for label, synset in enumerate(classes):
        _write(home / "folders" / synset, [image for image in images if image[1] == label])
    return Dataset(name="f", format="folders", images_dir=str(home / "folders"))


def as_records(home: Path, images: Images, classes: Sequence[str] = CLASSES, shards: int = 3) -> Dataset:
    """As the scripts of tf/models write ImageNet: by TensorFlow itself, labels from 1 on, other features beside."""
    import tensorflow as tf

    def feature(value: int | bytes) -> object:
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    size = -(-len(images) // shards)
    for shard in range(shards):
        with tf.io.TFRecordWriter(str(home / f"validation-{shard:05}-of-{shards:05}")) as writer:
            for name, label, data in images[shard * size : (shard + 1) * size]:
                values: dict[str, int | bytes] = {
                    "image/encoded": data, "image/class/label": label + 1, "image/filename": name.encode(),
                    "image/height": 20, "image/class/synset": classes[label].encode(), "image/colorspace": b"RGB",
                }  # fmt: skip
                features = tf.train.Features(feature={key: feature(value) for key, value in values.items()})
                writer.write(tf.train.Example(features=features).SerializeToString())
    return Dataset(name="t", format="tfrecords", pattern=str(home / "validation-?????-of-?????"), first_label=1)


def _write(folder: Path, images: Images) -> None:
    folder.mkdir(parents=True)
    for name, _, data in images:
        (folder / name).write_bytes(data)
