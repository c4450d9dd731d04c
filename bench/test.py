"""python -m bench.test CONFIG...: the main job, from configs to tables, plots and an exit code.

Exit codes: 0 passed, 1 an assertion failed or something regressed, 2 usage or config, 3 inconclusive, 4 broken (a case
failed, fell back or is missing; or the run is unfinished), 5 results could not be stored.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bench.case import Case
from bench.errors import BenchError, StoreError
from bench.export.formats import make_folders, parse_targets, write_exports
from bench.plan import Plan, begin, go_on, kept_cases
from bench.program import is_unread, run_program, tell
from bench.progress import Progress
from bench.record import Check, Record
from bench.report.words import counted
from bench.running import run_cases
from bench.store import replace_atomic, save_suite
from bench.suite import Suite, load_suite
from bench.verdict import EXIT_CODES, check_all, exit_code, verdict, worst

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison


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
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="RUN", help="Go on with this run, or `latest`: measure what it lacks."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cases and do nothing else.")] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="RUN",
            help="Hold the run at its end against this one, `latest`, `golden` or `history`.",
        ),
    ] = None,
    acknowledged: Annotated[
        Path, typer.Option("--acknowledged", metavar="FILE", help="Changes that were looked at and accepted.")
    ] = Path("acknowledged.json"),
    exports: Annotated[
        list[str] | None,
        typer.Option("--export", metavar="FORMAT=FILE", help="Also write the run for another tool: docs/ci.md."),
    ] = None,
) -> None:
    """Measure the models of test configs: latency, throughput and accuracy, natively and optimised."""
    console = Console()
    against = None if baseline is None else Against(baseline, results, acknowledged)
    try:
        suites = [load_suite(path, settings or (), select or ()) for path in configs]
        targets = parse_targets(exports or (), len(suites))
        run = partial(run_suites, suites, results, console, against, resume, targets)
        code = _show_cases(suites, console, kept_cases(suites, results, resume)) if dry_run else run()
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C.", file=sys.stderr)
        code = EXIT_CODES["broken"]
    except SystemExit as error:
        if not is_unread(error):
            raise
        print("Stopped: nobody reads any more what is printed. To go on: --resume latest", file=sys.stderr)
        code = StoreError.exit_code
    except Exception as error:  # the edge: a fault of this program must not pass for a failed assertion, exit code 1
        code = tell(error)
    raise typer.Exit(code)


@dataclass(frozen=True)
class Against:
    """What every run is held against at its end."""

    baseline: str
    results: Path
    acknowledged: Path


def run_suites(
    suites: Sequence[Suite], results: Path, console: Console, against: Against | None = None,
    resume: str | None = None, exports: Sequence[tuple[str, str]] = (),
) -> int:  # fmt: skip
    """Make all suites ready, run every one, and give the exit code of the worst."""
    if against is not None:
        _check_baselines(suites, against)
    make_folders(exports, [suite.name for suite in suites])
    verdicts = []
    with contextlib.ExitStack() as held:
        fresh = resume is None
        plans = begin(suites, results, held) if resume is None else [go_on(suites, results, resume, held)]
        for plan in plans:
            _save_suite(plan, plan.sitting.records.values(), (), "unfinished")  # true until the last case has ended
            measured = {record.case.id: record for record in _measure(plan, console, fresh)}
            known = {**plan.sitting.records, **measured}
            records = [known[case.id] for case in plan.suite.cases if case.id in known]
            try:
                verdicts.append(_conclude(plan, records, console, against))
            finally:  # a second measurement that is stopped leaves the run as it was first judged
                write_exports(plan.sitting.run, exports)
            if len([each for each in measured.values() if not each.is_interrupted]) < len(plan.ready.cases):
                finished = sum(not record.is_interrupted for record in records)
                console.print(
                    f"Stopped by Ctrl-C: {finished} of {len(plan.suite.cases)} cases were finished and are kept. "
                    f"To go on: the same command with --resume {plan.sitting.run}",
                    soft_wrap=True,
                )
                break
    return exit_code(verdicts)


def _measure(plan: Plan, console: Console, fresh: bool) -> list[Record]:
    count, sitting = len(plan.ready.cases), plan.sitting
    if not fresh:
        console.print(
            f"Sitting {sitting.number} of {sitting.run}: "
            f"of {len(plan.suite.every)} cases {len(sitting.kept)} are kept, and {count} measured now",
            highlight=False,
            soft_wrap=True,
        )
    if not count:
        return []
    sitting.put_aside("baseline")  # was about fewer cases
    return run_cases(plan.ready, sitting, Progress(console, count))


def _check_baselines(suites: Sequence[Suite], against: Against) -> None:
    from bench.compare.baseline import check_baseline

    for suite in suites:
        check_baseline(against.baseline, against.results, suite.name)


def _conclude(plan: Plan, records: Sequence[Record], console: Console, against: Against | None = None) -> str:
    """Judge the records, write the reports, show the tables; gives the verdict."""
    # Plots take a second to import; --help and mistakes in a config should not wait for them.
    from bench.report.sittings import said
    from bench.report.writer import show, write_reports, write_statistics

    suite, run = plan.suite, plan.sitting.run
    finished = sum(record.is_whole or record.failure is not None for record in records) == len(suite.cases)
    checks = check_all(suite.assertions, records, whole=suite.is_whole and finished)
    before = "passed" if against is not None else _judged_before(plan)
    outcome = worst([verdict(records, checks), "passed" if finished else "unfinished", before])
    _save_suite(plan, records, checks, outcome)
    line = said(outcome, [case.id for case in suite.every], records)
    write_reports(run, suite.name, records, line, checks)
    show(console, records, line, checks, run)
    write_statistics(records)
    for message, cases in _mistakes(records).items():
        print(f"error: {suite.source}: case {', '.join(cases)}: {message}", file=sys.stderr)
    if against is None or not finished or any(record.is_interrupted for record in records):
        return outcome
    return _compare(plan, records, checks, outcome, console, against)


def _judged_before(plan: Plan) -> str:
    """What a baseline said of the run in an earlier sitting, where this one changes nothing of it."""
    from bench.compare.stored import kept

    found = None if plan.ready.cases else kept(plan.sitting.run)
    return "passed" if found is None else found.verdict


def _mistakes(records: Sequence[Record]) -> dict[str, list[str]]:
    """What the user can mend, and in which cases it was found."""
    found: dict[str, list[str]] = {}
    for record in records:
        if record.failure is not None and record.failure.kind == "config":
            found.setdefault(record.failure.message, []).append(record.case.id)
    return found


def _compare(
    plan: Plan, records: Sequence[Record], checks: Sequence[Check], outcome: str, console: Console, against: Against
) -> str:
    """Hold the stored run against its baseline; what it finds is stored with the run, and counts in its verdict."""
    from bench.compare import stored
    from bench.compare.baseline import compare
    from bench.compare.confirm import as_stored, confirmed
    from bench.compare.page import comparison_page
    from bench.compare.table import markdown, show
    from bench.compare.why import explained
    from bench.history.measured import Run, read_run

    def judge(run: Run) -> Comparison:
        return compare(against.baseline, run, against.results, against.acknowledged, plan.suite.compare)

    def keep(found: Comparison) -> str:
        reached = worst([outcome, found.verdict])
        _save_suite(plan, records, checks, reached, as_stored(found))
        stored.keep(run, found)
        replace_atomic(run / "baseline.md", markdown(found).encode())
        replace_atomic(run / "baseline.html", comparison_page(found).encode())
        return reached

    run = plan.sitting.run
    new = read_run(run)
    found = judge(new)
    keep(found)  # what counts if the second measurement is cut off
    is_ready = plan.sitting.number == 1  # a later sitting made the data of its own cases ready alone
    found = explained(confirmed(found, plan.suite, new, judge, console, is_ready), new)
    show(console, found)
    return keep(found)


def _save_suite(
    plan: Plan, records: Iterable[Record], checks: Sequence[Check], outcome: str,
    compared: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    suite, sitting = plan.suite, plan.sitting
    environment = next((r.environment.model_dump(mode="json") for r in records if r.environment is not None), None)
    ending = {
        "environment": environment,
        "verdict": outcome,
        "whole": suite.is_whole,
        "assertions": [check.model_dump() for check in checks],
        "planned": [case.id for case in suite.every],
        "sittings": sitting.sittings,
        **({} if plan.ready.cases else sitting.compared),  # what is measured now is not what was judged
        **(compared or {}),
    }
    save_suite(sitting.run, suite.name, suite.config, [case.id for case in suite.cases], ending)


def _show_cases(suites: Sequence[Suite], console: Console, kept: Collection[str]) -> int:
    for suite in suites:
        console.print(f"{suite.source}: suite {suite.name}, {counted(len(suite.cases), 'case')}", highlight=False)
        for case in suite.cases:
            console.print(f"  {_describe(case)}{' (kept)' * (case.id in kept)}", highlight=False, soft_wrap=True)
    return 0


def _describe(case: Case) -> str:
    size = "each image's own size" if case.image_shape is None else "x".join(map(str, case.image_shape))
    return f"{case.id}: {case.optimization.backend} {case.optimization.precision_mode}, {case.dataset.name}, {size}"


def main() -> None:
    """Run as a program."""
    run_program(partial(typer.run, test))


if __name__ == "__main__":
    main()
