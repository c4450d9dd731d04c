"""The model that a card describes, where it lies on this machine; else how to get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.case import ModelFormat
from bench.catalog.cards import ModelCard, Source
from bench.catalog.lookup import names, shown
from bench.errors import CatalogError

# By the ending of a file.
FORMATS: Mapping[str, ModelFormat] = {
    ".pb": "frozen_graph", ".meta": "checkpoint", ".keras": "keras", ".h5": "keras",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A model on this machine."""

    path: Path
    format: ModelFormat


def find_model(
    card: ModelCard,
    output_dir: str,
    input_dir: str | None = None,
    random_weights: bool = False,
    folder: Path | None = None,
) -> Found | None:
    """A card's trained model, or None for an architecture that is built; an error if it is not on this machine.

    `folder` is where the card lies; by default, where the card of its name does.
    """
    source = card.source
    if random_weights and source.keras_application is None:
        raise CatalogError(f"model {card.name!r} has no architecture that could be built with random weights")
    if random_weights and input_dir is not None:
        raise CatalogError("model_config.random_weights: input_dir is set too; keep one of them")
    if input_dir is not None:
        return _in_input_dir(source, Path(input_dir))
    if random_weights or not card.is_trained:
        return None
    if source.path:
        return _beside_card(card, folder or names("models")[card.name].parent)
    for place in places(card, output_dir):
        if _is_there(place, source.format):
            return Found(place, source.format)
    raise CatalogError(f"model {card.name!r} is not on this machine: {how_to_get(card, output_dir, folder)}")


def places(card: ModelCard, output_dir: str) -> tuple[Path, ...]:
    """Where a fetched model is looked for: in its own folder, then as if its archive was unpacked by hand."""
    inside = card.source.inside or "."
    return Path(output_dir) / card.name / inside, Path(output_dir) / (card.source.inside or card.name)


def how_to_get(card: ModelCard, output_dir: str, folder: Path | None = None) -> str:
    """What to fetch from where, and where to put it; `folder` is where the card lies, as in `find_model`."""
    place = places(card, output_dir)[0]
    ways = [
        f"fetch {card.source.url} with `bench models download {_called(card, folder)} --output-dir {output_dir}`",
        f"without a network, fetch it elsewhere and put it in {output_dir!r} under its own name before you run that, "
        f"or unpack it so that {_marker(place, card.source.format)} is there",
        "or set model_config.input_dir to where it lies",
    ]
    if card.source.keras_application:
        ways.append("or set model_config.random_weights to true, to measure its architecture's speed alone")
    return "; ".join(ways)


def _called(card: ModelCard, folder: Path | None) -> str:
    """How a command names a card: by its path, if it is not the one that is found by its name."""
    if folder is None or names("models").get(card.name, Path()).parent.resolve() == folder.resolve():
        return card.name
    return shown(folder / f"{card.name}.json")


def saved_model_in(folder: Path, key: str) -> Path:
    """The SavedModel at a folder or in its saved_model/, as in the model zoo's archives."""
    for candidate in (folder, folder / "saved_model"):
        if (candidate / "saved_model.pb").is_file():
            return candidate
    what = "is not a SavedModel: no saved_model.pb in it" if folder.is_dir() else "no such folder"
    raise CatalogError(f"{key}: {str(folder)!r}: {what}")


def _in_input_dir(source: Source, folder: Path) -> Found:
    """A SavedModel, whatever the card's format is; else what the card's archive holds."""
    if source.format != "saved_model" and source.inside:
        for place in (folder / source.inside, folder / Path(source.inside).name):
            if _is_there(place, source.format):
                return Found(place, source.format)
    return Found(saved_model_in(folder, "model_config.input_dir"), "saved_model")


def _beside_card(card: ModelCard, folder: Path) -> Found:
    file, place = shown(folder / f"{card.name}.json"), folder / (card.source.path or "")
    if card.source.format == "saved_model":
        kind = FORMATS.get(".meta" if _is_there(place, "checkpoint") else place.suffix)
        if kind is not None and place.name != "saved_model.pb" and not place.is_dir() and _is_there(place, kind):
            raise CatalogError(f"{file}: source.path: {str(place)!r} is no SavedModel: set source.format to {kind!r}")
        return Found(saved_model_in(place, f"{file}: source.path"), "saved_model")
    if not _is_there(place, card.source.format):
        raise CatalogError(f"{file}: source.path: {str(place)!r}: no such {card.source.format}")
    return Found(place, card.source.format)


def _is_there(place: Path, model_format: ModelFormat) -> bool:
    return _marker(place, model_format).is_file()


def _marker(place: Path, model_format: ModelFormat) -> Path:
    """The file that tells that a model is there."""
    if model_format == "saved_model":
        return place / "saved_model.pb"
    return place.with_name(f"{place.name}.meta") if model_format == "checkpoint" else place
