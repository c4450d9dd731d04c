"""The catalog: cards of models and datasets by name, and datasets as they lie on this machine.

A card is a JSON file under models/ or datasets/, beside the package or in the working directory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from bench.cards import Card, ModelCard
from bench.config import Location, describe
from bench.errors import CatalogError, ConfigError, nearest
from bench.part import Part
from bench.record import Dataset

ROOT = Path(__file__).resolve().parent.parent


class DatasetSource(Part):
    """Where a dataset comes from: exactly one of these."""

    path: str | None = None  # relative to the card
    generator: str | None = None  # a script beside the card
    arguments: tuple[str, ...] = ()
    pixels_sha256: str | None = None


class DatasetCard(Card):
    """A dataset: its format and where its parts lie, relative to its folder."""

    source: DatasetSource
    format: Literal["coco", "labels", "images", "synthetic"]
    images_dir: str | None = None
    annotation_path: str | None = None
    labels_path: str | None = None
    num_images: int | None = None
    classes: int | None = None
    calibration: str | None = None


AnyCard = TypeVar("AnyCard", bound=Card)


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


def resolve_dataset(card: DatasetCard) -> Dataset:
    """A dataset with the paths of its parts; one that a script makes may not be there before `provide`."""
    home = _home(card)

    def part(name: str | None) -> str | None:
        return None if name is None else shown(home / name)

    return Dataset(
        name=card.name,
        format=card.format,
        images_dir=part(card.images_dir),
        annotation_path=part(card.annotation_path),
        labels_path=part(card.labels_path),
    )


def provide(dataset: Dataset) -> None:
    """Make a dataset of ours that a script generates, unless it is there."""
    if dataset.name not in names("datasets"):
        return
    card = dataset_card(dataset.name)
    if card.source.generator and resolve_dataset(card) == dataset:
        _generate_once(card, names("datasets")[card.name].parent / card.source.generator)


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
    return read_card(cards[name], model)


def read_card(file: Path, model: type[AnyCard]) -> AnyCard:
    """The card in a file; errors say where in it something is wrong."""

    def keys(location: Location) -> list[str]:
        return keys_at(model, location)

    try:
        card = model.model_validate_json(file.read_bytes())
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


def _home(card: DatasetCard) -> Path:
    folder = names("datasets")[card.name].parent
    if card.source.generator:
        key = (card.source.pixels_sha256 or "unverified")[:12]
        return cache_dir() / f"{card.name}-{key}"
    if card.source.path:
        return folder / card.source.path
    return folder


def _generate_once(card: DatasetCard, script: Path) -> None:
    from filelock import FileLock  # slow to import, and --help has no use for it

    home = _home(card)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{home}.lock"):
            if not home.is_dir():
                _generate(card, script, home)
    except OSError as error:
        raise CatalogError(
            f"dataset {card.name!r}: cannot be made in {home.parent}: {error.strerror}; "
            "set BENCH_CACHE to another folder"
        ) from error


def _generate(card: DatasetCard, script: Path, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        made = Path(scratch) / "made"
        command = [sys.executable, str(script), *card.source.arguments, "--out", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ConfigError(f"dataset {card.name!r}: {script.name} failed: {done.stderr.strip()[-500:]}")
        expected = card.source.pixels_sha256
        digest = _digest(done.stdout) if expected else None
        if digest != expected:
            raise ConfigError(
                f"dataset {card.name!r}: {script.name} made other pixels than the card's: sha256 {digest}"
            )
        made.rename(home)


def _digest(output: str) -> str | None:
    """The hash that a generator prints of its pixels."""
    try:
        return str(json.loads(output)["pixels_sha256"])
    except (ValueError, KeyError, TypeError):
        return None
