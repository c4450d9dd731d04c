"""The `bench` command: test, report, schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.errors import BenchError
from bench.test import end_on_signals, test

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(test)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run's folder, results/SUITE/RUN.", show_default=False)]) -> None:
    """Show a run again, and write its tables, plots and page anew from its records."""
    from bench.report.writer import show, write_reports
    from bench.store import load_checks, load_records, read_suite

    try:
        suite, records, checks = read_suite(run), load_records(run), load_checks(run)
        write_reports(run, suite["name"], records, suite["verdict"], checks)
        show(Console(), records, suite["verdict"], checks, run)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


@app.command()
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page of documentation.")] = False,
) -> None:
    """Print the JSON Schema of configs."""
    from bench.schema import json_schema, keys_as_markdown

    print(keys_as_markdown() if markdown else json_schema(), end="")


def main() -> None:
    """Run as a program."""
    end_on_signals()
    app()


if __name__ == "__main__":
    main()
