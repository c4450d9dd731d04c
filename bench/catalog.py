"""The catalog: cards of models and datasets, and whether what they describe lies on this machine.

A card is a JSON file under models/ or datasets/, beside the package or in the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from bench.config import Location, describe
from bench.dataset_cards import DatasetCard, DatasetSource
from bench.errors import CatalogError, nearest
from bench.part import Part
from bench.record import Task
from bench.sections import Preprocess, Shape

ROOT = Path(__file__).resolve().parent.parent


class Source(Part):
    """Where a model or dataset comes from: exactly one of these."""

    path: str | None = None  # relative to the card
    url: str | None = None
    saved_model: str | None = None  # the SavedModel's folder inside what url gives
    keras_application: str | None = None  # an architecture of tf.keras.applications, with random weights


class Card(Part):
    """What every card says."""

    model_config = ConfigDict(defer_build=True, strict=True)

    name: str
    description: str
    source: Source
    licence: str | None = None


class ModelCard(Card):
    """A model: its task, where it is, and how to feed it."""

    task: Task
    image_shape: Shape | None = None
    preprocess: Preprocess = "raw"
    class_offset: int = 0
    dataset: str | None = Field(None, description="What it is evaluated on where the config names nothing else")
    published: dict[str, Any] | None = None


AnyCard = TypeVar("AnyCard", ModelCard, DatasetCard)


def model_card(name: str) -> ModelCard:
    """The card of a model; an error with the nearest name where there is none."""
    return _card("models", name, ModelCard)


def dataset_card(name: str) -> DatasetCard:
    """The card of a dataset; an error with the nearest name where there is none."""
    return _card("datasets", name, DatasetCard)


def names(kind: str) -> dict[str, Path]:
    """The cards of a kind, "models" or "datasets", by name; the working directory's come first."""
    files = [file for root in (ROOT, Path.cwd()) for file in sorted((root / kind).glob("*.json"))]
    return {file.stem: file for file in files}


def model_dir(card: ModelCard, output_dir: str, input_dir: str | None) -> Path | None:
    """The folder of a card's SavedModel, or None for an architecture that is built; an error if it is not here."""
    if input_dir is not None:
        return saved_model_in(Path(input_dir), "model_config.input_dir")
    if card.source.keras_application:
        return None
    if card.source.path:
        return saved_model_in(names("models")[card.name].parent / card.source.path, f"models/{card.name}.json")
    home = Path(output_dir) / (card.source.saved_model or card.name)
    if (home / "saved_model.pb").is_file():
        return home
    raise CatalogError(
        f"model {card.name!r} is not on this machine: fetch {card.source.url}, unpack it in {output_dir!r} so that "
        f"{home}/saved_model.pb is there, or set model_config.input_dir to where it lies"
    )


def saved_model_in(folder: Path, key: str) -> Path:
    """The SavedModel at a folder or in its saved_model/, as in the model zoo's archives."""
    for candidate in (folder, folder / "saved_model"):
        if (candidate / "saved_model.pb").is_file():
            return candidate
    what = "is not a SavedModel: no saved_model.pb in it" if folder.is_dir() else "no such folder"
    raise CatalogError(f"{key}: {str(folder)!r}: {what}")


def shown(path: Path) -> str:
    """A path as records keep it: relative where it lies under the working directory."""
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)


def cache_dir() -> Path:
    """Where generated datasets are kept: $BENCH_CACHE, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tf-bench"
    return Path(os.environ.get("BENCH_CACHE") or default)


def _card(kind: str, name: str, model: type[AnyCard]) -> AnyCard:
    cards = names(kind)
    if name not in cards:
        hint = nearest(name, cards) or f"; known: {', '.join(sorted(cards)) or 'none'}"
        raise CatalogError(f"no {kind[:-1]} {name!r}{hint}")
    file = cards[name]

    def keys(location: Location) -> list[str]:
        source = DatasetSource if kind == "datasets" else Source
        return list((source if location else model).model_fields)

    try:
        card = model.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise CatalogError("\n".join(describe(str(file), part, keys) for part in error.errors())) from error
    if card.name != name:
        raise CatalogError(f"{file}: name: {card.name!r} is not the file's own name")
    return card
