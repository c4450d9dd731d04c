"""Preprocessing by name: how a picture becomes what a model is fed. docs/datasets.md has the definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from bench.backends.base import Array
from bench.errors import ConfigError, ModelError
from bench.functions import is_function, kept_running, load_function
from bench.inputs.geometry import (
    Cut,
    Shape,
    central_cut,
    covering_cut_rounded,
    covering_cut_truncated,
    cut_out,
    letterboxed,
    whole,
)

PARAMETERS = ("image", "image_shape")  # what a function of the user's own takes
MEANS = np.array((123.68, 116.78, 103.94), np.float32)  # red, green, blue; of ImageNet, as in tf/models
KERAS_MEANS = np.array((103.939, 116.779, 123.68), np.float32)  # blue, green, red
TORCH_MEANS = np.array((0.485, 0.456, 0.406), np.float32)
TORCH_DEVIATIONS = np.array((0.229, 0.224, 0.225), np.float32)


@dataclass(frozen=True)
class Preprocessing:
    """`fit` crops and resizes an RGB picture to values of 0..255, `scale` makes of these what the model is fed."""

    fit: Callable[[Image.Image, Shape], Array]
    scale: Callable[[Array], Array]
    whole_numbers: bool = False  # 0..255 as they are: fit for inputs of integers


@dataclass(frozen=True)
class CutFit:
    """A fit that a picture's size decides."""

    cut: Callable[[tuple[int, int], Shape], Cut]  # of a picture of that height and width

    def __call__(self, picture: Image.Image, shape: Shape) -> Array:
        return cut_out(picture, self.cut(picture.size[::-1], shape))


@dataclass(frozen=True)
class Scale:
    """Values / divisor - less, in float32; `less` by channel."""

    less: Array
    divisor: float = 1

    def __call__(self, pixels: Array) -> Array:
        if self.divisor != 1:
            pixels = np.divide(pixels, np.float32(self.divisor), dtype=np.float32)
        return _by_channel(np.subtract, pixels, self.less)


def _as_they_are(pixels: Array) -> Array:
    return pixels


def _to_one(pixels: Array) -> Array:
    made: Array = np.divide(pixels, np.float32(255), dtype=np.float32)
    return made


def _keras_caffe(pixels: Array) -> Array:
    return _by_channel(np.subtract, np.ascontiguousarray(pixels[..., ::-1]), KERAS_MEANS)


def _keras_torch(pixels: Array) -> Array:
    return _by_channel(np.divide, _by_channel(np.subtract, _to_one(pixels), TORCH_MEANS), TORCH_DEVIATIONS)


def _by_channel(operation: np.ufunc, pixels: Array, values: Array) -> Array:
    """The operation with a value for each channel, float32; by rows, since three numbers at a time are slow."""
    height, width, _ = pixels.shape
    made: Array = operation(pixels.reshape(height, -1), np.tile(values, width), dtype=np.float32)
    return made.reshape(pixels.shape)


AROUND_ZERO = Scale(np.ones(3, np.float32), 127.5)
LESS_MEANS = Scale(MEANS)
PREPROCESS: Mapping[str, Preprocessing] = {
    "raw": Preprocessing(whole, _as_they_are, whole_numbers=True),
    "tf": Preprocessing(whole, AROUND_ZERO),
    "caffe": Preprocessing(whole, _keras_caffe),
    "torch": Preprocessing(whole, _keras_torch),
    "inception": Preprocessing(CutFit(central_cut), AROUND_ZERO),
    "vgg": Preprocessing(CutFit(covering_cut_rounded), LESS_MEANS),
    "resnet_official": Preprocessing(CutFit(covering_cut_truncated), LESS_MEANS),
    "letterbox": Preprocessing(letterboxed, _to_one),
}


def cut_and_scale(name: str) -> tuple[CutFit, Scale] | None:
    """The parts of a preprocessing that looks at four neighbours, each known by its numbers; None of any other."""
    chosen = PREPROCESS.get(name)
    if chosen is None or not isinstance(chosen.fit, CutFit) or not isinstance(chosen.scale, Scale):
        return None
    return chosen.fit, chosen.scale


def preprocess(picture: Image.Image | Array, image_shape: Shape, name: str, dtype: np.dtype[np.generic]) -> Array:
    """What the model is fed, [height, width, 3], of an RGB picture, or of pixels that have their size already."""
    if is_function(name):
        made = _own(np.asarray(picture), image_shape, name)
        with np.errstate(invalid="ignore"):  # infinity, told below
            fed = made.astype(dtype, copy=False)
        if dtype.kind in "iu" and not np.array_equal(fed, made):
            raise ModelError(
                f"model_config.preprocess: {name!r} gives {made[fed != made][0]:g}, and the model takes {dtype}"
            )
        return fed
    chosen = PREPROCESS[name]
    if dtype.kind in "iu" and not chosen.whole_numbers:
        raise ModelError(
            f"model_config.preprocess: {name!r} makes fractions, and the model's input is {dtype}; use 'raw'"
        )
    pixels = chosen.fit(picture, image_shape) if isinstance(picture, Image.Image) else picture
    return chosen.scale(pixels).astype(dtype, copy=False)


@lru_cache(maxsize=8)
def own_function(name: str) -> Callable[[Array, Shape], Array]:
    """A function of the user's own: uint8 pixels [height, width, 3] and image_shape to what the model is fed."""
    try:
        return load_function(name, PARAMETERS)
    except ConfigError as error:
        raise ConfigError(f"model_config.preprocess: {error}") from error


def _own(pixels: Array, image_shape: Shape, name: str) -> Array:
    with kept_running("model_config.preprocess", name):
        made = np.asarray(own_function(name)(pixels, image_shape))
    wanted = "[height, width, channels]" if image_shape is None else f"[{image_shape[0]}, {image_shape[1]}, channels]"
    if made.ndim != 3 or (image_shape is not None and made.shape[:2] != image_shape) or made.dtype.kind not in "fiub":
        first = made.ndim == 3 and made.shape[1:] == image_shape
        remedy = "; channels come last, and a model that takes them first transposes pictures itself" if first else ""
        raise ModelError(
            f"model_config.preprocess: {name!r} gave {made.dtype} {list(made.shape)} for {list(pixels.shape)}; "
            f"numbers {wanted} are needed{remedy}"
        )
    if made.dtype.kind == "f" and np.isnan(made).any():
        raise ModelError(f"model_config.preprocess: {name!r} gave NaN")
    return made
