"""Integer rasterisation of shapes, textures and noise: the same pixels on every platform and NumPy version."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Box = tuple[int, int, int, int]

SUB = 4  # positions and radii are in quarters of a pixel
UNIT = 1024  # the radius of a shape in its own coordinates
TRIG = 4096  # fixed point of the rounded sines and cosines
TURN = 256  # angle steps in a full turn


def cosine(step: int) -> int:
    """Fixed-point cosine of an angle in 1/256 turns."""
    return round(math.cos(2.0 * math.pi * (step % TURN) / TURN) * TRIG)


def sine(step: int) -> int:
    """Fixed-point sine of an angle in 1/256 turns."""
    return cosine(step - TURN // 4)


def _half_planes(u: Ints, v: Ints, sides: int, distance: int) -> Ints:
    """How many of the half-planes at one distance from the centre hold each point."""
    held = np.zeros(u.shape, np.int64)
    for side in range(sides):
        angle = 2.0 * math.pi * side / sides
        across, down = round(math.cos(angle) * TRIG), round(math.sin(angle) * TRIG)
        held += (u * across + v * down) <= distance * TRIG
    return held


def _circle(u: Ints, v: Ints) -> Bools:
    inside: Bools = u * u + v * v <= 940 * 940
    return inside


def _square(u: Ints, v: Ints) -> Bools:
    inside: Bools = np.maximum(np.abs(u), np.abs(v)) <= 800
    return inside


def _triangle(u: Ints, v: Ints) -> Bools:
    inside: Bools = _half_planes(u, v, 3, 540) == 3
    return inside


def _pentagon(u: Ints, v: Ints) -> Bools:
    inside: Bools = _half_planes(u, v, 5, 830) == 5
    return inside


def _star(u: Ints, v: Ints) -> Bools:
    inside: Bools = _half_planes(u, v, 5, 350) >= 4
    return inside


def _ring(u: Ints, v: Ints) -> Bools:
    square = u * u + v * v
    return (square <= 960 * 960) & (square >= 520 * 520)


def _cross(u: Ints, v: Ints) -> Bools:
    wide, narrow = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
    return (wide <= 960) & (narrow <= 310)


def _half_disc(u: Ints, v: Ints) -> Bools:
    return (u * u + (v + 400) * (v + 400) <= 1000 * 1000) & (v >= -400)


SHAPES: dict[str, Callable[[Ints, Ints], Bools]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "pentagon": _pentagon,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
    "half-disc": _half_disc,
}
CLASSES = tuple(SHAPES)


@dataclass(frozen=True)
class Placement:
    """A shape's kind, centre and radii in quarter pixels, and its angle in 1/256 turns."""

    kind: str
    x: int
    y: int
    radius_u: int
    radius_v: int
    angle: int


@dataclass(frozen=True)
class Stamp:
    """The coverage (0..4 samples a pixel) of a shape in a window of the image."""

    rows: slice
    columns: slice
    coverage: Ints


def _span(centre: int, reach: int, size: int) -> tuple[int, int]:
    first = min(max((centre - reach) // SUB - 1, 0), size - 1)
    return first, max(min((centre + reach) // SUB + 2, size), first + 1)


def stamp(placement: Placement, size: int) -> Stamp:
    """Rasterise a shape with two by two samples a pixel."""
    reach = max(placement.radius_u, placement.radius_v) * 5 // 4
    left, right = _span(placement.x, reach, size)
    top, bottom = _span(placement.y, reach, size)
    dx = np.arange(2 * left, 2 * right, dtype=np.int64)[None, :] * 2 + 1 - placement.x
    dy = np.arange(2 * top, 2 * bottom, dtype=np.int64)[:, None] * 2 + 1 - placement.y
    cos, sin = cosine(placement.angle), sine(placement.angle)
    scale = TRIG // UNIT
    u = (dx * cos + dy * sin) // (scale * placement.radius_u)
    v = (dy * cos - dx * sin) // (scale * placement.radius_v)
    inside = SHAPES[placement.kind](u, v)
    coverage = inside.reshape(bottom - top, 2, right - left, 2).sum(axis=(1, 3), dtype=np.int64)
    return Stamp(slice(top, bottom), slice(left, right), coverage)


def blend(image: Ints, mark: Stamp, fill: Ints) -> None:
    """Paint a fill (broadcast over the window) through a stamp, in place."""
    window = image[mark.rows, mark.columns]
    cover = mark.coverage[:, :, None]
    window[...] = (window * (4 - cover) + fill * cover + 2) >> 2


def between(rng: np.random.RandomState, low: int, high: int) -> int:
    """A random integer in low..high, both included, from the frozen stream."""
    return int(rng.randint(low, high + 1, dtype=np.int64))


def _gradient(rng: np.random.RandomState, rows: Ints, columns: Ints) -> Ints:
    angle = between(rng, 0, TURN - 1)
    ramp = rows * sine(angle) + columns * cosine(angle)
    low, high = int(ramp.min()), int(ramp.max())
    return (ramp - low) * 256 // max(high - low, 1)


def _stripes(rng: np.random.RandomState, rows: Ints, columns: Ints) -> Ints:
    angle, period = between(rng, 0, TURN - 1), between(rng, 3, 12)
    phase = (rows * sine(angle) + columns * cosine(angle)) * 512 // (TRIG * period) & 511
    weight: Ints = np.minimum(phase, 511 - phase)
    return weight


def _checks(rng: np.random.RandomState, rows: Ints, columns: Ints) -> Ints:
    cell, shift = between(rng, 3, 12), between(rng, 0, 11)
    return (((rows + shift) // cell + (columns + shift) // cell) & 1) * 256


def _clouds(rng: np.random.RandomState, rows: Ints, columns: Ints) -> Ints:
    cell = between(rng, 4, 20)
    high, wide = rows.shape[0] // cell + 2, columns.shape[1] // cell + 2
    grid: Ints = rng.randint(0, 257, size=(high, wide), dtype=np.int64)
    r, c = rows // cell, columns // cell
    fr: Ints = rows - r * cell
    fc: Ints = columns - c * cell
    upper: Ints = grid[r, c] * (cell - fc) + grid[r, c + 1] * fc
    lower: Ints = grid[r + 1, c] * (cell - fc) + grid[r + 1, c + 1] * fc
    mixed: Ints = upper * (cell - fr) + lower * fr
    return mixed // (cell * cell)


PATTERNS = (_gradient, _clouds, _stripes, _checks)


def texture(rng: np.random.RandomState, height: int, width: int, colour: Ints, spread: int) -> Ints:
    """A patterned patch of two colours about the given one, at most spread away from it."""
    rows, columns = np.arange(height, dtype=np.int64)[:, None], np.arange(width, dtype=np.int64)[None, :]
    kind = between(rng, 0, len(PATTERNS) - 1)
    weight = PATTERNS[kind](rng, rows, columns)[:, :, None]
    shift = rng.randint(-spread, spread + 1, size=3, dtype=np.int64)
    painted: Ints = colour - shift + ((2 * shift * weight) >> 8)
    return painted


def add_noise(rng: np.random.RandomState, image: Ints, amplitude: int) -> NDArray[np.uint8]:
    """The image with triangular noise of an amplitude, as bytes."""
    raw = np.frombuffer(rng.bytes(2 * image.size), np.uint8).astype(np.int64).reshape(2, *image.shape)
    noisy = image + (((raw[0] - raw[1]) * amplitude) >> 8)
    bounded: NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
    return bounded


def box_of(mask: Bools) -> Box:
    """The tight x, y, width, height about the true pixels of a mask, which has some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
