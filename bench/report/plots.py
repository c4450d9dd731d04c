"""Pictures of comparisons as PNG: readable without colour, on a light ground."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from bench.report.bars import ACCURACY, LATENCY, THROUGHPUT, draw_bars
from bench.report.comparison import Comparison
from bench.report.curves import draw_distribution, draw_trade_off

DPI = 110
STYLE: Mapping[Any, Any] = {
    # Names come from configs: a "$" in one is not mathematics.
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "hatch.linewidth": 0.6,
    "hatch.color": "#444444",
}


def plots(comparisons: Sequence[Comparison]) -> dict[str, bytes]:
    """File name and PNG of every picture for which there are figures."""
    pictures: dict[str, bytes] = {}
    with matplotlib.rc_context(dict(STYLE)), warnings.catch_warnings():
        # A model's name may have letters that the font lacks; they show as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        for name, draw in _drawings(comparisons):
            figure = draw()
            if figure is not None:
                pictures[name] = _png(figure)
    return pictures


def _drawings(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, Callable[[], Figure | None]]]:
    yield "latency.png", partial(draw_bars, comparisons, LATENCY)
    yield "throughput.png", partial(draw_bars, comparisons, THROUGHPUT)
    yield "accuracy.png", partial(draw_bars, comparisons, ACCURACY)
    yield "accuracy-throughput.png", partial(draw_trade_off, comparisons)
    for name, comparison in zip(_file_names(comparisons), comparisons, strict=True):
        yield f"latency-distribution-{name}.png", partial(draw_distribution, comparison)


def _file_names(comparisons: Sequence[Comparison]) -> list[str]:
    names: list[str] = []
    for comparison in comparisons:
        name = re.sub(r"[^A-Za-z0-9._=-]+", "-", comparison.id).strip(".-")[:100] or "comparison"
        taken = sum(other == name or other.startswith(f"{name}~") for other in names)
        names.append(f"{name}~{taken + 1}" if taken else name)
    return names


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    # Without the library's version in it, the same figures give the same bytes.
    figure.savefig(picture, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return picture.getvalue()
