"""What is kept of an accuracy pass beside its figures, so that two passes can be held against each other: records.

Small enough to be kept with every record: of 50000 classified images some 600 kB, of 5000 images with boxes at most
800 kB.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from bench.part import Part

if TYPE_CHECKING:
    import numpy as np

KEPT_ANSWERS = 50_000  # images
KEPT_BOXES = 5_000  # images
BOXES_PER_IMAGE = 8  # those with the highest scores
LEAST_SCORE = 0.3  # of a box that is kept
ROW = "<u2"  # four corners, class and score of a box
UNIT = 65535  # what 1 is kept as


class Answers(Part):
    """What a classifier said of each image, in the order of the dataset."""

    best: tuple[int, ...]  # the most likely class, as a label of the dataset
    scores: tuple[float, ...]  # its score
    ranks: str  # a character for each image: where the label stands among the likely classes, 1 to 5; 0: not among them

    def hits(self, among: int) -> int:
        """Images whose label is among so many most likely classes."""
        return sum(self.ranks.count(str(rank)) for rank in range(1, among + 1))


class Boxes(Part):
    """The boxes of each image with a score of at least `LEAST_SCORE`: packed, and rounded to 1/65535."""

    images: int
    counts: str  # base64 of a byte for each image
    rows: str  # base64 of six numbers of two bytes for each box: y1, x1, y2, x2, class, score

    @staticmethod
    def pack(found: list[np.ndarray[Any, Any]]) -> Boxes:
        """Of an array [boxes, 6] for each image: corners in 0..1 of the image, class, score; ordered by score."""
        import numpy as np

        kept = [rows[rows[:, 5] >= LEAST_SCORE][:BOXES_PER_IMAGE] for rows in found[:KEPT_BOXES]]
        rows = np.concatenate([np.zeros((0, 6)), *kept])
        rows = rows * (UNIT, UNIT, UNIT, UNIT, 1, UNIT)
        packed = np.rint(rows.clip(0, UNIT)).astype(ROW).tobytes()
        counts = bytes(len(rows) for rows in kept)
        return Boxes(images=len(kept), counts=base64.b64encode(counts).decode(), rows=base64.b64encode(packed).decode())

    def unpack(self) -> list[np.ndarray[Any, Any]]:
        """The arrays again."""
        import numpy as np

        rows = np.frombuffer(base64.b64decode(self.rows), ROW).reshape(-1, 6).astype(np.float64)
        rows /= (UNIT, UNIT, UNIT, UNIT, 1, UNIT)
        counts = np.frombuffer(base64.b64decode(self.counts), np.uint8)
        return np.split(rows, np.cumsum(counts.astype(np.intp))[:-1]) if len(counts) else []
