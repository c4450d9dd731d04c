"""Raw outputs found among all that a model gives."""

from __future__ import annotations

import numpy as np

from bench.backends.base import Array, Arrays


def of_three_dimensions(outputs: Arrays) -> dict[str, Array]:
    """Those that may hold boxes or scores: [batch, n, k] or [batch, k, n]."""
    return {name: np.asarray(value) for name, value in outputs.items() if np.ndim(value) == 3}


def listed(outputs: Arrays) -> str:
    """All of them with their shapes, for errors."""
    return ", ".join(f"{name} {list(np.shape(value))}" for name, value in outputs.items())
