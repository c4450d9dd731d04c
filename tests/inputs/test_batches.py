"""Batches keep order and count, look ahead within bounds, and end cleanly."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.backends.base import Array
from bench.errors import DataError
from bench.inputs.batches import iterate_batches
from bench.inputs.item import Item


def items(count: int) -> tuple[Item, ...]:
    return tuple(Item(i, None, label=i % 3) for i in range(count))


def picture(item: Item) -> Array:
    return np.full((1, 2, 3), item.id, np.int32)


def slow_where_odd(item: Item) -> Array:
    time.sleep(0.0005 * (item.id % 2))
    return picture(item)


def decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


@given(count=st.integers(0, 40), batch_size=st.integers(1, 9), workers=st.integers(1, 4))
def test_every_item_once_and_in_order(count: int, batch_size: int, workers: int) -> None:
    given_items = items(count)
    batches = list(iterate_batches(given_items, batch_size, slow_where_odd, workers))
    assert [item for batch in batches for item in batch.items] == list(given_items)
    assert len(batches) == -(-count // batch_size)
    assert all(batch.images.shape == (batch_size, 1, 2, 3) for batch in batches)
    shown = [int(image[0, 0, 0]) for batch in batches for image in batch.images[: batch.count]]
    assert shown == list(range(count))


def test_the_last_batch_is_padded_with_its_last_image() -> None:
    *_, last = iterate_batches(items(5), 4, picture)
    assert last.count == 1
    assert last.images[:, 0, 0, 0].tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 2), (4, 8)])
def test_looks_ahead_within_bounds(batch_size: int, workers: int) -> None:
    begun: list[int] = []

    def load(item: Item) -> Array:
        begun.append(item.id)
        return picture(item)

    for number, _ in enumerate(iterate_batches(items(60), batch_size, load, workers), start=1):
        if number * batch_size + 2 * batch_size + workers <= 60:
            until = time.monotonic() + 20
            while len(begun) < (number + 1) * batch_size:  # a batch ahead, however busy the machine is
                assert time.monotonic() < until
        time.sleep(0.005)  # time to decode more than it should
        assert len(begun) - number * batch_size <= 2 * batch_size + workers


def test_decodes_in_several_threads_at_once() -> None:
    both = threading.Barrier(2, timeout=10)

    def load(item: Item) -> Array:
        both.wait()
        return picture(item)

    assert len(list(iterate_batches(items(4), 2, load, workers=2))) == 2


def test_an_error_in_a_decoder_reaches_the_consumer_after_the_batches_before_it() -> None:
    def load(item: Item) -> Array:
        if item.id == 5:
            raise ValueError("image 5 is broken")
        return picture(item)

    batches = iterate_batches(items(100), 2, load, workers=3)
    assert [next(batches).items[0].id for _ in range(2)] == [0, 2]
    with pytest.raises(ValueError, match="image 5 is broken"):
        next(batches)
    assert decoders() == []


def test_a_consumer_that_stops_early_leaves_no_threads_and_decodes_no_more() -> None:
    begun: list[int] = []

    def load(item: Item) -> Array:
        begun.append(item.id)
        return picture(item)

    batches = iterate_batches(items(1000), 2, load, workers=3)
    next(batches)
    assert decoders() != []
    batches.close()  # type: ignore[attr-defined]
    assert decoders() == []
    assert len(begun) <= 2 + 2 * 2 + 3


def test_images_of_different_sizes_cannot_share_a_batch() -> None:
    def load(item: Item) -> Array:
        return np.zeros((1 + item.id, 1, 3), np.uint8)

    with pytest.raises(DataError, match="cannot share a batch: set benchmark_config"):
        list(iterate_batches(items(3), 3, load))
    assert [batch.images.shape for batch in iterate_batches(items(3), 1, load)] == [
        (1, 1, 1, 3), (1, 2, 1, 3), (1, 3, 1, 3),
    ]  # fmt: skip


def test_batches_that_were_consumed_are_not_kept() -> None:
    """Memory is bounded: a batch that the consumer has dropped is gone."""
    gone: list[weakref.ref[Array]] = []
    for batch in iterate_batches(items(40), 4, picture):
        gone.append(weakref.ref(batch.images))
        del batch
        gc.collect()
        assert sum(reference() is not None for reference in gone) <= 2
