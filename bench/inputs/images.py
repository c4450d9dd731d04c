"""Pictures out of files: decoded, turned upright, in RGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from bench.backends.base import Array
from bench.errors import DataError
from bench.inputs.item import Channels, Item
from bench.inputs.preprocess import preprocess

ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what sets a picture of that orientation upright; Pillow's exif_transpose writes all other tags anew, and may fail
SIDEWAYS = (5, 6, 7, 8)  # of which width and height change places
UNDECODABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@contextmanager
def decoding(item: Item) -> Iterator[None]:
    """What goes wrong with a file, as a DataError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{item.place}: no such image") from error
    except UNDECODABLE as error:
        raise DataError(f"{item.place}: cannot be decoded: {error}") from error


def open_picture(item: Item) -> Image.Image:
    """Its file as Pillow opens it, not yet decoded; a ValueError where its values may mean anything."""
    source = item.path or "" if item.path is None or item.span is None else io.BytesIO(item.content())
    image = Image.open(source)
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        image.close()
        raise ValueError("it has 32 bits a channel, and nobody knows which values are black and white: save 8 or 16")
    return image


def read_picture(item: Item) -> Image.Image:
    """An RGB picture as people look at it: turned as its EXIF orientation says.

    Where an annotation says its size and the stored pixels have it, they are taken as they are stored: this is what
    was annotated.
    """
    with decoding(item), open_picture(item) as image:
        return _rgb(image if is_upright(image, item) else image.transpose(TURNS[image.getexif()[ORIENTATION]]))


def is_upright(image: Image.Image, item: Item) -> bool:
    """Whether its pixels are taken as they are stored."""
    as_stored = item.size is not None and image.size == item.size[::-1]
    return as_stored or image.getexif().get(ORIENTATION) not in TURNS


def random_pixels(
    index: int, image_shape: tuple[int, int], seed: int, statistics: tuple[Channels, Channels] | None = None
) -> Array:
    """A synthetic image: seeded noise, different for each index; all values alike, or mean and deviation by channel."""
    generator = np.random.default_rng((seed, index))
    if statistics is None:
        return generator.integers(0, 256, (*image_shape, 3), np.uint8)
    drawn = generator.normal(*statistics, (*image_shape, 3))
    return np.rint(drawn).clip(0, 255).astype(np.uint8)


def load_image(
    item: Item, image_shape: tuple[int, int] | None, name: str, dtype: np.dtype[np.generic], seed: int
) -> Array:
    """One image as the model takes it, [height, width, 3], preprocessed as `name` says."""
    if item.path is None:
        return preprocess(
            random_pixels(item.id, image_shape or (1, 1), seed, item.statistics), image_shape, name, dtype
        )
    return preprocess(read_picture(item), image_shape, name, dtype)


def _rgb(image: Image.Image) -> Image.Image:
    """Grey, CMYK and palettes converted; an alpha channel dropped; 16 bits cut to their upper 8."""
    if image.mode == "RGB":
        image.load()  # not converted, which would copy it
        return image
    if image.mode.startswith("I"):  # of 16 bits, whatever Pillow calls it
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
