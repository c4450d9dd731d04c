"""The JSON Schema of models' cards, and docs/models.md: both made from cards.py and the cards."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bench.case import Tensor
from bench.catalog.cards import ModelCard, Published, Source
from bench.catalog.lookup import model_card, names
from bench.schema import table

METRICS = ("top1", "top5", "map", "map50")


def card_schema() -> str:
    """The schema that editors complete and check a model's card with."""
    schema = ModelCard.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Model card"
    return json.dumps(schema, indent=2) + "\n"


def models_page() -> str:
    """Every card, and every key of a card, as a page of documentation."""
    cards = [model_card(name) for name in sorted(names("models"))]
    parts = ["# Models", _INTRODUCTION]
    for task in ("classification", "detection"):
        parts += [f"## {task.capitalize()}\n", *_models([card for card in cards if card.task == task]), ""]
    parts += [_FIGURES, *_published(cards), "\n## The card", _CARD, *table(ModelCard)]
    for key, part in (("source", Source), ("inputs and outputs", Tensor), ("published", Published)):
        parts += [f"\n### {key}\n", (part.__doc__ or "") + "\n", *table(part)]
    return "\n".join(parts) + "\n"


def origin(card: ModelCard) -> str:
    """Where a card's model comes from, in words."""
    trained = "comes with tf-bench" if card.source.path else "download" if card.source.url else None
    random = f"{card.source.keras_application}, random weights" if card.source.keras_application else None
    return " or ".join(way for way in (trained, random) if way)


def accuracy(card: ModelCard) -> str:
    """The published accuracy of the native model, in words."""
    figures = card.published.model_dump(include=set(METRICS), exclude_none=True) if card.published else {}
    return ", ".join(f"{name} {figures[name]:g}" for name in METRICS if name in figures)


def size(card: ModelCard) -> str:
    """The size of the images that a model is made for."""
    shape = card.image_shape or card.resizer_shape
    return "any" if shape is None else f"{shape[0]}x{shape[1]}"


def _models(cards: list[ModelCard]) -> Iterator[str]:
    yield "| name | from | size | preprocess | class offset | published |"
    yield "| --- | --- | --- | --- | ---: | --- |"
    for card in cards:
        cells = (f"`{card.name}`", origin(card), size(card), card.preprocess, str(card.class_offset), accuracy(card))
        yield f"| {' | '.join(cells)} |"


def _published(cards: list[ModelCard]) -> Iterator[str]:
    yield "| name | native | FP32 | FP16 | INT8 |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for card in cards:
        if card.published is not None and card.published.modes:
            modes = [card.published.modes.get(mode, {}).get("top1") for mode in ("FP32", "FP16", "INT8")]
            cells = (f"{top1:.4f}" if top1 is not None else "" for top1 in (card.published.top1, *modes))
            yield f"| `{card.name}` | {' | '.join(cells)} |"


_INTRODUCTION = """
Made by `bench models list --markdown` from the cards in `models/`. `bench models show NAME` says all that a card does,
and whether the model is on this machine; `bench models download NAME` fetches it; [adding.md](adding.md) adds one.

Random weights are for speed alone: records, tables and plots say so, and accuracy is not reported. Where a model can be
had both ways, `model_config.random_weights` builds its architecture.
"""

_FIGURES = """## Published top-1 by precision

Of the architectures that the TF-TRT guide verified, as their cards cite it: what a trained model is held against. INT8
is of Turing's column, that of `inception_v4` of Volta's, which alone has one. No run of tf-bench gave these figures.
"""

_CARD = """
`bench/card.schema.json` tells the same to editors. Where no default is given, the key may be left out, but for `name`,
`description`, `task` and `source`.
"""
