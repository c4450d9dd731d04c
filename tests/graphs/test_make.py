"""SavedModels made of every format: the same numbers, the same names, made once."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.backends.base import Array  # noqa: E402
from bench.case import Edits, Model  # noqa: E402
from bench.errors import ModelError  # noqa: E402
from bench.graphs.make import main, make  # noqa: E402
from bench.graphs.savedmodel import SERVING_TAGS, meta_graph, read_signature  # noqa: E402
from tests.graphs import small  # noqa: E402
from tests.graphs.small import floats  # noqa: E402

v1 = tf.compat.v1

# Keras 2.14 gives random.randint a float, and calls .h5 an older format.
pytestmark = [
    pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*saving your model as an HDF5 file"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "wanted.npy", small.write_v1(folder))
    for suffix in ("keras", "h5"):
        small.make_keras().save(folder / f"model.{suffix}")
    return folder


def own(path: Path, kind: Any, **changes: Any) -> Model:
    return Model(name="own", task="classification", path=str(path), format=kind, **changes)


def made(model: Model, cache: Path, shape: tuple[int, int] | None = None) -> Path:
    return make(model, shape, 0, cache)[0]


@pytest.mark.parametrize(("name", "kind"), [("frozen.pb", "frozen_graph"), ("model.ckpt", "checkpoint")])
@pytest.mark.parametrize("names", [{}, {"input_names": ("images:0",), "output_names": ("scores",)}])
def test_a_graph_gives_what_it_gave_before(files: Path, tmp_path: Path, name: str, kind: str, names: Any) -> None:
    saved = made(own(files / name, kind, **names), tmp_path)
    signature = read_signature(saved)
    assert [spec.name for spec in signature.inputs] == ["images"]
    assert signature.inputs[0].shape == (None, small.SIDE, small.SIDE, 3)
    assert [spec.name for spec in signature.outputs] == ["scores"]
    scores = small.infer(saved, {"images": small.images()})["scores"]
    np.testing.assert_allclose(scores, np.load(files / "wanted.npy"), rtol=1e-5)


def test_a_tensor_inside_the_graph_may_be_fed(files: Path, tmp_path: Path) -> None:
    saved = made(own(files / "frozen.pb", "frozen_graph", input_names=("conv",), output_names=("norm:0",)), tmp_path)
    maps = np.ones((1, small.SIDE, small.SIDE, 4), np.float32)
    assert small.infer(saved, {"conv": maps})["norm"].shape == maps.shape


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_keras_file_is_saved_in_inference_mode(files: Path, tmp_path: Path, suffix: str) -> None:
    saved = made(own(files / f"model.{suffix}", "keras"), tmp_path)
    more = np.ones((2, 2), np.float32)
    outputs = small.infer(saved, {"images": small.images(), "more": more})
    wanted = small.make_keras()([small.images(), more], training=False)
    for name, tensor in zip(("scores", "side"), wanted, strict=True):
        np.testing.assert_allclose(outputs[name], tensor.numpy(), rtol=1e-4, atol=1e-6)
    graph = meta_graph(saved, SERVING_TAGS).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert [n.name for n in nodes if n.op.startswith("FusedBatchNorm") and n.attr["is_training"].b] == []
    assert [n.name for n in nodes if n.op == "RandomUniform"] == []  # of the dropout


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_sequential_model_is_saved_like_any(tmp_path: Path, suffix: str) -> None:
    """Of Keras 3 one that was loaded has no input until it is called."""
    layers = [tf.keras.layers.Flatten(), tf.keras.layers.Dense(3, activation="softmax", name="scores")]
    network = tf.keras.Sequential([tf.keras.Input((8, 8, 3), name="pixels"), *layers])
    network.save(tmp_path / f"model.{suffix}")
    saved = made(own(tmp_path / f"model.{suffix}", "keras"), tmp_path)
    (name,) = (spec.name for spec in read_signature(saved).inputs)
    pixels = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    (found,) = small.infer(saved, {name: pixels}).values()
    np.testing.assert_allclose(found, network(pixels, training=False), rtol=1e-5)


def test_a_keras_layer_that_insists_on_training_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    small.make_keras(training=True).save(path)
    with pytest.raises(ModelError, match=r"model\.keras: layer 'norm' is called with training=True"):
        made(own(path, "keras"), tmp_path)


def test_a_graph_in_training_mode_is_refused_by_its_node(tmp_path: Path) -> None:
    small.write_v1(tmp_path, training=True)
    for name, kind in (("frozen.pb", "frozen_graph"), ("model.ckpt", "checkpoint")):
        with pytest.raises(ModelError, match=r"node 'norm' \(FusedBatchNorm\w*\) is in training mode"):
            made(own(tmp_path / name, kind), tmp_path)


def test_the_signature_of_a_saved_model_of_tensorflow_1_keeps_its_names(tmp_path: Path) -> None:
    source = small.write_saved_model(tmp_path / "source")
    chosen = {"tags": ("serve", "cpu"), "signature_key": "predict"}
    assert make(own(source, "saved_model", **chosen), None, 0, tmp_path) == (source, None)
    saved, counts = make(own(source, "saved_model", edits=Edits(replace_relu6=True), **chosen), None, 0, tmp_path)
    assert counts == {"replace_relu6": 0}
    before, after = read_signature(source, "predict", frozenset({"serve", "cpu"})), read_signature(saved)
    assert (after.inputs, [spec.name for spec in after.outputs]) == (before.inputs, ["best", "scores"])
    fed: dict[str, Array] = {"pixels": small.images(), "a_scale": floats([[1], [3]])}
    outputs = small.infer(saved, fed)
    for name, array in small.infer(source, fed, "predict").items():
        np.testing.assert_allclose(outputs[name], array, rtol=1e-5)


def test_an_architecture_can_be_edited(tmp_path: Path) -> None:
    model = Model(name="net", task="classification", keras_application="MobileNet", edits=Edits(replace_relu6=True))
    saved, counts = make(model, (32, 32), 0, tmp_path)
    assert counts == {"replace_relu6": 27}
    pixels = {"images": np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)}
    wanted = small.infer(made(model.model_copy(update={"edits": Edits()}), tmp_path, (32, 32)), pixels)
    np.testing.assert_allclose(small.infer(saved, pixels)["probabilities"], wanted["probabilities"], rtol=1e-3)


def two(path: Path) -> Path:
    with tf.Graph().as_default() as graph:
        left, right = (v1.placeholder(tf.float32, (None, 4), name=name) for name in ("left", "right"))
        tf.add(left, right, name="sum")
        tf.multiply(left, 2.0, name="double")
        tf.nn.top_k(right, 2, name="top")
    return small.write_graph(path, graph)


SEVERAL = r"sum:0 \(float32 \[None, 4\]\), double:0 .*, top:0 .*, top:1 \(int32 \[None, 2\]\)"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({}, f"output_names: missing: .*two.pb ends in several tensors: {SEVERAL}; name those to fetch"),
        (
            {"output_names": ("sum",)},
            r"input_names: missing: .* several placeholders: left:0 .*, right:0 .*; name what",
        ),
        ({"output_names": ("summ",)}, r"output_names: 'summ': no such tensor in .*two.pb; did you mean 'sum'\?"),
        ({"output_names": ("zzz",)}, f"output_names: 'zzz': no such tensor in .*; likely: {SEVERAL}"),
        ({"output_names": ("sum:1",)}, "output_names: 'sum:1': no such tensor"),
        ({"output_names": ("sum",), "input_names": ("left",)}, "input_names: left: the outputs need right:0 .* too"),
    ],
)
def test_names_that_are_in_doubt_are_suggested(tmp_path: Path, names: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        made(own(two(tmp_path / "two.pb"), "frozen_graph", **names), tmp_path)


def test_several_inputs_and_outputs_by_name(tmp_path: Path) -> None:
    names = {"input_names": ("right", "left:0"), "output_names": ("top:1", "sum")}
    saved = made(own(two(tmp_path / "two.pb"), "frozen_graph", **names), tmp_path)
    left, right = floats([[1, 2, 3, 4]]), floats([[5, 1, 9, 0]])
    outputs = small.infer(saved, {"left": left, "right": right})
    assert outputs["sum"].tolist() == [[6, 3, 12, 4]]
    assert outputs["top_1"].tolist() == [[2, 0]]


def test_files_of_other_content_are_told(files: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pb"
    broken.write_bytes(b"\xff\xff not a graph")
    with pytest.raises(ModelError, match=r"broken\.pb: not a GraphDef"):
        made(own(broken, "frozen_graph"), tmp_path)
    empty = tmp_path / "empty.pb"
    empty.touch()
    with pytest.raises(ModelError, match=r"empty\.pb: not a GraphDef: it has no nodes"):
        made(own(empty, "frozen_graph"), tmp_path)
    for suffix in ("keras", "h5"):
        path = tmp_path / f"broken.{suffix}"
        path.write_bytes(b"no")
        with pytest.raises(ModelError, match=rf"broken\.{suffix}: Keras of TensorFlow .* cannot load it: "):
            made(own(path, "keras"), tmp_path)


def test_a_graph_with_variables_is_not_frozen(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        small.network(v1.placeholder(tf.float32, (None, small.SIDE, small.SIDE, 3)))
    with pytest.raises(ModelError, match=r"graph\.pb: not frozen: 'kernel' is a variable; name its checkpoint"):
        made(own(small.write_graph(tmp_path / "graph.pb", graph), "frozen_graph"), tmp_path)


def test_weights_that_are_damaged_are_told(tmp_path: Path) -> None:
    small.write_v1(tmp_path)
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-8])
    with pytest.raises(ModelError, match=r"model\.ckpt: the weights cannot be read: "):
        made(own(tmp_path / "model.ckpt", "checkpoint"), tmp_path)


def test_content_and_parameters_decide_what_is_made_anew(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = two(tmp_path / "two.pb")
    model = own(path, "frozen_graph", input_names=("left", "right"), output_names=("sum",))
    first = made(model, cache)
    stamp = (first / "saved_model.pb").stat().st_mtime_ns
    assert made(model.model_copy(update={"preprocess": "inception"}), cache) == first
    assert (first / "saved_model.pb").stat().st_mtime_ns == stamp
    assert made(model.model_copy(update={"output_names": ("sum", "double")}), cache) != first
    assert made(model.model_copy(update={"edits": Edits(replace_relu6=True)}), cache) != first
    graph = v1.GraphDef.FromString(path.read_bytes())
    graph.node.add(name="other", op="NoOp")
    path.write_bytes(graph.SerializeToString())
    assert made(model, cache) != first
    assert not list(cache.glob("*.partial"))


def test_what_is_damaged_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    cache, path = tmp_path / "cache", two(tmp_path / "two.pb")
    model = own(path, "frozen_graph", input_names=("left", "right"), output_names=("sum",))
    saved = made(model, cache) / "saved_model.pb"
    saved.write_bytes(saved.read_bytes()[:100])
    fed = {"left": np.ones((1, 4), np.float32), "right": np.ones((1, 4), np.float32)}
    np.testing.assert_array_equal(small.infer(made(model, cache), fed)["sum"], np.full((1, 4), 2))


def test_the_frozen_graph_that_is_written_is_a_model_again(tmp_path: Path) -> None:
    source = small.write_detector(tmp_path / "detector")
    target = tmp_path / "new" / "frozen.pb"
    edits = Edits(replace_relu6=True)
    model = own(source, "saved_model", edits=edits, frozen_path=str(target))
    edited, _ = make(model, None, 0, tmp_path / "cache")
    again = made(own(target, "frozen_graph"), tmp_path / "cache")
    outputs = small.infer(edited, {"image_tensor": small.images()})
    for name, array in small.infer(again, {"image_tensor": small.images()}).items():
        np.testing.assert_array_equal(array, outputs.pop(name))
    assert not outputs
    assert [file.name for file in target.parent.iterdir()] == ["frozen.pb"]


def test_the_program_answers_in_one_line(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error here; what it makes is seen in tests/test_formats.py."""
    model = own(files / "gone.pb", "frozen_graph")
    request = {"model": model.model_dump(mode="json"), "image_shape": None, "seed": 0, "cache": str(tmp_path)}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    assert main() == 2
    assert "gone.pb: No such file" in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
