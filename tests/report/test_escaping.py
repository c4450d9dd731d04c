"""Nothing that comes from configs, records, files or logs becomes an element or an attribute of a page."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings

from bench.compare.comparison import Cause, Comparison, Row
from bench.compare.page import comparison_page
from bench.history.acknowledged import Acknowledged
from bench.history.index import Index
from bench.history.page import history_page
from bench.record import Check, Failure, Record
from bench.report.comparison import compare_cases
from bench.report.html import page
from bench.report.logs import log_key
from bench.store import load_records
from tests.history.nights import write_nights
from tests.report.hostile import hostile, spoiled
from tests.report.markup import Reader

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = 25
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def assert_ours(text: str, expected: Reader) -> None:
    """The same elements with the same attributes as a page of harmless text, no place but our own, nothing unseen."""
    found = Reader(text)
    assert found.open == []
    assert found.elements == expected.elements
    assert all(place and re.match(r"#[\w-]+$|data:image/png;base64,", place) for place in found.references)
    assert not UNSEEN.search(text)
    text.encode()


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Of a run with engines, kernels, telemetry; one of them failed."""
    run = sorted((ROOT / "results/reference/resnet50_explained").iterdir())[-1]
    first, second = load_records(run)
    failure = Failure(kind="crash", phase="build", message="x", log_tail="x")
    return [first, second, first.model_copy(update={"failure": failure, "notes": ("x",)})]


@pytest.fixture(scope="module")
def harmless_run(records: list[Record]) -> Reader:
    """Its page where every text is one letter."""
    return Reader(run_page(records, "x"))


def run_page(records: list[Record], text: str) -> str:
    bad = [spoiled(record, text) for record in records]
    checks = [Check(case_id=text, expression=text, outcome=outcome, explanation=text)
              for outcome in ("passed", "failed")]  # fmt: skip
    logs = {log_key(record): text for record in bad}
    return page(text, compare_cases(bad, lambda record: text), bad[0].environment, {}, text, checks, logs)


@settings(max_examples=EXAMPLES)
@given(hostile)
def test_of_a_run(records: list[Record], harmless_run: Reader, text: str) -> None:
    assert_ours(run_page(records, text), harmless_run)


def compared(text: str) -> str:
    rows = tuple(Row(text, text, metric, "regressed", text, value, value, (0.05, 0.15), text, text, text)
                 for metric, value in (("median_latency_ms", 10.0), ("", None)))  # fmt: skip
    cause = Cause(text, (text, text), text, (text,))
    return comparison_page(
        Comparison(text, text, rows, (text,), (text,), ((text, text, text),), (text,), (cause,), unexplained=2)
    )


@settings(max_examples=EXAMPLES)
@given(hostile)
def test_of_a_comparison(text: str) -> None:
    assert_ours(compared(text), Reader(compared("x")))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Twenty nights, with a change and an outlier."""
    results = tmp_path_factory.mktemp("results")
    write_nights(results, [10.0 + 0.01 * (n % 3) + (n >= 12) + 5 * (n == 7) for n in range(24)])
    return Index(results).refresh()


@pytest.fixture(scope="module")
def harmless_history(index: Index) -> Reader:
    """Its page where every text is one letter."""
    return Reader(history(index, "x"))


def history(index: Index, text: str) -> str:
    """The page of the index after each of its texts was made this one."""
    known = Acknowledged(series="*", metric="*", run=text, reason=text, name=text, by=text)
    with closing(sqlite3.connect(index.path)) as db, db:
        db.execute("UPDATE run SET suite = ?, verdict = ?, path = ? || ' night ' || id", [_stored(text)] * 3)
        db.execute("UPDATE run SET covariates = json_object('driver', ?) WHERE id > 12", [_stored(text)])
        db.execute("UPDATE measurement SET name = ?, series = ?", [_stored(text)] * 2)
    return history_page(index, (), ("median_latency_ms",), (known,))


def _stored(text: str) -> str:
    """SQLite holds no half characters and ends a text at a zero."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


@settings(max_examples=EXAMPLES)
@given(hostile)
def test_of_the_history(index: Index, harmless_history: Reader, text: str) -> None:
    assert_ours(history(index, text), harmless_history)
