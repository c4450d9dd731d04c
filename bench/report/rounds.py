"""Speed-ups round by round, of variants measured in turn: how far single pairs of blocks lie from the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.record import Record
from bench.report.comparison import Column, Comparison
from bench.report.filenames import comparison_files
from bench.report.marks import label_of, logarithmic_where_it_is_wide, marks, titled
from bench.statistics.bounds import Interval
from bench.statistics.rounds import rounds_in_common
from bench.statistics.turns import MEASURES, paired_speedups, ratios

PANEL = 1.9  # inches


def round_drawings(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, Callable[[], Figure | None]]]:
    """A picture for every comparison that was measured in turn."""
    for name, comparison in zip(comparison_files(comparisons, "speedup-rounds"), comparisons, strict=True):
        yield name, partial(draw_rounds, comparison)


def draw_rounds(comparison: Comparison) -> Figure | None:
    """A panel for each measure; None where nothing was measured in turn."""
    paired = [column for column in comparison.columns if _native(column) is not None]
    if not paired:
        return None
    figure = Figure(figsize=(7.5, 1.4 + PANEL * len(MEASURES)), layout="constrained")
    panels = figure.subplots(len(MEASURES), sharex=True)
    looks = marks(label_of(column, list(MEASURES)) for column in paired)
    for axes, (name, measure) in zip(panels, MEASURES.items(), strict=True):
        for column, look in zip(paired, looks.values(), strict=True):
            _draw(axes, column, name, look)
        logarithmic_where_it_is_wide(axes, "y", [ratio for c in paired for ratio in _ratios(c, name).values()])
        axes.axhline(1, color="#666666", linewidth=0.8, linestyle="--")
        axes.set_ylabel(measure)
        axes.grid()
    panels[-1].set_xlabel("round: in each, every variant has one turn")
    titled(figure, "Speed-up over native, round by round", comparison.title)
    panels[0].plot([], [], color="#666666", linewidth=6, alpha=0.25, label="95 % interval within this process")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw(axes: Axes, column: Column, name: str, look: Mapping[str, Any]) -> None:
    found = _ratios(column, name)
    axes.plot(list(found), list(found.values()), linestyle="none", markersize=4, label=column.label, **look)
    whole = paired_speedups(column.record, _native(column) or column.record)[
        name
    ]  # of the process whose blocks these are
    axes.axhline(whole.value, color=look["color"], linewidth=1)
    if isinstance(whole.interval, Interval):
        axes.axhspan(whole.interval.low, whole.interval.high, color=look["color"], alpha=0.25, linewidth=0)


def _ratios(column: Column, name: str) -> dict[int, float]:
    native = _native(column)
    return {} if native is None else ratios(column.record, native, name)


def _native(column: Column) -> Record | None:
    """The record that it had rounds in common with, if it is not its own."""
    native = column.native
    if native is None or native is column.record or not rounds_in_common(column.record, native):
        return None
    return native
