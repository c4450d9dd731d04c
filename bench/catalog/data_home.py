"""Datasets as they lie on this machine: found, generated, or how to get them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.case import Dataset
from bench.catalog.dataset_cards import DatasetCard, DatasetSource
from bench.catalog.lookup import cache_dir, dataset_card, names, shown
from bench.errors import CatalogError, ConfigError


def resolve_dataset(card: DatasetCard) -> Dataset:
    """A dataset with the paths of its parts; one that a script makes may not be there before `provide`.

    An error that says how to get it where it is to be fetched and is not there.
    """
    home = home_of(card)
    if missing := missing_parts(card):
        raise CatalogError(f"dataset {card.name!r} is not on this machine: {how_to_get(card, missing)}")
    if card.source.path and not home.is_dir():
        raise CatalogError(f"{shown(names('datasets')[card.name])}: source.path: {card.source.path!r}: no such folder")

    def part(name: str | None) -> str | None:
        return None if name is None else shown(home / name)

    return Dataset(
        name=card.name,
        format=card.format,
        images_dir=part(card.images_dir),
        annotation_path=part(card.annotation_path),
        labels_path=part(card.labels_path),
        classes_path=part(card.classes_path),
        pattern=part(card.pattern),
        mean=card.mean,
        deviation=card.deviation,
        first_label=card.first_label if card.first_label is not None else int(card.format == "tfrecords"),
    )


def provide(dataset: Dataset) -> None:
    """Make a dataset of ours that a script generates, unless it is there."""
    if dataset.name not in names("datasets"):
        return
    card = dataset_card(dataset.name)
    if card.source.generator and resolve_dataset(card) == dataset:
        _generate_once(card, names("datasets")[card.name].parent / card.source.generator)


def home_of(card: DatasetCard) -> Path:
    """The folder that a dataset's parts lie in, or are to be put."""
    folder = names("datasets")[card.name].parent
    if card.source.generator:
        return cache_dir() / f"{card.name}-{_made_from(card.source, folder / card.source.generator)[:12]}"
    if card.source.archives or card.source.obtain:
        return datasets_dir() / (card.source.folder or card.name)
    return folder / (card.source.path or ".")


def _made_from(source: DatasetSource, script: Path) -> str:
    """What tells apart what a script makes: its pixels' hash where the card has it, else its text and arguments."""
    if source.pixels_sha256 is not None:
        return source.pixels_sha256
    try:
        text = script.read_bytes()
    except OSError as error:
        raise CatalogError(f"{script}: cannot be read: {error.strerror}") from error
    return hashlib.sha256(b"\0".join([text, *(argument.encode() for argument in source.arguments)])).hexdigest()


def datasets_dir() -> Path:
    """Where fetched datasets lie: $BENCH_DATASETS, else in the cache."""
    return Path(os.environ.get("BENCH_DATASETS") or cache_dir() / "datasets")


def missing_parts(card: DatasetCard) -> list[Path]:
    """What is not there of a dataset that is to be fetched."""
    if not (card.source.archives or card.source.obtain):
        return []
    home = home_of(card)
    named = (card.images_dir, card.annotation_path, card.labels_path, card.classes_path)
    missing = [home / part for part in named if part is not None and not (home / part).exists()]
    if card.pattern is not None and not any(home.glob(card.pattern)):
        missing.append(home / card.pattern)
    return missing


def how_to_get(card: DatasetCard, missing: list[Path]) -> str:
    """What to fetch from where, and where to put it."""
    home, there = home_of(card), " and ".join(map(str, missing))
    another = "BENCH_DATASETS names another folder for datasets"
    if not card.source.archives:
        return f"{card.source.obtain}; put it in {home}, so that {there} is there; {another}"
    urls = " and ".join(archive.url for archive in card.source.archives)
    return (
        f"`bench datasets download {card.name}` fetches {urls}; without a network, fetch them elsewhere and "
        f"put them in {home} under their own names before you run that, or unpack each so that "
        f"{there} is there; {another}"
    )


def _generate_once(card: DatasetCard, script: Path) -> None:
    from filelock import FileLock  # slow to import, and --help has no use for it

    home = home_of(card)
    if home.is_dir():  # whole: it is made elsewhere, and moved there
        return
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
        if not made.is_dir():
            raise ConfigError(f"dataset {card.name!r}: {script.name} ended without an error, and made no folder --out")
        made.rename(home)


def _digest(output: str) -> str | None:
    """The hash that a generator prints of its pixels."""
    try:
        return str(json.loads(output)["pixels_sha256"])
    except (ValueError, KeyError, TypeError):
        return None
