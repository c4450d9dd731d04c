"""Write a run's reports, and show its tables on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.record import Check, Record
from bench.repeats import merged
from bench.report.comparison import compare_cases
from bench.report.exports import original_statistics
from bench.report.html import page
from bench.report.plots import plots
from bench.report.tables import csv_text, markdown, rich_tables
from bench.statistics import natives, summarize
from bench.store import replace_atomic
from bench.verdict import broken_because


def write_reports(run: Path, title: str, records: Sequence[Record], verdict: str, checks: Sequence[Check]) -> None:
    """comparison.md, comparison.csv, comparison.html and plots/ in the run's folder, made anew from its records."""
    comparisons = compare_cases(merged(records), broken_because)
    environment = next((record.environment for record in records if record.environment is not None), None)
    pictures = plots(comparisons)
    for name, data in pictures.items():
        replace_atomic(run / "plots" / name, data)
    replace_atomic(run / "comparison.md", markdown(comparisons, environment, verdict, checks).encode())
    replace_atomic(run / "comparison.csv", csv_text(comparisons).encode())
    replace_atomic(run / "comparison.html", page(title, comparisons, environment, pictures, verdict, checks).encode())


def write_statistics(records: Sequence[Record]) -> None:
    """The original statistics file of every case whose config names one."""
    records = merged(records)
    native = natives(records)
    for record in records:
        if record.case.output_path is not None:
            summary = summarize(record, native.get(record.case.comparison))
            replace_atomic(Path(record.case.output_path), original_statistics(record, summary).encode())


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
