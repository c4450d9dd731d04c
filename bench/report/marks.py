"""The look of all pictures: a case's colour, hatch, line and marker by its place and precision; axes, titles, marks."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from bench.report.comparison import Column
from bench.report.figures import plain
from bench.report.grid import DOUBT

# Okabe and Ito's colours, which people with colour-blindness tell apart; light enough for black hatches.
FILLS = {"native": "#bbbbbb", "FP32": "#56b4e9", "FP16": "#e6a817", "INT8": "#35b58f"}
HATCHES = {"native": "", "FP32": "//", "FP16": "xx", "INT8": ".."}
LINES = ("#000000", "#0072b2", "#d55e00", "#007f5f", "#b0508c", "#7a6a00", "#4b4bc8", "#8c3b3b")
DASHES = ("-", "--", "-.", ":", (0, (1, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (3, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")

LOGARITHMIC_FROM = 8
LONGEST_WHISKER = 1.5  # times the largest figure: an interval that knows no upper end does not flatten the rest
NOT_VALID = f"{DOUBT} not valid, or relative to what is not: see the table"


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


def interval_text(columns: Iterable[Column]) -> str:
    """What whiskers are."""
    kinds = {bool(column.record.repeats) for column in columns}
    if len(kinds) == 2:
        return "95 % interval between processes; of one process, within its run"
    return f"95 % interval {'between processes' if True in kinds else 'within this run'}"


def label_of(column: Column, names: Collection[str]) -> str:
    """A case's label, marked where any of these statistics is not valid, or not what the case says it ran."""
    broken = " (broken)" if column.broken else ""
    return f"{column.label}{broken}{f' {DOUBT}' if column.doubtful & set(names) else ''}"


def logarithmic_where_it_is_wide(axes: Axes, which: Literal["x", "y"], values: Collection[float]) -> None:
    """A logarithmic axis with plain numbers on it, for values that differ manifold."""
    if max(values) <= LOGARITHMIC_FROM * min(values):
        return
    scale, axis = (axes.set_xscale, axes.xaxis) if which == "x" else (axes.set_yscale, axes.yaxis)
    scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def titled(figure: Figure, headline: str, *below: str) -> None:
    """A picture's heading, and lines below it that say what it is of."""
    lines = [wrap(headline, 80), *(wrap(line, 96) for line in below if line)]
    figure.suptitle("\n".join(lines), fontsize=11)
