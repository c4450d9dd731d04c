"""The config's keys on data: which images are evaluated and how many, or how random ones are drawn."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bench.sections.base import Positive, Section, Shape

Value = Annotated[float, Field(ge=0, le=255)]  # of a channel
Deviation = Annotated[float, Field(ge=0)]


class DataKeys(Section):
    """Images: a dataset by its card, or files of one's own, with their labels."""

    dataset: str | None = Field(None, description="A dataset's name: cards in datasets/. Default: the model card's.")
    images_dir: str | None = Field(None, description="A folder of images of your own.")
    annotation_path: str | None = Field(None, description="Annotations for images_dir in COCO's format: gives mAP.")
    labels_path: str | None = Field(
        None,
        description='Labels, with paths in images_dir: lines "path label", or a .csv with such columns: gives top-1.',
    )
    class_folders: bool = Field(False, description="images_dir holds a folder for each class: gives top-1. Ours.")
    classes_path: str | None = Field(
        None,
        description="The classes of class_folders, or of a .csv that names them: one a line, in the order of their "
        "labels. Default: the folders in the order of their names. Ours.",
    )
    tfrecords: str | None = Field(
        None,
        description="TFRecord files by pattern, `imagenet/validation-?????-of-?????`, with image/encoded and "
        "image/class/label: gives top-1. Ours.",
    )
    first_label: int | None = Field(
        None,
        ge=0,
        description="What your labels are counted from. Default: 1 in TFRecords, as in ImageNet's; else 0. Ours.",
    )
    max_corrupt_images: int = Field(
        0, ge=0, description="Leave out so many images that cannot be decoded, at most, and say which. Ours."
    )
    batch_size: Positive = Field(1, description="Images in a batch. The last one is padded; padding is not counted.")
    image_shape: Shape | None = Field(
        None, description="Resize every image to this. Default: the model card's; else each keeps its own size."
    )
    num_images: Positive = Field(
        4096, description="Use the first so many images, by image id; capped at what is there."
    )


class SyntheticKeys(Section):
    """Random images."""

    use_synthetic: bool = Field(False, description="Random images instead of a dataset; no accuracy then.")
    synthetic_mean: tuple[Value, Value, Value] | None = Field(
        None, description="Draw them with this mean of red, green and blue, 0..255. Default: all values alike. Ours."
    )
    synthetic_deviation: tuple[Deviation, Deviation, Deviation] | None = Field(
        None, description="And with this standard deviation, before what is beyond 0..255 is cut off. Ours."
    )
    seed: int = Field(0, ge=0, description="Seed of random images and weights. Ours.")
