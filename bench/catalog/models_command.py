"""The `bench models` commands: list, show, download, check, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.errors import CatalogError
from bench.program import told

models = typer.Typer(help="The models that a config can name.", no_args_is_help=True)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A model's name, or the path of its card.", show_default=False)
]
OutputDir = Annotated[
    str, typer.Option("--output-dir", metavar="DIR", help="Where downloaded models lie, as model_config.output_dir.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for machines.")]


@models.command("list")
def list_models(
    output_dir: OutputDir = ".",
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/models.md.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the models that have a card, and which are on this machine."""
    from bench.catalog.card_pages import models_page
    from bench.catalog.shown_models import listing, states

    with told():
        if markdown:
            print(models_page(), end="")
            return
        found, faults = states(output_dir)
        if as_json:
            print(json.dumps([state.summary() for state in found], indent=2))
        else:
            Console().print(listing(found))
        if faults:
            raise CatalogError("\n".join(faults))


@models.command()
def show(name: Name, output_dir: OutputDir = ".", as_json: AsJson = False) -> None:
    """Show a model's card, whether it is on this machine, and else how to get it."""
    from bench.catalog.shown_models import details, state_of

    with told():
        state = state_of(name, output_dir)
        if as_json:
            print(json.dumps({"card": state.card.model_dump(mode="json"), **state.summary()}, indent=2))
        else:
            Console().print(details(state))


@models.command()
def download(name: Name, output_dir: OutputDir = ".") -> None:
    """Fetch a model's archive, check it, and unpack it; an interrupted download goes on where it ended."""
    from bench.catalog.download import download_model

    with told():
        print(download_model(name, Path(output_dir), Console(stderr=True)))


@models.command()
def check(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A card, by path or name, or a model: a SavedModel's folder, or a .pb, .meta, .keras, .h5 file.",
            show_default=False,
        ),
    ],
    output_dir: OutputDir = ".",
) -> None:
    """Check a card and the model that it describes, or a model: can it be benchmarked, and as what."""
    from bench.catalog.check_model import check_path

    with told():
        problems = False
        for line in check_path(path, output_dir):
            print(line.text)
            problems |= line.is_problem
    raise typer.Exit(2 if problems else 0)


@models.command()
def schema() -> None:
    """Print the JSON Schema of cards."""
    from bench.catalog.card_pages import card_schema

    print(card_schema(), end="")
