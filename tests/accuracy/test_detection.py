"""mAP against pycocotools fed directly with the same boxes."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.accuracy.detection import STATISTICS, BoxMap
from bench.backends.base import Arrays, Signature, TensorSpec
from bench.errors import DataError, ModelError
from bench.inputs.batches import Batch
from bench.inputs.item import Item
from bench.record import Accuracy

ZOO = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
TF2_SUITE = ("boxes", "scores", "classes", "num_detections")
SHAPES = ((None, None, 4), (None, None), (None, None), (None,))
PLACES = 20  # rows of a detector's output, most of them unused
Detections = list[dict[str, Any]]  # of one image, in COCO's result format


def signature(names: Sequence[str] = ZOO) -> Signature:
    real = np.dtype(np.float32)
    return Signature((), tuple(TensorSpec(name, real, shape) for name, shape in zip(names, SHAPES, strict=True)))


def make_truth(images: int = 12, seed: int = 0) -> dict[str, Any]:
    """Images of different sizes and ids, each with up to five objects of four classes; the last one has none."""
    generator = np.random.default_rng(seed)
    listed = [{"id": 100 - 7 * i, "file_name": f"{i}.jpg", "height": 200 + 30 * i, "width": 500 - 20 * i}
              for i in range(images)]  # fmt: skip
    annotations: list[dict[str, Any]] = []
    for image in listed[:-1]:
        for _ in range(generator.integers(1, 6)):
            box = random_box(generator, image)
            annotations.append({
                "id": len(annotations) + 1, "image_id": image["id"], "category_id": int(generator.integers(1, 5)),
                "bbox": box, "area": box[2] * box[3], "iscrowd": 0,
            })  # fmt: skip
    return {
        "images": listed,
        "annotations": annotations,
        "categories": [{"id": i, "name": f"{i}"} for i in range(1, 5)],
    }


def random_box(generator: np.random.Generator, image: dict[str, Any]) -> list[float]:
    width, height = generator.uniform(10, image["width"] / 2), generator.uniform(10, image["height"] / 2)
    left, top = generator.uniform(0, image["width"] - width), generator.uniform(0, image["height"] - height)
    return [float(v) for v in (left, top, width, height)]


def make_detections(truth: dict[str, Any], image: dict[str, Any], seed: int = 1) -> Detections:
    """Shifted copies of most objects, some under a wrong class, and false alarms."""
    generator = np.random.default_rng((seed, image["id"]))
    found = []
    for annotation in truth["annotations"]:
        if annotation["image_id"] == image["id"] and generator.uniform() < 0.8:
            shift = generator.normal(0, 0.06, 4) * np.tile(annotation["bbox"][2:], 2)
            category = annotation["category_id"] if generator.uniform() < 0.8 else int(generator.integers(1, 5))
            found.append((np.add(annotation["bbox"], shift).tolist(), category, generator.uniform(0.2, 1)))
    found += [
        (random_box(generator, image), int(generator.integers(1, 5)), generator.uniform(0, 0.6)) for _ in range(3)
    ]
    found.sort(key=lambda detection: -detection[2])
    return [{"image_id": image["id"], "bbox": b, "category_id": c, "score": s} for b, c, s in found]


def as_outputs(
    images: Sequence[tuple[dict[str, Any], Detections]], names: Sequence[str] = ZOO, offset: int = 0
) -> Arrays:
    """What a detector gives for these images; unused rows hold boxes that would be wrong."""
    boxes = np.full((len(images), PLACES, 4), 0.5, np.float64)
    scores, classes = np.ones((2, len(images), PLACES))
    for row, (image, detections) in enumerate(images):
        for place, d in enumerate(detections):
            x, y, w, h = d["bbox"]
            size = (image["height"], image["width"]) * 2
            boxes[row, place] = np.divide((y, x, y + h, x + w), size)
            scores[row, place], classes[row, place] = d["score"], d["category_id"] + offset
    counts = np.array([len(detections) for _, detections in images], np.float32)
    return dict(zip(names, (boxes, scores, classes, counts), strict=True))


def reference(truth: dict[str, Any], results: Detections, ids: Sequence[int]) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, **truth}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.imgIds = list(ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(STATISTICS, evaluation.stats, strict=True) if value >= 0}


def write(truth: dict[str, Any], folder: Path) -> str:
    path = folder / "instances.json"
    path.write_text(json.dumps(truth), encoding="utf-8")
    return str(path)


def batch(images: Sequence[dict[str, Any]], size: int) -> Batch:
    return Batch(np.zeros((size, 1, 1, 3)), tuple(Item(image["id"], Path(image["file_name"])) for image in images))


def evaluate(
    truth: dict[str, Any],
    folder: Path,
    batch_size: int = 1,
    names: Sequence[str] = ZOO,
    offset: int = 0,
    count: int = 99,
) -> Accuracy:
    """All images through BoxMap, in batches whose last one is padded with its last image."""
    metric = BoxMap(signature(names), write(truth, folder), offset)
    pairs = [(image, make_detections(truth, image)) for image in truth["images"][:count]]
    for start in range(0, len(pairs), batch_size):
        group = pairs[start : start + batch_size]
        padded = group + group[-1:] * (batch_size - len(group))
        metric.add(batch([image for image, _ in group], batch_size), as_outputs(padded, names, offset))
    return metric.result()


def all_detections(truth: dict[str, Any], count: int = 99) -> Detections:
    return [d for image in truth["images"][:count] for d in make_detections(truth, image)]


def all_ids(truth: dict[str, Any], count: int = 99) -> list[int]:
    return [image["id"] for image in truth["images"][:count]]


@pytest.mark.parametrize("names", [ZOO, TF2_SUITE], ids=["zoo", "tf2"])
@pytest.mark.parametrize(("batch_size", "at_a_time"), [(1, 10), (5, 3), (5, 1)])
def test_agrees_with_pycocotools_on_the_same_boxes(
    tmp_path: Path, names: Sequence[str], batch_size: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.accuracy.detection.CATEGORIES_AT_A_TIME", at_a_time)
    truth = make_truth()
    accuracy = evaluate(truth, tmp_path, batch_size, names)
    wanted = reference(truth, all_detections(truth), all_ids(truth))
    assert 0.2 < wanted["map"] < 0.8
    assert accuracy.metrics == pytest.approx(wanted, abs=1e-9)
    assert accuracy.num_images == 12


def test_only_images_that_were_seen_are_evaluated(tmp_path: Path) -> None:
    truth = make_truth()
    accuracy = evaluate(truth, tmp_path, count=5)
    wanted = reference(truth, all_detections(truth, 5), all_ids(truth, 5))
    assert accuracy.metrics == pytest.approx(wanted, abs=1e-9)
    assert accuracy.metrics["map"] > 1.2 * reference(truth, all_detections(truth, 5), all_ids(truth))["map"]
    assert accuracy.num_images == 5


def test_perfect_detections_have_a_map_of_one(tmp_path: Path) -> None:
    truth = make_truth()
    metric = BoxMap(signature(), write(truth, tmp_path), 0)
    for image in truth["images"]:
        own = [{**a, "score": 0.9} for a in truth["annotations"] if a["image_id"] == image["id"]]
        metric.add(batch([image], 1), as_outputs([(image, own)]))
    assert metric.result().metrics["map"] == pytest.approx(1.0)


def test_the_class_offset_is_taken_off_the_models_classes(tmp_path: Path) -> None:
    truth = make_truth()
    assert evaluate(truth, tmp_path, offset=1).metrics == pytest.approx(evaluate(truth, tmp_path).metrics)


def test_classes_matter(tmp_path: Path) -> None:
    truth = make_truth()
    metric = BoxMap(signature(), write(truth, tmp_path), 0)
    for image in truth["images"]:
        metric.add(batch([image], 1), as_outputs([(image, make_detections(truth, image))], offset=1))
    assert metric.result().metrics["map"] < 0.5 * evaluate(truth, tmp_path).metrics["map"]


def test_images_without_detections_count_as_missed(tmp_path: Path) -> None:
    truth = make_truth()
    metric = BoxMap(signature(), write(truth, tmp_path), 0)
    first, *others = truth["images"]
    metric.add(batch([first], 1), as_outputs([(first, make_detections(truth, first))]))
    for image in others:
        metric.add(batch([image], 1), as_outputs([(image, [])]))
    wanted = reference(truth, make_detections(truth, first), all_ids(truth))
    assert metric.result().metrics == pytest.approx(wanted, abs=1e-9)


def test_no_detection_at_all_is_a_map_of_zero(tmp_path: Path) -> None:
    truth = make_truth()
    metric = BoxMap(signature(), write(truth, tmp_path), 0)
    for image in truth["images"]:
        metric.add(batch([image], 1), as_outputs([(image, [])]))
    result = metric.result()
    assert (result.metrics, result.num_images) == (dict.fromkeys(STATISTICS, 0.0), 12)
    (note,) = result.notes
    assert note.startswith("there is no detection in any image: a score_threshold")


def test_no_detection_is_judged_as_one_false_detection_is(tmp_path: Path) -> None:
    """What there are no objects of has no figure, rather than 0; classes, and the interval, are there all the same."""
    truth = make_truth()
    for annotation in truth["annotations"]:
        annotation["area"] = 100.0 * 100  # none is small
    found = []
    false = {"bbox": [0.0, 0.0, 1.0, 1.0], "category_id": 1, "score": 0.1}
    for detections in ([], [false]):
        metric = BoxMap(signature(), write(truth, tmp_path), 0)
        for image in truth["images"]:
            metric.add(batch([image], 1), as_outputs([(image, [{**d, "image_id": image["id"]} for d in detections])]))
        found.append(metric.result())
    nothing, something = found
    assert nothing.metrics == something.metrics and "map_small" not in nothing.metrics and nothing.metrics["map"] == 0
    assert nothing.per_class == something.per_class != {} and nothing.resampled == something.resampled != {}


def test_a_missing_area_is_the_boxs_and_a_missing_crowd_flag_is_none(tmp_path: Path) -> None:
    truth = make_truth()
    bare = [{k: v for k, v in a.items() if k not in ("area", "iscrowd")} for a in truth["annotations"]]
    whole = evaluate(truth, tmp_path)
    found = evaluate({**truth, "annotations": bare}, tmp_path)
    assert found.model_copy(update={"notes": ()}) == whole and whole.notes == ()
    (note,) = found.notes
    assert note.startswith(f"{len(bare)} annotations have no area: their boxes' tells small, medium and large apart")
    assert {"map_small", "map_medium", "map_large"} & set(whole.metrics)


def test_sizes_of_which_there_is_no_object_have_no_figure(tmp_path: Path) -> None:
    truth = make_truth()
    small = [{**a, "area": 5.0} for a in truth["annotations"]]
    metrics = evaluate({**truth, "annotations": small}, tmp_path).metrics
    assert "map_small" in metrics
    assert "map_large" not in metrics and "ar_medium" not in metrics


def test_crowds_are_neither_missed_nor_false(tmp_path: Path) -> None:
    truth = make_truth()
    truth["annotations"][0]["iscrowd"] = 1
    wanted = reference(truth, all_detections(truth), all_ids(truth))
    assert evaluate(truth, tmp_path).metrics == pytest.approx(wanted, abs=1e-9)


def test_where_all_is_crowds_a_note_says_why_there_is_no_map(tmp_path: Path) -> None:
    truth = make_truth()
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 1
    accuracy = evaluate(truth, tmp_path)
    assert "map" not in accuracy.metrics
    assert accuracy.notes[-1] == "the images have no object but what is annotated as a crowd: there is no mAP"


def test_an_annotation_without_a_box_is_refused(tmp_path: Path) -> None:
    truth = make_truth()
    del truth["annotations"][3]["bbox"]
    with pytest.raises(DataError, match=r"instances\.json: an annotation has no usable 'bbox'"):
        BoxMap(signature(), write(truth, tmp_path), 0)


def test_a_model_that_is_no_detector_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    names = ("detection_boxes", "detection_scores", "labels", "num_detections")
    with pytest.raises(
        ModelError, match="no output detection_classes; it has detection_boxes, detection_scores, labels"
    ):
        BoxMap(signature(names), write(make_truth(), tmp_path), 0)


def test_boxes_of_a_letterboxed_picture_are_those_of_the_picture(tmp_path: Path) -> None:
    truth = make_truth()
    metric = BoxMap(signature(), write(truth, tmp_path), 0, "letterbox")
    for image in truth["images"]:
        own = [{**a, "score": 0.9} for a in truth["annotations"] if a["image_id"] == image["id"]]
        outputs = dict(as_outputs([(image, own)]))
        scale = min(320 / image["height"], 320 / image["width"])
        size = np.array([round(image["height"] * scale), round(image["width"] * scale)] * 2)
        corner = np.array([(320 - size[0]) // 2, (320 - size[1]) // 2] * 2)
        outputs["detection_boxes"] = (outputs["detection_boxes"] * size + corner) / 320
        metric.add(Batch(np.zeros((1, 320, 320, 3)), batch([image], 1).items), outputs)
    assert metric.result().metrics["map"] == pytest.approx(1.0)


def test_boxes_of_a_letterboxed_picture_end_at_the_pictures_edges(tmp_path: Path) -> None:
    """An object that the left edge cuts off, found where it would go on to."""
    image = {"id": 1, "file_name": "1.jpg", "height": 240, "width": 480}
    box = [0, 60, 100, 120]
    truth = {"images": [image], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": box}],
             "categories": [{"id": 1, "name": "a"}]}  # fmt: skip
    metric = BoxMap(signature(), write(truth, tmp_path), 0, "letterbox")
    outputs = dict(as_outputs([(image, [{"bbox": box, "category_id": 1, "score": 0.9}])]))
    outputs["detection_boxes"] = np.array([[[120 + 60, -25, 120 + 180, 100]]]) / 480  # 120 rows of grey above
    metric.add(Batch(np.zeros((1, 480, 480, 3)), batch([image], 1).items), outputs)
    assert metric.result().metrics["map"] == pytest.approx(1.0)


def test_the_classes_have_a_figure_each_whose_mean_is_the_whole(tmp_path: Path) -> None:
    accuracy = evaluate(make_truth(), tmp_path)
    assert accuracy.per_class.keys() == {"1", "2", "3", "4"}
    assert np.mean(list(accuracy.per_class.values())) == pytest.approx(accuracy.metrics["map"])


def test_classes_of_one_name_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    truth = make_truth()
    for category in truth["categories"][:2]:
        category["name"] = "bat"
    accuracy = evaluate(truth, tmp_path)
    assert accuracy.per_class.keys() == {"bat (id 1)", "bat (id 2)", "3", "4"}
    assert np.mean(list(accuracy.per_class.values())) == pytest.approx(accuracy.metrics["map"])


def test_resamples_lie_around_the_figure_and_boxes_are_kept(tmp_path: Path) -> None:
    accuracy = evaluate(make_truth(14), tmp_path)
    low, high = np.percentile(accuracy.resampled["map"], [2.5, 97.5])
    assert low < accuracy.metrics["map"] < high
    assert accuracy.boxes is not None and accuracy.boxes.images == 14


@pytest.mark.parametrize("first", [0, 1, 7])
def test_annotations_may_be_numbered_from_anything(tmp_path: Path, first: int) -> None:
    """pycocotools takes a match with annotation 0 for none: what was found counted as a false detection."""
    truth = make_truth()
    wanted = evaluate(truth, tmp_path)
    numbered = [{**a, "id": first + i} for i, a in enumerate(truth["annotations"])]
    assert evaluate({**truth, "annotations": numbered}, tmp_path) == wanted


def test_a_class_that_was_computed_in_float_is_the_nearest_one(tmp_path: Path) -> None:
    truth = make_truth()
    metric = BoxMap(signature(), write(truth, tmp_path), 0)
    for image in truth["images"]:
        outputs = as_outputs([(image, make_detections(truth, image))])
        below = np.asarray(outputs["detection_classes"], np.float32) - np.float32(0.004)
        metric.add(batch([image], 1), {**outputs, "detection_classes": below})
    assert metric.result().metrics == evaluate(truth, tmp_path).metrics


def judged(truth: dict[str, Any], folder: Path, change: Callable[[Arrays], Arrays], offset: int = 0) -> Accuracy:
    metric = BoxMap(signature(), write(truth, folder), offset)
    for image in truth["images"]:
        outputs = as_outputs([(image, make_detections(truth, image))])
        metric.add(batch([image], 1), {**outputs, **change(outputs)})
    return metric.result()


@pytest.mark.parametrize("name", ["detection_boxes", "detection_scores", "detection_classes"])
def test_what_is_no_number_was_not_found(tmp_path: Path, name: str) -> None:
    """pycocotools takes a box of NaN for one that fits: a model that overflows would look better."""
    truth = make_truth()

    def overflow(outputs: Arrays) -> Arrays:
        changed = np.array(outputs[name], np.float32)
        changed[0, 0] = np.nan
        return {name: changed}

    found = judged(truth, tmp_path, overflow)
    without = [d for image in truth["images"] for d in make_detections(truth, image)[1:]]
    assert found.metrics == pytest.approx(reference(truth, without, all_ids(truth)), abs=1e-6)
    total = len(all_detections(truth))
    assert found.notes == (
        f"12 of {total} detections hold NaN or infinity: they are left out, as if nothing had been found",
    )


def test_what_can_hardly_be_right_is_told(tmp_path: Path) -> None:
    truth = make_truth()
    assert judged(truth, tmp_path, lambda outputs: {}).notes == ()
    (classes,) = judged(truth, tmp_path, lambda outputs: {}, offset=7).notes
    assert classes.endswith("no category for: class_offset or class_map may be wrong")
    for factor in (300, 1 / 1000):
        (boxes,) = judged(truth, tmp_path, lambda o, by=factor: {ZOO[0]: o[ZOO[0]] * by}).notes  # type: ignore[misc]
        assert boxes.endswith("box_format may be wrong")
    listed = {**truth, "categories": truth["categories"][1:]}
    strays = sum(each["category_id"] == 1 for each in truth["annotations"])
    assert judged(listed, tmp_path, lambda outputs: {}).notes[-1].startswith(f"{strays} annotations are of categories")


MANY = make_truth(images=15)


def as_centers(boxes: Any) -> Any:
    """y1, x1, y2, x2 as center x, y, width and height."""
    y1, x1, y2, x2 = np.moveaxis(boxes, -1, 0)
    return np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1)


def test_classes_that_are_hardly_ever_right_where_a_box_fits_are_told(tmp_path: Path) -> None:
    """As renumbered categories and a wrong class_offset look; of few boxes nothing is said."""

    def next_class(outputs: Arrays) -> Arrays:
        return {ZOO[2]: outputs[ZOO[2]] % 4 + 1}

    (note,) = judged(MANY, tmp_path, next_class).notes
    assert re.fullmatch(
        r"\d+ of \d+ detections that lie on an annotated object have its category, and \d+ say '\d' of '\d': "
        "class_offset, class_map or the ids of the annotations' categories may be wrong",
        note,
    )
    assert judged(MANY, tmp_path, lambda outputs: {}).notes == ()
    assert judged(make_truth(images=5), tmp_path, next_class).notes == ()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda boxes: boxes[..., (1, 0, 3, 2)], "x and y change places"),
        (lambda boxes: as_centers(boxes).clip(0.01), "what is read as 'yxyx' is 'cxcywh'"),
    ],
)
def test_boxes_that_fit_in_another_format_are_told(tmp_path: Path, given: Callable[[Any], Any], told: str) -> None:
    notes = judged(MANY, tmp_path, lambda outputs: {ZOO[0]: given(outputs[ZOO[0]])}).notes
    assert notes[-1].endswith(f" if {told}: box_format, or the form of the annotations' boxes, may be wrong")


def test_boxes_that_fit_in_no_format_are_not_told(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)

    def anywhere(outputs: Arrays) -> Arrays:
        low = generator.uniform(0, 0.7, (1, PLACES, 2))
        return {ZOO[0]: np.concatenate([low, low + generator.uniform(0.1, 0.3, (1, PLACES, 2))], axis=2)}

    assert judged(MANY, tmp_path, anywhere).notes == ()
