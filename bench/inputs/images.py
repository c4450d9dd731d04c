"""Pictures out of files: decoded, turned upright, in RGB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bench.backends.base import Array
from bench.errors import DataError
from bench.inputs.items import Item
from bench.inputs.preprocess import preprocess

ORIENTATION = 0x0112  # the EXIF tag
UNDECODABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """What goes wrong with a file, as a DataError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such image") from error
    except UNDECODABLE as error:
        raise DataError(f"{path}: cannot be decoded: {error}") from error


def read_picture(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """An RGB picture as people look at it: turned as its EXIF orientation says.

    Where an annotation says its `size` (height, width) and the stored pixels have it, they are taken as they are
    stored: this is what was annotated.
    """
    with decoding(path), Image.open(path) as image:
        as_stored = size is not None and image.size == size[::-1]
        if not as_stored and image.getexif().get(ORIENTATION, 1) != 1:
            return _rgb(ImageOps.exif_transpose(image))
        return _rgb(image)


def random_pixels(index: int, image_shape: tuple[int, int], seed: int) -> Array:
    """A synthetic image: seeded noise, different for each index."""
    generator = np.random.default_rng((seed, index))
    return generator.integers(0, 256, (*image_shape, 3), np.uint8)


def load_image(
    item: Item, image_shape: tuple[int, int] | None, name: str, dtype: np.dtype[np.generic], seed: int
) -> Array:
    """One image as the model takes it, [height, width, 3], preprocessed as `name` says."""
    if item.path is None:
        return preprocess(random_pixels(item.id, image_shape or (1, 1), seed), image_shape, name, dtype)
    return preprocess(read_picture(item.path, item.size), image_shape, name, dtype)


def _rgb(image: Image.Image) -> Image.Image:
    """Grey, CMYK and palettes converted; an alpha channel dropped; 16 bits cut to their upper 8."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
