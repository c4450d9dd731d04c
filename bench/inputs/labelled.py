"""Labelled images as files: by lines of a text, rows of a table, or a folder for each class."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.case import Dataset
from bench.errors import DataError
from bench.inputs.item import Item, is_image, label_from

PATH_COLUMNS = ("path", "file_name", "filename", "file", "image")
LABEL_COLUMNS = ("label", "class", "class_id")
DIGITS = 18  # of the largest label


def label_items(dataset: Dataset) -> Iterator[Item]:
    """Of a text with lines "path label"."""
    path = Path(dataset.labels_path or "")
    folder = Path(dataset.images_dir or path.parent)
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        name, _, label = line.rpartition(" ")
        if not name or not _is_label(label):
            raise DataError(f"{path}:{number}: {line!r}: a line is a path, a space and a label from 0 on")
        yield Item(number, folder / name, label_from(int(label), dataset, f"{path}:{number}"))


def table_items(dataset: Dataset) -> Iterator[Item]:
    """Of a CSV table whose first row names its columns; a label is a number, or a class of `classes_path`."""
    path = Path(dataset.labels_path or "")
    folder = Path(dataset.images_dir or path.parent)
    classes = _classes(dataset)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            rows = csv.DictReader(file)
            columns = [_column(path, rows.fieldnames or (), known) for known in (PATH_COLUMNS, LABEL_COLUMNS)]
            for row in rows:
                name, label = (row[column] for column in columns)
                where = f"{path}:{rows.line_num}"
                if not name or not label:
                    raise DataError(f"{where}: a row needs a {columns[0]} and a {columns[1]}")
                yield Item(rows.line_num, folder / name, _label(label.strip(), classes, dataset, where))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: cannot be read as a table in UTF-8: {error}") from error


def folder_items(dataset: Dataset) -> Iterator[Item]:
    """Of a folder for each class: the order of their names, or that of `classes_path`, gives the labels."""
    home, folders = Path(dataset.images_dir or ""), _folders(dataset)
    classes = _classes(dataset) or {folder.name: label for label, folder in enumerate(folders)}
    unknown = [folder.name for folder in folders if folder.name not in classes]
    if unknown:
        raise DataError(
            f"{home}: {len(unknown)} folders are no classes of {dataset.classes_path}, such as {unknown[0]!r}"
        )
    if not folders:
        raise DataError(f"{home}: no folders in it; class_folders is for a folder for each class")
    number = 0
    for folder in folders:
        for file in sorted(filter(is_image, folder.iterdir())):
            yield Item(number, file, classes[folder.name])
            number += 1


def classes_by_folder(dataset: Dataset) -> list[Path] | None:
    """The folders, where their order alone tells which classes there are; None where something else does."""
    by_order = dataset.format == "folders" and dataset.classes_path is None
    return _folders(dataset) if by_order else None


def _folders(dataset: Dataset) -> list[Path]:
    home = Path(dataset.images_dir or "")
    return sorted(entry for entry in home.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _lines(path: Path) -> list[str]:
    """Of a text in UTF-8, with or without the mark that some editors put first."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text in UTF-8: {error}") from error


def _classes(dataset: Dataset) -> Mapping[str, int]:
    """The label of each class that `classes_path` lists, one a line: the first word of a line is its name.

    Where lines begin with their number, the second word is a name, too.
    """
    if dataset.classes_path is None:
        return {}
    lines = [line.split() for line in _lines(Path(dataset.classes_path)) if line.strip()]
    found = [words[0] for words in lines]
    if len(set(found)) != len(found):
        raise DataError(f"{dataset.classes_path}: a class stands there twice")
    labels = {name: label for label, name in enumerate(found)}
    seconds = [words[1] for words in lines if len(words) > 1]
    numbered = any(found == [f"{number}" for number in range(first, first + len(found))] for first in (0, 1))
    if numbered and len({*seconds, *found}) == 2 * len(found):
        labels |= {name: label for label, name in enumerate(seconds)}
    return labels


def _column(path: Path, columns: object, known: tuple[str, ...]) -> str:
    there = [str(column) for column in columns] if isinstance(columns, list | tuple) else []
    found = [column for name in known for column in there if column.strip().lower() == name]
    if not found:
        raise DataError(
            f"{path}: the first row names no column {' or '.join(known)}; it is {', '.join(there) or 'empty'}"
        )
    if len(found) > 1:
        raise DataError(f"{path}: the first row names {' and '.join(found)}: rename those that are not meant")
    return found[0]


def _is_label(text: str) -> bool:
    """Whether it is a whole number from 0 on, of a length that a number of classes has."""
    return text.isdecimal() and len(text) <= DIGITS


def _label(label: str, classes: Mapping[str, int], dataset: Dataset, where: str) -> int:
    if label in classes:
        return classes[label]
    if _is_label(label) and not any(name.isdecimal() for name in classes):
        return label_from(int(label), dataset, where)
    known = (
        f"no class of {dataset.classes_path}{_numbers_of(classes)}"
        if classes
        else "no whole number from 0 on; classes_path can list classes by name"
    )
    raise DataError(f"{where}: the label {label!r} is {known}")


def _numbers_of(classes: Mapping[str, int]) -> str:
    """Where classes are named by numbers: which these are, and what else a number could mean."""
    numbers = [int(name) for name in classes if name.isdecimal()]
    if not numbers:
        return ""
    return f", which numbers them {min(numbers)} to {max(numbers)}; without it, labels are numbers from first_label on"
