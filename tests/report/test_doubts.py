"""What is not valid is marked wherever it is shown, and what was measured in different ways is not compared."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from bench.blocks import Block, Turn
from bench.record import Accuracy, Record, Samples
from bench.report.comparison import Comparison, compare_cases, compare_runs
from bench.report.grid import DOUBT, Grid, lay_out
from bench.report.html import page
from bench.report.tables import csv_text, markdown
from tests.factory import make_record, make_samples
from tests.report.markup import Reader
from tests.report.test_tables import line, screen

LATER = "2026-02-02T00:00:00Z"
STEADY = [10 + n * 37 % 100 / 100 for n in range(100)]
DRIFT = make_samples([5 + n / 100 for n in range(100)])
MAP = Accuracy(metrics={"map": 0.25}, num_images=9)


def steady(precision: str = "native", ms: float = 1, **changes: Any) -> Record:
    return make_record(precision, latency=make_samples([ms * time for time in STEADY]), accuracy=MAP, **changes)


def drifting(precision: str = "FP16", **changes: Any) -> Record:
    """Twice as fast as the others, and no one knows how fast."""
    return make_record(precision, latency=DRIFT, accuracy=MAP, **changes)


def unsettled(precision: str = "native") -> Record:
    samples = Samples(times_ns=DRIFT.times_ns[:1] * 100, images=(1,) * 100, warmup_ns=(10**7,) * 9, settled=False)
    return make_record(precision, latency=samples, accuracy=MAP)


def compared(*records: Record) -> Comparison:
    return compare_cases(records)[0]


def cells(grid: Grid, name: str) -> list[str]:
    found = next(line for line in grid.lines if line.name == name)
    return [cell.text + cell.doubt for cell in found.cells]


def best(grid: Grid, name: str) -> list[bool]:
    return [cell.best for cell in next(line for line in grid.lines if line.name == name).cells]


def test_only_what_a_problem_touches_is_marked() -> None:
    grid = lay_out(compared(steady(), drifting(), steady("INT8", 0.9)))
    assert grid.labels == ("native", "FP16 (tf-trt) †", "INT8 (tf-trt)")
    for name, marked in (("median_latency_ms", True), ("speedup", True), ("map", False), ("map - native", False)):
        assert [text.endswith(DOUBT) for text in cells(grid, name)] == [False, marked, False]
    assert grid.doubts == (
        "† FP16 (tf-trt): not valid: latency drifts: the last third's median is 10.6 % above the first's",
    )


def test_what_is_not_valid_is_never_the_best() -> None:
    grid = lay_out(compared(steady(), drifting(), steady("INT8", 0.9)))
    assert best(grid, "median_latency_ms") == [False, False, True]
    assert best(grid, "speedup") == [False, False, True]


def test_a_speed_up_over_an_invalid_native_case_is_marked() -> None:
    grid = lay_out(compared(unsettled(), steady("FP16")))
    assert grid.labels == ("native †", "FP16 (tf-trt)")
    assert [text.endswith(DOUBT) for text in cells(grid, "speedup")] == [True, True]
    assert [text.endswith(DOUBT) for text in cells(grid, "median_latency_ms")] == [True, False]
    assert grid.doubts[-1] == "† FP16 (tf-trt): relative to a native case that is not valid"


def test_a_speed_up_of_blocks_measured_in_turn_survives_a_drift_of_the_loops() -> None:
    def blocks(ns: int) -> tuple[Block, ...]:
        turns = [Turn(round=number, place=0, samples=1) for number in range(6)]
        return tuple(Block(turn=t, began_ns=0, latency_ns=(ns,), compute_ns=(ns,), pipelined_ns=ns) for t in turns)

    grid = lay_out(compared(steady(blocks=blocks(20)), drifting(blocks=blocks(10))))
    assert cells(grid, "speedup") == ["1.000", "2.000"]
    assert cells(grid, "median_latency_ms")[1].endswith(DOUBT)


def test_a_compute_loop_that_drifts_leaves_the_latency() -> None:
    column = compared(steady(compute=DRIFT)).columns[0]
    assert column.problems
    assert column.doubtful == {"compute_ms", "compute_speedup"}


def test_the_mark_is_on_the_screen_in_markdown_and_on_the_page() -> None:
    records = [steady(), drifting()]
    text = screen(records)
    assert re.search(r"unit +native .* FP16 \(tf-trt\) †\s", text)
    assert "5.495†" in line(text, "median_latency_ms")
    assert "†" not in line(text, "map")
    assert "† FP16 (tf-trt): not valid: latency drifts" in " ".join(text.split())
    text = markdown(compare_cases(records), None)
    assert "| FP16 (tf-trt) † |" in text
    assert re.search(r"\| median_latency_ms \|.* 5\.495† ", text)
    assert "- † FP16 (tf-trt): not valid: latency drifts" in text
    reader = Reader(page("nightly", compare_cases(records)))
    assert "FP16 (tf-trt) †" in reader.text
    assert "5.495 †" in reader.text
    assert reader.text.count("not valid: latency drifts") == 2  # below the table, and in the case's own section
    assert reader.open == []


def test_the_marks_do_not_move_the_numbers() -> None:
    rows = [line(screen([steady(), drifting()], width=70), name) for name in ("avg_latency_ms", "map")]
    assert rows[0].count("†") == 1
    assert len({len(row.rstrip().removesuffix("†")) for row in rows}) == 1


def test_csv_says_what_is_valid_and_what_is_not() -> None:
    failed = make_record("INT8", latency=None, failure={"kind": "crash", "phase": "build", "message": "signal 11"})
    rows = list(csv.DictReader(io.StringIO(csv_text(compare_cases([steady(), drifting(), failed])))))
    assert [row["valid"] for row in rows] == ["True", "False", ""]
    assert rows[1]["not_valid_because"].startswith("latency drifts: ")
    assert set(rows[1]["doubtful"].split()) >= {"median_latency_ms", "p90_latency_ms", "speedup"}
    assert rows[0]["doubtful"] == rows[0]["not_valid_because"] == ""
    assert {row["methodology"] for row in rows} == {str(steady().methodology_version)}


def test_a_valid_run_has_no_mark_at_all() -> None:
    records = [steady(), steady("FP16", 0.5)]
    for text in (screen(records), markdown(compare_cases(records), None), page("t", compare_cases(records))):
        assert DOUBT not in text
        assert "not valid" not in text


# Records that were measured in different ways


def old(record: Record) -> Record:
    return record.model_copy(update={"methodology_version": 1})


def test_different_methodologies_side_by_side_are_told_and_not_compared() -> None:
    runs = [[old(steady()), old(steady("FP16", 0.5))], [steady("INT8", 0.1)]]
    (comparison,) = compare_runs(runs)
    assert comparison.is_mixed
    grid = lay_out(comparison)
    told = "methodology 1: native, FP16 (tf-trt); methodology 2: INT8 (tf-trt)"
    assert grid.warnings == (f"measured in different ways, not to be compared: {told}",)
    assert not any(cell.best for line in grid.lines for cell in line.cells)
    assert cells(grid, "speedup") == ["1.000", "2.000", "–¹"]
    assert cells(grid, "map - native") == ["0", "0", "–"]
    assert "**Warning: measured in different ways" in markdown([comparison], None)
    assert "Warning: measured in different ways" in Reader(page("t", [comparison])).text


def test_records_of_one_methodology_have_no_warning() -> None:
    grid = lay_out(compared(old(steady()), old(steady("FP16"))))
    assert grid.warnings == ()


def test_each_case_is_held_against_the_native_one_of_its_own_run() -> None:
    runs = [[steady(), steady("FP16", 0.5)], [steady("native", 2), steady("FP16", 0.5, started=LATER)]]
    (comparison,) = compare_runs(runs)
    assert [round(column.summary.values["speedup"], 6) for column in comparison.columns] == [1, 2, 1, 4]
    assert "each case is held against the native one of its own run" in comparison.notes


def test_the_same_case_of_several_runs_is_told_apart_by_its_time() -> None:
    (comparison,) = compare_runs([[steady("FP16")], [steady("FP16", started=LATER)]])
    assert [column.label for column in comparison.columns] == [
        "FP16 (tf-trt) 2026-01-02 03:04:05",
        "FP16 (tf-trt) 2026-02-02 00:00:00",
    ]
