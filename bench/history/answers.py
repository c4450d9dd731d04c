"""What the index answers with: a series, a night of it, how a run ended, a run that is left out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from bench.history.series import WRAPPED, has_random_weights


@dataclass(frozen=True)
class Skipped:
    """A run that is not in the index, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Night:
    """One run's measurement of a series."""

    run: str  # suite/folder
    started: datetime
    values: dict[str, tuple[float, ...]]
    doubts: dict[str, str]
    is_sound: bool  # nothing failed, and its figures are what they are said to be
    environment: str  # its covariates as JSON: seldom looked at

    @property
    def covariates(self) -> dict[str, str]:
        """Versions and host."""
        return dict(json.loads(self.environment))

    @property
    def is_wrapped(self) -> bool:
        """Whether its session was not the backend's own."""
        return WRAPPED in self.environment

    def value(self, statistic: str) -> float:
        """The median over processes, of a statistic that it has."""
        return median(self.values[statistic])


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    run: str  # suite/folder
    started: datetime
    verdict: str
    worse: int  # statistics that a comparison found worse


@dataclass(frozen=True)
class SeriesInfo:
    """A series in one segment, in words."""

    id: str
    segment: str
    name: str
    suite: str
    nights: int
    last: str
    facts: str  # of its key, as JSON

    @property
    def random_weights(self) -> bool:
        """Whether its speed means something, and its accuracy does not."""
        return has_random_weights(json.loads(self.facts))
