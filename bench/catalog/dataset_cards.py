"""What a dataset's card says: a JSON file under datasets/, beside the package or in the working directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bench.case import DatasetFormat
from bench.catalog.address import Sha256, Url, bare_name
from bench.part import Part

Value = Annotated[float, Field(ge=0, le=255)]
WAYS = ("path", "generator", "archives", "obtain")
NEEDED: Mapping[DatasetFormat, tuple[str, ...]] = {
    "coco": ("images_dir", "annotation_path"),
    "labels": ("labels_path",),
    "csv": ("labels_path",),
    "folders": ("images_dir",),
    "tfrecords": ("pattern",),
    "images": ("images_dir",),
    "synthetic": (),
}
Channels = tuple[Value, Value, Value]


class Archive(Part):
    """A file to fetch, and to unpack in a folder of its own name, less the suffix, in the dataset's folder."""

    url: Url
    sha256: Sha256 | None = None  # None: nobody could verify it

    @property
    def folder(self) -> str:
        """Where it is unpacked."""
        return bare_name(self.url)


class DatasetSource(Part):
    """Where a dataset comes from: exactly one of `path`, `generator`, `archives` and `obtain`, unless it is drawn."""

    path: str | None = None  # relative to the card
    generator: str | None = None  # a script beside the card
    arguments: tuple[str, ...] = ()  # of the generator
    pixels_sha256: str | None = None  # of what the generator makes
    archives: tuple[Archive, ...] = ()
    obtain: str | None = None  # how to get what cannot be fetched by itself
    folder: str | None = (
        None  # of archives and obtain: the folder's name among the datasets; several cards may share it
    )

    @property
    def ways(self) -> list[str]:
        """Those that are given."""
        return [way for way in WAYS if getattr(self, way)]

    @model_validator(mode="after")
    def _is_one(self) -> DatasetSource:
        if len(self.ways) > 1:
            raise PydanticCustomError("source", f"{' and '.join(self.ways)} are set; keep one of them")
        return self


class DatasetCard(Part):
    """A dataset: its format and where its parts lie, relative to its folder."""

    model_config = ConfigDict(defer_build=True, strict=True)

    name: str
    description: str
    format: DatasetFormat
    source: DatasetSource = DatasetSource()
    images_dir: str | None = None
    annotation_path: str | None = None
    labels_path: str | None = None
    classes_path: str | None = None
    pattern: str | None = None
    first_label: int | None = Field(None, ge=0)  # None: 1 in TFRecords, else 0
    mean: Channels | None = None  # of synthetic images: red, green and blue, 0..255
    deviation: Channels | None = None  # the same
    num_images: int | None = None
    classes: int | None = None
    calibration: str | None = None
    licence: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> DatasetCard:
        missing = [key for key in NEEDED[self.format] if getattr(self, key) is None]
        if missing:
            raise PydanticCustomError("card", f"format {self.format!r} needs {' and '.join(missing)}")
        is_drawn = self.format == "synthetic"
        if not is_drawn and not self.source.ways:
            raise PydanticCustomError("card", f"source says not where the images are: set one of {', '.join(WAYS)}")
        if is_drawn and not self.name.startswith("synthetic"):
            raise PydanticCustomError("card", "name: that of random images begins with 'synthetic'")
        if is_drawn and self.source.ways:
            raise PydanticCustomError("card", f"synthetic images have no source: remove {self.source.ways[0]}")
        if (self.mean is None) != (self.deviation is None) or (self.mean is not None and not is_drawn):
            raise PydanticCustomError("card", "mean and deviation go together, and with format 'synthetic'")
        return self
