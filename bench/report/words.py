"""Numbers, shapes and lists in words, as a report's sentences and tables have them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from bench.report.figures import byte_scale, plain, significant


def size(count: int) -> str:
    """A number of bytes in the unit in which it is best read."""
    divisor, unit = byte_scale([count])
    return f"{significant(count / divisor)} {unit}" if divisor > 1 else f"{count} {unit}"


def percent(share: float) -> str:
    """A share with one decimal; 100 % is all of it, and 0 % nothing, never what rounds to it."""
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def counted(count: int, noun: str, nouns: str = "") -> str:
    """1 node, 2 nodes; 2 batches, where "s" does not do."""
    return f"{count} {noun if count == 1 else nouns or f'{noun}s'}"


def shape(dimensions: Sequence[int | None] | None) -> str:
    """8x224x224x3, with "?" for what is not known."""
    if dimensions is None:
        return "any shape"
    return "x".join("?" if size is None else str(size) for size in dimensions) or "scalar"


def clipped(text: str, most: int) -> str:
    """Text on one line and of bounded length, cut between words where it can be."""
    flat = " ".join(plain(text).split())
    if len(flat) <= most:
        return flat
    cut = flat[: most - 1]
    return (cut[: cut.rfind(" ")] if cut.rfind(" ") > most // 2 else cut).rstrip(" ,;.") + "…"


def listed(counts: Mapping[str, int], most: int | None = None) -> str:
    """2 Conv2D, 1 Relu and 3 other kinds."""
    texts = [f"{count} {name}" for name, count in counts.items()]
    return and_more(texts, "kind", len(texts) if most is None else most)


def and_more(texts: Sequence[str], noun: str, most: int, separator: str = ", ") -> str:
    """The first of some texts, and how many more there are."""
    more = len(texts) - most
    tail = f" and {more} more {noun if more == 1 else f'{noun}s'}" if more > 0 else ""
    return separator.join(texts[:most]) + tail


def milliseconds(times_ns: Iterable[float]) -> list[str]:
    """Times with as many decimals as the longest needs to show four digits, so that sums can be checked."""
    times = [time / 1e6 for time in times_ns]
    longest = max(times, default=0)
    decimals = 3 - math.floor(math.log10(longest)) if longest > 0 else 0
    return [f"{time:.{min(max(decimals, 0), 6)}f}" for time in times]
