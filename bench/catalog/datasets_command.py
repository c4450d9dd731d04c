"""The `bench datasets` commands: list, show, download, check, generate."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from bench.errors import CatalogError
from bench.program import told

datasets = typer.Typer(help="The datasets that a config can name.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A dataset's name.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for machines.")]


@datasets.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List the datasets that have a card, and which are on this machine."""
    from bench.catalog.shown_datasets import listing, states

    with told():
        found, faults = states()
        if as_json:
            print(json.dumps([state.summary() for state in found], indent=2))
        else:
            Console().print(listing(found))
        if faults:
            raise CatalogError("\n".join(faults))


@datasets.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a dataset's card, where it lies, and else how to get it."""
    from bench.catalog.lookup import dataset_card
    from bench.catalog.shown_datasets import State, details

    with told():
        state = State(dataset_card(name))
        if as_json:
            print(json.dumps({"card": state.card.model_dump(mode="json"), **state.summary()}, indent=2))
        else:
            Console().print(details(state))


@datasets.command()
def generate(name: Name) -> None:
    """Make a dataset of those that a script generates, unless it is there."""
    from bench.catalog.shown_datasets import generated

    with told():
        print(generated(name))


@datasets.command()
def download(name: Name) -> None:
    """Fetch a dataset's archives, check and unpack them; an interrupted download goes on where it ended."""
    from bench.catalog.shown_datasets import download as found

    with told():
        print(found(name, Console(stderr=True)))


@datasets.command()
def check(
    name: Name,
    num_images: Annotated[int | None, typer.Option("--num-images", min=1, help="The first so many alone.")] = None,
) -> None:
    """Open every image, and say which cannot be used."""
    from bench.catalog.shown_datasets import checked

    with told():
        code = checked(name, num_images)
    raise typer.Exit(code)
