"""Batches by tf.data are those of Pillow and NumPy, to the bit; what TensorFlow does not take goes to Pillow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.backends.base import Array, Signature, TensorSpec
from bench.case import Dataset, Model
from bench.errors import DataError
from bench.inputs.batches import Batch, iterate_batches
from bench.inputs.cases import accuracy_batches, evaluated_batches, preparing_first_batch
from bench.inputs.images import load_image
from bench.inputs.item import Item
from bench.inputs.preprocess import PREPROCESS, cut_and_scale
from tests.configs import ROOT
from tests.factory import make_case
from tests.inputs.labelled_forms import as_folders, as_labels, as_records, make_images
from tests.inputs.test_images import noise

tf = pytest.importorskip("tensorflow")
from bench.inputs import tfdata  # noqa: E402
from bench.inputs.tfdata import fast_batches  # noqa: E402

FLOAT32 = np.dtype(np.float32)
NAMES = ("inception", "vgg", "resnet_official")
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "chroma at full size": {"subsampling": "4:4:4"},
    "chroma at half the width": {"subsampling": "4:2:2"},
    "progressive": {"progressive": True},
    "fine": {"quality": 98, "optimize": True},
    "coarse": {"quality": 12},
}
SIZES = ((240, 321), (321, 240), (37, 53), (500, 333), (8, 8), (1, 300))


def by_pillow(item: Item, name: str, shape: tuple[int, int]) -> Array:
    return load_image(item, shape, name, FLOAT32, 0)


def jpegs(home: Path, **changes: Any) -> list[Item]:
    """One of each kind and size."""
    items = []
    for number, (size, options) in enumerate((size, options) for options in KINDS.values() for size in SIZES):
        path = home / f"{number}.jpg"
        noise(*size).save(path, **{"quality": 90, **options, **changes})
        items.append(Item(number, path))
    return items


def assert_same(ours: list[Batch], wanted: list[Batch]) -> None:
    assert [batch.items for batch in ours] == [batch.items for batch in wanted]
    for mine, theirs in zip(ours, wanted, strict=True):
        assert mine.images.dtype == theirs.images.dtype
        np.testing.assert_array_equal(mine.images, theirs.images)


def both(items: list[Item], name: str, shape: tuple[int, int], size: int = 5) -> tuple[list[Batch], list[Batch]]:
    parts = cut_and_scale(name)
    assert parts is not None

    def load(item: Item) -> Array:
        return by_pillow(item, name, shape)

    return [*fast_batches(items, size, load, *parts, shape)], [*iterate_batches(items, size, load)]


@pytest.mark.parametrize("shape", [(224, 224), (96, 128)])
@pytest.mark.parametrize("name", NAMES)
def test_jpegs_of_all_kinds_and_sizes_to_the_bit(tmp_path: Path, name: str, shape: tuple[int, int]) -> None:
    ours, wanted = both(jpegs(tmp_path), name, shape)
    assert sum(batch.count for batch in ours) == len(KINDS) * len(SIZES) and ours[-1].count == 1  # so it is padded
    assert_same(ours, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_plain_files_are_left_to_tensorflow(tmp_path: Path, name: str) -> None:
    """Pillow is not asked for one of them."""
    parts = cut_and_scale(name)
    assert parts is not None
    items = [item for item in jpegs(tmp_path) if is_plain(item)]
    noise(40, 30).convert("L").save(tmp_path / "grey.jpg")
    items.append(Item(99, tmp_path / "grey.jpg"))
    assert len(items) == 26 and asked_of_pillow(items, name) == []


def is_plain(item: Item) -> bool:
    """Baseline, and not so narrow that TensorFlow would have to resize more than is kept."""
    with Image.open(item.path or "") as image:
        return "progressive" not in image.info and image.height > 1


def asked_of_pillow(items: list[Item], name: str) -> list[int]:
    """The ids of the items that are not left to TensorFlow; what comes out is right."""
    parts = cut_and_scale(name)
    assert parts is not None
    asked: list[int] = []

    def load(item: Item) -> Array:
        asked.append(item.id)
        return by_pillow(item, name, (64, 64))

    ours = [*fast_batches(items, 5, load, *parts, (64, 64))]
    assert_same(ours, both(items, name, (64, 64))[1])
    return sorted(asked)


def rotated(picture: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(path, "JPEG", exif=exif)


def cmyk(picture: Image.Image, path: Path) -> None:
    picture.convert("CMYK").save(path, "JPEG")


def png(picture: Image.Image, path: Path) -> None:
    picture.save(path, "PNG")


def cut_off_progressive(picture: Image.Image, path: Path) -> None:
    """Without its last scans, which is no error."""
    picture.save(path, "JPEG", progressive=True)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\xff\xda")] + b"\xff\xd9")


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("odd", [rotated, cmyk, png, cut_off_progressive])
@pytest.mark.parametrize("place", [0, 7, 24])
def test_a_picture_that_tensorflow_would_see_differently(
    tmp_path: Path, odd: Callable[[Image.Image, Path], None], place: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It, and the batch that it is in, by Pillow."""
    monkeypatch.setattr(tfdata, "RARE", 1)
    items = [item for item in jpegs(tmp_path) if is_plain(item)]
    odd(noise(90, 60), tmp_path / "odd.jpg")
    items[place] = Item(99, tmp_path / "odd.jpg")
    first = place - place % 5
    assert asked_of_pillow(items, name) == sorted(item.id for item in items[first : first + 5])


def test_a_strip_of_which_little_is_kept_is_not_resized_as_a_whole(tmp_path: Path) -> None:
    """TensorFlow would make it 73 000 pixels wide."""
    noise(9, 9).resize((4000, 4)).save(tmp_path / "strip.jpg")
    item = Item(7, tmp_path / "strip.jpg")
    assert asked_of_pillow([item], "vgg") == [7]
    assert asked_of_pillow([item], "inception") == []


def test_where_odd_pictures_are_not_rare_pillow_makes_all(tmp_path: Path) -> None:
    items = [item for item in jpegs(tmp_path) if is_plain(item)]
    rotated(noise(90, 60), tmp_path / "odd.jpg")
    items[11] = Item(99, tmp_path / "odd.jpg")
    assert asked_of_pillow(items, "vgg") == sorted(item.id for item in items)


def test_a_path_that_goes_up_is_the_one_that_the_system_takes(tmp_path: Path) -> None:
    """TensorFlow would take `link/..` away, and read another file."""
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real/deep")
    for home, size in ((tmp_path, (50, 60)), (tmp_path / "real", (60, 50))):
        noise(*size).save(home / "1.jpg")
    assert asked_of_pillow([Item(1, tmp_path / "link/../1.jpg")], "inception") == [1]


@pytest.mark.parametrize("kept", [700, -30])  # bytes
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_breaks_off_is_named_and_what_was_before_it_came(tmp_path: Path, name: str, kept: int) -> None:
    """At its end, too, which none of the pixels that are wanted needs."""
    items = [item for item in jpegs(tmp_path) if is_plain(item)]
    bad = items[12].path
    assert bad is not None
    bad.write_bytes(bad.read_bytes()[:kept])
    parts = cut_and_scale(name)
    assert parts is not None
    batches = fast_batches(items, 5, lambda item: by_pillow(item, name, (64, 64)), *parts, (64, 64))
    assert [next(batches).count, next(batches).count] == [5, 5]
    with pytest.raises(DataError, match=rf"{bad}: cannot be decoded"):
        next(batches)


@pytest.mark.parametrize("lost", [40, 3000])  # bytes
@pytest.mark.parametrize("name", NAMES)
def test_what_a_file_lacks_before_its_end_marker_is_as_pillow_shows_it(tmp_path: Path, name: str, lost: int) -> None:
    """Nobody can tell of such a file that it broke off; the last rows of it may not be decoded at all."""
    items = [item for item in jpegs(tmp_path) if is_plain(item)]
    for item in items[:5]:
        assert item.path is not None
        content = item.path.read_bytes()
        item.path.write_bytes(content[: max(800, len(content) - lost)] + tfdata.END_OF_IMAGE)
    assert_same(*both(items, name, (64, 64)))


def test_rows_below_what_is_wanted_are_decoded_only_where_a_file_may_break_off(tmp_path: Path) -> None:
    noise(400, 300).save(tmp_path / "1.jpg")
    parts = cut_and_scale("inception")
    assert parts is not None
    for ending, last in ((b"", 376), (b"and more", 400)):
        with (tmp_path / "1.jpg").open("ab") as file:
            file.write(ending)
        placed = tfdata._place(Item(1, tmp_path / "1.jpg"), parts[0], (64, 64))
        assert placed is not None
        top, _, height, _ = placed.row()[2]
        assert top + height == last


def test_a_file_that_is_replaced_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a larger one, after its header was read: not a part of it that is none of its own."""
    noise(60, 80).save(tmp_path / "1.jpg")
    read = tfdata._dataset

    def replaced(*arguments: Any) -> Any:
        noise(240, 320).save(tmp_path / "1.jpg")
        return read(*arguments)

    monkeypatch.setattr(tfdata, "_dataset", replaced)
    (ours,), (wanted,) = both([Item(1, tmp_path / "1.jpg")], "inception", (64, 64))
    np.testing.assert_array_equal(ours.images, wanted.images)


def test_without_eager_execution_pillow_makes_all(tmp_path: Path) -> None:
    noise(60, 80).save(tmp_path / "1.jpg")
    with tf.Graph().as_default():
        assert asked_of_pillow([Item(1, tmp_path / "1.jpg")], "inception") == [1]


def case_and_signature(dataset: Dataset, name: str, dtype: type = np.float32, count: int = 24) -> Any:
    model = Model(name="own", task="classification", path="m", preprocess=name)
    case = make_case(model=model, dataset=dataset, image_shape=(32, 32), num_images=count, batch_size=7)
    spec = TensorSpec("image", np.dtype(dtype), (None, 32, 32, 3))
    return case, Signature((spec,), ())


@pytest.mark.parametrize("name", ["inception", "tf"])
def test_a_case_gets_the_same_of_files_and_of_records(tmp_path: Path, name: str) -> None:
    """By whichever way: top-1 is the same to the last digit."""
    images = make_images()
    answers = []
    for form in (as_folders, as_records):
        case, signature = case_and_signature(form(tmp_path, images), name)
        ours = [*accuracy_batches(case, signature)]
        assert_same(ours, [*evaluated_batches(case, signature, 24)])
        pictures = np.concatenate([batch.images[: batch.count] for batch in ours])
        answers.append(sorted(picture.tobytes() for picture in pictures))
    assert answers[0] == answers[1]


def test_other_types_and_synthetic_pictures_are_made_as_ever(tmp_path: Path) -> None:
    folders = as_folders(tmp_path, make_images())
    case, signature = case_and_signature(folders, "inception", np.float16)
    assert {batch.images.dtype for batch in accuracy_batches(case, signature)} == {np.dtype(np.float16)}
    case, signature = case_and_signature(Dataset(name="synthetic", format="synthetic"), "vgg")
    assert_same([*accuracy_batches(case, signature)], [*evaluated_batches(case, signature, 24)])


def test_tensorflow_is_not_imported_for_it() -> None:
    program = (
        "import sys, bench.inputs.cases; sys.exit('tensorflow' in sys.modules or 'bench.inputs.tfdata' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_what_is_made_by_tf_data() -> None:
    assert tuple(name for name in PREPROCESS if cut_and_scale(name)) == NAMES


def test_the_batch_whose_making_is_timed_is_listed_before(tmp_path: Path) -> None:
    """A stage is of pictures: to parse COCO's annotations takes a hundred times as long."""
    dataset = as_labels(tmp_path, make_images())
    case, signature = case_and_signature(dataset, "raw")
    wanted = next(iter(evaluated_batches(case, signature, 24))).images
    prepare = preparing_first_batch(case, signature)
    Path(dataset.labels_path or "").unlink()
    np.testing.assert_array_equal(prepare(), wanted)
