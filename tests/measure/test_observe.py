"""What is seen of timed inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.backends.base import Array, Arrays, Signature, TensorSpec
from bench.backends.null import NullSession
from bench.inputs.batches import TimedBatch
from bench.measure.observe import differences, observe, round_of

IMAGES = Signature((TensorSpec("images", np.dtype(np.uint8), (None, None, None, 3)),), ())
NOISE = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)


class Counting(NullSession):
    """Detects so many objects in the images of each batch."""

    def __init__(self, counts: Sequence[int]) -> None:
        super().__init__({})
        self.counts, self.inferred = counts, 0

    def infer(self, batch: Arrays) -> Arrays:
        self.inferred += 1
        return detected(self.counts[int(batch["images"].flat[0])])


def detected(count: int) -> Arrays:
    return {"num_detections": np.array([count, 0], np.float32)}


def flat(*values: int) -> Array:
    return np.stack([np.full((4, 4, 3), value, np.uint8) for value in values])


def pool(*batches: Array, images: int | None = None) -> list[TimedBatch]:
    return [TimedBatch({"images": batch}, images or len(batch)) for batch in batches]


def test_images_that_differ() -> None:
    seen = observe(NullSession({}), pool(NOISE[:3], NOISE[3:]), IMAGES, {})
    assert (seen.pool_batches, seen.pool_images, seen.identical_images, seen.flat_images) == (2, 6, False, False)
    assert (seen.detections, seen.output_differences) == (None, None)


def test_images_that_are_all_the_same() -> None:
    same = np.stack([NOISE[0]] * 2)
    seen = observe(NullSession({}), pool(same, same), IMAGES, {})
    assert (seen.pool_images, seen.identical_images, seen.flat_images) == (4, True, False)


def test_images_of_one_colour_each() -> None:
    red = flat(0, 0) + np.array([200, 0, 0], np.uint8)
    seen = observe(NullSession({}), pool(flat(1, 2), red), IMAGES, {})
    assert (seen.identical_images, seen.flat_images) == (False, True)
    assert observe(NullSession({}), pool(flat(1, 1)), IMAGES, {}).identical_images
    assert not observe(NullSession({}), pool(flat(1), NOISE[:1]), IMAGES, {}).flat_images


def test_padding_is_not_looked_at() -> None:
    padded = np.stack([NOISE[0], NOISE[1], NOISE[1]])
    assert not observe(NullSession({}), pool(padded, images=2), IMAGES, {}).identical_images
    assert observe(NullSession({}), pool(padded, images=1), IMAGES, {}).pool_images == 1


def test_inputs_that_are_no_images() -> None:
    tokens = Signature(tuple(TensorSpec(name, np.dtype(np.int32), (None, 4)) for name in "ab"), ())
    arrays = {name: np.zeros((2, 4), np.int32) for name in "ab"}
    seen = observe(NullSession({}), [TimedBatch(arrays, 2)], tokens, {})
    assert not seen.identical_images and not seen.flat_images


@pytest.mark.parametrize(
    ("first", "counts", "found", "inferred"), [(3, [0, 0], 3, 0), (0, [9, 0, 2], 2, 2), (0, [9, 0, 0], 0, 2)]
)
def test_detections_are_looked_for_until_there_are_some(
    first: int, counts: list[int], found: int, inferred: int
) -> None:
    """The first batch was inferred while timed, and is not again."""
    session = Counting(counts)
    seen = observe(session, pool(*(flat(number) for number in range(len(counts)))), IMAGES, detected(first))
    assert (seen.detections, session.inferred) == (found, inferred)


def test_batches_of_different_shapes_come_round_with_the_pool() -> None:
    assert round_of(pool(flat(1), flat(2), flat(3))) == 1
    assert round_of(pool(flat(1), flat(2)[:, :2], flat(3))) == 3


def test_differences_are_relative_to_the_whole_output() -> None:
    timed = {"a": np.array([1.0, 2.0, 1.0]), "b": np.array([1, 2]), "same": np.array(["x"]), "none": np.zeros(3)}
    again = {"a": np.array([1.0, 2.0, 1.5]), "b": np.array([1, 2]), "same": np.array(["x"]), "none": np.zeros(3)}
    assert differences(timed, again) == {"a": pytest.approx(0.5 / 4.5), "b": 0, "same": 0, "none": 0}


@pytest.mark.parametrize(
    ("timed", "again"),
    [
        (np.zeros(2), np.zeros(3)),
        (np.array(["x"]), np.array(["y"])),
        (np.array([np.nan, 1]), np.array([0.0, 1])),
        (np.array([np.inf, 1]), np.array([0.0, 1])),
        (np.zeros(2), np.ones(2)),
    ],
    ids=["shape", "words", "NaN", "infinity", "nothing"],
)
def test_what_cannot_be_put_in_numbers_differs_wholly(timed: Array, again: Array) -> None:
    assert differences({"a": timed}, {"a": again}) == {"a": 1.0}
    assert differences({"a": timed}, {}) == {"a": 1.0}


VALUES = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3).map(
    lambda v: np.array(v, np.float32)
)


@given(VALUES, VALUES)
@example(
    np.array([0.0, -6.338253001141147e29, 422212465065984.0], np.float32),
    np.array([6.338253e29, 3.5184375e14, 0.0], np.float32),
)
def test_a_difference_is_symmetric_and_between_0_and_2(one: Array, other: Array) -> None:
    found = differences({"a": one}, {"a": other})["a"]
    assert found == differences({"a": other}, {"a": one})["a"]
    assert 0 <= found <= 2
    assert (found == 0) == np.array_equal(one, other)
