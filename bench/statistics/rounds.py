"""The rounds in which two records both had their turn."""

from __future__ import annotations

from bench.blocks import Block
from bench.record import Record


def rounds_in_common(record: Record, native: Record) -> list[int]:
    """Rounds of one sitting: those of another have the same numbers, and another time."""
    if record.sitting != native.sitting:
        return []
    return sorted(by_round(record).keys() & by_round(native).keys())


def by_round(record: Record) -> dict[int, Block]:
    """A record's blocks, by the number of their round."""
    return {block.turn.round: block for block in record.blocks}
