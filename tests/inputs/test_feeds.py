"""What a model's inputs are fed."""

from __future__ import annotations

import numpy as np
import pytest

from bench.backends.base import Arrays, Signature, TensorSpec
from bench.errors import ModelError
from bench.inputs.batches import Batch
from bench.inputs.feeds import check_shapes, feed, image_input
from bench.inputs.item import Item

IMAGES = TensorSpec("x", np.dtype(np.float32), (None, None, None, 3))


def spec(name: str, dtype: str, *shape: int | None) -> TensorSpec:
    return TensorSpec(name, np.dtype(dtype), shape)


def fed(*others: TensorSpec, seed: int = 0, first: int = 0) -> Arrays:
    batch = Batch(np.ones((2, 4, 4, 3), np.float32), (Item(first, None),))
    return feed(batch, Signature((*others, IMAGES), ()), seed)


def test_one_input_takes_the_images_whatever_its_shape() -> None:
    only = spec("only", "float32")
    assert image_input(Signature((only,), ())) is only


def test_the_input_of_four_dimensions_takes_the_images() -> None:
    masks = spec("masks", "float32", None, 4, 4, 1)
    assert image_input(Signature((spec("a", "float32", None, 3), masks, IMAGES), ())) is IMAGES


def test_others_are_filled_by_type_and_shape() -> None:
    arrays = fed(
        spec("boxes", "float16", None, 5, 4), spec("ids", "int64", None, 3), spec("bytes", "uint8", None, 64),
        spec("flag", "bool"), spec("anchors", "float64", 7, 4),
    )  # fmt: skip
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "boxes": ("float16", (2, 5, 4)), "ids": ("int64", (2, 3)), "bytes": ("uint8", (2, 64)), "flag": ("bool", ()),
        "anchors": ("float64", (7, 4)), "x": ("float32", (2, 4, 4, 3)),
    }  # fmt: skip
    assert (arrays["x"] == 1).all()
    assert set(np.unique(arrays["ids"])) <= {0, 1} and arrays["bytes"].max() > 1
    assert 0 <= arrays["boxes"].min() < arrays["boxes"].max() <= 1


def test_the_seed_the_name_and_the_batch_decide() -> None:
    two = (spec("a", "float32", None, 8), spec("b", "float32", None, 8))
    arrays, again, other, later = fed(*two), fed(*two), fed(*two, seed=1), fed(*two, first=2)
    np.testing.assert_array_equal(arrays["a"], again["a"])
    assert all((arrays["a"] != values).any() for values in (arrays["b"], other["a"], later["a"]))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (spec("sizes", "float32", None, None), r"input 'sizes' is \[None, None\]: sizes that are not known"),
        (spec("paths", "object", None), "input 'paths' is of type string, which"),
    ],
)
def test_what_cannot_be_made_up_is_named(other: TensorSpec, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        fed(other)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((None, 8, 8, 3), r"size: the model's input 'x' is \[None, 8, 8, 3\], and would be fed \[2, 4, 4, 3\]"),
        ((1, 4, 4, 3), r"batch: the model's input 'x' is \[1, 4, 4, 3\]"),
        ((None, 4, 4), "size: the model's input 'x' is"),
    ],
)
def test_an_input_of_another_size_names_the_key_that_sets_it(shape: tuple[int | None, ...], words: str) -> None:
    arrays = {"x": np.zeros((2, 4, 4, 3), np.float32)}
    with pytest.raises(ModelError, match=words):
        check_shapes(arrays, Signature((spec("x", "float32", *shape),), ()), "size", "batch")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((None, 4, 4, 1), r"model_config\.preprocess: the model's .* a function .* can give pictures 1 channel$"),
        ((None, 8, 8, 4), r"model_config\.preprocess: the model's .* a function .* can give pictures 4 channels$"),
        ((None, 3, 4, 4), r"the model's input .* channels first, save one that begins with tf\.transpose"),
        ((None, 3, None, None), r"the model's input .* channels first, save one that begins with tf\.transpose"),
    ],
)
def test_other_channels_name_what_can_give_them(shape: tuple[int | None, ...], words: str) -> None:
    arrays = {"x": np.zeros((2, 4, 4, 3), np.float32)}
    with pytest.raises(ModelError, match=f"^{words}"):
        check_shapes(arrays, Signature((spec("x", "float32", *shape),), ()), "size", "batch")


@pytest.mark.parametrize("shape", [(None, None, None, 3), (2, 4, 4, 3), (None, 4, None, None), ()])
def test_an_input_that_fits_is_no_error(shape: tuple[int | None, ...]) -> None:
    arrays = {"x": np.zeros((2, 4, 4, 3), np.float32)}
    check_shapes(arrays, Signature((spec("x", "float32", *shape),), ()), "size", "batch")
