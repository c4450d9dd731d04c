"""Gate A: tonight's value of a series against its last nights, with all series of a night judged together.

The unit of replication is the night: its value is the logarithm of the median over fresh processes. Iterations within a
run say nothing of how runs differ, however many there are. Tonight is worse if it lies outside the one-sided prediction
interval of the nights before (Student's t around their median), where Holm's step-down keeps the chance of any false
alarm in a night at `false_alarms`, and if the change is one that matters besides.
Tonight and the night before are judged together too, by their mean, which half the spread's square suffices for: a
change that one night leaves open is told by the second. Both looks share a series' chance of a false alarm.

Sources: Hahn and Meeker, "Statistical Intervals", 4.7 (prediction interval); Holm (1979), "A simple sequentially
rejective multiple test procedure".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median, stdev

FLOOR = 0.003  # of the nights' spread, relative: a history that is too even by chance is not believed
NORMAL = 1.4826  # median absolute deviation to standard deviation
FAR = 5.0  # robust deviations, or more: such nights are outliers, and say nothing of the usual spread
STRAY = 1e-4  # how seldom a night without a change may lie so far
EFFICIENCY = 0.37  # of the median absolute deviation, against the standard deviation of normal values


@dataclass(frozen=True)
class Prediction:
    """What the last nights let expect of one value: its centre and spread, in logarithms."""

    centre: float
    spread: float  # of one night
    nights: int

    @property
    def level(self) -> float:
        """The usual value."""
        return math.exp(self.centre)

    def chance(self, worse: float, together: int = 1) -> float:
        """That the mean of so many nights is worse by so much (a logarithm), or by more, if nothing changed."""
        from scipy.special import stdtr

        return float(stdtr(self.nights - 1, -worse / self._error(together)))

    def reach(self, chance: float) -> float:
        """How much worse, in logarithms, one night is with this chance if nothing changed."""
        from scipy.special import stdtrit

        return -float(stdtrit(self.nights - 1, chance)) * self._error(1)

    def _error(self, together: int) -> float:
        return self.spread * math.sqrt(1 / together + 1 / self.nights)


def predict(values: Sequence[float]) -> Prediction:
    """The prediction from the values of at least three nights, all above 0."""
    logs = [math.log(value) for value in values]
    centre = median(logs)
    robust = NORMAL * median(abs(value - centre) for value in logs)
    near = [value for value in logs if abs(value - centre) <= far(len(logs)) * max(robust, FLOOR)]
    return Prediction(centre, max(stdev(near), FLOOR), len(near))


@lru_cache(maxsize=64)
def far(nights: int) -> float:
    """How many robust deviations from the centre a night is an outlier: 7 of 20 nights, 32 of 8.

    Few nights hardly know their deviation: at five of them, of eight nights, sound ones would be left out so often that
    the spread of the others promised six times fewer false alarms in a small chance than there are.
    """
    from scipy.special import stdtrit

    return max(FAR, -float(stdtrit(EFFICIENCY * (nights - 1), STRAY)))


def holm(chances: Sequence[float]) -> list[float]:
    """Each chance, adjusted: that any of them lies below some alpha, where nothing changed, has a chance of alpha."""
    order = sorted(range(len(chances)), key=lambda index: chances[index])
    adjusted, worst = [1.0] * len(chances), 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(chances) - place) * chances[index]))
        adjusted[index] = worst
    return adjusted
