"""What a statistic is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """What one statistic is: its unit, what it says, and which direction is better."""

    name: str
    unit: str
    text: str
    higher_is_better: bool | None = None
