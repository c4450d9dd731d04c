"""What tests of comparisons share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.compare import confirm
from bench.compare.comparison import Comparison
from bench.compare.confirm import confirmed
from bench.compare.rules import rules
from bench.compare.runs import compare_runs
from bench.history.measured import Run, read_run
from bench.progress import Progress
from bench.record import Record
from bench.sections.compare import CompareSection
from bench.sections.config import BenchmarkSection
from bench.sitting import Sitting
from bench.suite import Suite
from tests.compare.second import Gate, Second
from tests.history.nights import write_night


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Holds a run against another, with a second measurement that is made up."""

    def hold(old: Sequence[Record], new: Sequence[Record], second: Second, **section: Any) -> Comparison:
        def run_cases(suite: Suite, sitting: Sitting, progress: Progress) -> list[Record]:
            return [second(case) for case in suite.cases]

        monkeypatch.setattr(confirm, "run_cases", run_cases)
        before, after = write_night(tmp_path / "results", 0, old), write_night(tmp_path / "results", 1, new)
        rule = CompareSection.model_validate(section)
        suite = Suite("nightly", Path("test.json"), {}, tuple(r.case for r in new), (), BenchmarkSection(), True, rule)

        def judge(run: Run) -> Comparison:
            return compare_runs(read_run(before), run, rules(rule))

        run = read_run(after)
        return confirmed(judge(run), suite, run, judge, Console(quiet=True))

    return hold
