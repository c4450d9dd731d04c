"""Architectures with random weights: that their values stay where FP16 can hold them, on every machine the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.graphs.architectures import find_architecture  # noqa: E402
from bench.graphs.random_weights import normalise  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning")  # Keras 2
SHAPE = (96, 96)
FP16_SMALLEST = 6.1e-5  # of full precision


def built(name: str) -> Any:
    tf.keras.utils.set_random_seed(0)
    build = find_architecture(name)
    assert build is not None
    return build(input_shape=(*SHAPE, 3))


def normalisations(network: Any) -> list[Any]:
    return [layer for layer in network.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]


def spreads(network: Any, brightest: float) -> list[float]:
    """Root mean squares of what the normalisations give for images of noise up to this value."""
    images = np.random.default_rng(1).uniform(-brightest, brightest, (2, *SHAPE, 3)).astype(np.float32)
    outputs = tf.keras.Model(network.input, [layer.output for layer in normalisations(network)])(images)
    return [float(tf.sqrt(tf.reduce_mean(tf.square(output)))) for output in outputs]


@pytest.mark.parametrize("name", ["MobileNet", "ResNet50V15"])
def test_values_neither_die_out_nor_explode(name: str) -> None:
    network = built(name)
    before = spreads(network, 1)
    assert before[-1] < FP16_SMALLEST or before[-1] > 100 * before[0]
    normalise(network, SHAPE, 0)
    assert all(0.25 < spread < 4 for spread in spreads(network, 1))
    preprocessed = 150  # what `vgg` makes of the brightest; FP16 ends at 65 504
    assert all(spread < 4 * preprocessed for spread in spreads(network, preprocessed))


def test_the_variances_are_powers_of_four_that_no_rounding_moves() -> None:
    first, second = built("MobileNet"), built("MobileNet")
    for network in (first, second):
        normalise(network, SHAPE, 0)
    for one, other in zip(normalisations(first), normalisations(second), strict=True):
        variances = {float(value) for value in one.moving_variance.numpy()}
        assert len(variances) == 1 and math.log(variances.pop(), 4).is_integer()
        assert np.array_equal(one.moving_variance.numpy(), other.moving_variance.numpy())
    images = tf.ones((1, *SHAPE, 3))
    assert np.array_equal(first(images, training=False).numpy(), second(images, training=False).numpy())
