"""Decode, resize and preprocess images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from bench.backends.base import Array
from bench.errors import DataError
from bench.inputs.items import Item

PREPROCESS: Mapping[str, Callable[[Array], Array]] = {
    "raw": lambda pixels: pixels,  # 0..255
    "inception": lambda pixels: pixels.astype(np.float32) / np.float32(127.5) - np.float32(1),  # -1..1
    "vgg": lambda pixels: pixels.astype(np.float32) - np.array([123.68, 116.78, 103.94], np.float32),
}


def read_pixels(path: Path, image_shape: tuple[int, int] | None) -> Array:
    """RGB pixels, uint8 [height, width, 3]; the whole image resized bilinearly where a shape is given."""
    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such image") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be decoded: {error}") from error
    if image_shape is not None and rgb.size != image_shape[::-1]:
        rgb = rgb.resize(image_shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def random_pixels(index: int, image_shape: tuple[int, int], seed: int) -> Array:
    """A synthetic image: seeded noise, different for each index."""
    generator = np.random.default_rng((seed, index))
    return generator.integers(0, 256, (*image_shape, 3), np.uint8)


def load_image(
    item: Item, image_shape: tuple[int, int] | None, preprocess: str, dtype: np.dtype[np.generic], seed: int
) -> Array:
    """One image as the model takes it, [height, width, 3]."""
    if item.path is not None:
        pixels = read_pixels(item.path, image_shape)
    else:
        pixels = random_pixels(item.id, image_shape or (1, 1), seed)
    return PREPROCESS[preprocess](pixels).astype(dtype, copy=False)
