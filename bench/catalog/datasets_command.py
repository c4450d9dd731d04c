"""The `bench datasets` commands: list, show, download, check, generate."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from bench.errors import BenchError

datasets = typer.Typer(help="The datasets that a config can name.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A dataset's name.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for machines.")]


@contextmanager
def _told() -> Iterator[None]:
    """An error of ours as one message and its exit code."""
    try:
        yield
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


@datasets.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List the datasets that have a card, and which are on this machine."""
    from bench.catalog.shown_datasets import listing, states

    with _told():
        if as_json:
            print(json.dumps([state.summary() for state in states()], indent=2))
        else:
            Console().print(listing(states()))


@datasets.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a dataset's card, where it lies, and else how to get it."""
    from bench.catalog.lookup import dataset_card
    from bench.catalog.shown_datasets import State, details

    with _told():
        state = State(dataset_card(name))
        if as_json:
            print(json.dumps({"card": state.card.model_dump(mode="json"), **state.summary()}, indent=2))
        else:
            Console().print(details(state))


@datasets.command()
def generate(name: Name) -> None:
    """Make a dataset of those that a script generates, unless it is there."""
    from bench.catalog.shown_datasets import generated

    with _told():
        print(generated(name))


@datasets.command()
def download(name: Name) -> None:
    """Fetch a dataset's archives, check and unpack them; an interrupted download goes on where it ended."""
    from bench.catalog.shown_datasets import download as found

    with _told():
        print(found(name, Console(stderr=True)))


@datasets.command()
def check(
    name: Name,
    num_images: Annotated[int | None, typer.Option("--num-images", min=1, help="The first so many alone.")] = None,
) -> None:
    """Open every image, and say which cannot be used."""
    from bench.catalog.shown_datasets import checked

    with _told():
        code = checked(name, num_images)
    raise typer.Exit(code)
