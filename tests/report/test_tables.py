"""Tables on the screen, in Markdown and in CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas
import pytest
from rich.console import Console

from bench.case import Model
from bench.conversion import Conversion
from bench.record import Accuracy, Check, Failure, Record
from bench.report import figures
from bench.report.comparison import compare_cases
from bench.report.figures import difference, significant
from bench.report.tables import csv_text, markdown, rich_tables
from bench.statistics.metrics import BOUNDED, METRICS
from bench.statistics.summary import summarize
from tests.factory import make_case, make_environment, make_optimization, make_record, make_samples

CRASH = Failure(kind="crash", phase="build", message="signal 11\nin the builder", log_tail="E last words")


def modes(samples: int = 100) -> list[Record]:
    """Native and three precisions, each faster than the one before."""
    return [
        make_record(
            precision,
            latency=make_samples([base + (n * 387 % samples) / 100 for n in range(samples)]),
            compute=make_samples([base / 2]),
            accuracy=Accuracy(metrics={"map": accuracy}, num_images=159),
        )
        for precision, base, accuracy in (
            ("native", 19.106557, 0.273695),
            ("FP32", 14.38632, 0.273695),
            ("FP16", 13.284107, 0.273),
            ("INT8", 9.9, 0.26),
        )
    ]


def screen(records: Sequence[Record], width: int = 80, **options: Any) -> str:
    file = io.StringIO()
    console = Console(width=width, file=file, **options)
    console.print(rich_tables(compare_cases(records)))
    return file.getvalue()


def line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.strip("| ").startswith(name))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (19.106557, "19.11"), (0.273695, "0.2737"), (1, "1.000"), (9.99996, "10.00"), (12345.6, "12346"),
        (0.00012345, "0.0001234"), (3.2e-9, "3.2e-09"), (-2.5, "-2.500"),
    ],
)  # fmt: skip
def test_four_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (-0.0125, "-0.0125"), (0.0003, "+0.0003"), (1e-6, "+1e-06")])
def test_differences_are_signed(value: float, text: str) -> None:
    assert difference(value) == text


def test_four_modes_fit_80_columns() -> None:
    text = screen(modes())
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert line(text, "avg_latency_ms").split() == ["avg_latency_ms", "ms", "19.60", "14.88", "13.78", "10.39"]
    assert line(text, "map - native").split()[3:] == ["0", "0", "-0.0007", "-0.0137"]
    assert line(text, "speedup").split()[2] == "1.000"


def test_many_cases_fit_80_columns_with_a_line_each() -> None:
    records = [make_record(case=make_case("FP16", id=f"a-rather-long-case-name-of-number-{n}")) for n in range(24)]
    text = screen(records)
    assert max(map(len, text.splitlines())) <= 80
    assert sum("FP16 (tf-trt)" in line for line in text.splitlines()) == 24


def test_the_best_value_is_bold() -> None:
    text = screen(modes(), force_terminal=True, color_system="standard")
    assert re.search(r"\x1b\[1m *10\.39", line(text, "avg_latency_ms"))
    assert "\x1b[1m19.60" not in text
    assert "| **10.39** (" in markdown(compare_cases(modes()), None)


def test_equal_values_are_not_emphasised() -> None:
    same = [make_record(precision) for precision in ("native", "FP32")]
    assert "**" not in line(markdown(compare_cases(same), None), "avg_latency_ms")


def test_unsupported_percentile_is_a_footnote_with_its_reason() -> None:
    records = [make_record(latency=make_samples(range(1, count + 1))) for count in (20, 100)]
    records[1] = make_record("FP16", latency=records[1].latency)
    for text in (screen(records), markdown(compare_cases(records), None)):
        assert "–¹" in line(text, "p90_latency_ms")
        assert "¹ p90_latency_ms: 20 samples of the 64 that p90 needs" in text
        assert "no p99_latency_ms: 20 samples of the 662 that p99 needs" in text
        assert not any(line.strip("| ").startswith("p99_latency_ms") for line in text.splitlines())


def test_failed_case_is_a_column_of_dashes_with_its_reason() -> None:
    records = [*modes()[:2], make_record("INT8", latency=None, failure=CRASH)]
    for text in (screen(records, width=100), markdown(compare_cases(records), None)):
        assert line(text, "avg_latency_ms").strip("| ").split()[-1] == "-"
        assert "crash in build" in line(text, "failure")
        assert "INT8 (tf-trt): crash in phase 'build': signal 11 in the builder" in text


def test_all_cases_failed() -> None:
    text = screen([make_record("FP16", latency=None, failure=CRASH)])
    assert "crash in build" in text
    assert "avg_latency_ms" not in text


def test_markup_and_terminal_escapes_in_names_are_shown_as_text() -> None:
    model = Model(name="[red]evil[/] \x1b[31mname", task="detection")
    text = screen([make_record(case=make_case(model=model))])
    assert "[red]evil[/] name" in text


def test_bytes_are_scaled_for_the_whole_row() -> None:
    records = [
        make_record(precision, conversion=Conversion(converter="x", bytes_after=size))
        for precision, size in (("FP32", 2**21), ("FP16", 2**19))
    ]
    assert line(screen(records), "model_bytes").split() == ["model_bytes", "MiB", "2.000", "0.5000"]


def test_markdown_tables_have_the_same_number_of_cells_in_every_line() -> None:
    model = Model(name="a|b <i> `c` *d*", task="detection")
    records = [make_record(case=make_case(p, model=model)) for p in ("native", "FP16")]
    checks = [Check(case_id="a|b", expression="map >= native.map", outcome="failed", explanation="0.1 < 0.2\nby far")]
    text = markdown(compare_cases(records), make_environment(cpu="x | y"), "regressed", checks)
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1
        assert re.fullmatch(r"\|( -+:? \|)+", table.splitlines()[1])
    assert "<i>" not in text
    assert text.startswith("**Verdict: regressed**")
    assert "| a\\|b | map &gt;= native.map | failed | 0.1 &lt; 0.2 by far |" in text


def test_markdown_has_the_rows_that_the_screen_leaves_out() -> None:
    records = modes()
    assert "min_latency_ms" in markdown(compare_cases(records), None)
    assert "min_latency_ms" not in screen(records)


def test_csv_has_every_statistic_in_full_precision() -> None:
    records = [*modes(700), make_record("INT8", "litert", latency=None, failure=CRASH)]
    rows = list(csv.DictReader(io.StringIO(csv_text(compare_cases(records)))))
    assert [row["case_id"] for row in rows] == [record.case.id for record in records]
    for row, record in zip(rows, records, strict=True):
        found = {name: float(row[name]) for name in METRICS if row[name]}
        assert found == dict(summarize(record, records[0]).values)
    assert [row["failure"] for row in rows[:4]] == [""] * 4
    assert rows[4]["failure"] == "crash in phase build: signal 11\nin the builder"
    assert (rows[4]["backend"], rows[4]["precision"], rows[4]["batch_size"]) == ("litert", "INT8", "1")


def bounded(samples: int = 1000) -> list[Record]:
    """Native and FP16, twice as fast, with noise of 5 %."""
    noise = np.random.default_rng(0).normal(0, 0.5, (2, samples))
    times = [make_samples(scale * (10 + run)) for scale, run in zip((1, 0.5), noise, strict=True)]
    return [make_record(mode, latency=each) for mode, each in zip(("native", "FP16"), times, strict=True)]


def test_the_screen_has_intervals_beside_the_values_where_they_fit() -> None:
    lines = screen(bounded(), width=80).splitlines()
    assert re.search(r"median_latency_ms +ms +\d+\.\d+ ±0\.\d\d % +\d\.\d+ ±0\.\d\d %", "\n".join(lines))
    assert re.search(r"speedup +x +1\.000 +\d\.\d{3} ±\d\.\d+ %", "\n".join(lines))
    assert len({len(re.split(" +±", text)[0]) for text in lines if "_latency_ms" in text and "±" in text}) == 1


def test_a_narrow_screen_has_intervals_below_the_values() -> None:
    lines = screen(bounded(), width=58).splitlines()
    row = next(number for number, text in enumerate(lines) if "median_latency_ms" in text)
    assert "±" not in lines[row]
    assert re.fullmatch(r" +±0\.\d\d % +±0\.\d\d % +", lines[row + 1])


@pytest.mark.parametrize("width", [80, 120])
def test_many_cases_have_their_intervals_too(width: int) -> None:
    records = [*bounded(), *(make_record(case=make_case("FP16", id=f"number-{n}")) for n in range(5))]
    text = screen(records, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("±") == 3


@pytest.mark.parametrize(
    ("value", "bounds", "spread", "ends"),
    [
        (100, (98, 101), "±2.0 %", "98.00 to 101.0"),
        (100, (99.996, 100.001), "±<0.01 %", "99.99600 to 100.0010"),
        (100, (99.9, 100.05), "±0.10 %", "99.900 to 100.05"),
        (4.56, (3.798, 7.029), "±54 %", "3.798 to 7.029"),
        (1, (0.5, 2), "±100 %", "0.5000 to 2.000"),
        (1, (0.5, 3.25), "±>100 %", "0.5000 to 3.250"),
        (2.5, (2.5, 2.5), "±0 %", "2.500 to 2.500"),
    ],
)
def test_how_intervals_are_written(value: float, bounds: tuple[float, float], spread: str, ends: str) -> None:
    assert figures.spread(value, bounds) == spread
    assert figures.interval(bounds) == ends


def test_markdown_has_low_and_high_and_says_what_they_are() -> None:
    text = markdown(compare_cases(bounded()), None)
    assert re.search(r"\| median_latency_ms \| ms \| [\d.]+ \([\d.]+ to [\d.]+\) \| \*\*[\d.]+\*\* \([\d.]+ to", text)
    assert "- Intervals are of 95 % and within this run: the spread between processes is not in them." in text
    assert "Intervals" not in markdown(compare_cases([make_record()]), None)


def test_why_there_is_no_interval_is_said_once() -> None:
    text = markdown(compare_cases(modes()[:2]), None)
    assert text.count("- no interval of compute_ms") == 1
    text = markdown(compare_cases([*bounded(), make_record("INT8")]), None)
    few = "10 samples of the 20 that an interval needs"
    assert (
        f"- no interval of avg_latency_ms, median_latency_ms, avg_throughput_fps, speedup (INT8 (tf-trt)): {few}"
        in text
    )


def test_the_screen_says_in_one_line_that_intervals_are_missing() -> None:
    said = "No interval: too few samples, or too few independent ones; see comparison.md."
    records = [*modes(), *(make_record(case=make_case(mode, batch_size=8)) for mode in ("native", "FP16"))]
    assert screen(records).count(said) == 1
    assert "no interval of" not in screen(records)
    assert "No interval" not in screen([bounded()[0]])


def test_what_is_true_of_every_comparison_is_said_once_at_the_end() -> None:
    records = [
        make_record(mode, "litert", case=make_case(optimization=optimization, batch_size=size))
        for size in (1, 8)
        for mode, optimization in (
            (mode, make_optimization(mode, "litert", requested_backend="auto")) for mode in ("FP16", "INT8")
        )
    ]
    text = " ".join(screen(records).split())
    assert text.count("note: FP16 (litert), INT8 (litert): backend 'auto' became 'litert'; TensorRT was not used") == 1
    assert text.count("no p99_latency_ms: 10 samples of the 662 that p99 needs") == 1
    assert text.index("no p99_latency_ms") > text.rindex("batch size 8")
    alone = " ".join(screen([*records[:2], make_record(case=make_case(batch_size=8))]).split())
    assert alone.index("backend 'auto' became") < alone.index("batch size 8")


def test_markdown_says_why_each_loop_ended() -> None:
    latency = make_samples([1.0] * 100).model_copy(update={"ended": "max_duration_s reached after 100 of 662 samples"})
    latency = latency.model_copy(update={"warmup_ns": (10**6,) * 50, "warmup_ended": "settled"})
    records = [make_record(latency=latency), make_record("FP16", compute=make_samples([2.0]))]
    text = markdown(compare_cases(records), None)
    assert "How the loops ended:" in text
    assert line(text, "warm-up") == "| warm-up | 50 batches in 0.0500 s: settled | – |"
    assert line(text, "latency |").split(" | ")[1:] == [
        "100 batches in 0.100 s: max_duration_s reached after 100 of 662 samples",
        "10 batches in 0.145 s |",
    ]
    assert line(text, "compute |").endswith("| – | 1 batch in 0.00200 s |")
    assert "How the loops ended" not in screen(records)


def test_csv_has_the_ends_of_the_intervals() -> None:
    records = bounded()
    rows = list(csv.DictReader(io.StringIO(csv_text(compare_cases(records)))))
    for row, record in zip(rows, records, strict=True):
        bounds = summarize(record, records[0]).bounds
        ends = {name: (row[f"{name}_low"], row[f"{name}_high"]) for name in BOUNDED}
        assert {name: tuple(map(float, pair)) for name, pair in ends.items() if pair[0]} == dict(bounds)
        assert float(row["median_latency_ms_low"]) < float(row["median_latency_ms"])


def test_csv_is_one_table_for_pandas() -> None:
    records = modes()
    table = pandas.read_csv(io.StringIO(csv_text(compare_cases(records))))
    speedups = [summarize(record, records[0]).values["speedup"] for record in records]
    assert list(table["speedup"]) == pytest.approx(speedups, rel=1e-14)
    assert table["p99_latency_ms"].isna().all()
    assert set(METRICS) <= set(table.columns)
