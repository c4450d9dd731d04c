"""The `bench` command: test, compare, export, history, aa, report, models, datasets, doctor, engine, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.catalog.datasets_command import datasets
from bench.catalog.models_command import models
from bench.compare.command import RESULTS, OfSuite, Results, compare
from bench.export.command import export
from bench.history.command import app as history
from bench.program import run_program, told
from bench.test import test

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(test)
app.command()(compare)
app.command()(export)
engine = typer.Typer(help="Look into what TF-TRT converted.", no_args_is_help=True)
app.add_typer(engine, name="engine")
app.add_typer(models, name="models")
app.add_typer(datasets, name="datasets")
app.add_typer(history, name="history")


@app.command()
def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs' folders, SUITE/RUN, `latest` or `golden`.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Where reports go. Those of several runs are only written there."),
    ] = None,
    results: Results = RESULTS,
    suite: OfSuite = None,
) -> None:
    """Show runs again, several side by side; write a run's tables, plots and page anew from its records."""
    from bench.history.runs import find_run
    from bench.report.writer import report_run, report_runs

    with told():
        folders = [find_run(word, results, suite) for word in runs]
        if len(folders) == 1:
            report_run(Console(), folders[0], output or folders[0])
        else:
            report_runs(Console(), folders, output)


@app.command()
def aa(
    config: Annotated[Path, typer.Argument(help="A test config in JSON.", show_default=False)],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key, as for `bench test`.")
    ] = None,
    select: Annotated[
        list[str] | None, typer.Option("--select", metavar="PATTERN", help="The one case, by its id.")
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=2, help="Pairs of processes.")] = 6,
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="Where results are kept.")] = Path(
        "results"
    ),
) -> None:
    """Measure one case against itself: how often differences are seen that are none, and which are resolved."""
    from bench.aa import run_aa

    with told():
        raise typer.Exit(run_aa(config, settings or (), select or (), pairs, results))


@app.command()
def doctor(
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME|PATH", help="Which ops of this model TF-TRT would convert.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False,
) -> None:
    """Say what this machine can run, and why it cannot run the rest."""
    from bench.doctor.examine import examine
    from bench.doctor.screen import screen

    with told():
        diagnosis = examine(model)
    if as_json:
        print(diagnosis.model_dump_json(indent=2))
    else:
        Console().print(screen(diagnosis))


@engine.command("extract")
def extract_engines(
    model: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A converted SavedModel.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the files go.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    parts: Annotated[bool, typer.Option("--parts", help="Write engines that are but parts of the model, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False,
) -> None:
    """Write the engine of a converted SavedModel as a TensorRT plan that stands alone."""
    from bench.extract import extract, screen

    with told():
        extraction = extract(model, output, force, parts)
    if as_json:
        print(extraction.model_dump_json(indent=2))
    else:
        Console().print(screen(extraction))


@app.command()
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page of documentation.")] = False,
) -> None:
    """Print the JSON Schema of configs."""
    from bench.schema import json_schema, keys_as_markdown

    print(keys_as_markdown() if markdown else json_schema(), end="")


def main() -> None:
    """Run as a program."""
    run_program(app)


if __name__ == "__main__":
    main()
