"""Batches out of JPEG files by `tf.data`, where it gives what Pillow and NumPy give, to the bit, in less time.

That is so of preprocessings that look at four neighbours, and of files that TensorFlow decodes to the same pixels:
upright baseline JPEGs in grey or YCbCr. A batch with any other picture in it is made by Pillow, and so are the batches
from a file on that TensorFlow does not take: Pillow reads it, or says what is wrong with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from PIL import Image

from bench.backends.base import Array
from bench.environment import usable_cores
from bench.inputs.batches import Batch, iterate_batches
from bench.inputs.geometry import Cut, Window
from bench.inputs.images import decoding, is_upright, open_picture
from bench.inputs.item import Item
from bench.inputs.preprocess import CutFit, Scale

Load: TypeAlias = Callable[[Item], Array]
Pair: TypeAlias = "tuple[int, int]"
Row: TypeAlias = "tuple[bytes, Pair, Window, Window, Pair, Pair]"
AS_PILLOW = {"channels": 3, "dct_method": "INTEGER_ACCURATE"}
END_OF_IMAGE = b"\xff\xd9"
LARGEST = 4  # times the pixels that are kept, of the picture that TensorFlow resizes as a whole
RARE = 1 / 32  # of the batches: to begin anew after one that Pillow makes takes as long as some pictures


@dataclass(frozen=True)
class Placed:
    """A picture's file, its height and width, what of it is wanted, and whether its file ends as a JPEG does."""

    path: bytes
    size: tuple[int, int]
    cut: Cut
    is_ended: bool

    def row(self) -> Row:
        """Its file and size; what to decode; the part of that which is resized; to which size; the window's corner.

        A pixel more is decoded on each side, if there is one: where decoding ends, it guesses at colours. And it goes
        on to the last row of a file that may break off, without which nobody would know that something is missing.
        """
        top, left, height, width = self.cut.part
        first = max(0, top - 1), max(0, left - 1)
        below = top + height + 1 if self.is_ended else self.size[0]
        end = min(self.size[0], below), min(self.size[1], left + width + 1)
        decoded = (*first, end[0] - first[0], end[1] - first[1])
        part = (top - first[0], left - first[1], height, width)
        return self.path, self.size, decoded, part, self.cut.size, self.cut.window[:2]


def fast_batches(
    items: Sequence[Item], batch_size: int, load: Load, fit: CutFit, scale: Scale, shape: tuple[int, int]
) -> Iterator[Batch]:
    """What `iterate_batches` gives for float32, where `load` is that fit and scale."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        placed = list(pool.map(lambda item: _place(item, fit, shape), items))
    starts = range(0, len(items), batch_size)
    is_plain = [None not in placed[at : at + batch_size] for at in starts]
    if not tf.executing_eagerly() or is_plain.count(False) > RARE * len(starts):
        yield from iterate_batches(items, batch_size, load)
        return
    for plain, run in groupby(zip(is_plain, starts, strict=True), lambda pair: pair[0]):
        places = [at for _, at in run]
        stretch = slice(places[0], places[-1] + batch_size)
        if plain:
            yield from _by_tf_data(items[stretch], placed[stretch], batch_size, load, scale, shape)
        else:
            yield from iterate_batches(items[stretch], batch_size, load)


def _place(item: Item, fit: CutFit, shape: tuple[int, int]) -> Placed | None:
    """Which part of its picture is wanted; None where TensorFlow is not to decode it. Its header alone is read."""
    if item.path is None or item.span is not None or ".." in item.path.parts:  # which TensorFlow resolves on paper
        return None
    with decoding(item), open_picture(item) as image:
        size = image.size[::-1]
        cut = fit.cut(size, shape)
        is_moderate = cut.size[0] * cut.size[1] <= LARGEST * shape[0] * shape[1]
        plain = is_moderate and _is_plain(image) and is_upright(image, item)
        return Placed(os.fsencode(item.path), size, cut, _is_ended(item.path)) if plain else None


def _is_plain(image: Image.Image) -> bool:
    """Whether TensorFlow's decoder gives the same pixels; of a progressive file that breaks off it does not."""
    return image.format == "JPEG" and image.mode in ("RGB", "L") and "progressive" not in image.info


def _is_ended(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-len(END_OF_IMAGE), os.SEEK_END)
        return file.read() == END_OF_IMAGE


def _by_tf_data(
    items: Sequence[Item],
    placed: Sequence[Placed | None],
    batch_size: int,
    load: Load,
    scale: Scale,
    shape: tuple[int, int],
) -> Iterator[Batch]:
    done = 0
    batches: Iterator[Any] | None = None
    while done < len(items):
        try:
            if batches is None:
                batches = iter(_dataset([each for each in placed if each], scale, shape).batch(batch_size).prefetch(1))
            images = np.asarray(memoryview(next(batches)))  # not copied, as `numpy()` would
        except tf.errors.OpError:
            yield from iterate_batches(items[done:], batch_size, load)
            return
        count = len(images)
        if count < batch_size:
            images = np.concatenate([images, np.repeat(images[-1:], batch_size - count, axis=0)])
        yield Batch(images, tuple(items[done : done + count]))
        done += count


def _dataset(placed: Sequence[Placed], scale: Scale, shape: tuple[int, int]) -> Any:
    """The pictures in order, [height, width, 3], made by as many threads as there are cores, which are its own."""
    less = np.tile(scale.less, shape[1])  # by rows: three numbers at a time are slow
    crops = not all(each.cut.size == shape for each in placed)

    def picture(path: Any, size: Any, decoded: Any, part: Any, new_size: Any, corner: Any) -> Any:
        contents = tf.io.read_file(path)
        with tf.control_dependencies([tf.debugging.assert_equal(tf.io.extract_jpeg_shape(contents)[:2], size)]):
            pixels = tf.image.decode_and_crop_jpeg(contents, decoded, **AS_PILLOW)
        resized = tf.raw_ops.ResizeBilinear(images=_window(pixels, part[:2], part[2:])[None], size=new_size)[0]
        kept = _window(resized, corner, shape) if crops else resized
        rows = tf.reshape(kept, (shape[0], shape[1] * 3))
        return tf.reshape((rows if scale.divisor == 1 else rows / scale.divisor) - less, (*shape, 3))

    def uncompiled(*row: Any) -> Any:
        with tf.xla.experimental.jit_scope(compile_ops=False):  # which would round differently
            return picture(*row)

    columns = zip(*(each.row() for each in placed), strict=True)
    own = tf.data.Options()
    own.threading.private_threadpool_size = usable_cores()
    own.autotune.enabled = False  # there is nothing to tune, and ending it takes up to half a second
    dataset = tf.data.Dataset.from_tensor_slices(tuple(tf.constant(column) for column in columns))
    return dataset.map(uncompiled, usable_cores(), deterministic=True).with_options(own)


def _window(pixels: Any, corner: Any, size: Any) -> Any:
    return pixels[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
