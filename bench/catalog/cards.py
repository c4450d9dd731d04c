"""What a model's card says: a JSON file under models/, beside the package or in the working directory.

The JSON Schema `bench/card.schema.json` and the page `docs/models.md` are made from these classes and the cards.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bench.case import BoxFormat, ModelFormat, Task, Tensor
from bench.catalog.address import Sha256, Url
from bench.part import Part
from bench.sections.base import Shape
from bench.sections.config import ClassMap, Preprocess

Size = Annotated[int, Field(ge=1)] | None
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Fraction | None

# Arguments of an architecture that are not a card's to give, each with what is to be done.
NOT_ITS_ARGUMENTS = {
    "weights": "its weights are random ones: remove it, and name a trained model as path or url",
    "input_shape": "remove it: the card's image_shape, or the config's, says it",
    "input_tensor": "remove it: its input is the images",
}


def _arguments(given: Any) -> Any:
    refused = [name for name in NOT_ITS_ARGUMENTS if isinstance(given, dict) and name in given]
    if refused:
        raise PydanticCustomError("arguments", f"{refused[0]}: {NOT_ITS_ARGUMENTS[refused[0]]}")
    return given


def _within(inside: str) -> str:
    if PurePosixPath(inside).is_absolute() or ".." in PurePosixPath(inside).parts:
        raise PydanticCustomError("inside", "leads out of the model's folder: name what lies in the archive")
    return inside


Inside = Annotated[
    str, AfterValidator(_within), Field(json_schema_extra={"pattern": r"^(?!/)(?!\.\.(/|$))(?!.*/\.\.(/|$))"})
]
Arguments = Annotated[
    dict[str, int | float | str | bool],
    BeforeValidator(_arguments),
    Field(json_schema_extra={"propertyNames": {"not": {"enum": sorted(NOT_ITS_ARGUMENTS)}}}),
]


class Source(Part):
    """Where a model is: trained weights of one kind, or an architecture, or both."""

    path: str | None = Field(None, description="A folder or file, relative to the card.")
    url: Url | None = Field(None, description="The address of an archive, .tar, .tar.gz, .tgz or .zip, or of one file.")
    sha256: Sha256 | None = Field(
        None, description="Of what `url` gives. null: nobody could verify it; recorded at first use, then compared."
    )
    sha256_source: str | None = Field(None, description="Who says so.")
    size_bytes: Size = Field(None, description="Of what `url` gives.")
    inside: Inside | None = Field(None, description="The model in the archive; of a checkpoint, the prefix.")
    format: ModelFormat = Field("saved_model", description="Of what `path` or `inside` names.")
    keras_application: str | None = Field(
        None,
        description="An architecture of tf.keras.applications, or ResNet50V15 or InceptionV4: with random weights.",
    )
    arguments: Arguments = Field({}, description="Of the architecture: classes, alpha, ...")
    weights_url: str | None = Field(
        None, description="Trained weights that need their authors' own code to become a model: for readers."
    )

    @model_validator(mode="after")
    def _is_somewhere(self) -> Source:
        if self.path and self.url:
            raise PydanticCustomError("source", "path and url are both set; keep one of them")
        if not (self.path or self.url or self.keras_application):
            raise PydanticCustomError("source", "names no model: set path, url or keras_application")
        for key, needed in (("sha256", "url"), ("size_bytes", "url"), ("arguments", "keras_application")):
            if getattr(self, key) and not getattr(self, needed):
                raise PydanticCustomError("source", f"{key} goes with {needed}, which is not set")
        return self


class Published(Part):
    """Figures that others published, and where; accuracies are fractions."""

    top1: Share = None
    top5: Share = None
    map: Share = Field(None, description="COCO's: mean over IoU 0.5 to 0.95.")
    map50: Share = Field(None, description="At IoU 0.5.")
    speed_ms: float | None = Field(None, gt=0, description="An image, on the machine that `source` names.")
    modes: dict[Literal["FP32", "FP16", "INT8"], dict[Literal["top1", "top5", "map", "map50"], Fraction]] = Field(
        {}, description="Accuracy under TF-TRT by precision; what stands beside is the native one's."
    )
    dataset: str | None = Field(
        None, description="How the name of the dataset begins. Default: the card's, else `imagenet` or `coco`, by task."
    )
    source: str
    remark: str | None = None


class ModelCard(Part):
    """A model: its task, where it is, how to feed it, and how to read what it gives."""

    model_config = ConfigDict(defer_build=True, strict=True)

    name: str = Field(description="The file's own name, without .json.")
    description: str
    task: Task
    source: Source
    image_shape: Shape | None = Field(None, description="[height, width]; null: each image keeps its own size.")
    resizer_shape: Shape | None = Field(None, description="[height, width] that the model itself resizes images to.")
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    preprocess: Preprocess = "raw"
    class_offset: int = Field(0, ge=0, description="Index of the output for label 0: 1 where there is a background.")
    box_format: BoxFormat = Field("yxyx", description="Of the boxes, after `postprocess`; see docs/adding.md.")
    class_map: ClassMap | None = Field(
        None, description="The category of each class; coco80: the 80 classes of COCO that are used, of its 90 ids."
    )
    postprocess: str | None = Field(None, description="What turns raw outputs into detections; see docs/adding.md.")
    postprocess_options: dict[str, Any] = Field({}, description="Its keyword arguments.")
    dataset: str | None = Field(None, description="What it is evaluated on where the config names nothing else.")
    published: Published | None = None
    remark: str | None = Field(None, description="What a user should know before using it.")
    licence: str | None = None

    @model_validator(mode="after")
    def _fits_its_task(self) -> ModelCard:
        if self.task != "detection" and (self.class_map is not None or self.box_format != "yxyx"):
            key = "class_map" if self.class_map is not None else "box_format"
            raise PydanticCustomError("card", f"{key} goes with task 'detection'; remove it")
        if self.postprocess_options and self.postprocess is None:
            raise PydanticCustomError("card", "postprocess_options goes with postprocess, which is not set")
        return self

    @property
    def is_trained(self) -> bool:
        """Whether there are trained weights to be had; else the architecture is built with random ones."""
        return bool(self.source.path or self.source.url)
