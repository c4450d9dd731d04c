"""What `bench datasets` shows of a dataset."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.catalog.data_home import home_of, how_to_get, missing_parts, provide, resolve_dataset
from bench.catalog.dataset_cards import DatasetCard
from bench.catalog.download import how_to_replace, obtain
from bench.catalog.lookup import dataset_card, names, of_all
from bench.catalog.unpack import Limits
from bench.errors import CatalogError, Rejected
from bench.preflight import check_in_child, check_request

LIMITS = Limits(size_bytes=64 << 30, files=500_000)  # COCO's largest archive is 19 GB of 118287 images
EVERY_IMAGE = 1 << 62  # more than there are: all that cannot be used are listed


@dataclass(frozen=True)
class State:
    """A dataset's card, and whether it is on this machine."""

    card: DatasetCard

    @property
    def is_here(self) -> bool:
        """Whether all its parts are there."""
        return not missing_parts(self.card) and home_of(self.card).is_dir()

    @property
    def status(self) -> str:
        """In a word or two."""
        if self.is_here:
            return "here"
        source = self.card.source
        if source.path:
            return "not there"
        return "to be made" if source.generator else "to be fetched" if source.archives else "to be obtained"

    def summary(self) -> dict[str, Any]:
        """For machines."""
        card = self.card
        known = {"name": card.name, "format": card.format, "num_images": card.num_images, "classes": card.classes}
        return {**known, "status": self.status, "folder": str(home_of(card)), "description": card.description}


def states() -> tuple[list[State], list[str]]:
    """Of all datasets, by name, and what is wrong with the cards that cannot be read."""
    return of_all("datasets", lambda name: State(dataset_card(name)))


def listing(found: list[State]) -> Table:
    """A table of them."""
    table = Table(box=None, header_style="bold")
    for heading in ("name", "format", "images", "on this machine"):
        table.add_column(heading, no_wrap=True)
    for state in found:
        table.add_row(state.card.name, state.card.format, str(state.card.num_images or ""), state.status)
    return table


def details(state: State) -> Table:
    """A card's entries, and where the dataset lies or how to get it."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")  # addresses and paths are there to be copied
    for key, value in _entries(state):
        table.add_row(key, value)
    return table


def generated(name: str) -> str:
    """The folder of a dataset that a script makes, made if it was not there."""
    card = dataset_card(name)
    if not card.source.generator:
        raise CatalogError(f"dataset {name!r} is not one that a script makes; `bench datasets show {name}` says more")
    provide(resolve_dataset(card))
    return str(home_of(card))


def download(name: str, console: Console) -> str:
    """The folder of a dataset, fetched if it was not there; a CatalogError says why it cannot be, and what to do."""
    state = State(dataset_card(name))
    source, home = state.card.source, home_of(state.card)
    if state.is_here:
        return str(home)
    if source.generator:
        raise CatalogError(f"dataset {name!r} is made, not fetched: `bench datasets generate {name}`")
    try:
        for archive in source.archives:
            if not (home / archive.folder).exists():
                obtain(archive.url, archive.sha256, None, home / archive.folder, console, LIMITS)
    except Rejected as error:
        remedy = how_to_replace(archive.url, home, names("datasets")[name])
        raise CatalogError(f"{error}\n{remedy}") from error
    except CatalogError as error:
        raise CatalogError(f"{error}\n{how_to_get(state.card, missing_parts(state.card))}") from error
    if missing := missing_parts(state.card):
        raise CatalogError(f"dataset {name!r}: {how_to_get(state.card, missing)}")
    return str(home)


def checked(name: str, num_images: int | None) -> int:
    """Say how many images can be used, and which cannot; the exit code: 0, or 2 where there are any of these.

    So it is where all images were looked at, and there are not as many as the card says.
    """
    card = dataset_card(name)
    dataset = resolve_dataset(card)
    if dataset.format == "synthetic":
        print(f"{name}: random images, drawn when they are fed: there is nothing to check")
        return 0
    provide(dataset)
    count, left_out = check_in_child(check_request(dataset, num_images=num_images, max_corrupt=EVERY_IMAGE))
    for _, problem in left_out:
        print(problem)
    differs = num_images is None and card.num_images not in (None, count + len(left_out))
    of = f"; its card says that there are {card.num_images}" if differs else ""
    print(f"{name}: {count} images can be used, {len(left_out)} cannot{of}")
    return 2 if left_out or differs else 0


def _entries(state: State) -> Iterator[tuple[str, str]]:
    card, source = state.card, state.card.source
    yield "name", card.name
    yield "what", card.description
    for key in ("format", "mean", "deviation", "num_images", "classes", "calibration", "licence"):
        if getattr(card, key) is not None:
            yield key.replace("_", " "), str(getattr(card, key))
    for archive in source.archives:
        yield "from", f"{archive.url} (sha256 {archive.sha256 or 'not known'})"
    if source.obtain:
        yield "from", source.obtain
    yield "on this machine", state.status
    if card.format == "synthetic":
        return
    yield "folder", str(home_of(card))
    if missing := missing_parts(card):
        yield "to get it", how_to_get(card, missing)
    yield "free there", f"{_free(state) / 1e9:.0f} GB"


def _free(state: State) -> int:
    home = home_of(state.card).resolve()
    there = next(path for path in (home, *home.parents) if path.exists())
    return shutil.disk_usage(there).free
