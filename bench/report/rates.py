"""Latency against the rate of queries, of every rate that the server scenario tried: where a service gives way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.load.result import LoadResult, LoadTest
from bench.report.comparison import Column, Comparison
from bench.report.filenames import comparison_files
from bench.report.marks import DASHES, logarithmic_where_it_is_wide, marks, titled

VALID, NOT_VALID = "filled: LoadGen says VALID", "hollow: it does not"


class Tried(NamedTuple):
    """A search's rates in order, each with the latency that its percentile had."""

    label: str
    result: LoadResult
    points: list[tuple[float, float, bool]]  # queries/s that were due, ms, whether it is valid


def rate_drawings(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, Callable[[], Figure | None]]]:
    """A picture for every comparison with a server test."""
    for name, comparison in zip(comparison_files(comparisons, "latency-load"), comparisons, strict=True):
        yield name, partial(draw_rates, comparison)


def draw_rates(comparison: Comparison) -> Figure | None:
    """None where nothing was asked of a server."""
    tried = [found for column in comparison.columns for found in _tried(column)]
    if not tried:
        return None
    figure = Figure(figsize=(7.5, 4.2 + 0.2 * len(tried)), layout="constrained")
    axes, looks = figure.add_subplot(), marks(found.label for found in tried)
    for number, found in enumerate(tried):
        _draw_line(axes, found, looks[found.label]["color"], looks[found.label]["marker"], number)
    for column in comparison.columns:
        _draw_offline(axes, column, tried, {label: look["color"] for label, look in looks.items()})
    _label(axes, tried)
    titled(figure, "Latency against the rate of queries, from the arrival on", comparison.title)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, handlelength=4)
    return figure


def _tried(column: Column) -> Iterator[Tried]:
    results = [result for result in column.record.load if result.load.scenario == "server"]
    for result in results:
        points = [point for test in result.tests if (point := _point(result, test)) is not None]
        search = f", search {result.search}" if result.load.searches > 1 else ""
        if points:
            yield Tried(f"{column.label}{search}", result, sorted(points))


def _point(result: LoadResult, test: LoadTest) -> tuple[float, float, bool] | None:
    latency = test.latency_ms.get(f"{result.load.percentile:.2f}")
    rate = test.scheduled_qps or test.target_qps
    return None if latency is None or rate is None else (rate, latency, test.valid)


def _draw_line(axes: Axes, found: Tried, color: str, marker: str, number: int) -> None:
    rates, latencies, valid = zip(*found.points, strict=True)
    dashes = DASHES[number % len(DASHES)]
    axes.plot(rates, latencies, linestyle=dashes, color=color, linewidth=1.2, marker=marker, label=found.label)
    hollow = [(rate, ms) for rate, ms, is_valid in zip(rates, latencies, valid, strict=True) if not is_valid]
    if hollow:
        axes.plot(*zip(*hollow, strict=True), linestyle="none", color=color, marker=marker, markerfacecolor="white")


def _draw_offline(axes: Axes, column: Column, tried: Sequence[Tried], colors: dict[str, str]) -> None:
    """Where all queries wait at once: no rate goes beyond it for long."""
    color = next((colors[found.label] for found in tried if found.label.startswith(column.label)), None)
    qps = next((result.chosen.qps for result in column.record.load if result.load.scenario == "offline"), None)
    if color is not None and qps:
        axes.axvline(qps, color=color, linewidth=0.8, linestyle=":", label=f"{column.label}: offline")


def _label(axes: Axes, tried: Sequence[Tried]) -> None:
    bounds = {found.result.load.latency_bound_ms for found in tried} - {None}
    for bound in sorted(bound for bound in bounds if bound is not None):
        axes.axhline(bound, color="#666666", linewidth=0.8, linestyle="--", label=f"bound, {bound:g} ms")
    percentiles = " or ".join(sorted({f"p{found.result.load.percentile:g}" for found in tried}))
    logarithmic_where_it_is_wide(axes, "y", [ms for found in tried for _, ms, _ in found.points])
    axes.set_xlabel(f"queries due in a second ({VALID}; {NOT_VALID})")
    axes.set_ylabel(f"{percentiles} of latency (ms)")
    axes.grid()
