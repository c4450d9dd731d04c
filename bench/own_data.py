"""Images that a config itself describes, without a card."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from bench.case import Dataset, DatasetFormat
from bench.sections.data import DataKeys, SyntheticKeys
from bench.sources import Problem, plain

NEED_IMAGES = ("annotation_path", "labels_path", "class_folders")
KINDS = (*NEED_IMAGES, "tfrecords")  # keys that say what an image is labelled with; one of them at most


def own_dataset(benchmark: DataKeys, problem: Problem) -> Dataset | None:
    """The dataset that `images_dir` or `tfrecords` describes; None where the config names neither."""
    given = [key for key in KINDS if getattr(benchmark, key)]
    _check_keys(benchmark, given, problem)
    if benchmark.images_dir is None and benchmark.tfrecords is None:
        return None
    for key, what in _missing(benchmark):
        raise problem(f"benchmark_config.{key}", f"{getattr(benchmark, key)!r}: no such {what}")
    kind = _format(benchmark)
    first = benchmark.first_label if benchmark.first_label is not None else int(kind == "tfrecords")
    return Dataset(
        name=plain(Path(benchmark.images_dir or Path(benchmark.tfrecords or "").parent).resolve().name),
        format=kind,
        images_dir=benchmark.images_dir,
        annotation_path=benchmark.annotation_path,
        labels_path=benchmark.labels_path,
        classes_path=benchmark.classes_path,
        pattern=benchmark.tfrecords,
        first_label=first,
    )


def synthetic(benchmark: SyntheticKeys, problem: Problem) -> Dataset:
    """Random images, drawn to the statistics that the config gives."""
    mean, deviation = benchmark.synthetic_mean, benchmark.synthetic_deviation
    if (mean is None) != (deviation is None):
        given = "synthetic_deviation" if mean is None else "synthetic_mean"
        raise problem(f"benchmark_config.{given}", "synthetic_mean and synthetic_deviation go together; set both")
    return Dataset(name="synthetic", format="synthetic", mean=mean, deviation=deviation)


def _check_keys(benchmark: DataKeys, given: list[str], problem: Problem) -> None:
    """Keys that contradict each other, or mean nothing without another."""
    if benchmark.dataset is not None:
        for key in ("images_dir", "tfrecords"):
            if getattr(benchmark, key) is not None:
                raise problem("benchmark_config.dataset", f"{benchmark.dataset!r}: {key} is set too; keep one of them")
    if len(given) > 1:
        raise problem(f"benchmark_config.{given[1]}", f"{given[0]} is set too; keep one of them")
    if benchmark.tfrecords is not None and benchmark.images_dir is not None:
        raise problem("benchmark_config.tfrecords", "images_dir is set too; keep one of them")
    for key in given:
        if key in NEED_IMAGES and benchmark.images_dir is None:
            raise problem(f"benchmark_config.{key}", "images_dir is missing: it says where the images lie")
    if benchmark.first_label is not None and not {"labels_path", "tfrecords"} & set(given):
        raise problem("benchmark_config.first_label", "goes with labels_path or tfrecords, and neither is set")
    if benchmark.classes_path is not None and not (benchmark.class_folders or _is_table(benchmark)):
        raise problem("benchmark_config.classes_path", "goes with class_folders, or a labels_path that ends in .csv")


def _missing(benchmark: DataKeys) -> Iterator[tuple[str, str]]:
    """Keys whose file or folder is not there, and which of the two it should be."""
    if benchmark.images_dir is not None and not Path(benchmark.images_dir).is_dir():
        yield "images_dir", "folder"
    for key in ("annotation_path", "labels_path", "classes_path"):
        value = getattr(benchmark, key)
        if value is not None and not Path(value).is_file():
            yield key, "file"
    if benchmark.tfrecords is not None and not glob.glob(benchmark.tfrecords):
        yield "tfrecords", "files"
    elif benchmark.tfrecords is not None and Path(benchmark.tfrecords).is_dir():
        yield (
            "tfrecords",
            "files, but a folder: name them by a pattern, FOLDER/validation-?????-of-?????",
        )


def _format(benchmark: DataKeys) -> DatasetFormat:
    if benchmark.tfrecords is not None:
        return "tfrecords"
    if benchmark.annotation_path is not None:
        return "coco"
    if benchmark.class_folders:
        return "folders"
    if benchmark.labels_path is None:
        return "images"
    return "csv" if _is_table(benchmark) else "labels"


def _is_table(benchmark: DataKeys) -> bool:
    return (benchmark.labels_path or "").lower().endswith(".csv")
