"""The timed part of a case: first inference, warm-up and the loops, and what was seen of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np

from bench.backends.base import Arrays, Preparation, Session, Signature
from bench.case import Case
from bench.errors import ConversionError, ModelError
from bench.graphs.report import builds, fallbacks
from bench.inputs.batches import TimedBatch
from bench.inputs.cases import preparing_first_batch, timed_batches
from bench.measure.goal import goal_of
from bench.measure.loop import (
    WarmUp,
    time_compute,
    time_latency,
    time_throughput,
    warm_up,
    without_garbage_collection,
)
from bench.measure.observe import observe, round_of
from bench.measure.settle import settling_of
from bench.measure.stages import time_stages
from bench.ownlog import OwnLog
from bench.record import Observations, Samples, Throughput
from bench.stages import Stages

Report = Callable[[str, object], None]  # a part of the record and its value


@dataclass(frozen=True)
class Timed:
    """What the rest of a case must know of its timed loops."""

    built: int | None  # engines; None where the log cannot be read back
    fell_back: int | None  # warnings that TensorFlow ran in an engine's place
    outputs: Arrays  # of the first timed batch
    stages: Stages
    observed: Observations
    batches: Sequence[TimedBatch]  # that the loops went round
    latency: Samples
    throughput: Throughput


class _Loops(NamedTuple):
    """What comes out of the timed loops."""

    outputs: Arrays  # of the first inference
    stages: Stages
    latency: Samples
    throughput: Throughput


def measure(session: Session, preparation: Preparation, report: Report) -> Timed:
    """All timed loops, and what was seen of them."""
    case, phase = preparation.case, preparation.phase
    pool = timed_batches(case, preparation.signature)
    with phase("first inference"):
        start = perf_counter_ns()
        first = session.infer(pool[0].arrays)
        report("first_inference_ns", perf_counter_ns() - start)
        _refuse_nan(first, case.optimization.precision_mode)
    with without_garbage_collection():
        with phase("warm-up"):
            warm = warm_up(session, pool, settling_of(case, round_of(pool)))
        with phase("measure"):
            log = OwnLog()
            mark = log.position()
            timed = _time(case, preparation.signature, session, pool, warm, report)
            lines = log.lines(mark)
    observed = observe(session, pool, preparation.signature, timed.outputs)
    report("observed", observed)
    return Timed(
        built=None if lines is None else len(builds(lines)),
        fell_back=None if lines is None else len(fallbacks(lines)),
        observed=observed,
        batches=pool,
        **timed._asdict(),
    )


def _time(
    case: Case, signature: Signature, session: Session, pool: Sequence[TimedBatch], warm: WarmUp, report: Report
) -> _Loops:
    """The three loops, and the stages."""
    outputs: list[Arrays] = []
    goal = goal_of(case)
    latency = time_latency(session, pool, goal, outputs.append)
    before = {"warmup_ns": warm.times_ns, "warmup_ended": warm.ended, "settled": warm.settled}
    report("latency", latency.model_copy(update=before))
    compute = time_compute(session, pool, goal)
    report("compute", compute)
    throughput = time_throughput(session, pool, compute, min(goal.min_ns, goal.max_ns))
    report("throughput", throughput)
    stages = time_stages(session, pool, preparing_first_batch(case, signature))
    report("stages", stages)
    return _Loops(outputs[0], stages, latency, throughput)


def _refuse_nan(outputs: Arrays, precision_mode: str) -> None:
    """A model that overflows in a lower precision is fast, and useless."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            if precision_mode == "native":
                raise ModelError(f"output {name!r} holds NaN in native TensorFlow, before any precision is lowered")
            raise ConversionError(f"output {name!r} holds NaN: this model does not survive this precision")
