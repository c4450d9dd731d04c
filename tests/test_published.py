"""Measured accuracy against the published one."""

from __future__ import annotations

from typing import Any

import pytest

from bench.case import Dataset, Model
from bench.catalog.cards import Published
from bench.evidence import Answers
from bench.published import against_published, published_accuracy
from bench.record import Accuracy, Record
from bench.report.comparison import compare_cases
from bench.statistics.summary import summarize
from tests.factory import make_case, make_record

CARD: dict[str, Any] = {
    "top1": 0.71,
    "top5": None,
    "speed_ms": 3.0,
    "modes": {"INT8": {"top1": 0.705}},
    "source": "a guide",
}


def measured(hits: int, images: int, precision: str = "native", dataset: str = "imagenet-folders") -> Record:
    answers = Answers(best=(0,) * images, scores=(1.0,) * images, ranks="1" * hits + "0" * (images - hits))
    model = Model(name="m", task="classification", published=published_accuracy(Published.model_validate(CARD), None))
    data = Dataset(name=dataset, format="folders")
    accuracy = Accuracy(metrics={"top1": hits / images}, num_images=images, answers=answers)
    return make_record(case=make_case(precision, model=model, dataset=data, num_images=images), accuracy=accuracy)


def told(record: Record) -> list[str]:
    return list(against_published(record, summarize(record)))


@pytest.mark.parametrize(("hits", "images", "words"), [
    (710, 1000, "top1 0.71 is as published, 0.71, +0.0000; 95 % interval 0.6"),
    (690, 1000, "top1 0.69 is as published, 0.71, -0.0200"),
    (6900, 10_000, "top1 0.69 is below the published 0.71, -0.0200"),
    (7400, 10_000, "top1 0.74 is above the published 0.71, +0.0300"),
    (71_150, 100_000, "top1 0.7115 is as published, 0.71"),
])  # fmt: skip
def test_the_verdict_takes_interval_and_rounding_into_account(hits: int, images: int, words: str) -> None:
    (sentence,) = told(measured(hits, images))
    assert sentence.startswith(words) and sentence.endswith("(a guide)")


def test_each_precision_is_held_against_its_own_figure() -> None:
    assert "published 0.705" in told(measured(9900, 10_000, "INT8"))[0]
    assert told(measured(9900, 10_000, "FP16")) == []


def test_figures_of_tf_trt_are_not_held_against_another_backend() -> None:
    record = measured(9900, 10_000, "INT8")
    optimization = record.case.optimization.model_copy(update={"backend": "litert"})
    (sentence,) = told(
        record.model_copy(update={"case": record.case.model_copy(update={"optimization": optimization})})
    )
    assert sentence == "top1 0.99 is of litert; the published 0.705 is of TF-TRT (a guide)"


def test_what_ran_no_model_is_not_compared() -> None:
    record = measured(1, 1000)
    optimization = record.case.optimization.model_copy(update={"backend": "null"})
    null = record.model_copy(update={"case": record.case.model_copy(update={"optimization": optimization})})
    assert told(record) and not told(null)


def test_figures_of_other_images_are_not_compared() -> None:
    (sentence,) = told(measured(800, 1000, dataset="nips17"))
    assert sentence == "top1 0.8 is of nips17; the published 0.71 is of ImageNet's validation split (a guide)"


def test_tables_say_it() -> None:
    (comparison,) = compare_cases([measured(710, 1000)])
    assert any("top1 0.71 is as published" in note for note in comparison.notes)
    assert published_accuracy(None, None) is None


def test_a_card_with_a_dataset_of_its_own_is_published_on_that() -> None:
    own = published_accuracy(Published.model_validate(CARD), "shapes")
    elsewhere = published_accuracy(Published.model_validate({**CARD, "dataset": "open-images"}), "shapes")
    assert own is not None and elsewhere is not None and elsewhere.dataset == "open-images"
    model = Model(name="m", task="classification", published=own)
    record = measured(710, 1000, dataset="shapes")
    case = record.case.model_copy(update={"model": model})
    assert "as published" in told(record.model_copy(update={"case": case}))[0]


@pytest.mark.parametrize(("modes", "hits", "verdict"), [
    ({}, 2040, "is as published, 0.2"),
    ({}, 2300, "is above the published 0.2"),
    ({}, 1700, "is below the published 0.2"),
    ({"INT8": {"top1": 0.1987}}, 2090, "is above the published 0.2"),
])  # fmt: skip
def test_zeros_at_the_end_of_a_figure_are_digits_that_were_published(modes: Any, hits: int, verdict: str) -> None:
    """0.20 is 0.2 in JSON: it stands for 0.195 to 0.205, and beside figures of four digits for less."""
    card = Published.model_validate({**CARD, "top1": 0.2, "modes": modes})
    model = Model(name="m", task="classification", published=published_accuracy(card, None))
    data = Dataset(name="imagenet-folders", format="folders")
    answers = Answers(best=(0,) * 10_000, scores=(1.0,) * 10_000, ranks="1" * hits + "0" * (10_000 - hits))
    accuracy = Accuracy(metrics={"top1": hits / 10_000}, num_images=10_000, answers=answers)
    (sentence,) = told(make_record(case=make_case(model=model, dataset=data), accuracy=accuracy))
    assert verdict in sentence


def test_what_has_no_interval_is_not_judged() -> None:
    (sentence,) = told(measured(3, 5))
    assert sentence == "top1 0.6 has no interval, so it is not held against the published 0.71 (a guide)"


@pytest.mark.parametrize(
    "name", ["imagenet-train", "imagenet-folders-train2012", "imagenet-calibration", "imagenet-test"]
)
def test_figures_of_the_validation_split_are_not_of_another_split(name: str) -> None:
    (sentence,) = told(measured(710, 1000, dataset=name))
    assert sentence == f"top1 0.71 is of {name}; the published 0.71 is of ImageNet's validation split (a guide)"


@pytest.mark.parametrize(
    "name", ["imagenet", "imagenet-tfrecords", "imagenet-val", "imagenet-latest", "imagenet-retrained"]
)
def test_figures_are_of_the_validation_split_by_whatever_name(name: str) -> None:
    assert "is as published" in told(measured(710, 1000, dataset=name))[0]


@pytest.mark.parametrize("name", ["imagenette2", "imagenetv2-matched", "cocoa"])
def test_a_name_that_only_begins_alike_is_another_dataset(name: str) -> None:
    (sentence,) = told(measured(710, 1000, dataset=name))
    assert sentence.startswith(f"top1 0.71 is of {name}; ")
