"""Small functions that build results of load tests."""

from __future__ import annotations

from typing import Any

from bench.load.result import Load, LoadResult, LoadTest

EARLY_STOPPING = "Early stopping satisfied: no"
LATENCIES = {"50.00": 4.0, "90.00": 6.0, "95.00": 7.0, "97.00": 8.0, "99.00": 9.0, "99.90": 12.0}


def make_test(rate: float | None = None, valid: bool = True, keeps_bound: bool = True, **changes: Any) -> LoadTest:
    """A run of LoadGen, of 10 000 queries; in the server scenario at a rate."""
    fields: dict[str, Any] = {
        "valid": valid,
        "target_qps": rate,
        "scheduled_qps": rate,
        "qps": rate or 1000.0,
        "queries": 10_000,
        "latency_ms": LATENCIES,
        "problems": () if valid else (EARLY_STOPPING,),
        "details": {"result_perf_constraints_met": keeps_bound},
        **changes,
    }
    return LoadTest.model_validate(fields)


def make_result(scenario: str, *tests: LoadTest, search: int = 1, **bounds: Any) -> LoadResult:
    """A load test; of the server scenario with a bound of 10 ms."""
    load = Load.model_validate({"scenario": scenario, "latency_bound_ms": 10.0, **bounds})
    return LoadResult(load=load, search=search, tests=tests or (make_test(),))


def searched(rate: float, search: int = 1, searches: int = 1) -> LoadResult:
    """A search that found a rate."""
    tests = (make_test(rate), make_test(1.008 * rate, valid=False, keeps_bound=False))
    return make_result("server", *tests, search=search, searches=searches)
