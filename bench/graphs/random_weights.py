"""Random weights that a network's values survive: batch normalisations that normalise, as those of a trained one do.

As Keras makes it, a batch normalisation leaves values as they are, and from layer to layer they die out or explode:
those of MobileNet are 1e-19 at its end, which FP16 cannot hold, and of a ResNet whose branches keep their input's
spread more than FP16 can. So each is told the spread of what comes in when the network sees images of noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

IMAGES = 2


def normalise(network: Any, image_shape: tuple[int, int], seed: int) -> None:
    """Give every batch normalisation of the network the moving variance of what it gets from seeded noise in [-1, 1).

    One number a layer, and a power of 4: every machine finds the same, whatever the last bits of its sums are.
    """
    layers = [layer for layer in network._flatten_layers() if isinstance(layer, tf.keras.layers.BatchNormalization)]
    kept = [layer.call for layer in layers]
    for layer, call in zip(layers, kept, strict=True):
        layer.call = _measuring(layer, call)
    images = np.random.default_rng(seed).uniform(-1, 1, (IMAGES, *image_shape, 3)).astype(np.float32)
    try:
        with tf.device("CPU:0"):
            network(images, training=False)
    finally:
        for layer, call in zip(layers, kept, strict=True):
            layer.call = call


def _measuring(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """The layer's call, which sets its moving variance first."""

    def measured(inputs: Any, *arguments: Any, **keywords: Any) -> Any:
        spread = float(tf.reduce_mean(tf.square(inputs)))
        if spread > 0:
            layer.moving_variance.assign(tf.fill(layer.moving_variance.shape, 4.0 ** round(math.log(spread, 4))))
        return call(inputs, *arguments, **keywords)

    return measured
