"""The config's keys on timing: warm-up, how long a loop goes on, variants in turn, repeats."""

from __future__ import annotations

from pydantic import Field

from bench.sections.base import Positive, Section


class TimingKeys(Section):
    """How often and how long a case is measured."""

    num_warmup_iterations: int = Field(
        50, ge=0, description="Batches run before timing, at least: iterations, not images. See max_warmup_s."
    )
    max_warmup_s: float = Field(
        10.0,
        ge=0,
        description="Warm-up goes on until it has settled, for so long at most; 0: it is num_warmup_iterations. Ours.",
    )
    settle_tolerance: float = Field(
        0.05, gt=0, lt=1, description="Settled: medians of the last three windows lie so close together. Ours."
    )
    settle_window: int = Field(16, ge=4, description="Batches in such a window, at least. Ours.")
    num_iterations: Positive | None = Field(
        None, description="Timed batches: exactly so many, whatever the next four keys say. Ours."
    )
    min_iterations: Positive | None = Field(
        None,
        description="Timed batches, at least. Default: num_images / batch_size, as in the original, and at least 64. "
        "Ours.",
    )
    min_duration_s: float = Field(1.0, ge=0, description="Time for so long, at least. Ours.")
    percentile: float | None = Field(
        99.0,
        gt=0,
        le=99.9,
        description="Go on until the samples support this percentile: 662 for 99. null: none is wanted. Ours.",
    )
    max_duration_s: float = Field(
        20.0, gt=0, description="End a timed loop after so long, whatever is lacking. Latency and compute each. Ours."
    )
    interleave: bool = Field(
        True,
        description="Measure the variants of a model in turn, after each has been measured by itself: their workers "
        "stay alive, and speed-ups are ratios of neighbouring blocks. Ours.",
    )
    interleave_rounds: Positive = Field(12, description="Rounds of it: in each, every variant has one turn. Ours.")
    block_duration_s: float = Field(
        0.1, gt=0, description="Length of a turn's blocks, up to 200 batches: latency, compute, pipelined. Ours."
    )
    repeats: Positive = Field(
        1, description="Measure every case in so many processes, one after the other; intervals are then theirs. Ours."
    )
    rebuilds: Positive = Field(
        1, description="Build TF-TRT's engines anew so many times, each measured `repeats` times. Ours."
    )
