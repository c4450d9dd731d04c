"""Unions of half-open intervals of whole numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same numbers as sorted intervals that neither overlap nor touch; empty ones are dropped."""
    merged: list[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def total(intervals: Iterable[Interval]) -> int:
    """The sum of the lengths."""
    return sum(end - start for start, end in intervals)


def contains(merged: Sequence[Interval], moment: int) -> bool:
    """Whether a moment lies in one of the intervals of a union."""
    index = bisect_right(merged, moment, key=lambda interval: interval[0]) - 1
    return index >= 0 and moment < merged[index][1]


def clip(merged: Sequence[Interval], window: Sequence[Interval]) -> list[Interval]:
    """What two unions have in common."""
    common: list[Interval] = []
    left = right = 0
    while left < len(merged) and right < len(window):
        start, end = max(merged[left][0], window[right][0]), min(merged[left][1], window[right][1])
        if start < end:
            common.append((start, end))
        if merged[left][1] < window[right][1]:
            left += 1
        else:
            right += 1
    return common
