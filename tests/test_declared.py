"""A model that lies under a card's name is the one that the card means, or no run measures it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backends.base import Signature, TensorSpec
from bench.case import Declared, Model, Tensor
from bench.declared import disagreements, refuse_another
from bench.errors import ModelError
from bench.history.series import series_key
from bench.suite import load_suite
from tests.configs import ROOT, make_config
from tests.factory import make_case

MINE: dict[str, Any] = {"name": "mine", "description": "", "task": "classification", "image_shape": [8, 8]}
IMAGES = {"name": "images", "shape": [None, 8, 8, 3]}
SCORES = {"name": "scores", "shape": [None, 5]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()


def write(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]], model: dict[str, Any], **source: Any) -> None:
    """A card, and a config that names it."""
    card = {**MINE, "source": source, "inputs": inputs, "outputs": outputs}
    Path("models/mine.json").write_text(json.dumps(card), encoding="utf-8")
    native = {"optimization_config": {"precision_mode": "native"}}
    config = make_config({**native, "model_config": {"model_name": "mine", **model}})
    Path("test.json").write_text(json.dumps(config), encoding="utf-8")


def write_model(folder: str = "models/mine", takes: str = "images", gives: str = "scores") -> None:
    """A SavedModel of 5 scores."""
    tf = pytest.importorskip("tensorflow")
    spec = tf.TensorSpec((None, 8, 8, 3), name=takes)
    score = tf.function(lambda **pictures: {gives: tf.reduce_mean(pictures[takes], [1, 2]) @ tf.ones((3, 5))})
    tf.saved_model.save(tf.Module(), folder, {"serving_default": score.get_concrete_function(**{takes: spec})})


def look() -> None:
    """What a run does before it measures: an error where the model is another."""
    from bench.graphs.make import make
    from bench.graphs.savedmodel import model_signature

    found = load_suite(Path("test.json")).cases[0].model
    place = Path(found.path or "") if found.is_used_as_it_lies else make(found, (8, 8), 0, Path("cache"))[0]
    refuse_another(found, model_signature(found, place), found.path)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT), "BENCH_CACHE": "cache"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_run_refuses_what_the_check_of_the_card_refuses_and_measures_what_it_accepts() -> None:
    write_model()
    write([IMAGES], [{**SCORES, "shape": [None, 6]}], {}, path="mine")
    refused, checked = command("bench.test", "test.json"), command("bench.cli", "models", "check", "mine")
    told = "output scores float32 [None, 6] of the card is not the model's: scores float32 [None, 5]"
    assert told in checked.stdout and checked.returncode == 2
    record = json.loads(next(Path("results").glob("test/*/mine-native-b1.json")).read_text(encoding="utf-8"))
    assert record["latency"] is None and refused.returncode == 2
    assert record["failure"]["message"].startswith(f"models/mine: {told}; put the model there that models/mine.json")
    write([IMAGES], [SCORES], {}, path="mine")
    measured = command("bench.test", "test.json")
    assert measured.returncode == 0, measured.stdout + measured.stderr


WRONG = {
    "type": ([{**IMAGES, "dtype": "uint8"}], [SCORES], r"input images uint8 .* not the model's: images float32"),
    "classes": ([IMAGES], [{**SCORES, "shape": [None, 1001]}], r"output scores float32 \[None, 1001\]"),
}


@pytest.mark.parametrize(("inputs", "outputs", "words"), WRONG.values(), ids=WRONG)
def test_type_and_shape_of_a_saved_model_are_those_of_its_card(inputs: Any, outputs: Any, words: str) -> None:
    write_model()
    write([IMAGES], [SCORES], {}, path="mine")
    look()
    again = {**SCORES, "name": "with_other_names", "dtype": "int64"}
    write([{**IMAGES, "name": "exported_again"}], [again], {}, path="mine")
    look()
    write(inputs, outputs, {}, path="mine")
    with pytest.raises(ModelError, match=words):
        look()


def write_frozen(path: Path) -> None:
    """A graph that makes 5 scores, in a scope whose names no signature takes."""
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="net/images")
        tf.matmul(tf.reduce_mean(images, [1, 2]), tf.ones((3, 5)), name="net/scores")
    path.write_bytes(graph.as_graph_def().SerializeToString())


def test_a_graph_s_names_are_those_in_the_graph() -> None:
    write_frozen(Path("models/mine.pb"))
    source = {"path": "mine.pb", "format": "frozen_graph"}
    scores = {**SCORES, "name": "net/scores:0"}
    write([{**IMAGES, "name": "net/images"}], [scores], {}, **source)
    look()
    write([{**IMAGES, "name": "net/images"}], [{**scores, "shape": [None, 6]}], {}, **source)
    with pytest.raises(ModelError, match=r"output net/scores:0 .*\[None, 6\] .* model's: net_scores float32 \[None, 5"):
        look()


@pytest.mark.parametrize(
    "source",
    [
        {"url": "http://a/b.tgz", "inside": "b.pb", "format": "frozen_graph"},
        {"keras_application": "VGG16"},
    ],
    ids=["graph", "architecture"],
)
def test_a_saved_model_in_place_of_another_format_has_names_of_its_own(source: dict[str, Any]) -> None:
    write_model("exported", takes="input_tensor", gives="softmax")
    here = {"input_dir": "exported"}
    write([IMAGES], [SCORES], here, **source)
    look()
    write([IMAGES], [{**SCORES, "shape": [None, 6]}], here, **source)
    with pytest.raises(
        ModelError, match=r"exported: output scores .*\[None, 6\] .* model's: softmax float32 \[None, 5"
    ):
        look()


@pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning")
def test_a_keras_file_is_held_against_its_card_whatever_keras_calls_its_tensors() -> None:
    tf = pytest.importorskip("tensorflow")
    layers = [tf.keras.layers.Flatten(), tf.keras.layers.Dense(5, name="named")]
    tf.keras.Sequential([tf.keras.Input((8, 8, 3), name="pixels"), *layers]).save("models/mine.keras")
    source = {"path": "mine.keras", "format": "keras"}
    write([IMAGES], [SCORES], {}, **source)
    look()
    write([IMAGES], [{**SCORES, "shape": [None, 6]}], {}, **source)
    with pytest.raises(ModelError, match=r"output scores float32 \[None, 6\] of the card is not the model's"):
        look()


@pytest.mark.parametrize(
    ("shape", "agrees"),
    [
        ((None, 8, 8, 3), True),
        ((None, None, None, 3), True),
        ((), True),  # of unknown rank
        ((4, 8, 8, 3), True),
        ((None, 8, 8, 1), False),
        ((None, 8, 8), False),
    ],
)
def test_what_either_leaves_open_agrees(shape: tuple[int | None, ...], agrees: bool) -> None:
    declared = Declared(card="a.json", inputs=(Tensor(**IMAGES),), outputs=(), names="signature")
    signature = Signature((TensorSpec("images", np.dtype(np.float32), shape),), ())
    assert (list(disagreements(declared, signature)) == []) == agrees


def test_a_model_that_is_resized_may_give_outputs_of_another_shape() -> None:
    boxes = Tensor(name="boxes", shape=(None, 1917, 4))
    declared = Declared(card="a.json", inputs=(), outputs=(boxes,), names="signature")
    signature = Signature((), (TensorSpec("boxes", np.dtype(np.float32), (None, 1000, 4)),))
    model = Model(name="a", task="detection", path="a", declared=declared)
    with pytest.raises(ModelError, match="1917"):
        refuse_another(model, signature, "a")
    edits = model.edits.model_copy(update={"resizer_shape": (240, 240)})
    refuse_another(model.model_copy(update={"edits": edits}), signature, "a")


def test_what_a_card_declares_starts_no_new_series() -> None:
    declared = Declared(card="a.json", inputs=(Tensor(**IMAGES),), outputs=(), names="signature")
    model = Model(name="a", task="classification", path="a")
    with_it = model.model_copy(update={"declared": declared})
    assert series_key(make_case(model=model)) == series_key(make_case(model=with_it))
