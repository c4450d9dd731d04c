"""Images as models get them, to the pixel."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bench.backends.base import Array
from bench.case import Dataset
from bench.errors import DataError
from bench.inputs.check import check_data
from bench.inputs.images import load_image, random_pixels, read_picture
from bench.inputs.item import Item

UINT8, FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)


def read_pixels(path: Path, shape: tuple[int, int] | None) -> Array:
    return load_image(Item(0, path), shape, "raw", UINT8, seed=0)


def noise(height: int, width: int) -> Image.Image:
    """A smooth picture with some noise, so that resizing and compressing matter."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1)
    pixels = pixels + np.random.default_rng(0).integers(-20, 20, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    noise(40, 60).save(path)
    return path


def encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def test_without_a_shape_pixels_are_as_they_are(photo: Path) -> None:
    pixels = read_pixels(photo, None)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(noise(40, 60)))


def test_the_whole_image_is_resized_bilinearly_to_height_and_width(photo: Path) -> None:
    wanted = noise(40, 60).resize((30, 17), Image.Resampling.BILINEAR)
    pixels = read_pixels(photo, (17, 30))
    assert pixels.shape == (17, 30, 3)
    np.testing.assert_array_equal(pixels, np.asarray(wanted))


def test_an_image_of_the_right_size_is_not_touched(photo: Path) -> None:
    np.testing.assert_array_equal(read_pixels(photo, (40, 60)), read_pixels(photo, None))


def test_jpegs_are_decoded_in_full(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(noise(64, 48), "JPEG"))
    with Image.open(path) as reference:
        wanted = np.asarray(reference.convert("RGB"))
    np.testing.assert_array_equal(read_pixels(path, None), wanted)


@pytest.mark.parametrize("dtype", [UINT8, FLOAT32])
def test_raw_preprocessing_keeps_values_in_the_type_of_the_model(photo: Path, dtype: np.dtype[np.generic]) -> None:
    image = load_image(Item(0, photo), None, "raw", dtype, seed=0)
    assert image.dtype == dtype
    np.testing.assert_array_equal(image, np.asarray(noise(40, 60)))


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [("L", "PNG", 0), ("P", "PNG", 0), ("RGBA", "PNG", 0), ("1", "PNG", 0), ("CMYK", "JPEG", 12), ("L", "JPEG", 4)],
)
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str, kind: str, tolerance: int) -> None:
    picture = noise(16, 24).resize((24, 16)).convert(mode)
    path = tmp_path / f"picture.{kind.lower()}"
    picture.save(path, kind, **({"quality": 100} if kind == "JPEG" else {}))
    pixels = read_pixels(path, None)
    assert (pixels.shape, pixels.dtype) == ((16, 24, 3), UINT8)
    difference = pixels.astype(int) - np.asarray(picture.convert("RGB"))
    assert abs(difference).mean() <= tolerance


def test_a_grayscale_image_has_three_equal_channels(tmp_path: Path) -> None:
    path = tmp_path / "gray.png"
    Image.new("L", (5, 4), 77).save(path)
    assert (read_pixels(path, None) == 77).all()


def test_sixteen_bits_become_their_upper_eight(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 256, 65535]], np.uint16)).save(path)
    assert read_pixels(path, None)[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_which_nobody_knows_the_range_are_refused(tmp_path: Path, mode: str) -> None:
    """Pillow would cut them off at 255."""
    path = tmp_path / "deep.tif"
    Image.new(mode, (5, 4), 70_000).save(path)
    with pytest.raises(DataError, match=rf"{path}: cannot be decoded: it has 32 bits a channel"):
        read_pixels(path, None)
    dataset = Dataset(name="own", format="images", images_dir=str(tmp_path))
    with pytest.raises(DataError, match=rf"{path}: cannot be decoded: it has 32 bits a channel"):
        check_data(dataset, None, None, None)


@pytest.mark.parametrize("suffix", ["bmp", "gif", "tif", "webp"])
def test_other_formats_in_a_folder_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    noise(16, 24).save(path, lossless=True)
    assert check_data(Dataset(name="own", format="images", images_dir=str(tmp_path)), None, None, None).count == 1
    difference = read_pixels(path, None).astype(int) - np.asarray(noise(16, 24))
    assert abs(difference).mean() < (20 if suffix == "gif" else 1)


def test_an_inverted_cmyk_jpeg_as_photoshop_writes_it_has_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "red.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=100)
    assert b"Adobe" in path.read_bytes()
    red, green, blue = read_pixels(path, None).reshape(-1, 3).mean(0)
    assert red > 240 and green < 15 and blue < 15


def turned(tmp_path: Path, orientation: int) -> Path:
    """A picture whose left half is black, with an EXIF orientation."""
    path = tmp_path / f"{orientation}.png"
    picture = Image.new("RGB", (6, 4), (255, 255, 255))
    picture.paste((0, 0, 0), (0, 0, 3, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    return path


@pytest.mark.parametrize(("orientation", "size", "black"), [
    (1, (6, 4), "left"), (3, (6, 4), "right"), (6, (4, 6), "top"), (8, (4, 6), "bottom"),
])  # fmt: skip
def test_a_picture_is_turned_upright(tmp_path: Path, orientation: int, size: tuple[int, int], black: str) -> None:
    picture = read_picture(Item(0, turned(tmp_path, orientation)))
    assert picture.size == size
    middle = size[0] // 2, size[1] // 2
    edges = {"left": (0, middle[1]), "right": (size[0] - 1, middle[1]), "top": (middle[0], 0),
             "bottom": (middle[0], size[1] - 1)}  # fmt: skip
    opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[black]
    assert picture.getpixel(edges[black]) == (0, 0, 0)
    assert picture.getpixel(edges[opposite]) == (255, 255, 255)


@pytest.mark.parametrize(("annotated", "size"), [((4, 6), (6, 4)), ((6, 4), (4, 6)), (None, (4, 6))])
def test_an_annotated_picture_is_as_its_annotation_says(
    tmp_path: Path, annotated: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    assert read_picture(Item(0, turned(tmp_path, 6), size=annotated)).size == size


def test_a_truncated_jpeg_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    whole = encoded(noise(64, 64), "JPEG")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"half\.jpg: cannot be decoded: .*truncated"):
        read_pixels(path, (32, 32))


def test_a_missing_image_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg: no such image"):
        read_pixels(tmp_path / "gone.jpg", None)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_files_are_either_decoded_or_a_data_error(tmp_path: Path, kind: str) -> None:
    whole = encoded(noise(24, 24), kind)
    path = tmp_path / "damaged"
    chance = random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole[: chance.randrange(1, len(whole) + 1)] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        refused += not _decodes(path)
    assert 0 < refused < 300


def _decodes(path: Path) -> bool:
    try:
        assert read_pixels(path, (8, 8)).shape == (8, 8, 3)
    except DataError:
        return False
    return True


def synthetic(index: int, seed: int) -> Array:
    return random_pixels(index, (6, 7), seed)


def test_synthetic_images_depend_on_seed_and_index_alone() -> None:
    assert synthetic(1, 2).shape == (6, 7, 3)
    np.testing.assert_array_equal(synthetic(1, 2), synthetic(1, 2))
    assert (synthetic(1, 2) != synthetic(2, 2)).any()
    assert (synthetic(1, 2) != synthetic(1, 3)).any()
    assert {0, 255} <= set(random_pixels(0, (64, 64), 0).ravel().tolist())


def test_synthetic_images_have_the_statistics_that_are_asked_for() -> None:
    mean, deviation = (123.7, 116.8, 60.0), (40.0, 5.0, 20.0)
    pixels = random_pixels(3, (200, 200), 0, (mean, deviation)).reshape(-1, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.mean(0), mean, atol=1)  # 0.2 is the standard error of the first
    np.testing.assert_allclose(pixels.std(0), deviation, rtol=0.05)
    np.testing.assert_array_equal(pixels, random_pixels(3, (200, 200), 0, (mean, deviation)).reshape(-1, 3))


@pytest.mark.parametrize("orientation", range(10))
def test_pictures_are_turned_as_pillow_turns_them(tmp_path: Path, orientation: int) -> None:
    path = turned(tmp_path, orientation)
    with Image.open(path) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(np.asarray(read_picture(Item(0, path))), wanted)


def test_a_turned_picture_may_have_tags_that_nobody_could_write(tmp_path: Path) -> None:
    """Pillow's exif_transpose writes all of them anew, and fails."""
    entries = [(0x0112, 3, struct.pack("<HH", 6, 0)), (0x0128, 11, struct.pack("<f", 1.5))]  # the second is no float
    fields = b"".join(struct.pack("<HHI", tag, kind, 1) + value for tag, kind, value in entries)
    tiff = b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", 0)
    path = tmp_path / "odd.jpg"
    Image.new("RGB", (6, 4)).save(path, exif=b"Exif\0\0" + tiff)
    with Image.open(path) as image, pytest.raises(struct.error):
        ImageOps.exif_transpose(image)
    assert read_picture(Item(0, path)).size == (4, 6)
