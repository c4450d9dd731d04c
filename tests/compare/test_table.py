"""A comparison's cells: changes and values as text."""

from __future__ import annotations

import pytest

from bench.compare.comparison import Row
from bench.compare.table import cells


@pytest.mark.parametrize(
    ("metric", "old", "new", "shown"),
    [
        ("median_latency_ms", 10.0, 9.9999999, ("10.00", "10.00", "+0.00 %")),
        ("median_latency_ms", 10.0, 9.9, ("10.00", "9.900", "-1.00 %")),
        ("peak_gpu_bytes", 2.0**30, 2.0**30 - 1, ("1.000 GiB", "1.000 GiB", "+0.00 %")),
        ("peak_gpu_bytes", 2.0**20, 2.0**30, ("0.0009766 GiB", "1.000 GiB", "+102300.00 %")),
        ("model_bytes", 700.0, 350.0, ("700 bytes", "350 bytes", "-50.00 %")),
        ("peak_gpu_bytes", None, 2.0**20, ("–", "1.000 MiB", "")),
        ("fallbacks", 0.0, 2.0, ("0", "2.000", "+2")),
        ("", None, None, ("", "", "")),
    ],
)
def test_values_of_a_row_are_in_one_unit_and_nothing_has_no_minus(
    metric: str, old: float | None, new: float | None, shown: tuple[str, str, str]
) -> None:
    assert cells(Row("case", "a1", metric, "passed", old=old, new=new))[2:5] == shown


def test_ends_of_an_interval_that_are_nothing_have_no_minus() -> None:
    row = Row("case", "a1", "compute_ms", "passed", old=10.0, new=10.0, interval=(-1e-6, 0.01))
    assert cells(row)[4] == "+0.00 % [+0.00, +1.00]"
