"""The two small convolutional networks: layers, training state and the folded form for export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

EPSILON = 1e-3
MOMENTUM = 0.97
CLASSES = 8

Array = NDArray[Any]
Run = Callable[..., tf.Tensor]


@dataclass(frozen=True)
class Layer:
    """A convolution's kernel size, channels and stride; a plain one has no normalisation and no ReLU."""

    kernel: int
    inputs: int
    outputs: int
    stride: int = 1
    plain: bool = False
    bias: float = 0.0
    depthwise: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The kernel's shape; a depthwise one has a filter for each channel."""
        return self.kernel, self.kernel, self.inputs, 1 if self.depthwise else self.outputs


def _separable(name: str, inputs: int, outputs: int, stride: int = 1) -> dict[str, Layer]:
    return {
        f"{name}_depth": Layer(3, inputs, inputs, stride, depthwise=True),
        f"{name}_point": Layer(1, inputs, outputs),
    }


CLASSIFIER = {
    "stem": Layer(3, 3, 24, 2),
    **_separable("down1", 24, 48, 2),
    **_separable("block1", 48, 48),
    **_separable("block2", 48, 48),
    **_separable("down2", 48, 96, 2),
    **_separable("block3", 96, 96),
    **_separable("block4", 96, 96),
    **_separable("down3", 96, 128, 2),
    **_separable("block5", 128, 128),
    "logits": Layer(1, 128, CLASSES, plain=True),
}

DETECTOR = {
    "stem": Layer(3, 3, 24, 2),
    **_separable("down1", 24, 48, 2),
    **_separable("block1", 48, 48),
    **_separable("block2", 48, 48),
    **_separable("down2", 48, 96, 2),
    **_separable("block3", 96, 96),
    **_separable("block4", 96, 96),
    **_separable("block5", 96, 96),
    **_separable("block6", 96, 96),
    **_separable("class_tower", 96, 96),
    **_separable("box_tower", 96, 96),
    "class_logits": Layer(1, 96, CLASSES, plain=True, bias=-4.0),
    "box_sides": Layer(1, 96, 4, plain=True),
}


def _step(run: Run, name: str, x: tf.Tensor) -> tf.Tensor:
    return run(f"{name}_point", run(f"{name}_depth", x))


def _block(run: Run, name: str, x: tf.Tensor) -> tf.Tensor:
    return run(f"{name}_point", run(f"{name}_depth", x), skip=x)


def _blocks(run: Run, first: int, last: int, x: tf.Tensor) -> tf.Tensor:
    for number in range(first, last + 1):
        x = _block(run, f"block{number}", x)
    return x


def classify(run: Run, x: tf.Tensor) -> tf.Tensor:
    """Class logits [N, 8] of images in -1..1."""
    x = _blocks(run, 1, 2, _step(run, "down1", run("stem", x)))
    x = _blocks(run, 3, 4, _step(run, "down2", x))
    x = _blocks(run, 5, 5, _step(run, "down3", x))
    return tf.reshape(run("logits", tf.reduce_max(x, [1, 2], keepdims=True)), [-1, CLASSES])


def detect(run: Run, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Class logits [N, 256, 8] and box sides [N, 256, 4] at every eighth pixel of images in -1..1."""
    x = _blocks(run, 1, 2, _step(run, "down1", run("stem", x)))
    x = _blocks(run, 3, 6, _step(run, "down2", x))
    logits = run("class_logits", _step(run, "class_tower", x))
    sides = run("box_sides", _step(run, "box_tower", x))
    cells = (x.shape[1] or 0) * (x.shape[2] or 0)
    return tf.reshape(logits, [-1, cells, CLASSES]), tf.reshape(sides, [-1, cells, 4])


def _convolve(layer: Layer, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    if layer.depthwise:
        return tf.nn.depthwise_conv2d(x, kernel, [1, layer.stride, layer.stride, 1], "SAME")
    return tf.nn.conv2d(x, kernel, layer.stride, "SAME")


class Training(tf.Module):  # type: ignore[misc]
    """The trainable form of a network: kernels with batch normalisation."""

    def __init__(self, layers: dict[str, Layer], seed: int) -> None:
        super().__init__()
        self.layers = layers
        self.kernels: dict[str, tf.Variable] = {}
        self.norms: dict[str, list[tf.Variable]] = {}
        self.moments: dict[str, list[tf.Variable]] = {}
        rng = np.random.RandomState(seed)
        for name, layer in layers.items():
            self._add(name, layer, rng)

    def _add(self, name: str, layer: Layer, rng: np.random.RandomState) -> None:
        scale = 0.01 if layer.plain else np.sqrt(2.0 / (layer.kernel**2 * (1 if layer.depthwise else layer.inputs)))
        self.kernels[name] = tf.Variable((rng.standard_normal(layer.shape) * scale).astype(np.float32))
        zeros, ones = np.zeros(layer.outputs, np.float32), np.ones(layer.outputs, np.float32)
        if layer.plain:
            self.norms[name] = [tf.Variable(zeros + np.float32(layer.bias))]
            return
        gain = 0.5 * ones if name.startswith("block") and name.endswith("_point") else ones
        self.norms[name] = [tf.Variable(zeros), tf.Variable(gain)]
        self.moments[name] = [tf.Variable(zeros, trainable=False), tf.Variable(ones, trainable=False)]

    def _state(self, name: str) -> list[tf.Variable]:
        return [self.kernels[name], *self.norms[name], *self.moments.get(name, [])]

    def adopt(self, other: Training) -> None:
        """Copy the layers that both networks have under one name with one shape."""
        for name, layer in self.layers.items():
            if other.layers.get(name) == layer:
                for mine, theirs in zip(self._state(name), other._state(name), strict=True):
                    mine.assign(theirs)

    def run(self, name: str, x: tf.Tensor, skip: tf.Tensor | None = None) -> tf.Tensor:
        """One layer in training mode; moves its moments."""
        layer = self.layers[name]
        x = _convolve(layer, x, self.kernels[name])
        if layer.plain:
            return x + self.norms[name][0]
        offset, gain = self.norms[name]
        x, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gain, offset, epsilon=EPSILON, is_training=True)
        for moment, value in zip(self.moments[name], (mean, variance), strict=True):
            moment.assign(moment * MOMENTUM + value * (1.0 - MOMENTUM))
        return tf.nn.relu(x if skip is None else x + skip)

    def folded(self, name: str) -> tuple[Array, Array]:
        """A layer's kernel and bias with the normalisation folded in."""
        kernel = self.kernels[name].numpy()
        if self.layers[name].plain:
            return kernel, self.norms[name][0].numpy()
        offset, gain = (value.numpy() for value in self.norms[name])
        mean, variance = (value.numpy() for value in self.moments[name])
        scale = gain / np.sqrt(variance + EPSILON)
        return kernel * scale.reshape(-1, 1) if self.layers[name].depthwise else kernel * scale, offset - mean * scale


class Folded(tf.Module):  # type: ignore[misc]
    """The inference form of a network: convolutions with biases only."""

    def __init__(self, trained: Training) -> None:
        super().__init__()
        self.layers = trained.layers
        self.weights = {
            name: [tf.Variable(value, trainable=False) for value in trained.folded(name)] for name in trained.layers
        }

    def run(self, name: str, x: tf.Tensor, skip: tf.Tensor | None = None) -> tf.Tensor:
        """One layer in inference mode."""
        kernel, bias = self.weights[name]
        x = tf.nn.bias_add(_convolve(self.layers[name], x, kernel), bias)
        if self.layers[name].plain:
            return x
        return tf.nn.relu(x if skip is None else x + skip)


class Optimizer:
    """Adam with decoupled weight decay on kernels."""

    def __init__(self, variables: list[tf.Variable]) -> None:
        self.variables = variables
        self.first = [tf.Variable(tf.zeros_like(value), trainable=False) for value in variables]
        self.second = [tf.Variable(tf.zeros_like(value), trainable=False) for value in variables]

    def apply(self, gradients: list[tf.Tensor], rate: tf.Tensor, step: tf.Tensor) -> None:
        """Move the variables one step (counted from 1), the gradients clipped to a global norm of 5."""
        gradients, _ = tf.clip_by_global_norm(gradients, 5.0)
        rate_now = rate * tf.sqrt(1.0 - 0.99**step) / (1.0 - 0.9**step)
        for value, gradient, first, second in zip(self.variables, gradients, self.first, self.second, strict=True):
            first.assign(first * 0.9 + gradient * 0.1)
            second.assign(second * 0.99 + gradient * gradient * 0.01)
            decay = rate * 0.02 * value if len(value.shape) == 4 else tf.zeros_like(value)
            value.assign_sub(rate_now * first / (tf.sqrt(second) + 1e-7) + decay)
