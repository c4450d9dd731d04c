"""One block of a variant that is measured in turn with others, in a process that stood still meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns

from bench.backends.base import Session
from bench.blocks import Block, Turn
from bench.inputs.batches import TimedBatch
from bench.measure.goal import exactly
from bench.measure.loop import pipelined, time_compute, time_latency

LEAST_WARM = 3  # batches: the other variants' turns left the caches cold


def take_turn(session: Session, batches: Sequence[TimedBatch], turn: Turn) -> Block:
    """Latency, compute and pipelined launches, each after a warm-up of a quarter of its own length."""
    warm = exactly(max(LEAST_WARM, turn.samples // 4))
    began = perf_counter_ns()
    time_latency(session, batches, warm)
    latency = time_latency(session, batches, exactly(turn.samples)).times_ns
    time_compute(session, batches, warm)
    compute = time_compute(session, batches, exactly(turn.samples)).times_ns
    block = pipelined(session, session.stage(batches[0].arrays), turn.samples)
    return Block(turn=turn, began_ns=began, latency_ns=latency, compute_ns=compute, pipelined_ns=block)
