"""The config's keys on load tests."""

from __future__ import annotations

from pydantic import Field

from bench.load.result import Scenario
from bench.sections.base import Positive, Section


class LoadKeys(Section):
    """Which scenarios of MLCommons LoadGen are run, and what they must keep."""

    load_scenarios: tuple[Scenario, ...] = Field(
        (),
        description="Load tests by MLCommons LoadGen, after the timed loops: `single_stream`, `multi_stream`, "
        "`offline`, `server`. Needs the extra `load`. Ours.",
    )
    load_latency_bound_ms: float | None = Field(
        None, gt=0, description="server: latency that load_percentile must keep, from the scheduled arrival. Ours."
    )
    load_percentile: float = Field(
        99.0, description="server: percentile that the bound is on: 50, 90, 95, 97, 99 or 99.9. Ours."
    )
    load_target_qps: float | None = Field(
        None,
        gt=0,
        description="server: queries a second. Default: the highest rate that keeps the bound is searched. Ours.",
    )
    load_searches: Positive = Field(
        1, description="server: search so often, with other arrivals each time, to see how well they agree. Ours."
    )
    load_samples_per_query: Positive = Field(8, description="multi_stream: images in a query. Ours.")
    load_min_duration_s: float = Field(
        10.0,
        gt=0,
        description="A load test goes on for so long, at least; a search is up to 32 of them, mostly 10. Ours.",
    )
    load_min_queries: Positive | None = Field(
        None,
        description="Queries (offline: images) of a load test, at least. Default: what the percentile needs, and at "
        "least 662, which a 99th does. Ours.",
    )
    load_threads: Positive = Field(1, description="Threads that infer over one session in load tests. Ours.")
