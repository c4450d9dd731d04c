"""`bench export`: a run in the format of another tool."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.compare.command import ACKNOWLEDGED, RESULTS, Acknowledged, OfSuite, Results
from bench.errors import ConfigError
from bench.export.formats import FORMATS, MLFLOW, check_format, rendered
from bench.program import told

if TYPE_CHECKING:
    from bench.export.run import ExportedRun


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, SUITE/RUN, `latest` or `golden`.")],
    format: Annotated[
        str, typer.Option("--format", help=f"One of {', '.join((*FORMATS, MLFLOW))}.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where it goes. Default: standard output.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="RUN",
            help="Hold the run against this one, `latest`, `golden` or `history`. "
            "Default: what `bench test --baseline` found, where it did.",
        ),
    ] = None,
    results: Results = RESULTS,
    suite: OfSuite = None,
    acknowledged: Acknowledged = ACKNOWLEDGED,
) -> None:
    """Write a run for another tool. The exit code says whether that worked, and not how the run came out."""
    with told():
        if format == MLFLOW:
            print(_logged(run, baseline, results, suite, acknowledged))
            return
        if format == "archive" and output is None:
            raise ConfigError("--format archive: no text for a screen; name a file with --output")
        data = _exported(run, check_format(format), baseline, results, suite, acknowledged)
        if output is not None:
            from bench.store import replace_atomic

            replace_atomic(output, data)
        else:
            sys.stdout.write(data.decode())


def _exported(
    word: str, format: str, baseline: str | None, results: Path, suite: str | None, acknowledged: Path
) -> bytes:
    return rendered(_read(word, baseline, results, suite, acknowledged), format)


def _logged(word: str, baseline: str | None, results: Path, suite: str | None, acknowledged: Path) -> str:
    """Log a run; says where it is."""
    from bench.export.mlflow import log_run

    run = _read(word, baseline, results, suite, acknowledged)
    return f"MLflow: experiment {run.suite}, run {log_run(run)}"


def _read(word: str, baseline: str | None, results: Path, suite: str | None, acknowledged: Path) -> ExportedRun:
    """A run with what it was judged by, or with what a baseline says of it now."""
    from bench.compare.baseline import compare, find_candidate
    from bench.compare.stored import kept
    from bench.compare.why import explained
    from bench.export.run import read_export

    run = find_candidate(word, results, suite)
    if baseline is None:
        return read_export(run.path, kept(run.path))
    return read_export(run.path, explained(compare(baseline, run, results, acknowledged, None), run))
