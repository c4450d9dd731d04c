"""Where a series stands: its last value, its usual one, and how far nights differ."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench.compare.gate import predict
from bench.history.trend import Trend

USUAL = 20  # nights
FEWEST = 3


@dataclass(frozen=True)
class Level:
    """The last night's value, the median of those before it, and their spread as a share."""

    last: float
    usual: float | None
    spread: float | None

    @property
    def change(self) -> float | None:
        """As a share of the usual value."""
        return self.last / self.usual - 1 if self.usual else None


def level_of(trend: Trend) -> Level:
    """Of a trend's last night."""
    before = trend.values[-1 - USUAL : -1]
    return Level(
        last=trend.values[-1],
        usual=median(before) if before else None,
        spread=predict(before).spread if len(before) >= FEWEST and min(before) > 0 else None,
    )
