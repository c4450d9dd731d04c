"""Load tests on the screen, in Markdown and on the page."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from bench.load.result import LoadResult
from bench.record import Record
from bench.report.comparison import compare_cases
from bench.report.html import page
from bench.report.loads import load_listings, load_remarks
from bench.report.rates import draw_rates
from bench.report.tables import markdown, rich_tables
from tests.factory import make_case, make_record
from tests.load.results import EARLY_STOPPING, LATENCIES, make_result, make_test, searched


def with_loads(*results: LoadResult, precision: str = "FP16") -> Record:
    loads = tuple({result.load.scenario: result.load for result in results}.values())
    return make_record(precision, case=make_case(precision, load=loads), load=results)


EVERY = with_loads(
    *map(make_result, ("single_stream", "multi_stream", "offline")), searched(820.0, 1, 2), searched(800.0, 2, 2)
)
INVALID = with_loads(make_result("server", make_test(500.0, valid=False), target_qps=500.0, threads=4))


def screen(*records: Record) -> str:
    file = io.StringIO()
    Console(width=80, file=file).print(rich_tables(compare_cases(records)))
    return file.getvalue()


def test_a_row_for_every_load_test() -> None:
    (comparison,) = compare_cases([EVERY])
    (listing,) = load_listings(comparison.columns)
    assert [row[1:] for row in listing.rows] == [
        ("single_stream", "1", "–", "1000", "4.000", "6.000", "9.000", "valid"),
        ("multi_stream", "1", "–", "1000", "4.000", "6.000", "9.000", "valid"),
        ("offline", "1", "–", "1000", "–", "–", "–", "valid"),
        ("server, search 1", "1", "820.0", "820.0", "4.000", "6.000", "9.000", "valid"),
        ("server, search 2", "1", "800.0", "800.0", "4.000", "6.000", "9.000", "valid"),
    ]


def test_how_a_rate_was_found_and_how_well_searches_agree() -> None:
    (comparison,) = compare_cases([EVERY])
    highest = "highest rate that keeps p99 within 10 ms"
    assert [remark.removeprefix("FP16 (tf-trt): ") for remark in load_remarks(comparison.columns)] == [
        f"server, search 1: {highest}: 820.0 queries/s does, 826.6 does not (2 tests)",
        f"server, search 2: {highest}: 800.0 queries/s does, 806.4 does not (2 tests)",
        "server: the rates found by 2 searches are 2.5 % apart",
    ]


def test_a_search_that_stopped_early_says_how_near_it_came() -> None:
    far = make_result("server", make_test(100.0), make_test(200.0, valid=False))
    (comparison,) = compare_cases([with_loads(far)])
    assert "100.0 queries/s does, 200.0 does not, no nearer (2 tests)" in load_remarks(comparison.columns)[0]


def test_what_is_not_valid_is_marked_everywhere() -> None:
    text = screen(INVALID)
    (row,) = [line for line in text.splitlines() if line.rstrip().endswith(" NO")]
    assert "500.0" in row and "4 threads" in text
    for shown in (" ".join(text.split()), markdown(compare_cases([INVALID]), None), page("", compare_cases([INVALID]))):
        assert EARLY_STOPPING in shown
    assert f"not valid: {EARLY_STOPPING}" in markdown(compare_cases([INVALID]), None)
    assert "| server_qps | queries/s | –" not in markdown(compare_cases([INVALID]), None)


def test_percentiles_of_too_few_queries_are_not_shown() -> None:
    few = with_loads(make_result("server", make_test(500.0, queries=64), target_qps=500.0, percentile=90.0))
    (listing,) = load_listings(compare_cases([few])[0].columns)
    assert listing.rows[0][5:8] == ("4.000", "6.000", "–")


def test_the_screen_is_no_wider_than_80_columns() -> None:
    assert max(map(len, screen(EVERY, with_loads(searched(12345.6), precision="INT8")).splitlines())) <= 80


def test_without_load_tests_there_is_no_word_of_them() -> None:
    comparisons = compare_cases([make_record()])
    for text in (screen(make_record()), markdown(comparisons, None), page("", comparisons)):
        assert "oad test" not in text and "server" not in text


def test_every_rate_that_was_tried_is_drawn_with_its_percentile_and_verdict() -> None:
    low, high = make_test(400.0), make_test(500.0, valid=False, latency_ms={**LATENCIES, "99.00": 40.0})
    result = make_result("server", high, low)
    (comparison,) = compare_cases([with_loads(result, make_result("offline"))])
    figure = draw_rates(comparison)
    assert figure is not None
    (axes,) = figure.axes
    drawn = {line.get_label(): line for line in axes.get_lines()}
    (line,) = (line for label, line in drawn.items() if str(label).startswith("FP16") and "offline" not in str(label))
    assert np.asarray(line.get_xydata()).tolist() == [[400.0, 9.0], [500.0, 40.0]]
    (hollow,) = (line for line in axes.get_lines() if line.get_markerfacecolor() == "white")
    assert np.asarray(hollow.get_xydata()).tolist() == [[500.0, 40.0]]
    assert "bound, 10 ms" in drawn and any("offline" in str(label) for label in drawn)


def test_without_a_server_test_there_is_no_such_picture() -> None:
    (comparison,) = compare_cases([with_loads(make_result("offline"))])
    assert draw_rates(comparison) is None
