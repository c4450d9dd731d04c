"""When a case's phases and timed loops began and ended, as its launcher saw them. CLOCK_MONOTONIC, in nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.machine.reading import Reading

MEASURED = "measure"
LOOP_PREFIX = f"{MEASURED}: "
# The launcher has a reading taken as a phase ends; it comes a little later, and closes the phase's counters.
EDGE_NS = 100_000_000


class Span(NamedTuple):
    """From when to when."""

    name: str
    begin_ns: int
    end_ns: int


@dataclass
class Timeline:
    """Built from the worker's events; a part that comes while measuring ends the loop that it is of."""

    spans: list[Span] = field(default_factory=list)
    _phase: str | None = None
    _begin_ns: int = 0
    _loop_ns: int = 0

    def phase(self, name: str, now_ns: int) -> None:
        """A phase begins, and with it the one before ends."""
        self.end(now_ns)
        self._phase, self._begin_ns, self._loop_ns = name, now_ns, now_ns

    def part(self, name: str, now_ns: int) -> bool:
        """A part of the record came; True if a phase or a loop ends with it."""
        if name == "phases":
            self.end(now_ns)
            return True
        if self._phase != MEASURED:
            return False
        self.spans.append(Span(LOOP_PREFIX + name, self._loop_ns, now_ns))
        self._loop_ns = now_ns
        return True

    def end(self, now_ns: int) -> None:
        """The phase that is open, if any, is over."""
        if self._phase is not None:
            self.spans.append(Span(self._phase, self._begin_ns, now_ns))
        self._phase = None


def change(name: str, readings: Sequence[Reading], span: Span) -> tuple[float, float] | None:
    """By how much a cumulative field grew, and within how many seconds, from a span's first reading to its end."""
    known = [r for r in readings if getattr(r, name) is not None]
    within = [r for r in known if span.begin_ns <= r.time_ns <= span.end_ns]
    closing = [r for r in known if span.end_ns < r.time_ns <= span.end_ns + EDGE_NS]
    used = [*within, *closing[:1]]
    if len(used) < 2 or not within:
        return None
    return getattr(used[-1], name) - getattr(used[0], name), (used[-1].time_ns - used[0].time_ns) / 1e9
