"""Write a run's reports, and show its tables on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.record import Check, Environment, Record
from bench.repeats import merged
from bench.report.comparison import Comparison, compare_cases, compare_runs
from bench.report.exports import original_statistics
from bench.report.html import page
from bench.report.logs import Logs, read_logs
from bench.report.plots import plots
from bench.report.sittings import said
from bench.report.tables import csv_text, markdown, rich_tables
from bench.statistics.summary import natives, summarize
from bench.store import load_checks, load_records, read_suite, replace_atomic
from bench.verdict import broken_because


def write_reports(
    folder: Path, title: str, records: Sequence[Record], verdict: str, checks: Sequence[Check], run: Path | None = None
) -> None:
    """comparison.md, comparison.csv, comparison.html and plots/ in a folder; the logs are of `run`, if not of that."""
    compared = compare_cases(merged(records), broken_because)
    logs = read_logs(folder if run is None else run, records)
    _write(folder, title, compared, _environment(records), logs, verdict, checks)


def show(console: Console, records: Sequence[Record], verdict: str, checks: Sequence[Check], run: Path) -> None:
    """Tables, what became of the assertions, the verdict, and where it all lies."""
    console.print(rich_tables(compare_cases(merged(records), broken_because)))
    for check in (check for check in checks if check.outcome != "passed"):
        where = f"{check.case_id}: " if check.case_id else ""
        console.print(
            f"{check.outcome.upper():<12} {where}{check.expression}  ({check.explanation})",
            markup=False,
            soft_wrap=True,
        )
    passed = sum(check.outcome == "passed" for check in checks)
    if passed:
        console.print(f"{passed} of {len(checks)} assertions about single cases passed", highlight=False)
    console.print(f"Verdict: {verdict}", style="bold", markup=False)
    console.print(f"Results: {run}", markup=False, highlight=False, soft_wrap=True)


def report_run(console: Console, run: Path, folder: Path) -> None:
    """Show a run again; its reports go to a folder, which may be its own."""
    suite, records, checks = read_suite(run), load_records(run), load_checks(run)
    line = said(suite["verdict"], suite.get("planned", suite["cases"]), records)
    write_reports(folder, suite["name"], records, line, checks, run)
    show(console, records, line, checks, folder)


def report_runs(console: Console, runs: Sequence[Path], folder: Path | None) -> None:
    """Show several runs side by side, without a verdict; their reports go to a folder, if there is one."""
    title = ", ".join(dict.fromkeys(str(read_suite(run)["name"]) for run in runs))
    records = [load_records(run) for run in runs]
    comparisons = compare_runs([merged(each) for each in records], broken_because)
    console.print(rich_tables(comparisons))
    if folder is not None:
        logs = {
            key: text for run, each in zip(runs, records, strict=True) for key, text in read_logs(run, each).items()
        }
        _write(folder, title, comparisons, _environment([record for each in records for record in each]), logs)
        console.print(f"Reports: {folder}", markup=False, highlight=False, soft_wrap=True)


def write_statistics(records: Sequence[Record]) -> None:
    """The original statistics file of every case whose config names one."""
    records = merged(records)
    native = natives(records)
    for record in records:
        if record.case.output_path is not None:
            summary = summarize(record, native.get(record.case.comparison))
            replace_atomic(Path(record.case.output_path), original_statistics(record, summary).encode())


def _write(
    folder: Path, title: str, comparisons: Sequence[Comparison], environment: Environment | None, logs: Logs,
    verdict: str = "", checks: Sequence[Check] = (),
) -> None:  # fmt: skip
    pictures = plots(comparisons)
    for name, data in pictures.items():
        replace_atomic(folder / "plots" / name, data)
    replace_atomic(folder / "comparison.md", markdown(comparisons, environment, verdict, checks).encode())
    replace_atomic(folder / "comparison.csv", csv_text(comparisons).encode())
    html = page(title, comparisons, environment, pictures, verdict, checks, logs)
    replace_atomic(folder / "comparison.html", html.encode())


def _environment(records: Sequence[Record]) -> Environment | None:
    """What they were measured on, where that was one machine."""
    found = [record.environment for record in records if record.environment is not None]
    return found[0] if len({(each.hostname, each.driver, each.gpus) for each in found}) == 1 else None
