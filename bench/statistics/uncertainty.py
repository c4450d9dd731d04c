"""Which statistic of a record has an interval, and which rule of bounds.py finds it.

All are of the spread within the run: what another process, another build of the engine or another day would add is in
none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from statistics import median

from bench.record import Record, Samples, Throughput
from bench.statistics.bounds import (
    Interval,
    NoInterval,
    blocks_interval,
    mean_interval,
    percentile_interval,
    ratio_interval,
)
from bench.statistics.turns import paired_speedups

Intervals = dict[str, Interval | NoInterval]
PERCENTS: Mapping[str, int] = {
    "median_latency_ms": 50, "p90_latency_ms": 90, "p95_latency_ms": 95, "p99_latency_ms": 99,
}  # fmt: skip


def intervals(record: Record) -> Intervals:
    """Intervals of a record's own statistics, in their units."""
    found: Intervals = {}
    if record.latency is not None and record.latency.times_ns:
        found.update(_latency(record.latency))
    if record.compute is not None and record.compute.times_ns:
        found["compute_ms"] = _milliseconds(_percentile(record.compute.times_ns, 50))
    if record.throughput is not None and record.throughput.block_ns:
        found["throughput_fps"] = blocks_interval(_rates(record.throughput))
    return found


def speedup_intervals(record: Record, native: Record) -> Intervals:
    """Intervals of the ratios to the native case; none of the native case's ratio to itself.

    Of pairs of blocks where both were measured in turn; else of two series in processes of their own.
    """
    if record is native:
        return {}
    if pairs := paired_speedups(record, native):
        return {name: pair.interval for name, pair in pairs.items()}
    mine, other = _measured(record), _measured(native)
    return {name: _ratio(other[name], mine[name]) for name in mine if name in other}


def _latency(samples: Samples) -> Intervals:
    times = samples.times_ns
    mean = _mean(times)
    found: Intervals = {name: _milliseconds(_percentile(times, percent)) for name, percent in PERCENTS.items()}
    found["avg_latency_ms"] = _milliseconds(mean)
    found["avg_throughput_fps"] = mean if isinstance(mean, NoInterval) else _rate(mean, samples)
    return found


def _rate(mean: Interval, samples: Samples) -> Interval | NoInterval:
    """Images a second from the mean time of a batch, in nanoseconds."""
    if len(set(samples.images)) > 1:
        return NoInterval("batches of several sizes")
    images = 1e9 * samples.images[0]
    return Interval(images / mean.high, images / mean.low)


def _measured(record: Record) -> dict[str, tuple[float, Interval | NoInterval]]:
    """For each ratio, its figure as a time, and that figure's interval."""
    found: dict[str, tuple[float, Interval | NoInterval]] = {}
    for name, samples in (("speedup", record.latency), ("compute_speedup", record.compute)):
        if samples is not None and samples.times_ns:
            found[name] = median(samples.times_ns), _percentile(samples.times_ns, 50)
    if record.throughput is not None and record.throughput.block_ns:
        rates = _rates(record.throughput)
        per_image = blocks_interval([1 / rate for rate in rates])
        found["throughput_speedup"] = 1 / median(rates), per_image
    return found


def _ratio(
    other: tuple[float, Interval | NoInterval], mine: tuple[float, Interval | NoInterval]
) -> Interval | NoInterval:
    for who, (_, interval) in (("the native case: ", other), ("", mine)):
        if isinstance(interval, NoInterval):
            return NoInterval(f"{who}{interval.reason}")
    assert isinstance(other[1], Interval) and isinstance(mine[1], Interval)
    return ratio_interval(other[0], other[1], mine[0], mine[1])


def _rates(blocks: Throughput) -> list[float]:
    return [1e9 * blocks.launches_per_block * blocks.images_per_launch / block for block in blocks.block_ns]


def _milliseconds(interval: Interval | NoInterval) -> Interval | NoInterval:
    return interval if isinstance(interval, NoInterval) else Interval(interval.low / 1e6, interval.high / 1e6)


@lru_cache(maxsize=256)
def _mean(times: tuple[int, ...]) -> Interval | NoInterval:
    interval = mean_interval(times)
    if isinstance(interval, Interval) and interval.low <= 0:
        return NoInterval(f"the {len(times)} samples vary too much and depend on each other too much")
    return interval


@lru_cache(maxsize=1024)
def _percentile(times: tuple[int, ...], percent: int) -> Interval | NoInterval:
    return percentile_interval(times, percent)
