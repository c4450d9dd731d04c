"""What is shown of a case that is done."""

from __future__ import annotations

import io

from rich.console import Console

from bench.progress import Progress
from bench.record import Record, Samples, Throughput
from tests.factory import make_case, make_record


def shown(record: Record) -> list[str]:
    text = io.StringIO()
    with Progress(Console(file=text, width=80), 1) as progress:
        progress.begin(record.case)
        progress.end(record)
    return text.getvalue().splitlines()[1:]


def test_what_it_comes_to_in_one_line() -> None:
    record = make_record(case=make_case(id="a"))
    assert shown(record) == ["[1/1] a: median_latency_ms 14.50 ms (0 s)"]


def test_large_numbers_have_all_their_digits() -> None:
    blocks = Throughput(block_ns=(10**9,) * 3, launches_per_block=1, images_per_launch=25344)
    assert "throughput_fps 25344 images/s" in shown(make_record(case=make_case(id="a"), throughput=blocks))[0]


def test_a_line_for_each_reason_why_it_is_not_valid() -> None:
    latency = Samples(times_ns=(10**6,), images=(1,), warmup_ns=(10**9,) * 10, settled=False)
    record = make_record(case=make_case(id="a", num_iterations=None), latency=latency)
    assert shown(record) == [
        "[1/1] a: median_latency_ms 1.000 ms (0 s)",
        "    not valid: warm-up had not settled after 10 batches and 10.0 s",
        "    not valid: 1 samples of the 11 that a median needs",
    ]
