"""The picture of speed-ups round by round."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.blocks import Block, Turn
from bench.record import Record
from bench.report.comparison import compare_cases
from bench.report.rounds import draw_rounds
from tests.factory import make_case, make_record

MS = 1_000_000


def in_turn(mode: str, latency_ms: list[float]) -> Record:
    """A record with a block a round; compute takes half as long as latency."""
    blocks = tuple(
        Block(
            turn=Turn(round=number, place=0, samples=1), began_ns=number, latency_ns=(round(ms * MS),),
            compute_ns=(round(ms / 2 * MS),), pipelined_ns=round(ms * MS),
        )
        for number, ms in enumerate(latency_ms)
    )  # fmt: skip
    return make_record(case=make_case(mode, id=f"case-{mode}"), blocks=blocks)


def drawn(*records: Record) -> Figure | None:
    (comparison,) = compare_cases(records)
    return draw_rounds(comparison)


def test_each_rounds_ratio_is_a_point_and_the_whole_a_line() -> None:
    figure = drawn(in_turn("native", [4.0] * 8), in_turn("FP16", [2.0, 1.0, *[2.0] * 6]))
    assert figure is not None and [axes.get_ylabel() for axes in figure.axes] == ["latency", "compute", "throughput"]
    points, whole, *_ = figure.axes[0].get_lines()
    assert np.asarray(points.get_xydata()).tolist() == [[number, 4.0 if number == 1 else 2.0] for number in range(8)]
    assert [y for _, y in np.asarray(whole.get_xydata()).tolist()] == pytest.approx([2.0, 2.0])


def test_what_was_not_measured_in_turn_has_none() -> None:
    assert drawn(in_turn("native", [4.0] * 8), in_turn("FP16", [])) is None
    assert drawn(in_turn("native", [4.0] * 8)) is None
