"""When warm-up has ended: its last windows agree, or differ by no more than their noise explains.

The windows are the last three sixths of the warm-up so far, and so grow with it: three short windows of a slow decay
lie so close together that they agree long before it is over.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from bench.case import Case

WINDOWS = 3  # of the last half
LEAST_NS = 200_000_000  # trtexec's default --warmUp; windows of a few milliseconds see no clock that rises
MOST = 20_000  # batches of what answers in microseconds
RESOLUTION_NS = 1000  # differences below it are the clock's and the loop's own


@dataclass(frozen=True)
class Settling:
    """How warm-up is run: at least so many batches, and on until it has settled or `max_ns` have passed."""

    least: int  # batches, however long they take
    max_ns: int = 0  # 0: whether it has settled is not looked for
    tolerance: float = 0.05  # of the windows' medians, relative
    window: int = 16  # batches, at least
    period: int = 1  # batches; windows hold whole rounds of a pool whose batches differ in shape

    def window_after(self, samples: int) -> int:
        """Batches in a window of a warm-up of so many."""
        size = max(self.window, samples // (2 * WINDOWS))
        return -(-size // self.period) * self.period

    def more_after(self, samples: int) -> int:
        """Batches to run before looking again."""
        return max(1, self.window_after(samples) // 2)

    def goes_on(self, times_ns: Sequence[int], elapsed_ns: int) -> bool:
        """Whether more batches are to be run."""
        if elapsed_ns >= self.max_ns or len(times_ns) >= MOST:
            return False
        return elapsed_ns < LEAST_NS or not self.is_settled(times_ns)

    def is_settled(self, times_ns: Sequence[int]) -> bool | None:
        """Whether the last windows say so; None where there are too few batches for them."""
        size = self.window_after(len(times_ns))
        if len(times_ns) < WINDOWS * size:
            return None
        end = len(times_ns)
        windows = [times_ns[end - n * size : end - (n - 1) * size] for n in range(WINDOWS, 0, -1)]
        return self._agree([median(window) for window in windows]) or are_alike(windows[0], windows[-1])

    def _agree(self, medians: Sequence[float]) -> bool:
        """Within the tolerance of each other; within half of it where they rise or fall throughout."""
        low, high = min(medians), max(medians)
        falls_or_rises = list(medians) in (sorted(medians), sorted(medians, reverse=True))
        allowed = self.tolerance * low / (2 if falls_or_rises else 1)
        return high - low <= max(allowed, RESOLUTION_NS)


def are_alike(first: Sequence[int], last: Sequence[int]) -> bool:
    """Whether a sample of the one is as likely above as below a sample of the other, within one standard deviation.

    The Mann-Whitney statistic. One deviation is strict; noise passes it sooner or later, since warm-up looks again
    and again, while a decay does not as long as it stands out of its noise.
    """
    ordered, count = sorted(last), len(first)
    above = sum(bisect_left(ordered, time) + bisect_right(ordered, time) for time in first) / 2
    deviation = sqrt(count * len(last) * (count + len(last) + 1) / 12)
    return abs(above - count * len(last) / 2) <= deviation


def settling_of(case: Case, period: int) -> Settling:
    """What a case asks of its warm-up."""
    return Settling(
        least=case.num_warmup_iterations,
        max_ns=round(case.max_warmup_s * 1e9),
        tolerance=case.settle_tolerance,
        window=case.settle_window,
        period=period,
    )
