"""python -m bench.test CONFIG...: the main job, from configs to tables, plots and an exit code.

Exit codes: 0 passed, 1 an assertion failed, 2 usage or config, 3 inconclusive, 4 broken (a case failed, fell back or is
missing), 5 results could not be stored.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.catalog import provide
from bench.errors import BenchError, ConfigError
from bench.launch import check_data, run_worker
from bench.progress import Progress
from bench.record import Case, Record
from bench.store import create_run, save_record, save_suite
from bench.suite import Suite, load_suite
from bench.verdict import check_all, exit_code, natives, verdict


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
) -> None:
    """Measure the models of test configs: latency, throughput and accuracy, natively and optimised."""
    console = Console()
    try:
        suites = [load_suite(path, settings or (), select or ()) for path in configs]
        code = _show_cases(suites, console) if dry_run else run_suites(suites, results, console)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    raise typer.Exit(code)


def run_suites(suites: Sequence[Suite], results: Path, console: Console) -> int:
    """Make or check all data, run every suite, and give the exit code of the worst."""
    for suite in suites:
        _make_tmp_dir(suite)
    cases = [case for suite in suites for case in suite.cases]
    for dataset in dict.fromkeys(data for case in cases for data in (case.dataset, case.calibration) if data):
        provide(dataset)
    check_data(cases)
    verdicts = []
    for suite in suites:
        run = create_run(results, suite.name)
        records = _run_cases(suite, run, console)
        verdicts.append(_conclude(suite, run, records, console))
        if _interrupted(records):
            console.print(
                f"Stopped by Ctrl-C: {len(records) - 1} of {len(suite.cases)} cases were finished and are kept."
            )
            break
    return exit_code(verdicts)


def _run_cases(suite: Suite, run: Path, console: Console) -> list[Record]:
    """A record for every case, each kept as soon as it is there; Ctrl-C ends the list with the case that it hit."""
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=suite.benchmark.tmp_dir))
    records: list[Record] = []
    try:
        with Progress(console, len(suite.cases)) as progress:
            for case in suite.cases:
                progress.begin(case)
                here = case.model_copy(update={"scratch_dir": str(scratch)})
                record = run_worker(here, run / f"{case.id}.log", progress.listen)
                record = record.model_copy(update={"case": case})
                save_record(run, record)
                records.append(record)
                progress.end(record)
                if _interrupted(records):
                    break
    finally:
        if suite.benchmark.remove_tmp_dir:
            shutil.rmtree(scratch, ignore_errors=True)
    return records


def _conclude(suite: Suite, run: Path, records: Sequence[Record], console: Console) -> str:
    """Judge the records, write the reports, show the tables; gives the verdict."""
    # Plots take a second to import; --help and mistakes in a config should not wait for them.
    from bench.report.writer import show, write_reports, write_statistics

    checks = check_all(suite.assertions, records)
    outcome = verdict(records, checks) if len(records) == len(suite.cases) else "broken"
    ending = {"verdict": outcome, "assertions": [check.model_dump() for check in checks]}
    save_suite(run, suite.name, suite.config, [case.id for case in suite.cases], ending)
    write_reports(run, suite.name, records, outcome, checks)
    write_statistics(records, natives(records))
    show(console, records, outcome, checks, run)
    return outcome


def _interrupted(records: Sequence[Record]) -> bool:
    return bool(records) and records[-1].failure is not None and records[-1].failure.kind == "interrupted"


def _make_tmp_dir(suite: Suite) -> None:
    folder = suite.benchmark.tmp_dir
    if folder is None:
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        key = "benchmark_config.tmp_dir"
        raise ConfigError(f"{suite.source}: {key}: {folder!r} cannot be made: {error.strerror}") from error


def _show_cases(suites: Sequence[Suite], console: Console) -> int:
    for suite in suites:
        console.print(f"{suite.source}: suite {suite.name}, {len(suite.cases)} cases", highlight=False)
        for case in suite.cases:
            console.print(f"  {_describe(case)}", highlight=False, soft_wrap=True)
    return 0


def _describe(case: Case) -> str:
    size = "each image's own size" if case.image_shape is None else "x".join(map(str, case.image_shape))
    return f"{case.id}: {case.optimization.backend} {case.optimization.precision_mode}, {case.dataset.name}, {size}"


def main() -> None:
    """Run as a program."""
    typer.run(test)


if __name__ == "__main__":
    main()
