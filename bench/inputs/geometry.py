"""Which part of a picture a model is shown, and at which size: crops, resizing, padding.

Two kinds of bilinear resizing are in use. Pillow's averages over all pixels that fall into a new one. TensorFlow 1's,
with which the published figures of its models were measured, looks at four neighbours alone; `four_neighbours` gives
the same values as `tf.compat.v1.image.resize_bilinear`, to the bit.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from PIL import Image

from bench.backends.base import Array

Shape: TypeAlias = "tuple[int, int] | None"  # height, width; None: the picture's own
Window: TypeAlias = "tuple[int, int, int, int]"  # top, left, height, width

CROPPED = 0.875  # the share of each side that a model sees: 224 of 256
GREY = 114  # what letterbox pads with


def whole(picture: Image.Image, shape: Shape) -> Array:
    """All of it, by Pillow's bilinear resizing; uint8."""
    if shape is not None and picture.size != shape[::-1]:
        picture = picture.resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture)


def central_share(picture: Image.Image, shape: Shape) -> Array:
    """The middle 87.5 % of each side, resized; as `inception_preprocessing` of tf/models evaluates."""
    width, height = picture.size
    top, left = (int((size - size * CROPPED) / 2) for size in (height, width))
    middle = _packed(picture)[top : height - top, left : width - left]
    shape = shape or (middle.shape[0], middle.shape[1])
    return _between(middle, shape, (0, 0, *shape))


def covering_rounded(picture: Image.Image, shape: Shape) -> Array:
    """Resized until 87.5 % of a side cover the shape, and its middle; sizes rounded, as in `vgg_preprocessing`."""
    return np.asarray(picture) if shape is None else _covering(picture, shape, rounded=True)


def covering_truncated(picture: Image.Image, shape: Shape) -> Array:
    """The same with sizes cut off, as the official ResNet models of tf/models do it."""
    return np.asarray(picture) if shape is None else _covering(picture, shape, rounded=False)


def letterboxed(picture: Image.Image, shape: Shape) -> Array:
    """All of it in its own proportions, by Pillow's bilinear resizing, in the middle of grey; uint8."""
    if shape is None:
        return np.asarray(picture)
    top, left, height, width = letterbox_place(picture.size[::-1], shape)
    canvas = np.full((*shape, 3), GREY, np.uint8)
    canvas[top : top + height, left : left + width] = whole(picture, (height, width))
    return canvas


def letterbox_place(size: tuple[int, int], shape: tuple[int, int]) -> Window:
    """Where in the shape a picture of that size (height, width) comes to lie: top, left, height, width."""
    scale = min(shape[0] / size[0], shape[1] / size[1])
    height, width = (max(1, round(side * scale)) for side in size)
    return (shape[0] - height) // 2, (shape[1] - width) // 2, height, width


def four_neighbours(picture: Image.Image, shape: tuple[int, int], window: Window | None = None) -> Array:
    """Bilinear resizing between the four nearest pixels, corners not aligned; float32 [height, width, 3].

    `window` is the part of it that is wanted: nothing else is worked out.
    """
    return _between(_packed(picture), shape, window or (0, 0, *shape))


def _packed(picture: Image.Image) -> Array:
    """Its pixels, each as one number: uint32 [height, width]."""
    return np.frombuffer(picture.tobytes("raw", "RGBX"), np.uint32).reshape(picture.size[::-1])


def _between(packed: Array, shape: tuple[int, int], window: Window) -> Array:
    """Of packed pixels, the window of their picture at that shape."""
    top, left, height, width = window
    above, below, down = (each[top : top + height] for each in _neighbours(packed.shape[0], shape[0]))
    before, after, across = (each[left : left + width] for each in _neighbours(packed.shape[1], shape[1]))
    across = np.repeat(across, 4)[None]

    def row(indices: Array) -> Array:
        pixels = np.take(packed, indices, 0, mode="clip")
        first, second = (_unpacked(np.take(pixels, at, 1, mode="clip")) for at in (before, after))
        second -= first
        second *= across
        second += first
        return second

    upper, lower = row(above), row(below)
    lower -= upper
    lower *= down[:, None]
    lower += upper
    made = np.empty((height, width, 3), np.float32)
    for channel in range(3):  # faster than all at once, which NumPy copies three numbers at a time
        made[..., channel] = lower[:, channel::4]
    return made


def _unpacked(packed: Array) -> Array:
    """Four numbers for each pixel, side by side: float32 [height, 4 x width]."""
    return packed.view(np.uint8).astype(np.float32)


def _covering(picture: Image.Image, shape: tuple[int, int], rounded: bool) -> Array:
    """In float32, as TensorFlow reckons sizes: a size may come out one less than on paper."""
    sides = [np.float32(round(side / CROPPED)) for side in shape]
    size = picture.size[::-1]
    scale = max(side / np.float32(old) for side, old in zip(sides, size, strict=True))
    scaled = [np.float32(old) * scale for old in size]
    height, width = (int(np.rint(side)) if rounded else int(side) for side in scaled)
    window = (height - shape[0]) // 2, (width - shape[1]) // 2, *shape
    return four_neighbours(picture, (height, width), window)


def _neighbours(old: int, new: int) -> tuple[Array, Array, Array]:
    """For each new pixel of a side: the old one before it, the one after it, and how far it lies between them."""
    place = np.arange(new, dtype=np.float32) * np.float32(old / new)
    before = place.astype(np.intp)
    return before, np.minimum(np.ceil(place).astype(np.intp), old - 1), place - before.astype(np.float32)
