"""How two passes agree, and intervals over images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.agreement import accuracy_intervals, agreement, difference_intervals, match
from bench.case import Dataset
from bench.evidence import BOXES_PER_IMAGE, KEPT_BOXES, Answers, Boxes
from bench.record import Accuracy, Record
from bench.statistics.bounds import Interval, NoInterval
from bench.statistics.summary import summarize
from tests.factory import make_case, make_record

BOX = st.tuples(
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 90), st.floats(0.31, 1)
)


def with_answers(ranks: str, best: tuple[int, ...] = (), precision: str = "native", **changes: Any) -> Record:
    count = len(ranks)
    answers = Answers(best=best or (0,) * count, scores=changes.pop("scores", (0.5,) * count), ranks=ranks)
    metrics = {"top1": answers.hits(1) / count, "top5": answers.hits(5) / count}
    case = make_case(precision, num_images=count, **changes)
    return make_record(case=case, accuracy=Accuracy(metrics=metrics, num_images=count, answers=answers))


def with_boxes(images: list[list[tuple[float, ...]]], precision: str = "native") -> Record:
    boxes = Boxes.pack([np.array(rows, np.float64).reshape(-1, 6) for rows in images])
    case = make_case(precision, num_images=len(images))
    return make_record(case=case, accuracy=Accuracy(metrics={"map": 0.5}, num_images=len(images), boxes=boxes))


def interval(found: dict[str, Any], name: str) -> Interval:
    assert isinstance(found[name], Interval), found[name]
    return found[name]  # type: ignore[no-any-return]


def test_the_interval_of_top1_is_that_of_a_share_of_images() -> None:
    found = interval(accuracy_intervals(with_answers("1" * 400 + "0" * 100)), "top1")
    half = 1.96 * (0.8 * 0.2 / 500) ** 0.5
    assert found.low == pytest.approx(0.8 - half, abs=0.004) and found.high == pytest.approx(0.8 + half, abs=0.004)


def test_top5_counts_every_rank_and_top1_the_first() -> None:
    found = accuracy_intervals(with_answers("1" * 100 + "3" * 100 + "0" * 100))
    assert interval(found, "top1").low < 1 / 3 < interval(found, "top1").high < interval(found, "top5").low < 2 / 3


@pytest.mark.parametrize(("ranks", "why"), [("1" * 19, "19 images of the 20"), ("1" * 50, "no spread")])
def test_where_there_is_no_interval_it_says_why(ranks: str, why: str) -> None:
    found = accuracy_intervals(with_answers(ranks))["top1"]
    assert isinstance(found, NoInterval) and why in found.reason


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    native = with_answers("1" * 400 + "0" * 100)
    variant = with_answers("1" * 396 + "0" * 104, precision="INT8")  # four images lost, none won
    paired = interval(difference_intervals(variant, native), "top1")
    alone = interval(accuracy_intervals(variant), "top1")
    assert paired.low < -4 / 500 < paired.high <= 0
    assert paired.high - paired.low < (alone.high - alone.low) / 3
    assert summarize(variant, native).differences["top1"] == (paired.low, paired.high)


def test_losses_and_gains_widen_the_difference_though_they_cancel() -> None:
    native = with_answers("1" * 250 + "0" * 250)
    swapped = with_answers("1" * 200 + "0" * 50 + "1" * 50 + "0" * 200, precision="INT8")
    same = with_answers("1" * 249 + "0" + "1" + "0" * 249, precision="INT8")
    wide, narrow = (interval(difference_intervals(record, native), "top1") for record in (swapped, same))
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)
    assert wide.low < 0 < wide.high


def test_other_images_are_not_held_against_each_other() -> None:
    native, other = with_answers("1" * 30 + "0" * 30), with_answers("1" * 30 + "0" * 20, precision="INT8")
    assert difference_intervals(other, native) == {} and agreement(other, native) == {}
    assert difference_intervals(native, native) == {} and agreement(native, native) == {}


def test_the_same_images_in_another_folder_are_held_against_each_other() -> None:
    data = Dataset(name="own", format="folders", images_dir="/here/own")
    moved = data.model_copy(update={"images_dir": "/there/own"})
    native = with_answers("1" * 30 + "0" * 30, dataset=data)
    assert agreement(with_answers("1" * 30 + "0" * 30, precision="INT8", dataset=moved), native)["agreement"] == 1
    recounted = moved.model_copy(update={"first_label": 1})
    assert agreement(with_answers("1" * 30 + "0" * 30, precision="INT8", dataset=recounted), native) == {}


def test_resampled_map_is_compared_resample_by_resample() -> None:
    values = tuple(np.random.default_rng(0).normal(0.3, 0.02, 200).tolist())
    records = [
        make_record(
            case=make_case(precision),
            accuracy=Accuracy(
                metrics={"map": 0.3},
                num_images=128,
                resampled={"map": tuple(v - n % 2 * loss for n, v in enumerate(values))},
            ),
        )
        for precision, loss in (("native", 0.0), ("FP16", 0.01))
    ]
    difference = interval(difference_intervals(records[1], records[0]), "map")
    assert (difference.low, difference.high) == pytest.approx((-0.01, 0.0))
    own = interval(accuracy_intervals(records[0]), "map")
    assert own.low == pytest.approx(0.26, abs=0.01) and own.high == pytest.approx(0.34, abs=0.01)


@pytest.mark.parametrize(("values", "images", "why"), [
    ((0.2, 0.8) * 100, 19, "19 images of the 20"), ((1.0,) * 200, 50, "no spread"),
])  # fmt: skip
def test_few_images_and_images_alike_tell_nothing_of_map_either(
    values: tuple[float, ...], images: int, why: str
) -> None:
    accuracy = Accuracy(metrics={"map": 0.5}, num_images=images, resampled={"map": values})
    record, native = (make_record(mode, accuracy=accuracy) for mode in ("FP16", "native"))
    bound, difference = accuracy_intervals(record)["map"], difference_intervals(record, native)["map"]
    assert isinstance(bound, NoInterval) and why in bound.reason
    assert isinstance(difference, NoInterval)


def test_agreement_of_classes_and_the_largest_difference_of_scores() -> None:
    native = with_answers("1" * 4, (5, 6, 7, 8), scores=(0.9, 0.8, 0.7, 0.6))
    variant = with_answers("1" * 4, (5, 6, 7, 1), "INT8", scores=(0.9, 0.75, 0.7, 0.4))
    assert agreement(variant, native) == pytest.approx({"agreement": 0.75, "largest_score_difference": 0.2})
    assert summarize(variant, native).values["agreement"] == 0.75


@pytest.mark.parametrize("scores", [(math.nan, 0.5), (0.5, math.nan)])
def test_a_score_that_is_no_number_differs_by_more_than_any(scores: tuple[float, float]) -> None:
    mine, native = with_answers("11", scores=scores, precision="FP16"), with_answers("11")
    assert agreement(mine, native)["largest_score_difference"] == math.inf


def test_agreement_of_boxes() -> None:
    box = (0.1, 0.1, 0.5, 0.5)
    native = with_boxes([[(*box, 3, 0.9), (0.6, 0.6, 0.9, 0.9, 2, 0.8)], [(*box, 1, 0.5)], []])
    variant = with_boxes([[(0.1, 0.1, 0.5, 0.48, 3, 0.8)], [(*box, 2, 0.5)], []], "INT8")
    found = agreement(variant, native)
    assert found["agreement"] == pytest.approx(2 / 5)  # of five boxes, one pair; another has another class
    assert found["largest_score_difference"] == pytest.approx(0.1, abs=1e-4)
    assert agreement(with_boxes([[], [], []], "FP16"), with_boxes([[], [], []])) == {}


def test_each_box_has_one_partner() -> None:
    ours = np.array([[0, 0, 1, 1, 1, 0.9], [0, 0, 1, 0.9, 1, 0.8]])
    assert match(ours, ours[:1]) == [(0, 0)]
    assert match(ours, ours[::-1]) == [(0, 1), (1, 0)]


@given(st.lists(st.lists(BOX, max_size=12), min_size=1, max_size=5))
def test_boxes_are_unpacked_as_they_were_packed(images: list[list[tuple[float, ...]]]) -> None:
    found = [np.array(rows, np.float64).reshape(-1, 6) for rows in images]
    kept = Boxes.pack(found).unpack()
    assert len(kept) == len(found)
    for mine, theirs in zip(kept, found, strict=True):
        np.testing.assert_allclose(mine, theirs[:BOXES_PER_IMAGE], atol=1e-5)


def test_boxes_with_a_small_score_are_not_kept_and_the_rest_stays_small() -> None:
    assert [len(rows) for rows in Boxes.pack([np.array([[0, 0, 1, 1, 1, 0.9], [0, 0, 1, 1, 1, 0.29]])]).unpack()] == [1]
    many = Boxes.pack([np.full((100, 6), 0.5)] * (KEPT_BOXES + 10))
    assert many.images == KEPT_BOXES
    assert len(many.model_dump_json()) < 1_000_000
    answers = Answers(best=(999,) * 50_000, scores=(0.12345,) * 50_000, ranks="1" * 50_000)
    assert len(answers.model_dump_json()) < 1_000_000
