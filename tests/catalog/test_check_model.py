"""`bench models check`: cards and SavedModels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backends.base import TensorSpec
from bench.catalog import check_model
from bench.catalog.check_model import Seen, check_path
from bench.errors import CatalogError
from bench.inputs.feeds import CHANNELS_LAST
from tests.configs import ROOT, bench

DETECTOR = ROOT / "models" / "shapes_detector"


def write_card(folder: Path, **changes: Any) -> Path:
    card = {"name": "mine", "description": "", "task": "detection", "source": {"path": str(DETECTOR)}, **changes}
    path = folder / "mine.json"
    path.write_text(json.dumps(card), encoding="utf-8")
    return path


SCORES = TensorSpec("scores", np.dtype(np.float32), (None, 10))
IMAGES = TensorSpec("images", np.dtype(np.float32), (None, 8, 8, 3))
USES = {
    "classifier": ([("scores", (None, 10))], 0, "it can be evaluated as a model for classification"),
    "raw outputs": ([("boxes", (None, 9, 4)), ("raw", (None, 9, 7))], 2, "a postprocess could make what is needed"),
}


@pytest.mark.parametrize(("outputs", "code", "last"), USES.values(), ids=USES)
def test_a_model_s_tensors_and_use_are_told(
    monkeypatch: pytest.MonkeyPatch, outputs: list[tuple[str, tuple[int | None, ...]]], code: int, last: str
) -> None:
    specs = tuple(TensorSpec(name, np.dtype(np.float32), shape) for name, shape in outputs)
    monkeypatch.setattr(check_model, "read_signature", lambda *_: Seen((IMAGES,), specs))
    outcome = bench("models", "check", str(DETECTOR))
    assert outcome.exit_code == code
    assert "input images float32 [None, 8, 8, 3]" in outcome.stdout
    assert outcome.stdout.strip().endswith(last)


NUMBERS = "pictures are fed as numbers [batch, height, width, 3]"


@pytest.mark.parametrize(
    ("kind", "shape", "told"),
    [
        (object, (None,), f"string [None], and {NUMBERS}"),
        (
            np.float32,
            (None, 32, 32, 1),
            f"float32 [None, 32, 32, 1], and {NUMBERS}; a preprocess of your own can give other channels",
        ),
        (np.float32, (None, 3, 32, 32), f"float32 [None, 3, 32, 32], and {CHANNELS_LAST}"),
    ],
)
def test_what_takes_no_pictures_cannot_be_evaluated(
    monkeypatch: pytest.MonkeyPatch, kind: type, shape: tuple[int | None, ...], told: str
) -> None:
    takes = TensorSpec("b", np.dtype(kind), shape)
    monkeypatch.setattr(check_model, "read_signature", lambda *_: Seen((takes,), (SCORES,)))
    outcome = bench("models", "check", str(DETECTOR))
    assert outcome.exit_code == 2
    assert outcome.stdout.splitlines()[-1].endswith(f"its input b is {told}")


def test_a_preprocess_of_ones_own_makes_pictures_what_the_model_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "grey_pictures.py").write_text("def grey(image, image_shape): ...", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    grey = TensorSpec("images", np.dtype(np.float32), (None, 8, 8, 1))
    monkeypatch.setattr(check_model, "read_signature", lambda *_: Seen((grey,), (SCORES,)))
    path = str(write_card(tmp_path, task="classification", preprocess="grey_pictures:grey", image_shape=[8, 8]))
    assert [line.text for line in check_path(path, ".") if line.is_problem] == []


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        (np.float32, 0, "benchmark_config.use_synthetic alone fills them, for its speed; it cannot be evaluated"),
        (object, 2, "input 'other' is of type string, which cannot be filled with random values"),
    ],
)
def test_a_model_of_several_inputs_is_for_its_speed_alone(
    monkeypatch: pytest.MonkeyPatch, kind: type, code: int, told: str
) -> None:
    other = TensorSpec("other", np.dtype(kind), (None,))
    monkeypatch.setattr(check_model, "read_signature", lambda *_: Seen((IMAGES, other), (SCORES,)))
    outcome = bench("models", "check", str(DETECTOR))
    assert outcome.exit_code == code
    assert outcome.stdout.strip().endswith(told) and "it can be evaluated" not in outcome.stdout


def test_a_card_s_tensors_are_held_against_the_model_s(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    right = {"name": "detection_scores", "shape": [None, 64], "dtype": "float32"}
    wrong = {"name": "detection_boxes", "shape": [None, 64, 5], "dtype": "float32"}
    outcome = bench("models", "check", str(write_card(tmp_path, outputs=[right, wrong])))
    assert outcome.exit_code == 2
    assert "output detection_boxes float32 [None, 64, 5] of the card is not the model's" in outcome.stdout
    assert "detection_scores float32 [None, 64] of the card" not in outcome.stdout


def write_frozen(path: Path) -> None:
    """A frozen graph that makes 10 scores out of images of 8 x 8."""
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="images")
        tf.matmul(tf.reshape(images, (-1, 192)), tf.ones((192, 10)), name="scores")
    path.write_bytes(graph.as_graph_def().SerializeToString())


def test_a_frozen_graph_is_looked_into_by_itself_and_by_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    write_frozen(tmp_path / "mine.pb")
    outcome = bench("models", "check", str(tmp_path / "mine.pb"))
    assert outcome.exit_code == 0, outcome.stderr
    assert f"{tmp_path / 'mine.pb'}: a frozen graph" in outcome.stdout
    assert "input images float32 [None, 8, 8, 3]" in outcome.stdout
    assert "it can be evaluated as a model for classification" in outcome.stdout
    card = {
        "task": "classification", "source": {"path": str(tmp_path / "mine.pb"), "format": "frozen_graph"},
        "inputs": [{"name": "images", "shape": [None, 8, 8, 3], "dtype": "float32"}],
    }  # fmt: skip
    scores = {"name": "scores", "shape": [None, 12], "dtype": "float32"}
    outcome = bench("models", "check", str(write_card(tmp_path, **card, outputs=[scores])))
    assert outcome.exit_code == 2
    assert (
        "output scores float32 [None, 12] of the card is not the model's: scores float32 [None, 10]" in outcome.stdout
    )
    outcome = bench("models", "check", str(write_card(tmp_path, **card, outputs=[{**scores, "name": "score"}])))
    assert outcome.exit_code == 2
    assert "model_config.output_names: 'score'" in outcome.stderr and "did you mean 'scores'" in outcome.stderr


def test_a_loss_is_no_score_and_a_checkpoint_is_looked_into_by_its_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="images")
        weights = tf.compat.v1.get_variable("w", (192, 10))
        tf.reduce_sum(tf.matmul(tf.reshape(images, (-1, 192)), weights, name="scores"), name="loss")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"), 1000)
    outcome = bench("models", "check", str(tmp_path / "model.ckpt-1000"))
    assert outcome.exit_code == 2
    assert f"{tmp_path / 'model.ckpt-1000'}" in outcome.stdout, outcome.stderr
    assert "its output loss is one number for a whole batch; of a graph, model_config.output_names" in outcome.stdout


def test_other_signatures_are_told_with_the_key_that_names_them(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()
    module.score = tf.function(
        lambda images: {"scores": tf.reduce_mean(images, [1, 2])}, [tf.TensorSpec((None, 8, 8, 3), name="images")]
    )
    score = module.score.get_concrete_function()
    tf.saved_model.save(module, str(tmp_path / "mine"), {"serving_default": score, "predict": score})
    outcome = bench("models", "check", str(tmp_path / "mine"))
    assert outcome.exit_code == 0
    key = "model_config.input_saved_model_signature_key"
    assert f"beside serving_default it has predict, which {key} names" in outcome.stdout


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("mine.keras", "mine.keras", "keras"),
        ("mine.pb", "mine.pb", "frozen_graph"),
        ("mine.ckpt-1", "mine.ckpt-1.meta", "checkpoint"),
    ],
)
def test_a_file_whose_format_a_card_does_not_say_is_told_with_it(
    tmp_path: Path, path: str, file: str, kind: str
) -> None:
    (tmp_path / file).touch()
    (problem,) = [line.text for line in check_path(str(write_card(tmp_path, source={"path": path})), ".")][1:]
    assert problem.endswith(f"'{tmp_path / path}' is no SavedModel: set source.format to '{kind}'")


def test_an_architecture_needs_a_shape(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    path = write_card(tmp_path, source={"keras_application": "VGG16"}, task="classification")
    text = [line.text for line in check_path(str(path), ".")][-1]
    assert text == "its architecture, VGG16, is built with random weights, and needs benchmark_config.image_shape"


def test_a_model_that_is_to_be_fetched_is_a_problem(tmp_path: Path) -> None:
    path = write_card(tmp_path, source={"url": "http://a/b.tgz"})
    outcome = bench("models", "check", str(path))
    assert outcome.exit_code == 2
    assert f"fetch http://a/b.tgz with `bench models download {path}" in outcome.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.json", "no card .*none.json"),
        ("nowhere", "no such folder"),
        (".", r"no saved_model\.pb in it"),
        ("file.txt", r"PATH: '.*file\.txt' is a file: name a card"),
    ],
)
def test_what_cannot_be_checked_is_a_mistake_of_usage(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(CatalogError, match=words):
        list(check_path(str(tmp_path / name), "."))
    assert bench("models", "check", str(tmp_path / name)).exit_code == 2


def test_a_card_of_the_catalog_is_checked_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = TensorSpec("probabilities", np.dtype(np.float32), (None, 8))
    images = TensorSpec("images", np.dtype(np.float32), (None, 64, 64, 3))
    monkeypatch.setattr(check_model, "read_signature", lambda *_: Seen((images,), (scores,)))
    outcome = bench("models", "check", "shapes_classifier")
    assert outcome.exit_code == 0
    assert "a card of a model for classification" in outcome.stdout
    outcome = bench("models", "check", "shapes_clasifier")
    assert outcome.exit_code == 2
    assert "no model 'shapes_clasifier'; did you mean 'shapes_classifier'?" in outcome.stderr


def test_a_card_for_another_task_than_the_models_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scores = TensorSpec("probabilities", np.dtype(np.float32), (None, 8))
    monkeypatch.setattr(check_model, "read_signature", lambda *_: Seen((IMAGES,), (scores,)))
    outcome = bench("models", "check", str(write_card(tmp_path, task="detection")))
    assert outcome.exit_code == 2
    assert "not a detector: it has no output detection_boxes" in outcome.stdout


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "dataset": ({"dataset": "shapes-detection"}, "dataset: no dataset 'shapes-detection'; did you mean"),
    "preprocess": ({"preprocess": "nowhere:f"}, "preprocess: 'nowhere:f': nowhere cannot be imported"),
    "postprocess": ({"postprocess": "yolo8"}, "postprocess: 'yolo8' is not one of 'yolov5', 'yolov8'"),
    "its option": (
        {"postprocess": "yolov8", "postprocess_options": {"iou": 0.5}},
        "postprocess: 'yolov8': postprocess_options: got an unexpected keyword argument 'iou'; it takes: score_",
    ),
}


@pytest.mark.parametrize(("changes", "words"), MISTAKES.values(), ids=MISTAKES)
def test_what_a_run_would_stumble_over_is_a_problem(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write_card(tmp_path, source={"url": "http://a/b.tgz"}, **changes)
    problems = [line.text for line in check_path(str(path), ".") if line.is_problem]
    assert len(problems) == 2  # and that it is not here
    assert problems[0].startswith(words)


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"image_shape": [16, 8]}, "image_shape: [16, 8], and the model's input images is [None, 8, 8, 3]"),
    "fractions": ({"preprocess": "tf"}, "preprocess: 'tf' makes fractions, and the model's input is uint8; use 'raw'"),
    "offset": ({"class_offset": 8}, "class_offset: 8, and the model has 8 classes"),
}


@pytest.mark.parametrize(("changes", "words"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_the_model_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    images = TensorSpec("images", np.dtype(np.uint8), (None, 8, 8, 3))
    scores = TensorSpec("probabilities", np.dtype(np.float32), (None, 8))
    monkeypatch.setattr(check_model, "read_signature", lambda *_: Seen((images,), (scores,)))
    for card, problems in ({"image_shape": [8, 8], "class_offset": 1}, []), (changes, [words]):
        path = str(write_card(tmp_path, task="classification", **card))
        assert [line.text for line in check_path(path, ".") if line.is_problem] == problems


ARCHITECTURES = {
    "unknown": ({"keras_application": "VGG161"}, "no architecture 'VGG161' in this TensorFlow; did you mean 'VGG16'?"),
    "argument": ({"keras_application": "ResNet50V15", "arguments": {"clases": 8}}, "ResNet50V15 cannot be built with"),
}


@pytest.mark.parametrize(("source", "words"), ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_an_architecture_must_be_known_with_its_arguments(tmp_path: Path, source: dict[str, Any], words: str) -> None:
    pytest.importorskip("tensorflow")
    path = write_card(tmp_path, source=source, task="classification")
    (problem,) = (line.text for line in check_path(str(path), ".") if line.is_problem)
    assert problem.startswith(f"source.keras_application: {words}")


def test_a_bad_card_is_told_by_file_and_key(tmp_path: Path) -> None:
    outcome = bench("models", "check", str(write_card(tmp_path, class_ofset=1)))
    assert outcome.exit_code == 2
    assert "mine.json: class_ofset: unknown key; did you mean 'class_offset'?" in outcome.stderr
