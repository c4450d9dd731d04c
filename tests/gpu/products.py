"""python -m tests.gpu.products: compute times over CUDA events', and stages, of a product of matrices; as JSON.

A process of its own, since TensorFlow takes the GPU's memory for as long as its process lives.
"""

from __future__ import annotations

import ctypes
import json
import re
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import tensorflow as tf

from bench.backends.base import Arrays, Preparation, Session, Signature
from bench.backends.tensorflow import TensorFlowSession
from bench.inputs.batches import TimedBatch
from bench.measure.goal import exactly
from bench.measure.loop import time_compute, without_garbage_collection
from bench.measure.stages import time_stages
from tests.factory import make_case

SIDE, PRODUCTS, SAMPLES, ROUNDS = 4096, 10, 50, 12


class Events:
    """CUDA events on the default stream, which is empty: recorded as soon as they are asked for."""

    def __init__(self) -> None:
        self._cuda = ctypes.CDLL(runtime_in_use())
        self._ends = ctypes.c_void_p(), ctypes.c_void_p()
        for event in self._ends:
            self._check(self._cuda.cudaEventCreate(ctypes.byref(event)))

    def record(self, which: int) -> None:
        self._check(self._cuda.cudaEventRecord(self._ends[which], None))

    def elapsed_ms(self) -> float:
        """From the first to the second, by the GPU's clock."""
        elapsed = ctypes.c_float()
        self._check(self._cuda.cudaEventSynchronize(self._ends[1]))
        self._check(self._cuda.cudaEventElapsedTime(ctypes.byref(elapsed), *self._ends))
        return elapsed.value

    def _check(self, code: int) -> None:
        assert code == 0, f"CUDA error {code}"


def runtime_in_use() -> str:
    """The CUDA runtime that TensorFlow has loaded."""
    found = re.search(r"\S*libcudart\.so\S*", Path("/proc/self/maps").read_text())
    assert found, "TensorFlow has loaded no CUDA runtime"
    return found[0]


def products() -> tuple[Session, Arrays]:
    """A session that multiplies matrices for some milliseconds."""
    weights = tf.constant(np.random.default_rng(0).normal(0, 1 / 64, (SIDE, SIDE)).astype(np.float32))

    def multiply(x: Any) -> dict[str, Any]:
        for _ in range(PRODUCTS):
            x = tf.matmul(x, weights)
        return {"y": x}

    preparation = Preparation(make_case(), Path(), Signature((), ()), {}, None, Path(), lambda name: nullcontext())
    session = TensorFlowSession(tf.function(multiply), None, preparation)
    arrays = {"x": np.ones((SIDE, SIDE), np.float32)}
    for _ in range(20):
        session.infer(arrays)
    return session, arrays


def over_events(session: Session, arrays: Arrays) -> list[float]:
    """The mean of the compute loop's times over what events around such a loop say, round by round."""
    events, ratios = Events(), []
    staged = session.stage(arrays)
    with without_garbage_collection():
        for _ in range(ROUNDS):
            ours = fmean(time_compute(session, [TimedBatch(arrays, 1)], exactly(SAMPLES)).times_ns) / 1e6
            session.wait(session.launch(staged))
            events.record(0)
            for _ in range(SAMPLES):
                session.wait(session.launch(staged))
            events.record(1)
            ratios.append(ours / (events.elapsed_ms() / SAMPLES))
    return ratios


def main() -> None:
    """Measure and print."""
    session, arrays = products()
    stages = time_stages(session, [TimedBatch(arrays, 1)], None)
    found = {
        "over_events": over_events(session, arrays),
        "stages_ms": stages.median_ms(),
        "whole_ms": median(stages.whole_ns) / 1e6,
        "left_ms": stages.remainder_ms(),
        "on_device": stages.on_device,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
