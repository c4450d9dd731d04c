"""Speed-ups of two records that were measured in turn: ratios of blocks of the same round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

from bench.blocks import Block
from bench.record import Record
from bench.statistics.paired import PairedSpeedup, paired_speedup
from bench.statistics.rounds import by_round, rounds_in_common

TIMES: Mapping[str, Callable[[Block], float]] = {
    "speedup": lambda block: median(block.latency_ns),
    "compute_speedup": lambda block: median(block.compute_ns),
    "throughput_speedup": lambda block: block.pipelined_ns / block.turn.launched,
}
MEASURES = {"speedup": "latency", "compute_speedup": "compute", "throughput_speedup": "throughput"}


def paired_speedups(record: Record, native: Record) -> dict[str, PairedSpeedup]:
    """How many times as fast a record is as the native one, by statistic; none where they have no round in common."""
    mine, theirs = by_round(record), by_round(native)
    rounds = rounds_in_common(record, native)
    if not rounds or record is native:
        return {}
    return {
        name: paired_speedup([time(theirs[n]) for n in rounds], [time(mine[n]) for n in rounds])
        for name, time in TIMES.items()
    }


def ratios(record: Record, native: Record, name: str) -> dict[int, float]:
    """By round, how many times as fast the record's block was as the native one's, of a statistic in TIMES."""
    mine, theirs, time = by_round(record), by_round(native), TIMES[name]
    return {n: time(theirs[n]) / time(mine[n]) for n in sorted(mine.keys() & theirs.keys())}
