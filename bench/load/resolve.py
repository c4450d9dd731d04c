"""The load tests that a config asks for, checked against all that is known before anything runs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bench.case import Optimization
from bench.load.result import SCENARIOS, Load
from bench.load.search import MOST_TESTS
from bench.sections.config import BenchmarkSection
from bench.sources import Problem
from bench.statistics.percentiles import samples_needed

REPORTED = (50.0, 90.0, 95.0, 97.0, 99.0, 99.9)  # the percentiles that LoadGen's logs have
OF_SCENARIO: Mapping[str, str] = {
    "load_latency_bound_ms": "server",
    "load_percentile": "server",
    "load_target_qps": "server",
    "load_searches": "server",
    "load_samples_per_query": "multi_stream",
}
OF_ANY = ("load_min_duration_s", "load_min_queries", "load_threads")
BOUNDS_IN_TEST = 20  # of 5 % too many queries a test of this many bounds piles up a whole bound's worth


def resolve_loads(
    benchmark: BenchmarkSection,
    optimization: Optimization,
    shape: tuple[int, int] | None,
    matrix: Mapping[str, object],
    problem: Problem,
) -> tuple[Load, ...]:
    """A case's load tests in the order in which they run; `matrix` holds the keys that the cases differ in."""
    asked = benchmark.load_scenarios
    if "benchmark_config.load_scenarios" not in matrix:
        _check_unused(benchmark, problem)
    if not asked:
        return ()
    key = "benchmark_config.load_scenarios"
    if len(set(asked)) < len(asked):
        raise problem(key, f"{json.dumps(asked)}: a scenario stands there twice")
    if shape is None:
        raise problem(key, "load tests put images together to batches as they come: set image_shape")
    if optimization.backend == "litert" and benchmark.load_threads > 1:
        raise problem(
            "benchmark_config.load_threads",
            f"{benchmark.load_threads}: a LiteRT interpreter takes one at a time; use 1",
        )
    _check_time(benchmark, problem)
    if "server" in asked:
        _check_server(benchmark, problem)
    return tuple(_load(scenario, benchmark) for scenario in SCENARIOS if scenario in asked)


def _load(scenario: str, benchmark: BenchmarkSection) -> Load:
    of_server = {
        "target_qps": benchmark.load_target_qps,
        "latency_bound_ms": benchmark.load_latency_bound_ms,
        "percentile": benchmark.load_percentile,
        "searches": benchmark.load_searches,
    }
    return Load.model_validate(
        {
            "scenario": scenario,
            "samples_per_query": benchmark.load_samples_per_query,
            "min_duration_s": benchmark.load_min_duration_s,
            "min_queries": benchmark.load_min_queries or _needed(scenario, benchmark),
            "threads": benchmark.load_threads,
            "seed": benchmark.seed,
            **(of_server if scenario == "server" else {}),
        }
    )


def _needed(scenario: str, benchmark: BenchmarkSection) -> int:
    percents = [99.0, benchmark.load_percentile] if scenario == "server" else [99.0]
    return max(map(samples_needed, percents))


def _check_unused(benchmark: BenchmarkSection, problem: Problem) -> None:
    """A key without the scenario that it is about is a mistake."""
    for key in sorted(benchmark.model_fields_set):
        scenario = OF_SCENARIO.get(key)
        value = json.dumps(getattr(benchmark, key)) if scenario or key in OF_ANY else ""
        if scenario is not None and scenario not in benchmark.load_scenarios:
            raise problem(
                f"benchmark_config.{key}", f"{value}: is about {scenario!r}, which load_scenarios does not have"
            )
        if key in OF_ANY and not benchmark.load_scenarios:
            raise problem(f"benchmark_config.{key}", f"{value}: there is no load test: load_scenarios is empty")


def _check_time(benchmark: BenchmarkSection, problem: Problem) -> None:
    """The limit of a phase holds for a load test, and for all tests of a search together."""
    searched = "server" in benchmark.load_scenarios and benchmark.load_target_qps is None
    needed = benchmark.load_min_duration_s * (MOST_TESTS if searched else 1)
    if needed >= benchmark.phase_timeout_s:
        what = f"a search of up to {MOST_TESTS} tests" if searched else "a test"
        raise problem(
            "benchmark_config.load_min_duration_s",
            f"{benchmark.load_min_duration_s:g}: {what} of this length does not fit into phase_timeout_s, "
            f"{benchmark.phase_timeout_s:g} s",
        )


def _check_server(benchmark: BenchmarkSection, problem: Problem) -> None:
    bound = benchmark.load_latency_bound_ms
    if bound is None:
        raise problem(
            "benchmark_config.load_latency_bound_ms", "missing: the server scenario holds a percentile to a bound"
        )
    percent = benchmark.load_percentile
    if percent not in REPORTED:
        raise problem(
            "benchmark_config.load_percentile",
            f"{percent:g} is not one of {', '.join(f'{each:g}' for each in REPORTED)}",
        )
    if benchmark.load_target_qps is not None and benchmark.load_searches > 1:
        raise problem(
            "benchmark_config.load_searches", f"{benchmark.load_searches}: nothing is searched: load_target_qps is set"
        )
    least = BOUNDS_IN_TEST * bound / 1e3
    if benchmark.load_min_duration_s < least:
        raise problem(
            "benchmark_config.load_min_duration_s",
            f"{benchmark.load_min_duration_s:g}: too short for a bound of {bound:g} ms: a rate that is too high would "
            f"not show; use {least:g} or more",
        )
