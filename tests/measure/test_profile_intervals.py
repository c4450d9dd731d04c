"""Unions of intervals, against sets of whole numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.measure.intervals import Interval, clip, contains, total, union

INTERVALS = st.lists(st.tuples(st.integers(-30, 30), st.integers(-30, 30)))


def covered(intervals: list[Interval]) -> set[int]:
    return {moment for start, end in intervals for moment in range(start, end)}


@given(INTERVALS)
def test_a_union_covers_the_same_numbers(intervals: list[Interval]) -> None:
    assert covered(union(intervals)) == covered(intervals)


@given(INTERVALS)
def test_a_union_is_sorted_and_has_gaps(intervals: list[Interval]) -> None:
    edges = [edge for interval in union(intervals) for edge in interval]
    assert edges == sorted(set(edges))


@given(INTERVALS)
def test_the_total_of_a_union_is_the_count_of_its_numbers(intervals: list[Interval]) -> None:
    assert total(union(intervals)) == len(covered(intervals))


@given(INTERVALS, st.integers(-40, 40))
def test_a_union_contains_its_numbers(intervals: list[Interval], moment: int) -> None:
    assert contains(union(intervals), moment) == (moment in covered(intervals))


@given(INTERVALS, INTERVALS)
def test_clipping_leaves_what_is_in_both(left: list[Interval], right: list[Interval]) -> None:
    common = clip(union(left), union(right))
    assert covered(common) == covered(left) & covered(right)
    assert total(common) == len(covered(common))
