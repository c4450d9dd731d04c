"""One block of a variant that is measured in turn with others, in a process that stood still meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns

from bench.backends.base import Session
from bench.blocks import Block, Turn
from bench.inputs.batches import TimedBatch
from bench.measure.goal import Goal, exactly
from bench.measure.loop import pipelined, time_compute, time_latency

LEAST_WARM = 3  # batches: the other variants' turns left the caches cold


def take_turn(session: Session, batches: Sequence[TimedBatch], turn: Turn) -> Block:
    """Latency and compute, each after a warm-up of a quarter of its own length, and at once pipelined launches."""
    began = perf_counter_ns()
    time_latency(session, batches, _warm(turn.samples))
    latency = time_latency(session, batches, exactly(turn.samples)).times_ns
    time_compute(session, batches, _warm(turn.launched))
    compute = time_compute(session, batches, exactly(turn.launched)).times_ns
    block = pipelined(session, session.stage(batches[0].arrays), turn.launched)
    return Block(turn=turn, began_ns=began, latency_ns=latency, compute_ns=compute, pipelined_ns=block)


def _warm(count: int) -> Goal:
    return exactly(max(LEAST_WARM, count // 4))
