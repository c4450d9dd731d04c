"""Architectures that tf.keras.applications lacks, written from their papers: ResNet-50 v1.5 and Inception v4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf

layers = tf.keras.layers
Tensor = Any
Kernel = tuple[int, int]


def resnet50_v15(input_shape: tuple[int, int, int], classes: int = 1000) -> Any:
    """ResNet-50 v1.5: He et al., 2015, with the stride of a bottleneck in its 3x3 convolution.

    Version 1 has it in the first 1x1, which skips three quarters of what comes in.
    """
    images = layers.Input(input_shape)
    x = _activated(_convolved(images, 64, (7, 7), 2, "same"))
    x = layers.MaxPooling2D(3, 2, "same")(x)
    for stage, (filters, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            x = _bottleneck(x, filters, stride=2 if stage and not block else 1, project=not block)
    return _classified(images, x, classes)


def _bottleneck(x: Tensor, filters: int, stride: int, project: bool) -> Tensor:
    shortcut = _convolved(x, 4 * filters, (1, 1), stride, "same") if project else x
    x = _activated(_convolved(x, filters, (1, 1), 1, "same"))
    x = _activated(_convolved(x, filters, (3, 3), stride, "same"))
    x = _convolved(x, 4 * filters, (1, 1), 1, "same")
    return _activated(layers.Add()([shortcut, x]))


def inception_v4(input_shape: tuple[int, int, int], classes: int = 1000) -> Any:
    """Inception v4: Szegedy et al., 2016, figures 3 to 9; for inference, so without its dropout."""
    images = layers.Input(input_shape)
    x = _stem(images)
    for _ in range(4):
        x = _inception_a(x)
    x = _reduction_a(x)
    for _ in range(7):
        x = _inception_b(x)
    x = _reduction_b(x)
    for _ in range(3):
        x = _inception_c(x)
    return _classified(images, x, classes)


def _stem(images: Tensor) -> Tensor:
    x = _valid(_valid(images, 32, (3, 3), 2), 32, (3, 3))
    x = _same(x, 64, (3, 3))
    x = _joined(_pooled(x), _valid(x, 96, (3, 3), 2))
    left = _valid(_same(x, 64, (1, 1)), 96, (3, 3))
    right = _same(_same(_same(x, 64, (1, 1)), 64, (7, 1)), 64, (1, 7))
    x = _joined(left, _valid(right, 96, (3, 3)))
    return _joined(_valid(x, 192, (3, 3), 2), _pooled(x))


def _inception_a(x: Tensor) -> Tensor:
    double = _same(_same(_same(x, 64, (1, 1)), 96, (3, 3)), 96, (3, 3))
    return _joined(_averaged(x, 96), _same(x, 96, (1, 1)), _same(_same(x, 64, (1, 1)), 96, (3, 3)), double)


def _reduction_a(x: Tensor) -> Tensor:
    double = _valid(_same(_same(x, 192, (1, 1)), 224, (3, 3)), 256, (3, 3), 2)
    return _joined(_pooled(x), _valid(x, 384, (3, 3), 2), double)


def _inception_b(x: Tensor) -> Tensor:
    single = _same(_same(_same(x, 192, (1, 1)), 224, (1, 7)), 256, (7, 1))
    double = _same(_same(_same(x, 192, (1, 1)), 192, (1, 7)), 224, (7, 1))
    double = _same(_same(double, 224, (1, 7)), 256, (7, 1))
    return _joined(_averaged(x, 128), _same(x, 384, (1, 1)), single, double)


def _reduction_b(x: Tensor) -> Tensor:
    short = _valid(_same(x, 192, (1, 1)), 192, (3, 3), 2)
    long = _same(_same(_same(x, 256, (1, 1)), 256, (1, 7)), 320, (7, 1))
    return _joined(_pooled(x), short, _valid(long, 320, (3, 3), 2))


def _inception_c(x: Tensor) -> Tensor:
    short = _same(x, 384, (1, 1))
    long = _same(_same(_same(x, 384, (1, 1)), 448, (1, 3)), 512, (3, 1))
    split = [_same(end, 256, kernel) for end in (short, long) for kernel in ((1, 3), (3, 1))]
    return _joined(_averaged(x, 256), _same(x, 256, (1, 1)), *split)


def _convolved(x: Tensor, filters: int, kernel: Kernel, stride: int, padding: str) -> Tensor:
    """A convolution without bias, normalised over the batch."""
    x = layers.Conv2D(filters, kernel, stride, padding, use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(epsilon=1e-5)(x)


def _activated(x: Tensor) -> Tensor:
    return layers.Activation("relu")(x)


def _same(x: Tensor, filters: int, kernel: Kernel) -> Tensor:
    return _activated(_convolved(x, filters, kernel, 1, "same"))


def _valid(x: Tensor, filters: int, kernel: Kernel, stride: int = 1) -> Tensor:
    return _activated(_convolved(x, filters, kernel, stride, "valid"))


def _pooled(x: Tensor) -> Tensor:
    return layers.MaxPooling2D(3, 2)(x)


def _averaged(x: Tensor, filters: int) -> Tensor:
    return _same(layers.AveragePooling2D(3, 1, "same")(x), filters, (1, 1))


def _joined(*branches: Tensor) -> Tensor:
    return layers.Concatenate()(list(branches))


def _classified(images: Tensor, x: Tensor, classes: int) -> Any:
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(images, layers.Dense(classes, activation="softmax")(x))


OWN: Mapping[str, Callable[..., Any]] = {"ResNet50V15": resnet50_v15, "InceptionV4": inception_v4}


def find_architecture(name: str) -> Callable[..., Any] | None:
    """What builds an architecture with random weights from input_shape and its own arguments; None: not known."""
    if name in OWN:
        return OWN[name]
    build = getattr(tf.keras.applications, name, None) if name[:1].isupper() else None
    return build and partial(build, weights=None)


def architectures() -> list[str]:
    """All names that are known here."""
    return [*OWN, *(name for name in dir(tf.keras.applications) if name[0].isupper())]
