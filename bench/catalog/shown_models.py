"""What `bench models list` and `show` show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rich.console import Group, RenderableType
from rich.table import Column, Table

from bench.case import Task
from bench.catalog.card_pages import accuracy, origin, size
from bench.catalog.cards import ModelCard
from bench.catalog.find import find_model, how_to_get
from bench.catalog.lookup import model_file, of_all, read_card, shown
from bench.errors import CatalogError


@dataclass(frozen=True)
class State:
    """A card, and whether its model is on this machine."""

    card: ModelCard
    output_dir: str
    folder: Path  # where the card lies

    @property
    def path(self) -> str | None:
        """Where the trained model lies; None where it is not here, or is built when it is needed."""
        try:
            found = find_model(self.card, self.output_dir, folder=self.folder)
        except CatalogError:
            return None
        return None if found is None else shown(found.path)

    @property
    def word(self) -> str:
        """Whether it can be used as things are."""
        if self.path is not None:
            return "here"
        if not self.card.is_trained:
            return "random weights"
        return "to be fetched"

    def summary(self) -> dict[str, Any]:
        card = self.card
        return {"name": card.name, "task": card.task, "from": origin(card), "state": self.word, "path": self.path}


def states(output_dir: str) -> tuple[list[State], list[str]]:
    """All cards, and what is wrong with those that cannot be read."""
    return of_all("models", lambda name: state_of(name, output_dir))


def state_of(name: str, output_dir: str) -> State:
    """The card of that name or path."""
    file = model_file(name)
    return State(read_card(file, ModelCard), output_dir, file.parent)


def listing(found: Sequence[State]) -> RenderableType:
    """All cards, a table for each task: names stand whole on 80 columns."""
    return Group(*(_listing(task, [state for state in found if state.card.task == task]) for task in get_args(Task)))


def _listing(task: str, found: Sequence[State]) -> Table:
    names = (Column(name, no_wrap=True) for name in ("state", "size", "published"))
    table = Table(Column(task, overflow="fold"), *names, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for state in found:
        table.add_row(state.card.name, state.word, size(state.card), accuracy(state.card))
    return table


def details(state: State) -> RenderableType:
    """A card in full, and where its model is."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in _pairs(state.card.model_dump(mode="json", exclude_defaults=True)):
        table.add_row(key, value)
    table.add_row("on this machine", state.path or state.word)
    if state.card.source.url:
        table.add_row("checksum", _checksum(state.card))
    if state.card.is_trained and state.path is None:
        table.add_row("to get it", how_to_get(state.card, state.output_dir, state.folder))
    return Group(table)


def _pairs(fields: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        if isinstance(value, dict) and value and key in ("source", "published"):
            yield from _pairs(value, f"{prefix}{key}.")
        elif key in ("inputs", "outputs"):
            yield prefix + key, "\n".join(f"{spec['name']} {spec['shape']} {spec.get('dtype', '')}" for spec in value)
        elif value is not None:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


def _checksum(card: ModelCard) -> str:
    if card.source.sha256:
        return f"verified, as {card.source.sha256_source or 'the card'} says"
    return "unverified: recorded at the first download, and compared from then on"
