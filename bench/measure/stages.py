"""The stages of an inference, timed one by one with a wait after each: a pass of its own, beside the latency's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns

from bench.backends.base import Arrays, Session
from bench.inputs.batches import TimedBatch
from bench.stages import Stages

TIMED, WARM = 100, 5
LONGEST_S = 2.0  # of each: a slow model gets fewer
PREPROCESSED = 10  # batches; decoding is slow, and steady


def time_stages(session: Session, batches: Sequence[TimedBatch], preprocess: Callable[[], object] | None) -> Stages:
    """Times of each stage; `preprocess` makes one batch out of its files."""
    rows: list[tuple[int, int, int, int, int]] = []
    end = perf_counter_ns() + round(1e9 * LONGEST_S)
    while len(rows) < WARM + 1 or (len(rows) < WARM + TIMED and perf_counter_ns() < end):
        rows.append(_once(session, batches[len(rows) % len(batches)].arrays))
    to_device, compute, dispatch, to_host, whole = zip(*rows[WARM:], strict=True)
    return Stages(
        preprocess_ns=_preprocess_times(preprocess),
        host_to_device_ns=to_device,
        compute_ns=compute,
        dispatch_ns=dispatch,
        device_to_host_ns=to_host,
        whole_ns=whole,
        on_device=session.on_device,
    )


def _once(session: Session, arrays: Arrays) -> tuple[int, int, int, int, int]:
    """The stages one by one, then the same batch as a whole, under the same conditions."""
    clock = perf_counter_ns
    start = clock()
    staged = session.stage(arrays)
    ready = clock()
    pending = session.launch(staged)
    started = clock()
    session.wait(pending)
    done = clock()
    session.fetch(pending)
    fetched = clock()
    session.infer(arrays)
    return ready - start, done - ready, started - ready, fetched - done, clock() - fetched


def _preprocess_times(preprocess: Callable[[], object] | None) -> tuple[int, ...]:
    if preprocess is None:
        return ()
    times: list[int] = []
    while len(times) < PREPROCESSED and sum(times) < 1e9 * LONGEST_S:
        start = perf_counter_ns()
        preprocess()
        times.append(perf_counter_ns() - start)
    return tuple(times)
