"""Top-1 and top-5 against a plain reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.accuracy.classification import TopK
from bench.backends.base import Array, Signature, TensorSpec
from bench.errors import DataError, ModelError
from bench.evidence import Answers
from bench.inputs.batches import Batch
from bench.inputs.item import Item
from bench.record import Accuracy

REAL = np.dtype(np.float32)


def signature(classes: int, **outputs: tuple[int | None, ...]) -> Signature:
    specs = outputs or {"probabilities": (None, classes)}
    return Signature((), tuple(TensorSpec(name, REAL, shape) for name, shape in specs.items()))


def batch(labels: list[int], size: int) -> Batch:
    """A batch of `size` images, as many of them padding as there are no labels for."""
    return Batch(np.zeros((size, 1, 1, 3)), tuple(Item(i, Path(f"{i}"), label) for i, label in enumerate(labels)))


def evaluate(scores: Array, labels: list[int], batch_size: int, offset: int = 0) -> Accuracy:
    """Feed the rows in padded batches; padding would be counted as hits of every class."""
    metric = TopK(signature(scores.shape[1]), offset)
    for start in range(0, len(labels), batch_size):
        rows = scores[start : start + batch_size]
        padded = np.concatenate([rows, np.repeat(rows[-1:], batch_size - len(rows), axis=0)])
        metric.add(batch(labels[start : start + batch_size], batch_size), {"probabilities": padded})
    return metric.result()


@pytest.mark.parametrize("scores", [np.array([[0, 255, 7]], np.uint8), np.array([[-128, 127, 7]], np.int8)])
def test_scores_of_integers_are_ranked_by_their_values(scores: Array) -> None:
    assert evaluate(scores, [1], 1).metrics["top1"] == 1
    assert evaluate(scores, [0], 1).answers == Answers(best=(1,), scores=(float(scores.max()),), ranks="3")


@pytest.mark.parametrize("shape", [(3, 2), (1, 3), (6,), ()])
def test_an_output_has_a_row_for_each_image(shape: tuple[int, ...]) -> None:
    told = rf"output 'probabilities' is \[{', '.join(map(str, shape))}\] for a batch of 2: it needs a row for each"
    with pytest.raises(ModelError, match=told):
        TopK(signature(3), 0).add(batch([0, 1], 2), {"probabilities": np.zeros(shape)})


@given(
    count=st.integers(1, 30), classes=st.integers(1, 12), batch_size=st.integers(1, 8),
    offset=st.integers(0, 2), levels=st.sampled_from([2, 1000]), seed=st.integers(0, 1000),
)  # fmt: skip
def test_agrees_with_ranking_each_image_by_itself(
    count: int, classes: int, batch_size: int, offset: int, levels: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, (count, classes + offset)).astype(np.float32)
    labels = generator.integers(0, classes, count).tolist()
    ranks = []
    for row, label in zip(scores.tolist(), labels, strict=True):
        ranking = sorted(range(len(row)), key=lambda c: (-row[c], c))  # the first of equals wins
        ranks.append(ranking.index(label + offset))
    accuracy = evaluate(scores, labels, batch_size, offset)
    assert accuracy.num_images == count
    assert accuracy.metrics == {
        "top1": pytest.approx(np.mean([rank < 1 for rank in ranks])),
        "top5": pytest.approx(np.mean([rank < 5 for rank in ranks])),
    }


def test_padding_is_not_counted() -> None:
    metric = TopK(signature(3), 0)
    metric.add(batch([1], size=4), {"probabilities": np.eye(3, dtype=np.float32)[[1, 0, 0, 0]]})
    result = metric.result()
    assert (result.metrics, result.num_images) == ({"top1": 1.0, "top5": 1.0}, 1)
    assert result.answers == Answers(best=(1,), scores=(1.0,), ranks="1")


def test_the_class_offset_shifts_labels_past_the_background() -> None:
    scores = np.eye(4, dtype=np.float32)[[1, 3]]
    assert evaluate(scores, [0, 2], 2, offset=1).metrics["top1"] == 1.0
    assert evaluate(scores, [0, 2], 2, offset=0).metrics["top1"] == 0.0


def test_a_score_that_is_not_a_number_is_never_a_hit() -> None:
    scores = np.array([[np.nan, 0.1, 0.2]], np.float32)
    assert evaluate(scores, [0], 1).metrics["top1"] == 0.0


def test_an_image_without_a_number_has_no_class() -> None:
    """As of a model that overflows on some images: class 0 would be the most likely, and the first five be hits."""
    accuracy = evaluate(np.full((3, 8), np.nan, np.float32), [0, 1, 4], 2)
    assert accuracy.metrics == {"top1": 0.0, "top5": 0.0}
    assert accuracy.answers is not None and accuracy.answers.best == (-1,) * 3
    few = evaluate(np.array([[np.nan, 0.1, 0.2]], np.float32), [0], 1)
    assert few.metrics == {"top1": 0.0, "top5": 0.0}


def test_a_label_beyond_the_models_classes_is_an_error() -> None:
    with pytest.raises(DataError, match="label 3 is beyond the model's 4 classes"):
        evaluate(np.zeros((1, 4), np.float32), [3], 1, offset=1)


def test_scores_are_found_by_name_among_several_outputs() -> None:
    metric = TopK(signature(3, features=(None, 7), logits=(None, 3)), 0)
    metric.add(batch([2], 1), {"features": np.zeros((1, 7)), "logits": np.array([[0, 0, 1]])})
    assert metric.result().metrics["top1"] == 1.0


def test_scores_with_spatial_dimensions_of_one_are_flattened() -> None:
    metric = TopK(signature(3, whatever=(None, 3)), 0)
    metric.add(batch([2], 1), {"whatever": np.array([0, 0, 1]).reshape(1, 1, 1, 3)})
    assert metric.result().metrics["top1"] == 1.0


def test_a_model_without_scores_is_refused_with_what_it_has() -> None:
    with pytest.raises(ModelError, match=r"features \[None, 7, 7, 64\]"):
        TopK(signature(0, features=(None, 7, 7, 64)), 0)


@pytest.mark.parametrize(
    ("shift", "wrong", "told"),
    [
        (1, 10, "80 of 100 images have the class after their label's as the most likely, and 10 their label's"),
        (-1, 10, "80 of 100 images have the class before their label's as the most likely, and 10 their label's"),
        (1, 70, None),
        (0, 10, None),
    ],
)
def test_answers_beside_the_labels_are_told(shift: int, wrong: int, told: str | None) -> None:
    """Of 100 images: those that are right but for the shift, and others at random; 10 are right as they are."""
    labels = np.random.default_rng(1).integers(5, 15, 100)
    best = labels + shift
    best[:10] = labels[:10]
    best[10 : 10 + wrong] = 2
    accuracy = evaluate(np.eye(20, dtype=np.float32)[best], labels.tolist(), 8)
    assert accuracy.notes == ((f"{told}: class_offset or first_label may be wrong",) if told else ())


def test_images_without_a_score_are_told_and_the_background_is_none_of_them() -> None:
    scores = np.eye(4, dtype=np.float32)[[0, 0, 1, 2, 3]]
    scores[3] = np.nan
    accuracy = evaluate(scores, [0, 1, 0, 1, 2], 2, offset=1)
    assert accuracy.notes == ("1 of 5 images have no score but NaN: they count as wrong",)
    assert accuracy.metrics["top1"] == pytest.approx(2 / 5)


FOUR = [Path("home", name) for name in "abcd"]
TOO_FEW = r"home: 3 folders for the model's 4 classes .* benchmark_config.classes_path"


@pytest.mark.parametrize(("folders", "offset"), [(FOUR, 0), (FOUR[1:], 1), (None, 0)])
@pytest.mark.parametrize("classes", [4, None])
def test_folders_whose_order_can_be_the_classes(folders: list[Path] | None, offset: int, classes: int | None) -> None:
    metric = TopK(signature(4, probabilities=(None, classes)), offset, folders)
    metric.add(batch([0], 1), {"probabilities": np.eye(4, dtype=np.float32)[[0]]})


def test_a_folder_that_is_missing_would_shift_the_labels_of_all_after_it() -> None:
    with pytest.raises(DataError, match=TOO_FEW):
        TopK(signature(4), 0, FOUR[1:])


def test_a_model_that_does_not_say_how_many_classes_it_has_shows_them_by_its_answer() -> None:
    metric = TopK(signature(4, probabilities=(None, None)), 0, FOUR[1:])
    with pytest.raises(DataError, match=TOO_FEW):
        metric.add(batch([0], 1), {"probabilities": np.eye(4, dtype=np.float32)[[0]]})
