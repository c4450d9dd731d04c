"""pytest runs a config's cases as pytest-benchmark cases: `pytest --bench-config test.json --benchmark-only`.

pytest-benchmark times nothing here. Its own loop would call a session from pytest's process, without warm-up, turns and
telemetry, and measure something else. `python -m bench.test` runs the selected cases of a config once, before the first
of them; then every case hands pytest-benchmark the raw latencies that were kept, as the readings of a timer.
"""

from __future__ import annotations

import glob
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bench.compare.comparison import Row
    from bench.export.run import ExportedCase, ExportedRun

SUITE_ITEM = "suite"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench", "tf-bench")
    group.addoption("--bench-config", action="append", default=[], metavar="FILE", help="Run this test config's cases.")
    group.addoption("--bench-results", default="results", metavar="DIR", help="Where results are kept.")
    group.addoption("--bench-set", action="append", default=[], metavar="KEY=VALUE", help="As `bench test --set`.")
    group.addoption("--bench-baseline", metavar="latest|golden|history|RUN", help="As `bench test --baseline`.")
    group.addoption(
        "--bench-inconclusive", choices=("skip", "fail"), default="skip",
        help="What becomes of a case that is not valid, or that cannot be compared. Default: skip.",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Configs are collected like files that were named."""
    given = config.getoption("--bench-config")
    if not given:
        return
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("--bench-config needs pytest-benchmark: pip install pytest-benchmark")
    for path in given:
        if not Path(path).is_file():
            raise pytest.UsageError(f"--bench-config {path}: no such file")
    config.args.extend(path for path in given if path not in config.args)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    given = parent.config.getoption("--bench-config")
    if any(file_path == Path(path).resolve() for path in given):
        return ConfigFile.from_parent(parent, path=file_path)
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    """A baseline that is not there is a mistake of the command, and no case's."""
    from bench.compare.baseline import check_baseline
    from bench.errors import BenchError

    baseline, results = session.config.getoption("--bench-baseline"), session.config.getoption("--bench-results")
    suites = dict.fromkeys(item.run.suite for item in session.items if isinstance(item, CaseItem))
    for suite in suites if baseline is not None else ():
        try:
            check_baseline(baseline, Path(results), suite)
        except BenchError as error:
            raise pytest.UsageError(f"--bench-baseline: {error}") from error


class ConfigFile(pytest.File):
    """A config: an item for each variant, and one for what is about no single one."""

    def collect(self) -> Iterator[pytest.Item]:
        from bench.errors import BenchError
        from bench.suite import load_suite

        try:
            suite = load_suite(self.path, self.config.getoption("--bench-set"))
        except BenchError as error:
            raise self.CollectError(str(error)) from error
        run = SuiteRun(self, suite.name)
        for name, group in {case.variant: case.comparison for case in suite.cases}.items():
            item = CaseItem.from_parent(self, name=name, callobj=is_as_measured)
            item.run, item.timer = run, Timer()
            item.add_marker(pytest.mark.benchmark(group=group, timer=item.timer))
            yield item
        last = SuiteItem.from_parent(self, name=SUITE_ITEM)
        last.run = run
        yield last


class Wrong(Exception):
    """What a case, or a run, is found to be."""


class CaseItem(pytest.Function):
    """A case: a test function with the `benchmark` fixture."""

    run: SuiteRun
    timer: Timer

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong, without this module's lines."""
        return str(excinfo.value) if isinstance(excinfo.value, Wrong) else super().repr_failure(excinfo)


class SuiteItem(pytest.Item):
    """What a run is found to be as a whole: cases that vanished, assertions about none."""

    run: SuiteRun
    fixturenames = ("benchmark",)  # so that --benchmark-only does not skip it

    def runtest(self) -> None:
        if not self.run.began:
            pytest.skip("no case of it was run")
        settle(self, *about_the_suite(self.run.result()))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, Wrong) else super().repr_failure(excinfo, style)


class Timer:
    """A timer whose readings, two a round, are 0 and the next sample; 0 where there is none."""

    __name__ = "latencies of the worker"

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def feed(self, samples: Iterable[float]) -> None:
        """Seconds, one a round."""
        self._readings = (reading for sample in samples for reading in (0.0, sample))

    def __call__(self) -> float:
        return next(self._readings, 0.0)


def is_as_measured(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """The test of a case: its latencies become rounds, then what is said of it decides."""
    item = request.node
    if benchmark.disabled:
        pytest.skip("--benchmark-disable: nothing is measured")
    try:
        run = item.run.result()
        case = next(each for each in run.cases if each.id == item.name)
        if case.status in ("failed", "broken"):
            raise Wrong(f"{case.status}: {case.reason}")
    except Wrong as error:
        benchmark.pedantic(_raise, (error,))  # so that the fixture knows, and shows no figures
    _feed(benchmark, item.timer, case)
    settle(item, *about_the_case(run, case))


def _raise(error: Wrong) -> None:
    raise error


def _feed(benchmark: Any, timer: Timer, case: ExportedCase) -> None:
    """Only latencies that are valid become rounds."""
    from bench.export.pytest_benchmark import extra_info, is_doubtful, samples

    if case.record is None or is_doubtful(case):
        return
    taken = samples(case.record)
    benchmark.extra_info.update(extra_info(case))
    timer.feed(taken)
    benchmark.pedantic(lambda: None, rounds=len(taken), iterations=1)


Findings = tuple[list[str], list[str]]  # what is wrong, and what cannot be told


def about_the_case(run: ExportedRun, case: ExportedCase) -> Findings:
    """Its own validity, its assertions and its rows of the comparison."""
    wrong, unclear = _checks(run, case.id)
    if case.status == "not valid":
        unclear.insert(0, f"not valid: {case.reason}")
    for row in run.comparison.rows if run.comparison is not None else ():
        if row.case != case.id or not row.gates:
            continue
        told = ": ".join(filter(None, (f"{row.outcome} against the baseline", row.metric, _change(row), row.note)))
        if row.outcome in ("regressed", "broken"):
            wrong.append(told)
        elif row.outcome == "inconclusive":
            unclear.append(told)
    return wrong, unclear


def _change(row: Row) -> str:
    from bench.compare.table import change

    return f"{change(row)}, tolerated {row.threshold}" if row.threshold else change(row)


def about_the_suite(run: ExportedRun) -> Findings:
    """Assertions about no case, cases that vanished, and a comparison that compared nothing."""
    wrong, unclear = _checks(run, "")
    found = run.comparison
    if found is not None:
        wrong += [f"vanished: {name}" for name in found.vanished]
        if not any(row.metric for row in found.rows):
            unclear.append("; ".join(found.remarks) or "nothing could be compared")
    return wrong, unclear


def _checks(run: ExportedRun, case: str) -> Findings:
    told = {"failed": list[str](), "inconclusive": list[str]()}
    for check in run.checks:
        if check.case_id == case and check.outcome in told:
            told[check.outcome].append(f"{check.outcome}: {check.expression} ({check.explanation})")
    return told["failed"], told["inconclusive"]


def settle(item: pytest.Item, wrong: list[str], unclear: list[str]) -> None:
    """Fail, skip, or do neither."""
    strict = item.config.getoption("--bench-inconclusive") == "fail"
    if wrong or (unclear and strict):
        raise Wrong("\n".join([*wrong, *unclear]))
    if unclear:
        pytest.skip("; ".join(unclear))


@dataclass
class SuiteRun:
    """One run of a config, begun by the first of its items that wants to know."""

    file: ConfigFile
    suite: str
    _ended: ExportedRun | Wrong | None = field(default=None, init=False)

    @property
    def began(self) -> bool:
        """Whether any case asked for it."""
        return self._ended is not None

    def result(self) -> ExportedRun:
        """The run; a Wrong says why there is none."""
        if self._ended is None:
            try:
                self._ended = self._measure()
            except Wrong as error:
                self._ended = error
        if isinstance(self._ended, Wrong):
            raise self._ended
        return self._ended

    def _measure(self) -> ExportedRun:
        from bench.compare.stored import kept
        from bench.export.run import read_export

        with tempfile.TemporaryDirectory(prefix="bench-pytest-") as scratch:
            file = Path(scratch) / "run.json"
            code = _wait([*self._command(), "--export", f"pytest-benchmark={file}"])
            if not file.is_file():
                raise Wrong(f"{self.file.path.name}: no run; `bench test` ended with exit code {code}, and says why")
            told = json.loads(file.read_text(encoding="utf-8"))
        folder = Path(self.file.config.getoption("--bench-results")) / told["suite"] / told["run"]
        return read_export(folder, kept(folder))

    def _command(self) -> Sequence[str]:
        options, path = self.file.config.getoption, str(self.file.path)
        command = [sys.executable, "-m", "bench.test", path, "--results", options("--bench-results")]
        for setting in options("--bench-set"):
            command += ["--set", setting]
        if options("--bench-baseline") is not None:
            command += ["--baseline", options("--bench-baseline")]
        items = (item for item in self.file.session.items if isinstance(item, CaseItem) and item.run is self)
        return [*command, *(word for item in items for word in ("--select", glob.escape(item.name)))]


def _wait(command: Sequence[str]) -> int:
    """The exit code; Ctrl-C lets the command end in its own way first."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
