"""The look of a case in all pictures: colour, hatch, line and marker by its place and precision."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from bench.report.comparison import Column
from bench.report.grid import plain

# Okabe and Ito's colours, which people with colour-blindness tell apart; light enough for black hatches.
FILLS = {"native": "#bbbbbb", "FP32": "#56b4e9", "FP16": "#e6a817", "INT8": "#35b58f"}
HATCHES = {"native": "", "FP32": "//", "FP16": "xx", "INT8": ".."}
LINES = ("#000000", "#0072b2", "#d55e00", "#007f5f", "#b0508c", "#7a6a00", "#4b4bc8", "#8c3b3b")
DASHES = ("-", "--", "-.", ":", (0, (1, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")


def fill(column: Column) -> str:
    """The colour of a case's bar."""
    return FILLS[column.record.case.optimization.precision_mode]


def hatch(column: Column) -> str:
    """The hatch of a case's bar."""
    return HATCHES[column.record.case.optimization.precision_mode]


def marks(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For every distinct label a colour and marker, filled or hollow, that no other of the first 24 has."""
    looks: dict[str, dict[str, Any]] = {}
    for label in labels:
        number = len(looks)
        colour = LINES[number % len(LINES)]
        filled = (number // len(MARKERS)) % 2 == 0
        looks.setdefault(
            label,
            {
                "color": colour,
                "marker": MARKERS[number % len(MARKERS)],
                "markerfacecolor": colour if filled else "white",
            },
        )
    return looks


def wrap(text: str, width: int) -> str:
    """Text on as many lines as that width asks for, without control characters."""
    return "\n".join(textwrap.wrap(plain(text), width)) or " "
