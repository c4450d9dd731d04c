"""One image of a dataset: where its bytes lie, and its label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench.case import Dataset
from bench.errors import DataError

Channels: TypeAlias = "tuple[float, float, float]"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Item:
    """One image; `path` is None for a synthetic one."""

    id: int
    path: Path | None
    label: int | None = None
    size: tuple[int, int] | None = None  # height, width, as an annotation says
    span: tuple[int, int] | None = None  # where in the file its bytes begin and end; None: they are the file
    statistics: tuple[Channels, Channels] | None = None  # of a synthetic one: mean and deviation of its channels

    @property
    def place(self) -> str:
        """What errors call it."""
        return f"{self.path}" if self.span is None else f"{self.path}, bytes {self.span[0]} to {self.span[1]}"

    @property
    def bytes_count(self) -> int:
        """How many bytes an encoded image has; of a synthetic one, none."""
        if self.path is None:
            return 0
        return self.path.stat().st_size if self.span is None else self.span[1] - self.span[0]

    def content(self) -> bytes:
        """The encoded image; of a synthetic one, its number, and the statistics that it is drawn to."""
        if self.path is None:
            return (f"{self.id}" if self.statistics is None else f"{self.id} {self.statistics}").encode()
        if self.span is None:
            return self.path.read_bytes()
        with self.path.open("rb") as file:
            file.seek(self.span[0])
            return file.read(self.span[1] - self.span[0])


def is_image(path: Path) -> bool:
    """Whether a file in a folder of images is one, by its name; lists and annotations may name any."""
    return path.suffix.lower() in SUFFIXES


def label_from(number: int, dataset: Dataset, where: str) -> int:
    """A label from 0 on, out of one that is counted from the dataset's `first_label`."""
    if number < dataset.first_label:
        raise DataError(f"{where}: label {number}, and labels begin at {dataset.first_label}: see first_label")
    return number - dataset.first_label
