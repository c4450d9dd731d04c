"""Edits of graphs: what they change, that results stay, and what is not found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.case import Edits, Model  # noqa: E402
from bench.errors import ModelError  # noqa: E402
from bench.graphs import edits as graph_edits  # noqa: E402
from bench.graphs.frozen import freeze  # noqa: E402
from bench.graphs.make import make  # noqa: E402
from bench.graphs.nodes import bodies  # noqa: E402
from bench.graphs.savedmodel import SERVING_TAGS, meta_graph  # noqa: E402
from tests.configs import ROOT  # noqa: E402
from tests.graphs import small  # noqa: E402
from tests.graphs.small import floats  # noqa: E402

v1 = tf.compat.v1
MODELS = ROOT.parent / "shared" / "data" / "models"
RANDOM = np.random.default_rng(0)
Made = tuple[Path, dict[str, int] | None]
Edit = Callable[..., Made]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write_detector(tmp_path_factory.mktemp("detector"))


@pytest.fixture
def edit(detector: Path, tmp_path: Path) -> Edit:
    """Makes the detector with edits."""

    def edited(path: Path = detector, **edits: Any) -> Made:
        return make(Model(name="m", task="detection", path=str(path), edits=Edits(**edits)), None, 0, tmp_path)

    return edited


def nodes(saved: Path) -> list[Any]:
    return [node for body in bodies(meta_graph(saved, SERVING_TAGS).graph_def) for node in body.nodes]


def assert_same(before: Path, after: Path, name: str = "image_tensor", pixels: Any = None) -> None:
    fed = {name: small.images() if pixels is None else pixels}
    wanted, outputs = small.infer(before, fed), small.infer(after, fed)
    assert set(outputs) == set(wanted)
    for key, array in wanted.items():
        np.testing.assert_allclose(outputs[key], array, rtol=1e-4, atol=1e-5, err_msg=key)


def test_relu6_goes_and_results_stay(detector: Path, edit: Edit) -> None:
    saved, counts = edit(replace_relu6=True)
    assert counts == {"replace_relu6": 1}
    assert "Relu6" in {node.op for node in nodes(detector)}
    assert "Relu6" not in {node.op for node in nodes(saved)}
    assert_same(detector, saved)


def test_assertions_go_with_their_branches_and_results_stay(detector: Path, edit: Edit) -> None:
    saved, counts = edit(remove_assert=True)
    assert counts is not None and counts["remove_assert"] >= 1
    assert "Assert" in {node.op for node in nodes(detector)}
    assert not {"Assert", "If", "StatelessIf"} & {node.op for node in nodes(saved)}
    assert_same(detector, saved)
    dark = small.images() - 2000
    with pytest.raises(tf.errors.InvalidArgumentError, match="too dark"):
        small.infer(detector, {"image_tensor": dark})
    small.infer(saved, {"image_tensor": dark})


def test_other_edits_leave_assertions_alone(edit: Edit) -> None:
    saved, _ = edit(replace_relu6=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too dark"):
        small.infer(saved, {"image_tensor": small.images() - 2000})


def test_non_maximum_suppression_goes_to_the_cpu(detector: Path, edit: Edit) -> None:
    saved, counts = edit(force_nms_cpu=True)
    assert counts is not None and counts["force_nms_cpu"] >= 1
    devices = {node.device for node in nodes(saved) if node.op == "CombinedNonMaxSuppression"}
    assert devices == {"/device:CPU:0"}
    assert_same(detector, saved)


def test_the_score_threshold_is_that_of_what_is_kept(detector: Path, edit: Edit) -> None:
    saved, counts = edit(nms_score_threshold=0.9)
    assert counts == {"override_nms_score_threshold": 1}
    before, after = (small.infer(path, {"image_tensor": small.images()}) for path in (detector, saved))
    kept = before["detection_scores"] >= 0.9
    assert 0 < kept.sum() < (before["detection_scores"] >= 0.5).sum()
    np.testing.assert_array_equal(after["num_detections"], kept.sum(1))


def test_the_models_own_resizer_takes_another_shape(detector: Path, edit: Edit) -> None:
    saved, counts = edit(resizer_shape=(3, 4))
    assert counts == {"override_resizer_shape": 1}
    (before, after) = (
        next(v for k, v in small.infer(path, {"image_tensor": small.images()}).items() if k == "detection_boxes")
        for path in (detector, saved)
    )
    assert before.shape == after.shape and (before != after).any()


def with_anchors(folder: Path) -> Path:
    """As exported for 6x6 alone: 36 places."""
    module = tf.Module()

    def serve(image_tensor: Any) -> dict[str, Any]:
        flat = tf.reshape(tf.image.resize(image_tensor, [6, 6]), [-1, 36, 3])
        return {"detection_boxes": flat + tf.ones((36, 3))}

    spec = tf.TensorSpec((None, small.SIDE, small.SIDE, 3), tf.float32, name="image_tensor")
    function = tf.function(serve, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
    return folder


@pytest.mark.parametrize(
    ("shape", "words"), [((5, 5), "does not run at another: "), ((12, 12), "outputs of a batch of 1 become")]
)
def test_a_graph_for_one_size_is_not_given_another(
    edit: Edit, tmp_path: Path, shape: tuple[int, int], words: str
) -> None:
    with pytest.raises(ModelError, match=r"override_resizer_shape: \[\d+, \d+\]: the graph was exported .*" + words):
        edit(with_anchors(tmp_path / "anchors"), resizer_shape=shape)


def test_what_is_not_there_is_told_or_counted(edit: Edit, tmp_path: Path) -> None:
    module = tf.Module()
    spec = tf.TensorSpec((None, 4), tf.float32, name="x")
    double = tf.function(lambda x: {"y": x * 2.0}, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "plain"), signatures={"serving_default": double})
    plain = tmp_path / "plain"
    counts = edit(plain, replace_relu6=True, remove_assert=True, force_nms_cpu=True)[1]
    assert counts == {"replace_relu6": 0, "remove_assert": 0, "force_nms_cpu": 0}
    with pytest.raises(
        ModelError, match=r"override_nms_score_threshold: 0\.5: nothing to set it in: the graph has no Com"
    ):
        edit(plain, nms_score_threshold=0.5)
    with pytest.raises(ModelError, match=r"override_resizer_shape: \[4, 4\]: the graph has no ResizeBilinear"):
        edit(plain, resizer_shape=(4, 4))


def test_a_threshold_that_is_computed_is_told() -> None:
    with tf.Graph().as_default() as graph:
        boxes, scores, threshold = (v1.placeholder(tf.float32, shape) for shape in ((9, 4), (9,), ()))
        tf.image.non_max_suppression(boxes, scores, 3, 0.5, threshold * 2.0, name="nms")
    with pytest.raises(ModelError, match="the threshold of nms/NonMaxSuppressionV3 is computed, not a constant"):
        graph_edits.set_score_threshold(graph.as_graph_def(), 0.5)


def test_a_threshold_that_others_share_is_changed_for_one_alone() -> None:
    with tf.Graph().as_default() as graph:
        boxes, scores = (v1.placeholder(tf.float32, shape) for shape in ((9, 4), (9,)))
        half = tf.constant(0.5, name="half")
        kept = tf.image.non_max_suppression(boxes, scores, 3, half, half, name="nms")
        tf.identity(kept, name="kept")
    graph_def = graph.as_graph_def()
    assert graph_edits.set_score_threshold(graph_def, 0.25) == 1
    (node,) = (n for n in graph_def.node if n.op == "NonMaxSuppressionV3")
    body = next(bodies(graph_def))
    values = [tf.make_ndarray(body.by_name[name].attr["value"].tensor) for name in (node.input[3], node.input[4])]
    assert values == [0.5, 0.25]


def test_functions_in_the_library_are_edited_too() -> None:
    """A loop's body stays a function when a graph is frozen."""

    def step(i: Any, x: Any) -> Any:
        tf.debugging.Assert(tf.reduce_all(x < 1e6), [x])
        return i + 1, tf.nn.relu6(x * 1.5)

    spec = tf.TensorSpec((None,), tf.float32, name="x")
    function = tf.function(
        lambda x: tf.while_loop(lambda i, _: i < 4, step, [0, x])[1], input_signature=[spec], autograph=False
    ).get_concrete_function()
    graph_def = function.graph.as_graph_def()
    counts = graph_edits.apply(graph_def, Edits(replace_relu6=True, remove_assert=True))
    assert counts["replace_relu6"] == 1 and counts["remove_assert"] >= 1
    ops = {node.op for body in bodies(graph_def) for node in body.nodes}
    assert not {"Relu6", "Assert"} & ops
    values = floats([-1, 0.5, 2, 5])
    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        (end,) = function.outputs
        edited = session.run(graph.get_tensor_by_name(end.name), {"x:0": values})
    np.testing.assert_allclose(edited, function(tf.constant(values)).numpy(), rtol=1e-6)


@pytest.mark.parametrize("taken", ["low", "six"])
def test_names_that_are_taken_are_left_to_those_who_have_them(edit: Edit, tmp_path: Path, taken: str) -> None:
    def network(image_tensor: Any) -> dict[str, Any]:
        return {"y": tf.identity(tf.nn.relu6(image_tensor, name="relu"), name=f"relu/{taken}")}

    spec = tf.TensorSpec((None, 8, 8, 3), tf.float32, name="image_tensor")
    serve = tf.function(network, [spec], autograph=False)
    tf.saved_model.save(tf.Module(), str(tmp_path / "own"), signatures={"serving_default": serve})
    saved, counts = edit(tmp_path / "own", replace_relu6=True)
    assert counts == {"replace_relu6": 1}
    assert_same(tmp_path / "own", saved)


def test_a_model_is_edited_inside_its_loops_and_branches(edit: Edit, tmp_path: Path) -> None:
    """As a detector of TensorFlow 2 has its suppression within map_fn."""

    def each(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.relu6(x * 1.5), lambda: tf.nn.relu6(-x))

    spec = tf.TensorSpec((None, 8, 8, 3), tf.float32, name="image_tensor")
    serve = tf.function(lambda image_tensor: {"y": tf.map_fn(each, image_tensor)}, [spec], autograph=False)
    tf.saved_model.save(tf.Module(), str(tmp_path / "own"), signatures={"serving_default": serve})
    saved, counts = edit(tmp_path / "own", replace_relu6=True)
    assert counts == {"replace_relu6": 2}
    assert "Relu6" not in {node.op for node in nodes(saved)}
    assert_same(tmp_path / "own", saved)


@pytest.mark.skipif(not MODELS.is_dir(), reason="the real models are not there: ../shared/data")
@pytest.mark.parametrize(
    ("model", "name", "relus", "pixels"),
    [
        ("ssd_mobilenet_v1_coco", "image_tensor", 35, RANDOM.integers(0, 256, (1, 300, 300, 3), np.uint8)),
        ("mobilenet_v1_0.75_224", "input", 27, RANDOM.uniform(-1, 1, (2, 224, 224, 3)).astype(np.float32)),
    ],
)
def test_trained_models_give_the_same_without_relu6_and_assertions(
    edit: Edit, model: str, name: str, relus: int, pixels: Any
) -> None:
    saved, counts = edit(MODELS / model, replace_relu6=True, remove_assert=True, force_nms_cpu=True)
    nms = 2 if model.startswith("ssd") else 0
    assert counts == {"replace_relu6": relus, "remove_assert": 0, "force_nms_cpu": nms}
    assert_same(MODELS / model, saved, name, pixels)


def test_a_frozen_graph_has_the_signatures_names_and_no_variables(detector: Path) -> None:
    frozen = freeze(detector, ("serve",), "serving_default")
    assert list(frozen.inputs) == ["image_tensor"]
    assert list(frozen.outputs) == ["detection_boxes", "detection_classes", "detection_scores", "num_detections"]
    assert not [node.name for node in frozen.graph.node if node.op in ("VarHandleOp", "ReadVariableOp")]
