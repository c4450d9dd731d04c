"""What a load test comes to, and that what LoadGen does not call valid comes to nothing."""

from __future__ import annotations

import pytest

from bench.load.result import Load, LoadResult
from bench.load.statistics import METRICS, SCENARIO_OF, SUPPORT_P99, load_statistics
from bench.record import Record
from bench.repeats import merged
from bench.report.comparison import compare_cases
from bench.report.loads import load_listings
from bench.statistics.percentiles import samples_needed
from bench.statistics.summary import summarize
from bench.verdict import check_all
from tests.factory import make_case, make_record
from tests.load.results import EARLY_STOPPING, make_result, make_test, searched


def record_of(*results: LoadResult) -> Record:
    loads = tuple({result.load.scenario: result.load for result in results}.values())
    return make_record("FP16", case=make_case("FP16", load=loads), load=results)


def outcome(expression: str, *results: LoadResult) -> tuple[str, str]:
    (check,) = check_all([expression], [record_of(*results)])
    return check.outcome, check.explanation


def test_every_scenario_has_its_figures() -> None:
    record = record_of(*map(make_result, ("single_stream", "multi_stream", "offline")), searched(800.0))
    values = summarize(record).values
    assert {name: values[name] for name in SCENARIO_OF if name in values} == {
        "single_stream_p90_latency_ms": 6.0, "multi_stream_p99_latency_ms": 9.0, "offline_fps": 1000.0,
        "server_qps": 800.0, "server_p99_latency_ms": 9.0,
    }  # fmt: skip


def test_a_case_without_load_tests_has_no_word_of_them() -> None:
    summary = summarize(make_record())
    assert not (set(SCENARIO_OF) & (set(summary.values) | set(summary.absent)))
    assert {metric.name for metric in METRICS} == set(SCENARIO_OF)


def test_of_several_searches_the_lowest_rate_counts_and_their_spread_is_told() -> None:
    values, absent = load_statistics((searched(820.0, 1, 2), searched(800.0, 2, 2)))
    assert values["server_qps"] == 800.0
    assert values["server_qps_spread"] == pytest.approx(0.025)
    assert not absent


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [("server_qps >= 790", "passed"), ("server_qps >= 810", "failed"), ("server_qps_spread <= 0.05", "passed")],
)
def test_assertions_name_them(expression: str, wanted: str) -> None:
    assert outcome(expression, searched(820.0, 1, 2), searched(800.0, 2, 2))[0] == wanted


def test_over_repeats_a_rate_is_a_mean_with_an_interval() -> None:
    records = [
        make_record(
            "FP16", case=make_case("FP16", id=name, repeat=number, load=(Load(scenario="server"),)), load=(found,)
        )
        for number, (name, found) in enumerate([("x", searched(800.0)), ("x-repeat2", searched(820.0))], start=1)
    ]
    summary = summarize(*merged(records))
    assert summary.values["server_qps"] == pytest.approx(810.0)
    assert summary.bounds["server_qps"][0] < 800 < 820 < summary.bounds["server_qps"][1]
    (listing,) = load_listings(compare_cases(merged(records))[0].columns)
    assert [(row[0], row[3]) for row in listing.rows] == [
        ("FP16 (tf-trt)", "800.0"),
        ("FP16 (tf-trt) repeat2", "820.0"),
    ]


def test_what_loadgen_does_not_call_valid_gates_nothing() -> None:
    result = make_result("server", make_test(500.0, valid=False), target_qps=500.0)
    found, why = outcome("server_qps >= 1", result)
    assert found == "inconclusive"
    assert EARLY_STOPPING in why


def test_one_search_that_is_not_valid_spoils_the_others() -> None:
    bad = make_result("server", make_test(80.0, valid=False), search=2, searches=2)
    assert outcome("server_qps >= 1", searched(800.0, 1, 2), bad)[0] == "inconclusive"


def test_a_bound_that_is_not_kept_fails() -> None:
    """LoadGen measured it, and it is too slow: that is no lack of knowledge."""
    result = make_result("server", make_test(500.0, valid=False, keeps_bound=False), target_qps=500.0)
    found, why = outcome("server_p99_latency_ms <= 10", result)
    assert (found, "p99 is not within 10 ms" in why) == ("failed", True)


def test_a_search_without_an_upper_end_has_found_nothing() -> None:
    assert outcome("server_qps >= 1", make_result("server", make_test(500.0)))[0] == "inconclusive"


def test_a_percentile_needs_its_queries() -> None:
    assert samples_needed(99) == SUPPORT_P99
    few = make_result("server", make_test(500.0, queries=64), target_qps=500.0, percentile=90.0)
    assert outcome("server_qps >= 1", few)[0] == "passed"
    assert outcome("server_p99_latency_ms <= 10", few)[0] == "inconclusive"


def test_an_assertion_is_not_about_a_case_without_its_load_test() -> None:
    records = [record_of(make_result("offline")), make_record("INT8")]
    assert [check.case_id for check in check_all(["offline_fps >= 1"], records)] == [records[0].case.id]


def test_results_survive_their_json() -> None:
    record = record_of(searched(800.0))
    assert Record.model_validate_json(record.model_dump_json()).load == record.load
