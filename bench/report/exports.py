"""The statistics file of the original examples: their keys first, ours beside them."""

from __future__ import annotations

import json

from bench.record import Record
from bench.statistics.summary import Summary


def original_statistics(record: Record, summary: Summary) -> str:
    """`map`, `avg_latency_ms`, `avg_throughput_fps` and `runtimes_ms` as the original wrote them, and all others.

    What cannot be said is null, with its reason under `absent`; 95 % intervals are under `bounds`.
    """
    samples = record.latency.times_ns if record.latency is not None else ()
    statistics: dict[str, object] = {
        **summary.values,
        **dict.fromkeys(summary.absent),
        "absent": dict(summary.absent),
        "bounds": {name: list(pair) for name, pair in summary.bounds.items()},
        "runtimes_ms": [time / 1e6 for time in samples],
        "case": record.case.id,
        "backend": record.case.optimization.backend,
        "precision_mode": record.case.optimization.precision_mode,
    }
    return json.dumps(statistics, indent=4, sort_keys=True)
