"""How long a timed loop goes on, and why it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.case import Case
from bench.statistics.percentiles import samples_needed

LEAST = 64  # samples, where min_iterations does not say: what a 90th percentile needs
MOST = 20_000  # samples of what answers in microseconds: a record stays below a megabyte


@dataclass(frozen=True)
class Goal:
    """A loop ends when it has the samples and the time that it needs; at `max_ns` in any case. Times in ns."""

    least: int  # samples
    supports: int = 0  # samples that the wanted percentile needs
    min_ns: int = 0
    max_ns: float = math.inf
    is_exact: bool = False  # `least` samples, whatever time they take

    @property
    def needed(self) -> int:
        """Samples, before the loop may end well."""
        return max(self.least, self.supports)

    @property
    def most(self) -> int:
        """Samples that are taken while `min_ns` has not passed."""
        return max(self.needed, MOST)

    def reason(self, samples: int, elapsed_ns: int) -> str:
        """Why a loop ended that took so many samples in this time."""
        if self.is_exact:
            return "num_iterations reached"
        if samples < self.needed:
            return f"max_duration_s reached after {samples} of {self.needed} samples"
        if elapsed_ns < min(self.min_ns, self.max_ns):
            return f"{samples} samples are the most that are kept"
        return "percentile supported" if self.supports else "minimum reached"


def exactly(samples: int) -> Goal:
    """So many samples, neither more nor fewer."""
    return Goal(least=samples, is_exact=True)


def goal_of(case: Case) -> Goal:
    """What a case asks for: an exact count, or minima of samples and time under a maximum of time."""
    if case.num_iterations is not None:
        return exactly(case.num_iterations)
    once_through = -(-case.num_images // case.batch_size)
    return Goal(
        least=case.min_iterations or max(LEAST, once_through),
        supports=0 if case.percentile is None else samples_needed(case.percentile),
        min_ns=round(case.min_duration_s * 1e9),
        max_ns=math.inf if case.max_duration_s is None else case.max_duration_s * 1e9,
    )
