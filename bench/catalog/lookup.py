"""The catalog: cards of models and datasets by name.

A card is a JSON file under models/ or datasets/, beside the package or in the working directory. A model's card
may also be named by its path, wherever it lies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError

from bench.catalog.cards import ModelCard
from bench.catalog.dataset_cards import DatasetCard
from bench.config import Location, decoded, describe
from bench.errors import CatalogError, ConfigError, nearest

ROOT = Path(__file__).resolve().parents[2]


AnyCard = TypeVar("AnyCard", ModelCard, DatasetCard)
Read = TypeVar("Read")


def model_card(name: str) -> ModelCard:
    """The card of a model, by its name or path; an error with the nearest name where there is none."""
    return read_card(model_file(name), ModelCard)


def model_file(name: str) -> Path:
    """The file of a model's card: the path itself, if it ends in .json, else the card of that name."""
    if not name.endswith(".json"):
        return _file("models", name)
    if not Path(name).is_file():
        raise CatalogError(f"no card {name!r}: a name that ends in .json is the path of a card")
    return Path(name)


def dataset_card(name: str) -> DatasetCard:
    """The card of a dataset; an error with the nearest name where there is none."""
    return read_card(_file("datasets", name), DatasetCard)


def names(kind: str) -> dict[str, Path]:
    """The cards of a kind, "models" or "datasets", by name; the working directory's come first."""
    files = [file for root in (ROOT, Path.cwd()) for file in sorted((root / kind).glob("*.json"))]
    return {file.stem: file for file in files}


def of_all(kind: str, read: Callable[[str], Read]) -> tuple[list[Read], list[str]]:
    """What `read` makes of each card of a kind, by name; and what is wrong with the cards that cannot be read."""
    found: list[Read] = []
    faults: list[str] = []
    for name in sorted(names(kind)):
        try:
            found.append(read(name))
        except CatalogError as error:
            faults.append(str(error))
    return found, faults


def shown(path: Path) -> str:
    """A path as records keep it: relative where it lies under the working directory, without detours by `..`."""
    place = path.resolve()
    if place.is_relative_to(Path.cwd()):
        return os.path.relpath(path)
    short = os.path.normpath(path)
    return short if Path(short).resolve() == place else str(path)


def cache_dir() -> Path:
    """Where generated datasets are kept: $BENCH_CACHE, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tf-bench"
    return Path(os.environ.get("BENCH_CACHE") or default)


def conversions_dir() -> Path:
    """Where conversions are kept."""
    return cache_dir() / "conversions"


def _file(kind: str, name: str) -> Path:
    cards = names(kind)
    if name not in cards:
        hint = nearest(name, cards) or f"; known: {', '.join(sorted(cards)) or 'none'}"
        raise CatalogError(f"no {kind[:-1]} {name!r}{hint}")
    return cards[name]


def read_card(file: Path, model: type[AnyCard]) -> AnyCard:
    """The card in a file; errors say where in it something is wrong."""

    def keys(location: Location) -> list[str]:
        return keys_at(model, location)

    try:
        card = model.model_validate_json(json.dumps(decoded(file, "a card is a JSON object")))
    except ConfigError as error:
        raise CatalogError(str(error)) from error
    except ValidationError as error:
        raise CatalogError("\n".join(describe(str(file), part, keys) for part in error.errors())) from error
    if card.name != file.stem:
        raise CatalogError(f"{file}: name: {card.name!r} is not the file's own name")
    return card


def keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that the object at a location in a card may have."""
    for key in location:
        if not isinstance(key, str) or key not in model.model_fields:
            continue  # an index, or a key of an object whose keys are free
        parts = [model.model_fields[key].annotation]
        while parts:
            part = parts.pop()
            if isinstance(part, type) and issubclass(part, BaseModel):
                model = part
                break
            parts.extend(get_args(part))
    return list(model.model_fields)
