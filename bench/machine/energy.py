"""Energy for an image, from the GPU's energy counter over a timed loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.machine.reading import Sampled
from bench.machine.timeline import LOOP_PREFIX, Span, change
from bench.telemetry import Energy

LOOPS = ("latency", "compute", "throughput")
LEAST_S = 2.0
# The counter is brought up to date every 20 to 100 ms, so a difference is off by at most one update's worth.
UPDATE_S = 0.1


def energies(
    sampled: Sampled, spans: Sequence[Span], parts: Mapping[str, Any], idle_w: float | None
) -> tuple[Energy, ...]:
    """One for each timed loop that ended."""
    named = {span.name.removeprefix(LOOP_PREFIX): span for span in spans if span.name.startswith(LOOP_PREFIX)}
    return tuple(_energy(loop, sampled, named[loop], parts.get(loop), idle_w) for loop in LOOPS if loop in named)


def seconds_per_image(part: Mapping[str, Any]) -> float | None:
    """Of a loop's samples, or of the blocks of the pipelined loop, as they are in the record's JSON."""
    if "block_ns" in part:
        images = len(part["block_ns"]) * part["launches_per_block"] * part["images_per_launch"]
        spent_ns = sum(part["block_ns"])
    else:
        images, spent_ns = sum(part.get("images", ())), sum(part.get("times_ns", ()))
    return spent_ns / 1e9 / images if images else None


def _energy(loop: str, sampled: Sampled, span: Span, part: Any, idle_w: float | None) -> Energy:
    spent_mj, seconds = change("energy_mj", sampled.readings, span) or (0.0, 0.0)
    image_s = seconds_per_image(part) if isinstance(part, Mapping) else None
    absent = _why_not(sampled, span, spent_mj, seconds)
    if absent is None and image_s is None:
        absent = "the loop's part of the record has no times"
    if absent is not None or image_s is None:
        return Energy(loop=loop, seconds=round(seconds, 3), absent=absent, net_absent=absent)
    power_w = spent_mj / 1000 / seconds
    return Energy(
        loop=loop,
        seconds=round(seconds, 3),
        mean_power_w=round(power_w, 3),
        joules_per_image=power_w * image_s,
        net_joules_per_image=None if idle_w is None else (power_w - idle_w) * image_s,
        error_share=round(UPDATE_S / seconds, 4),
        net_absent="the idle GPU's power is not known" if idle_w is None else None,
    )


def _why_not(sampled: Sampled, span: Span, spent_mj: float, seconds: float) -> str | None:
    if all(reading.energy_mj is None for reading in sampled.readings):
        return f"no energy counter: {sampled.refused.get('energy_mj', 'it was never read')}"
    length_s = (span.end_ns - span.begin_ns) / 1e9
    if length_s < LEAST_S:
        return f"the loop took {length_s:.1f} s, and the counter needs {LEAST_S:g} s"
    if seconds < LEAST_S:
        return f"the counter was read over {seconds:.1f} s of the loop's {length_s:.1f} s, and needs {LEAST_S:g} s"
    return None if spent_mj > 0 else "the energy counter did not grow"
