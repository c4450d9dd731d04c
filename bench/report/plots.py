"""Pictures of comparisons as PNG: readable without colour, on a light ground."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from bench.report.bars import ACCURACY, ENERGY, LATENCY, THROUGHPUT, draw_bars
from bench.report.comparison import Comparison
from bench.report.curves import draw_distribution, draw_trade_off
from bench.report.filenames import TIMELINE, case_files, comparison_files
from bench.report.rates import rate_drawings
from bench.report.rounds import round_drawings
from bench.report.scaling import batch_size_drawings
from bench.report.timeline import draw_timeline

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
    yield "energy.png", partial(draw_bars, comparisons, ENERGY)
    yield "accuracy-throughput.png", partial(draw_trade_off, comparisons)
    yield from batch_size_drawings(comparisons)
    yield from rate_drawings(comparisons)
    yield from round_drawings(comparisons)
    for name, comparison in zip(comparison_files(comparisons, "latency-distribution"), comparisons, strict=True):
        yield name, partial(draw_distribution, comparison)
    cases = ((comparison.title, column) for comparison in comparisons for column in comparison.columns)
    for name, (title, column) in zip(case_files(comparisons, TIMELINE), cases, strict=True):
        yield name, partial(draw_timeline, title, column)


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    # Without the library's version in it, the same figures give the same bytes.
    figure.savefig(picture, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return picture.getvalue()
