"""The tables of a conversion and a profile, in Markdown and on the page."""

from __future__ import annotations

import csv
import io
import re

from bench.conversion import Dropped, Kernel, LeftOut
from bench.record import Failure, Phase
from bench.report.html import page
from bench.report.tables import csv_text
from bench.telemetry import ForeignProcess, Telemetry, Window
from tests.report.conversions import (
    DEPTHWISE,
    comparisons,
    converted,
    flat,
    html,
    make_conversion,
    make_engine,
    make_profile,
    md,
    screen,
)


def test_the_page_lists_engines_whole() -> None:
    text = html(converted()).text
    assert "Engines 2 engines of 223 nodes" in text
    assert "TRTEngineOp_000_000 FP16 218 3.719 MiB image float32 ?x224x224x3 8x224x224x3; 1x224x224x3" in text
    assert "27 Conv2D, 26 Relu6, 9 Mul, 8 AddV2, 7 BiasAdd, 6 AvgPool, 5 Squeeze, 4 Softmax" in text


def test_the_page_lists_all_that_was_left_out_with_plumbing_last() -> None:
    text = html(converted()).text
    rows = ("StridedSlice 2 implicit batch mode", "NoOp 2 Op type NoOp", "Placeholder 1 excluded by segmenter option")
    places = [text.index(row) for row in rows]
    assert places == sorted(places)
    assert "Left out by TF-TRT 12 nodes, 4 of them inputs, outputs and the like" in text
    assert "too small 3 3" in text


def test_the_page_lists_copies_and_the_ten_longest_kernels() -> None:
    text = html(converted()).text
    assert "host to device 0.09000 4.594 MiB" in text
    assert f"{DEPTHWISE} TensorRT yes FP16 4.5 0.06000 12.0 %" in text
    assert "kernel_9 " in text and "kernel_10" not in text and "others" not in text
    assert "whose names tell no precision 0.0750 15.0 %" in text


def test_the_page_has_how_a_conversion_was_made() -> None:
    conversion = make_conversion(
        cached=False, cache_reason="TensorRT: 8.5 there, 8.6 here", calibration_images=128, calibration_reused=True,
        calibration_sha256="12" * 32, calibration_table_sha256="ab" * 32,
    )  # fmt: skip
    record = converted("INT8", conversion=conversion, phases=(Phase(name="reload", seconds=0.25),))
    text = html(record).text
    for part in (
        "from the cache no: TensorRT: 8.5 there, 8.6 here", "size on disk before, after 11.42 MiB, 16.76 MiB",
        "build, when it was made 40.1 s", "reload 0.250", "calibration images 128", "12" * 32, "ab" * 32,
        "reused: made earlier", "13 weights: Detected values less than",
    ):  # fmt: skip
        assert part in text
    made = md(record)
    for part in (
        "made in convert 2.5 s, build 40.1 s, save 0.4 s; reload 0.2 s",
        "calibrated on 128 images (SHA-256 121212121212…)",
        "reused calibration table (SHA-256 abababababab…)", "not from the cache: TensorRT: 8.5 there, 8.6 here",
    ):  # fmt: skip
        assert part in made


def test_a_conversion_from_the_cache_says_so() -> None:
    record = converted(conversion=make_conversion(cached=True))
    for text in (flat(record), md(record)):
        assert "converted earlier, taken from the cache" in text
    assert "from the cache yes: converted earlier" in html(record).text
    origin = "conversion_s: converted earlier, taken from the cache: what it took then"
    for text in (flat(record), md(record), html(record).text):
        assert text.count(origin) == 1
    rows = list(csv.DictReader(io.StringIO(csv_text(comparisons(record)))))
    assert [row["cached"] for row in rows] == ["True"]


def test_what_was_converted_beside_other_processes_on_the_gpu_says_so() -> None:
    """As TensorRT shares the GPU with them while it builds; one that came later had no part in it."""
    windows = tuple(
        Window(name=name, begin_s=begin, end_s=begin + 10, readings=0)
        for begin, name in ((0, "build"), (20, "measure"))
    )
    early, late = (
        ForeignProcess(pid=pid, first_s=first, last_s=first + 5, while_measuring=False)
        for pid, first in ((1, 8), (2, 12))
    )
    words = "converted beside 1 other process on the GPU: conversion_s may be longer than alone"
    for others, told in (((early,), True), ((late,), False), ((early, late), True)):
        record = converted(telemetry=Telemetry(windows=windows, foreign=others))
        assert (words in flat(record)) == (words in md(record)) == told
    from_cache = converted(telemetry=Telemetry(windows=windows[1:], foreign=(early,)))
    assert "converted beside" not in flat(from_cache)


def test_a_case_that_failed_beside_other_processes_on_the_gpu_says_so() -> None:
    """A build that timed out may have had to share; who left before it began is none of its reasons."""
    windows = (
        Window(name="convert", begin_s=0, end_s=10, readings=0),
        Window(name="build", begin_s=10, end_s=90, readings=0),
    )
    gone, beside = (
        ForeignProcess(pid=pid, first_s=first, last_s=first + 5, while_measuring=False)
        for pid, first in ((1, 2), (2, 20))
    )
    failure = Failure(kind="time-out", phase="build", message="took longer than phase_timeout_s, 80 s")
    for others, told in (((gone,), False), ((gone, beside), True)):
        failed = converted(failure=failure, telemetry=Telemetry(windows=windows, foreign=others))
        words = "phase_timeout_s, 80 s; meanwhile on the GPU: 1 other process"
        assert (words in flat(failed)) == (words in md(failed)) == (words in html(failed).text) == told


def test_markdown_is_bounded() -> None:
    many = make_conversion(
        engine_list=[make_engine(name=f"engine_{n}") for n in range(40)],
        left_out=[LeftOut(op=f"Op{n}", count=1, reason="because " * 99) for n in range(60)],
    )
    text = md(converted(conversion=many))
    assert "the first 10 of 40 lines" in text and "the first 10 of 60 lines" in text
    assert "27 Conv2D, 26 Relu6, 9 Mul, 8 AddV2, 7 BiasAdd, 6 AvgPool and 2 more kinds" in text
    assert "kernel_4" in text and "kernel_5" not in text
    assert "&lt;\\_\\_half, float" in text
    assert len(text) < 12_000
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_control_characters_of_a_log_do_not_reach_a_reader() -> None:
    evil = "\x1b[31m<b>evil</b>\x00|`"
    conversion = make_conversion(
        engine_list=[make_engine(name=evil, ops={evil: 1})], left_out=[LeftOut(op=evil, count=1, reason=evil)],
        dropped=[Dropped(nodes=1, reason=evil)], warnings=[evil], cached=False, cache_reason=evil,
    )  # fmt: skip
    kernels = (Kernel(name=evil, owner="TensorRT", launches=1, ns=1, tensor_core=False),)
    record = converted(conversion=conversion, profile=make_profile(kernels=kernels, copies_ns={evil: 1}))
    raw = page("x", comparisons(record))
    for text in (screen(record), md(record), raw):
        assert "\x1b" not in text and "\x00" not in text
    assert "<b>evil" not in md(record) + raw
