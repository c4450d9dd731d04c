"""What a reader is told of a conversion and of what ran: on the screen, in Markdown and on the page."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from bench.conversion import Call, LeftOut, Profile
from bench.record import Failure, Record
from bench.repeats import merged
from bench.report.tables import csv_text
from bench.report.words import clipped, milliseconds, percent
from bench.report.writer import show, write_reports
from bench.store import load_records
from tests.factory import make_case, make_optimization, make_record, make_samples
from tests.report.conversions import (
    ROOT,
    comparisons,
    converted,
    flat,
    html,
    make_conversion,
    make_profile,
    md,
    screen,
    section,
)

KEPT = sorted(file.parent for file in (ROOT / "results" / "reference").glob("*/*/suite.json"))


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100 %"), (0, "0 %"), (0.99999, "> 99.9 %"), (0.00001, "< 0.1 %"), (223 / 237, "94.1 %"), (0.9994, "99.9 %")],
)
def test_100_percent_is_all_and_0_percent_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def test_times_share_their_decimals_so_that_sums_can_be_checked() -> None:
    assert milliseconds([96_770, 1_424, 648_158, 746_352]) == ["0.0968", "0.0014", "0.6482", "0.7464"]
    assert milliseconds([12_345_678, 1_000]) == ["12.35", "0.00"]
    assert milliseconds([]) == []
    assert milliseconds([0]) == ["0"]


def test_long_text_is_cut_between_words() -> None:
    assert clipped("The input must be\n a constant", 20) == "The input must be…"
    assert clipped("x" * 50, 10) == "x" * 9 + "…"


def test_the_screen_says_what_was_built_and_what_ran() -> None:
    text = flat(converted())
    assert "FP16 (tf-trt): 2 engines (3.758 MiB) replace 223 of 237 nodes (94.1 %)" in text
    assert "of the kernels' time 99.2 % in TensorRT, 61.0 % on Tensor Cores, 80.0 % in FP16, 5.0 % in TF32" in text
    assert "profiled inference 2.000 ms, 1.25 times the timed median of 1.600 ms" in text
    assert "kernels 25.0 %, copies 5.0 %, dispatch 70.0 %" in text


def test_the_screen_says_what_was_left_out_with_plumbing_last() -> None:
    text = flat(converted())
    assert "TF-TRT left out 8 nodes and 4 inputs, outputs and the like: 2 Pack, 2 StridedSlice (implicit" in text
    assert '2 Reshape (The input "shape" for Reshape must be a constant in implicit batch mode)' in text
    assert "1 segment (9 nodes) dropped: not replaceable; 3 segments (3 nodes) dropped: too small" in text
    assert "NoOp" not in text
    assert "17 weights: Detected subnormal FP16 values and 2 more warnings" in text


@pytest.mark.parametrize("width", [80, 120])
def test_four_modes_stay_short(width: int) -> None:
    timed = make_samples([1.6] * 700)
    eight = make_profile(precision_ns={"INT8": 4_000_000, "other": 750_000, "TF32": 250_000})
    modes = [
        converted("FP32", latency=timed),
        converted(latency=timed),
        converted("INT8", latency=timed, profile=eight),
    ]
    records = [make_record("native", profile=make_profile(), latency=timed), *modes]
    lines = screen(*records, width=width).splitlines()
    table_end = max(number for number, line in enumerate(lines) if "tensor_core_share" in line)
    assert len(lines) - table_end < {80: 30, 120: 21}[width]
    assert not any(line.endswith((" 94.1", " 2.000", " 1.600")) for line in lines)


def test_what_cases_have_in_common_is_said_once() -> None:
    records = [converted("FP32"), converted("FP16"), converted("INT8", conversion=make_conversion(left_out=()))]
    text = flat(*records)
    assert "FP32 (tf-trt), FP16 (tf-trt): TF-TRT left out 8 nodes" in text
    assert text.count("TF-TRT left out") == 1


def test_many_cases_have_a_line_or_two_each() -> None:
    case = [make_case("FP16", id=f"number-{n}") for n in range(6)]
    text = screen(*(converted(case=each) for each in case))
    assert text.count("replace 223 of 237 nodes") == 6
    assert "dispatch" not in text


def test_engines_of_another_precision_than_asked_for_are_said() -> None:
    assert "2 of them FP16, not INT8" in flat(converted("INT8"))
    assert "not FP16" not in flat(converted("FP16"))


def test_only_plumbing_left_out_and_nothing_known_of_the_reason() -> None:
    plumbing = (LeftOut(op="NoOp", count=2, reason="Op type NoOp is not supported."),)
    assert "left out nothing but 2 inputs, outputs and the like" in flat(
        converted(conversion=make_conversion(left_out=plumbing))
    )
    unsaid = converted(conversion=make_conversion(left_out=(LeftOut(op="Where", count=3, reason=""),)))
    assert "left out 3 nodes: 3 Where" in flat(unsaid)
    assert "Where 3 TF-TRT gives no reason" in html(unsaid).text


def test_rows_of_the_table_have_the_shares_and_builds_are_counted() -> None:
    native = make_record("native", profile=make_profile(trt_kernel_ns=0, tensorflow_kernel_ns=5_000_000))
    text = screen(native, converted())
    assert re.search(r"trt_gpu_time_share +– +0\.9920", text)
    assert re.search(r"tensor_core_share +0\.6100 +0\.6100", text)
    assert "engine_builds_while_timed |  | 0 | 0 |" in md(native, converted())


def test_native_cases_are_profiled_without_a_word_of_tensorrt() -> None:
    record = make_record("native", profile=make_profile(), call=Call(kind="function"))
    assert "native: of the kernels' time 61.0 % on Tensor Cores" in flat(record)
    text = html(record).text
    assert "called inside a tf.function" in text
    assert "in TensorRT" not in text and "by TensorRT" not in text


def test_parts_of_an_inference_add_up() -> None:
    rows = section(md(converted()), "Where an inference's time goes (2.000 ms under the profiler)")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()[2:]]
    *parts, whole = [(float(ms), float(share.removesuffix(" %"))) for _, ms, share in cells]
    assert [tuple(part) for part in parts] == [(0.5, 25.0), (0.1, 5.0), (1.4, 70.0)]
    assert whole == (2.0, 100) == pytest.approx(tuple(map(sum, zip(*parts, strict=True))))


def test_how_the_function_was_called_where_several_ways_were_tried() -> None:
    record = converted(call=Call(kind="eager", median_ms={"function": 0.5, "eager": 0.4}))
    for text in (flat(record), md(record), html(record).text):
        assert "eagerly (0.4000 ms; inside a tf.function 0.5000 ms)" in text


BROKEN = "4 of 20 engine executions fell back to TensorFlow"


def broken() -> Record:
    return converted(conversion=make_conversion(engine_executions=16, native_executions=4))


def test_a_broken_case_is_named_with_its_reason() -> None:
    text = screen(make_record("native"), broken())
    assert f"BROKEN FP16 (tf-trt): {BROKEN}" in text
    assert re.search(r"failure +broken", text)
    assert f"- Broken: FP16 (tf-trt): {BROKEN}" in md(broken())
    page_text = html(broken()).text
    assert f"Broken FP16 (tf-trt): {BROKEN}" in page_text
    assert "FP16 (tf-trt) broken ssd_mobilenet" in page_text
    assert f"broken: {BROKEN}" in csv_text(comparisons(broken()))


def test_a_broken_case_is_never_the_best() -> None:
    text = md(make_record("native"), converted("FP32", latency=make_samples([5] * 9)), broken())
    row = next(line for line in text.splitlines() if line.startswith("| median_latency_ms"))
    assert row == "| median_latency_ms | ms | 14.50 | **5.000** | 1.600 |"


def test_a_case_that_is_not_strict_is_not_broken_but_its_fallbacks_are_said() -> None:
    case = make_case(optimization=make_optimization("FP16", strict=False))
    text = flat(converted(case=case, conversion=make_conversion(engine_executions=16, native_executions=4)))
    assert "BROKEN" not in text
    assert BROKEN in text


def test_edits_are_counted_and_one_that_found_nothing_is_said() -> None:
    record = make_record(edits={"remove_assert": 0, "replace_relu6": 27})
    for text in (flat(record), md(record)):
        assert "the edit remove_assert found nothing to change" in text
        assert "the edit replace_relu6" not in text
    assert "edit remove_assert found nothing to change edit replace_relu6 made 27 times" in html(record).text


def test_a_case_that_failed_after_its_conversion_still_tells_of_it() -> None:
    failure = Failure(kind="crash", phase="measure", message="signal 11")
    record = make_record("FP16", conversion=make_conversion(engine_executions=None), latency=None, failure=failure)
    assert "2 engines (3.758 MiB) replace 223 of 237 nodes" in flat(record)
    assert "crash in phase 'measure'" in html(record).text


@pytest.mark.parametrize(
    "profile", [make_profile(trt_kernel_ns=0, tensorflow_kernel_ns=0), Profile.model_validate(dict.fromkeys((
        "inferences", "wall_ns", "gpu_ns", "kernel_ns", "copy_ns", "trt_kernel_ns", "tensorflow_kernel_ns",
        "tensor_core_ns"), 0))]
)  # fmt: skip
def test_a_profile_without_kernels_is_no_reason_to_stop(profile: Profile) -> None:
    record = converted(profile=profile)
    assert "20 engine executions seen, none fell back" in flat(record)
    assert "longest kernels" not in md(record) + html(record).text


@pytest.mark.parametrize("run", KEPT, ids=lambda run: run.parent.name)
def test_kept_runs_of_before_still_show(run: Path) -> None:
    records = merged(load_records(run))
    for text in (flat(*records), md(*records), html(*records).text):
        engines = r"\d engines?( \([\d.]+ MiB\))? replaces? \d+ of \d+ nodes \(\d\d\.\d %\)"
        assert re.search(rf"\(tf-trt\).*{engines}", text, re.DOTALL)
        assert re.search("of 95 % and (within this run|between processes)", text)
        profiled = any(record.profile is not None for record in records)
        assert ("profiled inference" in text) == profiled
        assert ("engine executions seen, none fell back" in text) != profiled


def test_a_run_is_written_and_shown_with_its_broken_case(tmp_path: Path) -> None:
    records = [make_record("native"), broken()]
    write_reports(tmp_path, "nightly", records, "broken", ())
    for name in ("comparison.md", "comparison.html", "comparison.csv"):
        assert BROKEN in (tmp_path / name).read_text(encoding="utf-8")
    file = io.StringIO()
    show(Console(width=80, file=file), records, "broken", (), tmp_path)
    assert f"BROKEN FP16 (tf-trt): {BROKEN}" in file.getvalue()
