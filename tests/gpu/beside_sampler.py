"""python -m tests.gpu.beside_sampler ARCHITECTURE BATCH PAIRS SAMPLES: latencies with and without the sampler, as JSON.

An architecture of tf.keras.applications with random weights, host arrays in to host arrays out. A process of its own,
since TensorFlow takes the GPU's memory for as long as its process lives.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys

import numpy as np
import tensorflow as tf

from bench.machine.observe import Observer
from tests.undisturbed import with_over_without


def main(architecture: str, batch: int, pairs: int, samples: int) -> None:
    """Measure and print."""
    network = getattr(tf.keras.applications, architecture)(weights=None)
    function = tf.function(lambda images: network(images, training=False))
    images = np.random.default_rng(0).normal(size=(batch, 224, 224, 3)).astype(np.float32)

    def infer() -> None:
        function(tf.constant(images)).numpy()

    for _ in range(samples):
        infer()
    with Observer(bool(tf.config.list_physical_devices("GPU")), dict(os.environ)) as observer:
        observer.settle()
        observer.begin()
        observer.worker(os.getpid())
        observer.phase("measure")
        assert observer.pid is not None
        found = with_over_without(observer.pid, infer, pairs, samples)
        observer.end()
    telemetry = observer.telemetry({})
    gpu = None if telemetry.gpu is None else telemetry.gpu.name
    told = {"failed": telemetry.failed, "readings": telemetry.readings, "gpu": gpu}
    print(json.dumps({**dataclasses.asdict(found), **told}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
