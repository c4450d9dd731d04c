"""python -m bench.test CONFIG...: the main job, from configs to tables, plots and an exit code.

Exit codes: 0 passed, 1 an assertion failed or something regressed, 2 usage or config, 3 inconclusive, 4 broken (a case
failed, fell back or is missing), 5 results could not be stored.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench.errors import BenchError
from bench.preflight import make_ready
from bench.progress import Progress
from bench.record import Case, Check, Record
from bench.running import run_cases
from bench.store import create_run, replace_atomic, save_suite
from bench.suite import Suite, load_suite
from bench.verdict import EXIT_CODES, check_all, exit_code, verdict, worst


def test(
    configs: Annotated[list[Path], typer.Argument(help="Test configs in JSON.", show_default=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a key, such as benchmark_config.batch_size=8."),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="PATTERN", help="Run only the cases whose id matches, such as '*-FP16-*'."),
    ] = None,
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="Where results are kept.")] = Path(
        "results"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cases and do nothing else.")] = False,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="latest|golden|history|DIR", help="Hold the run against this at its end."),
    ] = None,
    acknowledged: Annotated[
        Path, typer.Option("--acknowledged", metavar="FILE", help="Changes that were looked at and accepted.")
    ] = Path("acknowledged.json"),
) -> None:
    """Measure the models of test configs: latency, throughput and accuracy, natively and optimised."""
    console = Console()
    against = None if baseline is None else Against(baseline, results, acknowledged)
    try:
        suites = [load_suite(path, settings or (), select or ()) for path in configs]
        code = _show_cases(suites, console) if dry_run else run_suites(suites, results, console, against)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C.", file=sys.stderr)
        code = EXIT_CODES["broken"]
    except Exception:  # the edge: a fault of this program must not pass for a failed assertion, Python's exit code 1
        traceback.print_exc()
        code = EXIT_CODES["broken"]
    raise typer.Exit(code)


@dataclass(frozen=True)
class Against:
    """What every run is held against at its end."""

    baseline: str
    results: Path
    acknowledged: Path


def run_suites(suites: Sequence[Suite], results: Path, console: Console, against: Against | None = None) -> int:
    """Make all suites ready, run every one, and give the exit code of the worst."""
    if against is not None:
        _check_baselines(suites, against)
    ready = [make_ready(suite) for suite in suites]
    runs = [create_run(results, suite.name) for suite in ready]
    verdicts = []
    for suite, run in zip(ready, runs, strict=True):
        _save_suite(suite, run, (), (), "broken")  # true until the last case has ended
        records = run_cases(suite, run, Progress(console, len(suite.cases)))
        verdicts.append(_conclude(suite, run, records, console, against))
        finished = sum(not record.is_interrupted for record in records)
        if finished < len(suite.cases):
            console.print(f"Stopped by Ctrl-C: {finished} of {len(suite.cases)} cases were finished and are kept.")
            break
    return exit_code(verdicts)


def _check_baselines(suites: Sequence[Suite], against: Against) -> None:
    from bench.compare.baseline import check_baseline

    for suite in suites:
        check_baseline(against.baseline, against.results, suite.name)


def _conclude(
    suite: Suite, run: Path, records: Sequence[Record], console: Console, against: Against | None = None
) -> str:
    """Judge the records, write the reports, show the tables; gives the verdict."""
    # Plots take a second to import; --help and mistakes in a config should not wait for them.
    from bench.report.writer import show, write_reports, write_statistics

    checks = check_all(suite.assertions, records, whole=suite.is_whole)
    outcome = verdict(records, checks) if len(records) == len(suite.cases) else "broken"
    _save_suite(suite, run, records, checks, outcome)
    write_reports(run, suite.name, records, outcome, checks)
    show(console, records, outcome, checks, run)
    write_statistics(records)
    for message, cases in _mistakes(records).items():
        print(f"error: {suite.source}: case {', '.join(cases)}: {message}", file=sys.stderr)
    return outcome if against is None else _compare(suite, run, records, checks, outcome, console, against)


def _mistakes(records: Sequence[Record]) -> dict[str, list[str]]:
    """What the user can mend, and in which cases it was found."""
    found: dict[str, list[str]] = {}
    for record in records:
        if record.failure is not None and record.failure.kind == "config":
            found.setdefault(record.failure.message, []).append(record.case.id)
    return found


def _compare(
    suite: Suite, run: Path, records: Sequence[Record], checks: Sequence[Check], outcome: str, console: Console,
    against: Against,
) -> str:  # fmt: skip
    """Hold the stored run against its baseline; what it finds is stored with the run, and counts in its verdict."""
    from bench.compare.baseline import compare
    from bench.compare.page import comparison_page
    from bench.compare.table import markdown, show
    from bench.history.measured import read_run

    found = compare(against.baseline, read_run(run), against.results, against.acknowledged, suite.compare)
    outcome = worst([outcome, found.verdict])
    flagged = [{"series": series, "metric": metric} for series, metric in found.flagged]
    _save_suite(suite, run, records, checks, outcome, {"baseline": found.baseline, "flagged": flagged})
    replace_atomic(run / "baseline.md", markdown(found).encode())
    replace_atomic(run / "baseline.html", comparison_page(found).encode())
    show(console, found)
    return outcome


def _save_suite(
    suite: Suite, run: Path, records: Sequence[Record], checks: Sequence[Check], outcome: str,
    compared: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    environment = next((r.environment.model_dump(mode="json") for r in records if r.environment is not None), None)
    ending = {
        "environment": environment,
        "verdict": outcome,
        "whole": suite.is_whole,
        "assertions": [check.model_dump() for check in checks],
        **(compared or {}),
    }
    save_suite(run, suite.name, suite.config, [case.id for case in suite.cases], ending)


def _show_cases(suites: Sequence[Suite], console: Console) -> int:
    for suite in suites:
        console.print(f"{suite.source}: suite {suite.name}, {len(suite.cases)} cases", highlight=False)
        for case in suite.cases:
            console.print(f"  {_describe(case)}", highlight=False, soft_wrap=True)
    return 0


def _describe(case: Case) -> str:
    size = "each image's own size" if case.image_shape is None else "x".join(map(str, case.image_shape))
    return f"{case.id}: {case.optimization.backend} {case.optimization.precision_mode}, {case.dataset.name}, {size}"


def end_on_signals() -> None:
    """Take being told to end, and a terminal that went away, as Ctrl-C is taken; what nohup ignores stays ignored."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) != signal.SIG_IGN:
            signal.signal(name, signal.default_int_handler)


def main() -> None:
    """Run as a program."""
    end_on_signals()
    typer.run(test)


if __name__ == "__main__":
    main()
