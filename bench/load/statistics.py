"""Statistics of load tests. What LoadGen does not call valid is none: it is absent, with LoadGen's reason."""

from __future__ import annotations

from collections.abc import Mapping

from bench.load.result import Load, LoadResult, LoadTest, Scenario
from bench.statistics.metric import Metric

SPREAD = "server_qps_spread"
NOT_VALID = "LoadGen calls it not valid"  # in a reason: there is no telling
NO_LIMIT = "no rate was too high"
SUPPORT_P99 = 662  # queries; of fewer, LoadGen says no 99th percentile
METRICS = (
    Metric(
        "single_stream_p90_latency_ms", "ms", "load test, one query of one image at a time: 90th percentile", False,
    ),
    Metric(
        "multi_stream_p99_latency_ms", "ms", "load test, one query of several images at a time: 99th percentile", False,
    ),
    Metric("offline_fps", "images/s", "load test, all queries at once: images a second", True),
    Metric(
        "server_qps", "queries/s",
        "load test, Poisson arrivals: the rate, by default the highest found, that keeps the latency bound", True,
    ),
    Metric("server_p99_latency_ms", "ms", "99th percentile at that rate, from the scheduled arrival"),
    Metric(SPREAD, "", "highest less lowest rate of several searches, as a share of the lowest"),
)  # fmt: skip
SCENARIO_OF: Mapping[str, Scenario] = {
    "single_stream_p90_latency_ms": "single_stream",
    "multi_stream_p99_latency_ms": "multi_stream",
    "offline_fps": "offline",
    "server_qps": "server",
    "server_p99_latency_ms": "server",
    SPREAD: "server",
}


def can_have(name: str, loads: tuple[Load, ...]) -> bool:
    """Whether a statistic of load tests is one of a case with these; True for every other statistic."""
    fitting = [load for load in loads if load.scenario == SCENARIO_OF.get(name)]
    if name == SPREAD:
        return any(load.searches > 1 for load in fitting)
    return name not in SCENARIO_OF or bool(fitting)


def load_statistics(results: tuple[LoadResult, ...]) -> tuple[dict[str, float], dict[str, str]]:
    """Values by name, and why others that belong here are absent."""
    values: dict[str, float] = {}
    absent: dict[str, str] = {}
    for scenario in dict.fromkeys(result.load.scenario for result in results):
        group = [result for result in results if result.load.scenario == scenario]
        reason = next((reason for reason in map(why_not, group) if reason), None)
        found = {} if reason else _values(group)
        values.update(found)
        names = [name for name, its in SCENARIO_OF.items() if its == scenario and can_have(name, (group[0].load,))]
        absent.update({name: reason or _too_few(group) for name in names if name not in found})
    return values, absent


def why_not(result: LoadResult) -> str | None:
    """Why a load test has no figure; None where it has."""
    test, load = result.chosen, result.load
    if test.valid:
        return _no_limit(result)
    if not test.keeps_bound:
        return f"at {_rate(test)} queries/s p{load.percentile:g} is not within {load.latency_bound_ms:g} ms"
    return f"{NOT_VALID}: {'; '.join(test.problems)}"


def _no_limit(result: LoadResult) -> str | None:
    if not result.load.is_search or result.next_higher is not None:
        return None
    return f"{NO_LIMIT}: the search ended at {_rate(result.chosen)} queries/s"


def _too_few(group: list[LoadResult]) -> str:
    queries = min(result.chosen.queries or 0 for result in group)
    return f"{queries} samples of the {SUPPORT_P99} that p99 needs"


def _rate(test: LoadTest) -> str:
    return f"{test.target_qps or 0.0:.4g}"


def _values(group: list[LoadResult]) -> dict[str, float]:
    """Of valid results of one scenario; where a rate was searched several times, of the lowest that was found."""
    worst = min(group, key=lambda result: result.chosen.scheduled_qps or 0.0)
    test, scenario = worst.chosen, worst.load.scenario
    known: dict[str, float | None] = {
        "single_stream": {"single_stream_p90_latency_ms": test.latency_ms.get("90.00")},
        "multi_stream": {"multi_stream_p99_latency_ms": test.latency_ms.get("99.00")},
        "offline": {"offline_fps": test.qps},
        "server": {
            "server_qps": test.scheduled_qps,
            "server_p99_latency_ms": test.latency_ms.get("99.00") if (test.queries or 0) >= SUPPORT_P99 else None,
        },
    }[scenario]
    found = {name: value for name, value in known.items() if value is not None}
    rates = [result.chosen.scheduled_qps for result in group if result.chosen.scheduled_qps]
    if len(rates) > 1:
        found[SPREAD] = max(rates) / min(rates) - 1
    return found
