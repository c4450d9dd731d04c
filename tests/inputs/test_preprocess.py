"""Preprocessings by name, to the pixel, against definitions written down here a second time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.backends.base import Array
from bench.errors import ConfigError, ModelError
from bench.inputs.geometry import Cut, cut_out, letterbox_place
from bench.inputs.preprocess import PREPROCESS, CutFit, own_function, preprocess
from bench.sections.config import CROPPING, PREPROCESSINGS

FLOAT32 = np.dtype(np.float32)
SIZES = [(375, 500), (500, 375), (333, 401), (256, 256), (640, 427), (97, 1000)]  # of pictures: height, width
SHAPES = [(224, 224), (299, 299)]


def picture(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng((height, width)).integers(0, 256, (height, width, 3), np.uint8))


def fed(image: Image.Image, shape: tuple[int, int] | None, name: str) -> Array:
    return preprocess(image, shape, name, FLOAT32)


def inception_of_tf_models(pixels: Array, shape: tuple[int, int]) -> Array:
    """inception_preprocessing.preprocess_for_eval: scale, central crop of 87.5 %, resize, to -1..1."""
    import tensorflow as tf

    image = tf.image.convert_image_dtype(pixels, tf.float32)
    image = tf.image.central_crop(image, central_fraction=0.875)
    image = tf.compat.v1.image.resize_bilinear(image[None], shape, align_corners=False)[0]
    return np.asarray((image - 0.5) * 2.0)


def vgg_of_tf_models(pixels: Array, shape: tuple[int, int], side: int, rounded: bool) -> Array:
    """vgg_preprocessing.preprocess_for_eval (rounded) and the official ResNet's: shorter side, middle, means off."""
    import tensorflow as tf

    height, width = (tf.cast(n, tf.float32) for n in pixels.shape[:2])
    scale = tf.cast(side, tf.float32) / tf.minimum(height, width)
    sizes = [height * scale, width * scale]
    new = [int(tf.cast(tf.math.rint(n) if rounded else n, tf.int32)) for n in sizes]
    image = np.asarray(tf.compat.v1.image.resize_bilinear(pixels[None], new, align_corners=False)[0])
    top, left = ((n - crop) // 2 for n, crop in zip(new, shape, strict=True))
    return image[top : top + shape[0], left : left + shape[1]] - np.array([123.68, 116.78, 103.94], np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_inception_is_that_of_tf_models(size: tuple[int, int], shape: tuple[int, int]) -> None:
    image = picture(*size)
    wanted = inception_of_tf_models(np.asarray(image), shape)
    made = fed(image, shape, "inception")
    assert made.shape == (*shape, 3)
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-6)  # TensorFlow scales before it resizes


@pytest.mark.parametrize(("name", "rounded"), [("vgg", True), ("resnet_official", False)])
@pytest.mark.parametrize("size", SIZES)
def test_vgg_and_resnet_are_those_of_tf_models(size: tuple[int, int], name: str, rounded: bool) -> None:
    image = picture(*size)
    wanted = vgg_of_tf_models(np.asarray(image), (224, 224), 256, rounded)
    np.testing.assert_array_equal(fed(image, (224, 224), name), wanted)


def test_vgg_and_resnet_differ_where_a_size_is_rounded_or_cut_off() -> None:
    image = picture(333, 401)  # 308.27 and 308; 97 x 1000 becomes 2639.2
    assert not np.array_equal(
        fed(picture(375, 502), (224, 224), "vgg"), fed(picture(375, 502), (224, 224), "resnet_official")
    )
    assert fed(image, (224, 224), "vgg").shape == fed(image, (224, 224), "resnet_official").shape


@pytest.mark.parametrize("shape", [(224, 400), (400, 224), (64, 64)])
@pytest.mark.parametrize("name", ["vgg", "resnet_official"])
def test_a_crop_of_any_proportions_is_filled(name: str, shape: tuple[int, int]) -> None:
    for size in SIZES:
        assert fed(picture(*size), shape, name).shape == (*shape, 3)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60))
def test_resizing_between_neighbours_is_tensorflows(height: int, width: int, new_height: int, new_width: int) -> None:
    import tensorflow as tf

    image = picture(height, width)
    wanted = tf.compat.v1.image.resize_bilinear(np.asarray(image)[None], (new_height, new_width))[0]
    cut = Cut((0, 0, height, width), (new_height, new_width), (0, 0, new_height, new_width))
    np.testing.assert_array_equal(cut_out(image, cut), wanted)


@pytest.mark.parametrize("mode", ["tf", "caffe", "torch"])
def test_keras_modes_are_those_of_keras(mode: str) -> None:
    from tensorflow.keras.applications.imagenet_utils import preprocess_input

    image = picture(61, 83)
    resized = np.asarray(image.resize((32, 24), Image.Resampling.BILINEAR))
    wanted = preprocess_input(resized.astype(np.float32), mode=mode, data_format="channels_last")
    np.testing.assert_allclose(fed(image, (24, 32), mode), wanted, rtol=0, atol=1e-6 if mode == "torch" else 0)


def test_raw_is_the_whole_picture_in_whole_numbers() -> None:
    image = picture(61, 83)
    made = preprocess(image, (24, 32), "raw", np.dtype(np.uint8))
    np.testing.assert_array_equal(made, np.asarray(image.resize((32, 24), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize("name", [name for name in PREPROCESSINGS if name != "raw"])
def test_fractions_are_not_cut_off_for_a_model_that_takes_integers(name: str) -> None:
    with pytest.raises(ModelError, match=f"{name!r} makes fractions, and the model's input is uint8; use 'raw'"):
        preprocess(picture(8, 8), (8, 8), name, np.dtype(np.uint8))


def halves(image: Array, image_shape: tuple[int, int] | None) -> Array:
    """A preprocessing of the user's own, as an integer model cannot take it."""
    return np.asarray(image, np.float32) / 2


def test_nor_are_those_of_a_function_of_ones_own() -> None:
    even, odd = np.full((2, 8, 8, 3), 4, np.uint8)
    odd[3, 4, 1] = 5
    name = f"{__name__}:halves"
    assert preprocess(even, (8, 8), name, np.dtype(np.uint8)).dtype == np.uint8
    with pytest.raises(ModelError, match=r"halves' gives 2\.5, and the model takes uint8"):
        preprocess(odd, (8, 8), name, np.dtype(np.uint8))


def logarithm(image: Array, image_shape: tuple[int, int] | None) -> Array:
    """A preprocessing of the user's own that has no value for black."""
    with np.errstate(all="ignore"):
        return np.log(np.asarray(image, np.float32)) * 0


def test_nan_that_a_function_of_ones_own_gives_is_told_as_its_own() -> None:
    white, black = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    name = f"{__name__}:logarithm"
    assert preprocess(white, (8, 8), name, np.dtype(np.float32)).any() == np.False_
    with pytest.raises(ModelError, match=r"model_config\.preprocess: '.*:logarithm' gave NaN"):
        preprocess(black, (8, 8), name, np.dtype(np.float32))


@given(height=st.integers(1, 300), width=st.integers(1, 300), shape=st.tuples(st.integers(8, 200), st.integers(8, 200)))
def test_letterbox_keeps_proportions_and_lies_in_the_middle(height: int, width: int, shape: tuple[int, int]) -> None:
    top, left, new_height, new_width = letterbox_place((height, width), shape)
    assert top >= 0 and left >= 0 and top + new_height <= shape[0] and left + new_width <= shape[1]
    assert new_height == shape[0] or new_width == shape[1]
    scale = min(shape[0] / height, shape[1] / width)
    assert abs(new_height - height * scale) <= 1 and abs(new_width - width * scale) <= 1
    assert abs((shape[0] - new_height) - 2 * top) <= 1 and abs((shape[1] - new_width) - 2 * left) <= 1


def test_letterbox_pads_with_grey_around_the_resized_picture() -> None:
    image = picture(40, 80)
    made = fed(image, (64, 64), "letterbox")
    inner = np.asarray(image.resize((64, 32), Image.Resampling.BILINEAR)) / np.float32(255)
    np.testing.assert_allclose(made[16:48], inner, rtol=0, atol=1e-7)
    assert (made[:16] == np.float32(114 / 255)).all() and (made[48:] == np.float32(114 / 255)).all()


def test_every_name_has_its_definition() -> None:
    assert tuple(PREPROCESS) == PREPROCESSINGS
    assert tuple(name for name, each in PREPROCESS.items() if isinstance(each.fit, CutFit)) == CROPPING


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Writes mine.py into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    own_function.cache_clear()
    return lambda text: (tmp_path / "mine.py").write_text(text, encoding="utf-8")


def test_a_function_of_ones_own_gets_pixels_and_shape(module: Callable[[str], Any]) -> None:
    module("def crop(image, image_shape):\n    return image[:image_shape[0], :image_shape[1]] * 2.0\n")
    image = picture(9, 9)
    made = fed(image, (4, 5), "mine:crop")
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, np.asarray(image)[:4, :5] * np.float32(2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def crop(image): return image", r"'mine:crop': it is called as crop\(image, image_shape\): too many"),
        ("def other(image, image_shape): return image", r"mine\.py has no function 'crop'"),
        ("import nothing_of_that_name", "mine cannot be imported: ModuleNotFoundError: No module named 'nothing_"),
        ("1 / 0", "mine cannot be imported: ZeroDivisionError"),
        ("raise SystemExit(0)", "mine cannot be imported: SystemExit: 0"),
        ("def crop(", "mine cannot be imported: SyntaxError"),
    ],
)
def test_a_function_that_cannot_be_used_is_one_clear_error(
    module: Callable[[str], Any], text: str, message: str
) -> None:
    module(text)
    with pytest.raises(ConfigError, match=f"^model_config.preprocess: .*{message}"):
        own_function("mine:crop")


@pytest.mark.parametrize("result", ["image[0]", "image", "'words'"])
def test_a_function_that_gives_something_else_is_an_error(module: Callable[[str], Any], result: str) -> None:
    module(f"def crop(image, image_shape): return {result}")
    with pytest.raises(ModelError, match=r"'mine:crop' gave .* for \[9, 9, 3\]; numbers \[4, 5, channels\] are needed"):
        fed(picture(9, 9), (4, 5), "mine:crop")


def test_channels_that_come_first_are_told(module: Callable[[str], Any]) -> None:
    module("def crop(image, image_shape): return image[:4, :5].transpose(2, 0, 1)")
    with pytest.raises(
        ModelError, match="are needed; channels come last, and a model that takes them first transposes"
    ):
        fed(picture(9, 9), (4, 5), "mine:crop")


def test_a_function_that_ends_the_process_is_named(module: Callable[[str], Any]) -> None:
    module("import sys\ndef crop(image, image_shape): sys.exit('enough')")
    with pytest.raises(ConfigError, match=r"^model_config\.preprocess: 'mine:crop' calls sys\.exit: enough$"):
        fed(picture(9, 9), (4, 5), "mine:crop")
