"""Variants measured in turn: what the launcher orders, and what a worker answers."""

from __future__ import annotations

from bench.part import Part


class Turn(Part):
    """An order to a worker that is ready: measure one block."""

    round: int  # from 0; in each round every variant has one turn
    place: int  # from 0, within the round: drawn by lot
    samples: int  # of latency
    launches: int | None = None  # samples of compute, and launches of the pipelined block; None: as many as of latency

    @property
    def launched(self) -> int:
        """How often the staged batch is launched, for compute and in the pipelined block."""
        return self.samples if self.launches is None else self.launches


class Block(Part):
    """Raw times of one turn."""

    turn: Turn
    began_ns: int  # of the monotonic clock, which all processes of a machine share
    latency_ns: tuple[int, ...]
    compute_ns: tuple[int, ...]
    pipelined_ns: int  # all launches, and one wait
