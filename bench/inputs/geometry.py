"""Which part of a picture a model is shown, and at which size: crops, resizing, padding.

Two kinds of bilinear resizing are in use. Pillow's averages over all pixels that fall into a new one. TensorFlow 1's,
with which the published figures of its models were measured, looks at four neighbours alone; `cut_out` gives the same
values as `tf.compat.v1.image.resize_bilinear`, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

from bench.backends.base import Array

Shape: TypeAlias = "tuple[int, int] | None"  # height, width; None: the picture's own
Window: TypeAlias = "tuple[int, int, int, int]"  # top, left, height, width

CROPPED = 0.875  # the share of each side that a model sees: 224 of 256
GREY = 114  # what letterbox pads with


@dataclass(frozen=True)
class Cut:
    """A part of a picture, the size that it is given by `cut_out`, and the window of that which is kept."""

    part: Window
    size: tuple[int, int]  # height, width
    window: Window


def whole(picture: Image.Image, shape: Shape) -> Array:
    """All of it, by Pillow's bilinear resizing; uint8."""
    if shape is not None and picture.size != shape[::-1]:
        picture = picture.resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture)


def central_cut(size: tuple[int, int], shape: Shape) -> Cut:
    """The middle 87.5 % of each side, resized; as `inception_preprocessing` of tf/models evaluates."""
    top, left = (int((side - side * CROPPED) / 2) for side in size)
    height, width = size[0] - 2 * top, size[1] - 2 * left
    shape = shape or (height, width)
    return Cut((top, left, height, width), shape, (0, 0, *shape))


def covering_cut_rounded(size: tuple[int, int], shape: Shape) -> Cut:
    """Resized until 87.5 % of a side cover the shape, and its middle; sizes rounded, as in `vgg_preprocessing`."""
    return _covering(size, shape, rounded=True)


def covering_cut_truncated(size: tuple[int, int], shape: Shape) -> Cut:
    """The same with sizes cut off, as the official ResNet models of tf/models do it."""
    return _covering(size, shape, rounded=False)


def cut_out(picture: Image.Image, cut: Cut) -> Array:
    """Bilinear resizing between the four nearest pixels, corners not aligned; float32 [height, width, 3].

    Nothing but the window is worked out.
    """
    top, left, height, width = cut.part
    return _between(_packed(picture)[top : top + height, left : left + width], cut.size, cut.window)


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


def _covering(size: tuple[int, int], shape: Shape, rounded: bool) -> Cut:
    """In float32, as TensorFlow reckons sizes: a size may come out one less than on paper."""
    whole_picture = (0, 0, *size)
    if shape is None:
        return Cut(whole_picture, size, whole_picture)
    sides = [np.float32(round(side / CROPPED)) for side in shape]
    scale = max(side / np.float32(old) for side, old in zip(sides, size, strict=True))
    scaled = [np.float32(old) * scale for old in size]
    height, width = (int(np.rint(side)) if rounded else int(side) for side in scaled)
    window = (height - shape[0]) // 2, (width - shape[1]) // 2, *shape
    return Cut(whole_picture, (height, width), window)


def _neighbours(old: int, new: int) -> tuple[Array, Array, Array]:
    """For each new pixel of a side: the old one before it, the one after it, and how far it lies between them."""
    place = np.arange(new, dtype=np.float32) * np.float32(old / new)
    before = place.astype(np.intp)
    return before, np.minimum(np.ceil(place).astype(np.intp), old - 1), place - before.astype(np.float32)
