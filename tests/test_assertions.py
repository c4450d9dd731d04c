"""Assertions say what Python would say of the same expression, and nothing else can be said."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.assertions import check_assertion, parse_assertion
from bench.errors import ConfigError
from bench.record import Accuracy, Check, Failure, Record
from bench.statistics.metrics import METRICS, RELATIVE
from bench.statistics.summary import NO_NATIVE, summarize
from bench.verdict import check_all, verdict
from tests.factory import make_case, make_record, make_samples

NATIVE = make_record(latency=make_samples([20.0] * 100), accuracy=Accuracy(metrics={"map": 0.30}, num_images=128))
CASE = make_record(
    "FP16", latency=make_samples([8.0] * 100), accuracy=Accuracy(metrics={"map": 0.27, "map50": 0.0}, num_images=128)
)


def check(expression: str, record: Record = CASE, native: Record | None = NATIVE) -> Check | None:
    return check_assertion(expression, record, native)


def outcome(expression: str, record: Record = CASE, native: Record | None = NATIVE) -> str | None:
    found = check(expression, record, native)
    return None if found is None else found.outcome


def join(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


def words(*choices: str) -> st.SearchStrategy[str]:
    return st.sampled_from(choices)


COMPARISON = words(" < ", " <= ", " > ", " >= ", " == ", " != ")
NUMBERS = st.one_of(st.integers(0, 100).map(str), st.floats(0, 1e6).map(repr))
STATISTICS = words(
    "map", "map50", "speedup", "avg_latency_ms", "native.map", "native.median_latency_ms",
    "statistics['map']", "statistics['p90_latency_ms']",
)  # fmt: skip


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions out of smaller ones; every operator of the language is among them."""
    return st.one_of(
        join(st.just("("), inner, words(" + ", " - ", " * ", " / ", " and ", " or "), inner, st.just(")")),
        join(st.just("("), words("-", "+", "not "), inner, st.just(")")),
        join(st.just("("), inner, COMPARISON, inner, COMPARISON, inner, st.just(")")),
        join(words("min(", "max("), inner, st.just(", "), inner, st.just(")")),
        join(st.just("abs("), inner, st.just(")")),
    )


TERMS = st.recursive(NUMBERS | STATISTICS, larger, max_leaves=8)
CONDITIONS = join(TERMS, COMPARISON, TERMS)


def names(record: Record, native: Record | None) -> dict[str, Any]:
    """What an expression sees, for Python."""
    values: Mapping[str, float] = summarize(record, native).values
    others = summarize(native).values if native is not None else {}
    return {**values, "native": SimpleNamespace(**others), "statistics": dict(values)}


def assert_as_in_python(expression: str) -> None:
    assume(len(expression) <= 500)
    allowed = {"__builtins__": {"abs": abs, "min": min, "max": max}, **names(CASE, NATIVE)}
    try:
        expected = "passed" if eval(expression, allowed) else "failed"
    except ArithmeticError:
        expected = "failed"
    assert outcome(expression) == expected


@settings(deadline=None, max_examples=300)
@given(CONDITIONS)
def test_expressions_mean_what_they_mean_in_python(expression: str) -> None:
    assert_as_in_python(expression)


@settings(deadline=None, max_examples=100)
@given(st.lists(CONDITIONS, min_size=2, max_size=3), words(" and ", " or "))
def test_conditions_join_as_in_python(conditions: list[str], operator: str) -> None:
    assert_as_in_python(operator.join(f"not ({condition})" for condition in conditions))


def test_the_original_spelling_works() -> None:
    assert outcome("statistics['map'] > (0.268 - 0.005)") == "passed"
    assert outcome("statistics['map'] > (0.268 + 0.005)") == "failed"


REFUSED = {
    "call": "__import__('os').system('true')",
    "call of a name": "print(map) > 0",
    "call of a method": "map.hex() > 0",
    "call by keyword": "max(map, 1, key=abs) > 0",
    "call of nothing": "max() > 0",
    "min of one": "min(map) > 0",
    "abs of two": "abs(map, 1) > 0",
    "attribute": "map.real > 0",
    "attribute of attribute": "native.map.real > 0",
    "attribute of a number": "(1).real > 0",
    "dunder": "native.__class__ > 0",
    "dunder of a dictionary": "statistics.__class__ > 0",
    "index": "map[0] > 0",
    "index by a statistic": "statistics[map] > 0",
    "slice": "statistics['map':] > 0",
    "bare dictionary": "statistics > 0",
    "list": "[map] > [0]",
    "tuple": "(map, 1) > (0, 1)",
    "set": "map in {0}",
    "dictionary": "{map: 0} == 0",
    "list comprehension": "[x for x in (1, 2)] == 0",
    "generator": "max(x for x in (1, 2)) > 0",
    "lambda": "(lambda: 1)() > 0",
    "f-string": "f'{map}' > 0",
    "text": "'a' == 'a'",
    "bytes": "b'a' == b'a'",
    "true": "map > True",
    "none": "map == None",
    "ellipsis": "map == ...",
    "complex number": "map == 1j",
    "assignment": "(x := 1) > 0",
    "starred": "max(*statistics) > 0",
    "power": "map > 9 ** 9",
    "remainder": "map % 2 > 0",
    "whole division": "map // 2 > 0",
    "matrix product": "map @ 2 > 0",
    "bits": "map | 1 > 0",
    "inversion": "~map < 0",
    "shift": "1 << 99 > map",
    "identity": "map is 1",
    "membership": "map in 1",
    "condition": "1 if map else 0",
    "await": "await map",
    "yield": "(yield) > 0",
    "statement": "import os",
    "two statements": "map > 0; map > 0",
    "nothing": "",
    "no comparison": "map",
    "a number": "1",
    "half a condition": "map > 0 and 1",
    "null byte": "map > 0\0",
    "too long": "0 + " * 400 + "map > 0",
    "too deep": "(" * 240 + "map" + ")" * 240 + " > 0",
}


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match=r"^test.json: assertions\[0\]: "):
        parse_assertion(expression, "test.json: assertions[0]")


@pytest.mark.parametrize(
    ("misspelt", "right"),
    [("mapp", "map"), ("native.top_1", "top1"), ("statistics['avg_latency']", "avg_latency_ms"), ("MAP", "map")],
)
def test_an_unknown_statistic_is_refused_with_the_nearest(misspelt: str, right: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown statistic .*; did you mean '{right}'"):
        parse_assertion(f"{misspelt} > 0", "test.json")


@pytest.mark.parametrize("name", METRICS)
def test_every_statistic_has_its_spellings(name: str) -> None:
    for spelling in (name, f"native.{name}", f"statistics['{name}']"):
        parse_assertion(f"{spelling} > 0", "test.json")


@pytest.mark.parametrize("expression", ["map >= native.map - 0.005", *(f"{name} > 0" for name in sorted(RELATIVE))])
def test_relative_assertions_are_not_about_the_native_case(expression: str) -> None:
    assert check(expression, NATIVE, NATIVE) is None
    assert check(expression, CASE, NATIVE) is not None


def test_statistics_of_other_tasks_are_not_about_a_case() -> None:
    classifier = make_record(case=make_case(model=CASE.case.model.model_copy(update={"task": "classification"})))
    assert check("top1 > 0", NATIVE) is None
    assert check("map > 0", classifier) is None
    assert check("map > 0", NATIVE) is not None
    assert check("top1 > 0", classifier) is not None


def test_an_assertion_about_no_case_fails() -> None:
    (found,) = check_all(["top1 > 0"], [NATIVE, CASE])
    assert (found.outcome, found.case_id) == ("failed", "")
    assert "no case" in found.explanation


def test_an_assertion_is_checked_for_every_case_that_it_is_about() -> None:
    checks = check_all(["map > 0.28", "speedup > 2"], [NATIVE, CASE])
    assert [(found.case_id, found.outcome) for found in checks] == [
        (NATIVE.case.id, "passed"),
        (CASE.case.id, "failed"),
        (CASE.case.id, "passed"),
    ]


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        (["map > 0"], "passed"),
        (["map > 0", "p99_latency_ms > 0"], "inconclusive"),
        (["p99_latency_ms > 0", "map > 1"], "failed"),
    ],
)
def test_the_worst_outcome_is_the_verdict(expressions: list[str], expected: str) -> None:
    assert verdict([CASE], check_all(expressions, [CASE])) == expected


def test_a_case_that_failed_is_not_asserted_on() -> None:
    failed = make_record("INT8", latency=None, failure=Failure(kind="crash", phase="load", message="gone"))
    assert [found.case_id for found in check_all(["map > 0"], [NATIVE, failed])] == [NATIVE.case.id]


def test_what_is_relative_to_native_is_said_to_be_in_its_text() -> None:
    """A statistic that is forgotten in RELATIVE would be asked of the native case too."""
    assert {name for name, metric in METRICS.items() if "native" in metric.text} == RELATIVE


@pytest.mark.parametrize("name", sorted(RELATIVE))
def test_a_relative_statistic_without_a_native_case_has_nothing_to_compare_with(name: str) -> None:
    found = check(f"{name} > 0", CASE, None)
    assert found is not None and found.explanation == f"{name}: {NO_NATIVE}"


def test_without_a_native_case_there_is_nothing_to_compare_with() -> None:
    found = check("map >= native.map", CASE, None)
    assert found is not None
    assert (found.outcome, found.explanation) == ("inconclusive", f"native.map: {NO_NATIVE}")


def test_a_percentile_of_too_few_samples_is_inconclusive() -> None:
    found = check("p99_latency_ms < 10")
    assert found is not None
    assert found.outcome == "inconclusive"
    assert "100 samples of the 662" in found.explanation


def test_a_statistic_that_was_not_measured_has_failed() -> None:
    assert outcome("compute_ms < 10") == "failed"


def test_the_explanation_shows_the_values() -> None:
    found = check("map >= native.map - 0.01")
    assert found is not None
    assert (found.outcome, found.explanation) == ("failed", "map = 0.27, native.map = 0.3")


@pytest.mark.parametrize("expression", ["map / map50 > 0", f"1{'0' * 400} / 3 > map"])
def test_arithmetic_that_has_no_result_has_failed(expression: str) -> None:
    assert outcome(expression) == "failed"


@pytest.mark.parametrize("expression", ["conversion_s < 200", "model_bytes < 1e9"])
def test_what_a_conversion_costs_is_not_asked_of_a_native_case(expression: str) -> None:
    assert check_assertion(expression, make_record("native"), None) is None
