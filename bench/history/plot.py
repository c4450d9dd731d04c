"""A trend as a picture: every night, the levels between changes, outliers, and where versions changed."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from bench.compare.gate import predict
from bench.history.acknowledged import Acknowledged
from bench.history.answers import Night
from bench.history.trend import Trend
from bench.statistics.metrics import METRICS

FEWEST = 8  # nights before one, for a band of what was expected of it
BAND_NIGHTS, BAND_CHANCE = 20, 0.005  # on either side: 99 % of nights without a change
VERSIONS = ("driver", "CUDA of the driver", "tensorflow", "tensorrt")
MOST_MARKS = 12


def picture(trend: Trend, known: Sequence[Acknowledged] = ()) -> bytes:
    """A PNG."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.add_subplot()
    times = [_at(night) for night in trend.nights]
    _band(axes, trend)
    axes.plot(times, trend.values, "o", color="#0072b2", markersize=3.5, label="a night")
    _levels(axes, trend)
    _marks(axes, trend, known)
    metric = METRICS[trend.metric]
    mark = " (random weights)" if trend.series.random_weights else ""
    axes.set_title(f"{trend.series.name}{mark}: {trend.metric}", loc="left", fontsize=11)
    axes.set_ylabel(metric.unit or trend.metric)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.grid(axis="y", alpha=0.3)
    axes.margins(y=0.15)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _at(night: Night) -> float:
    """Its place on the axis of time."""
    return float(date2num(night.started))  # type: ignore[no-untyped-call]


def _band(axes: Axes, trend: Trend) -> None:
    """Where 99 % of nights without a change lie, from the nights before on the same level."""
    label = "expected: 99 % of nights"
    for first, last, _ in trend.changes.levels:
        reached = range(first + FEWEST, last)
        if not reached:
            continue
        expected = [predict(trend.values[max(first, night - BAND_NIGHTS) : night]) for night in reached]
        factors = [each.reach(BAND_CHANCE) for each in expected]
        low = [each.level * math.exp(-reach) for each, reach in zip(expected, factors, strict=True)]
        high = [each.level * math.exp(reach) for each, reach in zip(expected, factors, strict=True)]
        times = [_at(trend.nights[night]) for night in reached]
        axes.fill_between(times, low, high, color="#56b4e9", alpha=0.25, linewidth=0, label=label)
        label = "_"


def _levels(axes: Axes, trend: Trend) -> None:
    label = "level between changes"
    for first, last, level in trend.changes.levels:
        ends = [_at(trend.nights[first]), _at(trend.nights[last - 1])]
        axes.plot(ends, [level, level], "-", color="black", linewidth=1.2, label=label)
        label = "_"


def _marks(axes: Axes, trend: Trend, known: Sequence[Acknowledged]) -> None:
    odd = trend.changes.outliers
    if odd:
        axes.plot(
            [_at(trend.nights[index]) for index in odd], [trend.values[index] for index in odd],
            "x", color="#7a6a00", markersize=7, label="outlier",
        )  # fmt: skip
    told: set[str] = set()
    for point in trend.changes.points:
        accepted = trend.acknowledged(point, known) is not None
        word = trend.word(point)
        label = ("change" if word == "changed" else f"change for the {word}") + (", acknowledged" if accepted else "")
        style = {"worse": "--", "better": "-.", "changed": ":"}[word]
        axes.axvline(
            _at(trend.nights[point.index]), color="#999999" if accepted else "#d55e00", linestyle=style,
            linewidth=1.2, label="_" if label in told else label,
        )  # fmt: skip
        told.add(label)
        axes.annotate(
            f"{100 * point.change:+.1f} %", (_at(trend.nights[point.index]), 0.99), xycoords=("data", "axes fraction"),
            xytext=(3, 0), textcoords="offset points", va="top", fontsize=8,
        )  # fmt: skip
    _versions(axes, trend)


def _versions(axes: Axes, trend: Trend) -> None:
    """Where a version changed, named at the foot."""
    found = []
    for old, new in pairwise(trend.nights):
        if old.environment == new.environment:
            continue
        before, after = old.covariates, new.covariates
        found += [(_at(new), f"{n} {after[n]}") for n in VERSIONS if n in after and before.get(n) != after[n]]
    for place, text in found[-MOST_MARKS:]:
        axes.axvline(place, color="#b0508c", linestyle=":", linewidth=1)
        axes.annotate(
            text, (place, 0.02), xycoords=("data", "axes fraction"), xytext=(3, 0), textcoords="offset points",
            fontsize=7, color="#b0508c", rotation=90, va="bottom",
        )  # fmt: skip
