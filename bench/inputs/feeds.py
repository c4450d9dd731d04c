"""What each of a model's inputs is fed: one takes the images, any others random values."""

from __future__ import annotations

import zlib

import numpy as np

from bench.backends.base import Array, Arrays, Signature, TensorSpec
from bench.errors import ModelError
from bench.inputs.batches import Batch

COLOURS = (1, 3)  # channels of a grey picture, and of one of colours
CHANNELS_LAST = (
    "pictures are fed as [batch, height, width, channels]; for a model that takes channels first, save one that begins "
    "with tf.transpose(images, [0, 3, 1, 2])"
)


def image_input(signature: Signature) -> TensorSpec | None:
    """The input that takes images: the only one, else the first of four dimensions that may hold colours."""
    if len(signature.inputs) == 1:
        return signature.inputs[0]
    likely = (spec for spec in signature.inputs if len(spec.shape) == 4 and spec.shape[3] in (3, None))
    return next(likely, None)


def feed(batch: Batch, signature: Signature, seed: int) -> Arrays:
    """Arrays for all inputs of a batch."""
    images = image_input(signature)
    size = len(batch.images)
    number = batch.items[0].id if batch.items else 0
    return {
        spec.name: batch.images if spec is images else random_values(spec, size, (seed, number))
        for spec in signature.inputs
    }


def check_shapes(arrays: Arrays, signature: Signature, size_key: str, batch_key: str) -> None:
    """A ModelError where the model's input has another size than what it would be fed, naming what to change."""
    for spec in signature.inputs:
        fed = arrays[spec.name].shape
        fits = len(fed) == len(spec.shape) and all(want in (None, n) for want, n in zip(spec.shape, fed, strict=True))
        if fits or not spec.shape:
            continue
        told = f"the model's input {spec.name!r} is {list(spec.shape)}, and would be fed {list(fed)}"
        if is_channels_first(spec):
            raise ModelError(f"{told}: {CHANNELS_LAST}")
        if len(fed) == len(spec.shape) == 4 and spec.shape[3] not in (None, fed[3]):
            channels = f"{spec.shape[3]} channel{'' if spec.shape[3] == 1 else 's'}"
            raise ModelError(
                f"model_config.preprocess: {told}: a function package.module:function can give pictures {channels}"
            )
        batch = len(fed) == len(spec.shape) and fed[1:] == spec.shape[1:]
        raise ModelError(f"{batch_key if batch else size_key}: {told}")


def is_channels_first(spec: TensorSpec) -> bool:
    """Whether an input takes pictures as [batch, channels, height, width]."""
    return len(spec.shape) == 4 and spec.shape[1] in COLOURS and spec.shape[3] not in COLOURS


def random_values(spec: TensorSpec, batch_size: int, seed: tuple[int, int]) -> Array:
    """Seeded values of an input's own type and shape: 0..1 for floats, 0 or 1 for integers, which may be indices."""
    if spec.dtype.kind not in "fiub":
        kind = "string" if spec.dtype.kind == "O" else spec.dtype
        raise ModelError(f"input {spec.name!r} is of type {kind}, which cannot be filled with random values")
    rest = [size for size in spec.shape[1:] if size is not None]
    if len(rest) != len(spec.shape[1:]):
        shown = [*spec.shape]
        raise ModelError(
            f"input {spec.name!r} is {shown}: sizes that are not known cannot be filled with random values"
        )
    shape = [spec.shape[0] or batch_size, *rest] if spec.shape else []
    generator = np.random.default_rng((*seed, zlib.crc32(spec.name.encode())))
    if spec.dtype.kind == "f":
        return np.asarray(generator.random(shape), spec.dtype)
    top = 256 if spec.dtype == np.uint8 else 2
    return np.asarray(generator.integers(0, top, shape), spec.dtype)
