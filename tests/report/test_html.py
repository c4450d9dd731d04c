"""The page of a run: complete, escaped, and in need of nothing from elsewhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.case import Model
from bench.conversion import Conversion
from bench.record import Check, Failure, Phase, Record
from bench.report.comparison import compare_cases
from bench.report.filenames import TIMELINE, case_files
from bench.report.html import page
from bench.report.logs import BYTES, LETTERS, LINES, end_of, read_logs
from tests.factory import make_case, make_environment, make_record, make_samples
from tests.report.markup import Reader

EVIL = '<script>alert("x")</script>'


def read(records: Sequence[Record], **options: Any) -> Reader:
    return Reader(page("nightly", compare_cases(records), **options))


def test_nothing_from_outside_is_taken_as_markup() -> None:
    case = make_case("FP16", model=Model(name=EVIL, task="detection"), id=EVIL)
    record = make_record(
        case=case,
        failure=Failure(kind="crash", phase="build", message=EVIL, log_tail=f"\x1b[31m{EVIL}\x00"),
        conversion=Conversion(converter=EVIL, warnings=(EVIL,), details={EVIL: EVIL}),
        phases=(Phase(name=EVIL, seconds=1),),
        notes=(EVIL,),
    )
    text = page(
        EVIL,
        compare_cases([record]),
        make_environment(hostname=EVIL, packages={EVIL: EVIL}),
        {f'"{EVIL}.png': b"picture"},
        EVIL,
        [Check(case_id=EVIL, expression=EVIL, outcome="failed", explanation=EVIL)],
    )
    reader = Reader(text)
    assert reader.tags.count("script") == 1  # our own, which the policy names by its hash
    assert reader.text.count(EVIL) > 10
    assert "\x1b" not in text
    assert "\x00" not in text


def test_the_page_needs_nothing_beside_itself() -> None:
    reader = read([make_record()], plots={"latency.png": b"\x89PNG"})
    assert reader.references == ["data:image/png;base64,iVBORw=="]
    assert not {"link", "iframe", "object", "form"} & set(reader.tags)


def test_tags_match_and_the_verdict_comes_first() -> None:
    check = Check(case_id="a", expression="speedup >= 1.3", outcome="inconclusive", explanation="too few samples")
    reader = read([make_record(), make_record("FP16")], verdict="regressed", checks=[check])
    assert reader.open == []
    text = reader.text
    order = [text.index(part) for part in ("regressed", "speedup >= 1.3", "avg_latency_ms", "Cases")]
    assert order == sorted(order)
    assert "too few samples" in text


def test_a_case_tells_its_phases_its_conversion_and_why_it_failed() -> None:
    record = make_record(
        "INT8",
        phases=(Phase(name="load", seconds=3.25), Phase(name="build", seconds=185.5)),
        conversion=Conversion(converter="TF-TRT 8.5.3", share_converted=0.8, warnings=("a layer was left out",)),
        failure=Failure(kind="out-of-memory", phase="accuracy", message="no memory left", log_tail="last words"),
    )
    reader = read([record])
    for part in ("load 3.250", "build 185.500", "TF-TRT 8.5.3", "80.0 %", "a layer was left out", "last words"):
        assert part in reader.text
    assert "INT8 (tf-trt): out-of-memory in phase 'accuracy': no memory left" in reader.text
    assert "details" in reader.tags


def test_the_environment_names_machine_and_versions() -> None:
    text = read([make_record()], environment=make_environment()).text
    for part in ("Example GPU, 16.00 GiB, compute capability 9.0", "tensorflow 2.14.1", "tensorrt 8.5.3.1"):
        assert part in text


def test_litert_is_never_called_tensorrt() -> None:
    text = read([make_record(), make_record("FP16", "litert")]).text
    assert "FP16 (litert)" in text
    assert "TensorRT" not in text
    assert "tf-trt" not in text


def test_an_empty_run_is_a_page() -> None:
    assert "nightly" in read([]).text


def test_intervals_stand_by_their_values() -> None:
    times = [10 + (n * 387 % 1000) / 1000 for n in range(1000)]
    reader = read([make_record(latency=make_samples(times))])
    assert "small" in reader.tags
    assert re.search(r"median_latency_ms ms 10\.5\d+ 10\.\d+ to 10\.\d+ ", reader.text)
    assert "Intervals are of 95 % and within this run" in reader.text


def test_a_case_tells_how_its_loops_ended_and_shows_its_own_picture() -> None:
    latency = make_samples([1.0] * 100).model_copy(update={"ended": "percentile supported"})
    record = make_record(latency=latency)
    compared = compare_cases([record])
    own = dict.fromkeys(case_files(compared, TIMELINE), b"over time")
    text = page("nightly", compared, plots={"latency.png": b"bars", **own})
    assert "100 batches in 0.100 s: percentile supported" in Reader(text).text
    places = [text.index(base64.b64encode(data).decode()) for data in (b"bars", b"over time")]
    assert places[0] < text.index("<h2>Cases</h2>") < places[1]
    assert text.count("data:image/png") == 2


def test_all_cases_stand_in_one_table_with_the_numbers_to_sort_by() -> None:
    steady = make_record(latency=make_samples([14.5] * 30))
    reader = read([steady, make_record("FP16", failure=Failure(kind="crash", phase="build", message="no"))])
    assert "All cases case state median_latency_ms" in reader.text
    assert "native measured 14.50 ±0 %" in reader.text and "FP16 (tf-trt) failed" in reader.text
    assert {"#case-1-1", "#case-1-2"} <= set(reader.references)


def test_assertions_that_passed_are_folded_away() -> None:
    checks = [Check(case_id="a", expression=f"x{n}", outcome=outcome, explanation="why")
              for n, outcome in enumerate(("passed", "failed", "passed"))]  # fmt: skip
    text = read([make_record()], checks=checks).text
    assert text.index("x1") < text.index("2 passed") < text.index("x0") < text.index("x2")


def test_the_end_of_a_log_is_shown_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    record = make_record()
    lines = [f"line {number}" for number in range(LINES + 5)]
    (tmp_path / f"{record.case.id}.log").write_text("\n".join(lines), encoding="utf-8")
    reader = read([record], logs=read_logs(tmp_path, [record, make_record("FP16")]))
    assert "End of the log" in reader.text and lines[-1] in reader.text and "line 4 " not in reader.text
    assert f"… the last {LINES} lines of {record.case.id}.log" in reader.text


def test_the_end_of_a_long_log_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"\xff" * (3 * BYTES) + b"\nlast")
    assert end_of(path).endswith("last") and len(end_of(path)) < 2 * LETTERS
