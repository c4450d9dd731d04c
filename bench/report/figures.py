"""Figures, sizes and other people's text as they are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# Beside control characters: marks that turn the direction of writing, halves of characters, and what is none.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def plain(text: str) -> str:
    """Text without terminal escapes, control characters and marks of direction; line ends and tabs stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def significant(value: float, digits: int = 4) -> str:
    """A number with that many significant digits, without an exponent unless it is tiny; whole digits all stay."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{digits - 1}g}" if decimals > 7 else f"{value:.{max(0, decimals)}f}"


def difference(value: float) -> str:
    """A signed difference of fractions, with four decimals where they tell something."""
    if value == 0:
        return "0"
    return f"{value:+.4f}" if abs(value) >= 0.00005 else f"{value:+.0e}"


def spread(value: float, bounds: tuple[float, float]) -> str:
    """How far an interval reaches from its value, to the side where it reaches farther: "±0.41 %"."""
    share = round(100 * max(bounds[1] - value, value - bounds[0], 0) / value, 6)
    if 0 < share < 0.005:
        return "±<0.01 %"
    if share > 100:
        return "±>100 %"
    decimals = 0 if share == 0 or share >= 9.95 else 1 if share >= 0.995 else 2
    return f"±{share:.{decimals}f} %"


def interval(bounds: tuple[float, float]) -> str:
    """Low and high, with as many digits as tell them apart, four to seven."""
    low, high = bounds
    apart = math.log10(high / (high - low)) if high > low > 0 else 0
    digits = min(max(4, math.ceil(apart) + 2), 7)
    return f"{significant(low, digits)} to {significant(high, digits)}"


def byte_scale(values: Sequence[float | None]) -> tuple[float, str]:
    """The binary unit in which the largest value is best read: divisor and name."""
    largest = max((value for value in values if value is not None), default=0)
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if largest >= 1024**power:
            return 1024.0**power, name
    return 1.0, "bytes"
