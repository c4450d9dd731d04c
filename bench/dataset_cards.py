"""What a dataset's card says: a JSON file under datasets/, beside the package or in the working directory."""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import ConfigDict, Field, model_validator

from bench.address import Sha256, Url
from bench.case import DatasetFormat
from bench.part import Part

WAYS = ("path", "generator", "archives", "obtain")


class Archive(Part):
    """A file to fetch, and to unpack in a folder of its own name, less the suffix, in the dataset's folder."""

    url: Url
    sha256: Sha256 | None = None  # None: nobody could verify it

    @property
    def folder(self) -> str:
        """Where it is unpacked."""
        return PurePosixPath(self.url).name.partition(".")[0]


class DatasetSource(Part):
    """Where a dataset comes from: exactly one of `path`, `generator`, `archives` and `obtain`."""

    path: str | None = None  # relative to the card
    generator: str | None = None  # a script beside the card
    arguments: tuple[str, ...] = ()  # of the generator
    pixels_sha256: str | None = None  # of what the generator makes
    archives: tuple[Archive, ...] = ()
    obtain: str | None = None  # how to get what cannot be fetched by itself
    folder: str | None = (
        None  # of archives and obtain: the folder's name among the datasets; several cards may share it
    )

    @model_validator(mode="after")
    def _is_one(self) -> DatasetSource:
        given = [way for way in WAYS if getattr(self, way)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are set; keep one of them")
        return self


class DatasetCard(Part):
    """A dataset: its format and where its parts lie, relative to its folder."""

    model_config = ConfigDict(defer_build=True, strict=True)

    name: str
    description: str
    format: DatasetFormat
    source: DatasetSource
    images_dir: str | None = None
    annotation_path: str | None = None
    labels_path: str | None = None
    classes_path: str | None = None
    pattern: str | None = None
    first_label: int | None = Field(None, ge=0)  # None: 1 in TFRecords, else 0
    num_images: int | None = None
    classes: int | None = None
    calibration: str | None = None
    licence: str | None = None
