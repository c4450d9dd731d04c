"""The trained classifier and the photographs of ../shared/data in every form that a user may have them in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backends.base import Array
from bench.case import Case, Dataset
from bench.inputs.cases import preparing_first_batch
from bench.inputs.items import list_items
from bench.measure import loop, stages
from bench.record import Accuracy
from bench.runner import run_case
from bench.suite import load_suite
from tests.faults import ROOT
from tests.inputs.labelled_forms import Images, as_folders, as_labels, as_records, as_table
from tests.test_runner import Report

tf = pytest.importorskip("tensorflow")
DATA = ROOT.parent / "shared" / "data"
NIPS = DATA / "datasets" / "nips17"
MODEL = DATA / "models" / "mobilenet_v1_0.75_224"
IMAGES = 64  # of 500; in batches of 7, so that the last one is padded
KEYS: dict[Callable[..., Dataset], Callable[[Dataset], dict[str, Any]]] = {
    as_labels: lambda made: {"images_dir": made.images_dir, "labels_path": made.labels_path},
    as_table: lambda made: {
        "images_dir": made.images_dir,
        "labels_path": made.labels_path,
        "classes_path": made.classes_path,
    },
    as_folders: lambda made: {
        "images_dir": made.images_dir,
        "class_folders": True,
        "classes_path": str(DATA / "datasets" / "synset_words_1000.txt"),
    },
    as_records: lambda made: {"tfrecords": made.pattern},
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real models and images are not there: ../shared/data"),
]


def case_of(folder: Path, model: dict[str, Any], data: dict[str, Any]) -> Case:
    """As a config gives it."""
    config = {
        "model_config": {"preprocess": "tf", **model},
        "optimization_config": {"precision_mode": "native", "backend": "tensorflow"},
        "benchmark_config": {
            "image_shape": [224, 224], "batch_size": 7, "num_iterations": 1, "num_warmup_iterations": 1,
            "max_warmup_s": 0, "telemetry": False, **data,
        },
    }  # fmt: skip
    path = folder / "test.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    (case,) = load_suite(path).cases
    return case


def photographs(count: int) -> Images:
    """The first ones of the label file, their bytes as they lie."""
    lines = (NIPS / "labels.txt").read_text(encoding="utf-8").split("\n")[:count]
    pairs = [line.rsplit(" ", 1) for line in lines]
    return [(Path(name).name, int(label), (NIPS / name).read_bytes()) for name, label in pairs]


def evaluated(case: Case) -> tuple[Accuracy, dict[str, tuple[int, str]]]:
    """Accuracy, and of each image by the hash of its content: the best class, and where its label stands."""
    report = Report()
    run_case(case, report)
    accuracy: Accuracy = report.parts["accuracy"]
    answers = accuracy.answers
    assert answers is not None
    contents = [hashlib.sha256(item.content()).hexdigest() for item in list_items(case.dataset, None)]
    return accuracy, dict(zip(contents, zip(answers.best, answers.ranks, strict=True), strict=True))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to nothing is timed: accuracy is what is asked for."""
    monkeypatch.setattr(loop, "BLOCK_SECONDS", 0.01)
    for name in ("TIMED", "WARM", "PREPROCESSED"):
        monkeypatch.setattr(stages, name, 1)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("preprocess", ["tf", "inception"])  # inception: of files by tf.data, of records by Pillow
def test_records_folders_tables_and_lines_give_the_same_accuracy(tmp_path: Path, preprocess: str) -> None:
    """Folders come in another order, so in other batches; each image has its answer all the same."""
    words = (DATA / "datasets" / "synset_words_1000.txt").read_text(encoding="utf-8").splitlines()
    synsets, images = [line.split()[0] for line in words], photographs(IMAGES)
    found = []
    for form, keys in KEYS.items():
        made = form(tmp_path, images) if form is as_labels else form(tmp_path, images, synsets)
        model = {"input_saved_model_dir": str(MODEL), "preprocess": preprocess}
        found.append(evaluated(case_of(tmp_path, model, keys(made))))
    assert len({str(accuracy.metrics) for accuracy, _ in found}) == 1
    assert {accuracy.num_images for accuracy, _ in found} == {IMAGES}
    assert 0.5 < found[0][0].metrics["top1"] < 1
    assert found[0][1] == found[1][1] == found[2][1] == found[3][1]
    assert len(found[0][1]) == IMAGES


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """frozen.pb and the checkpoint model.ckpt of the trained SavedModel, by TensorFlow's own tools."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    home = tmp_path_factory.mktemp("forms")
    loaded = tf.saved_model.load(str(MODEL))
    frozen = convert_variables_to_constants_v2(loaded.signatures["serving_default"]).graph.as_graph_def()
    (home / "frozen.pb").write_bytes(frozen.SerializeToString())
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        weights = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in frozen.node if node.op == "Const"}
        trained = {name: array for name, array in weights.items() if array.dtype == np.float32 and array.ndim}
        variables = {
            f"{name}:0": tf.convert_to_tensor(v1.get_variable(name.replace("/", "_"), initializer=array))
            for name, array in trained.items()
        }
        tf.graph_util.import_graph_def(frozen, input_map=variables, name="")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(home / "model.ckpt"), write_state=False)
    return home


def outputs(case: Case, home: Path) -> Array:
    """What TensorFlow gives for the first photographs, of the SavedModel that is made of the model."""
    from bench.backends.tensorflow import TensorFlowBackend
    from bench.graphs.make import make
    from tests.graphs.small import infer

    folder = Path(case.model.path or "")
    if not case.model.is_used_as_it_lies:
        folder, _ = make(case.model, case.image_shape, 0, home / "cache")
    signature = TensorFlowBackend().signature(case, folder)
    (array,) = infer(folder, {signature.inputs[0].name: preparing_first_batch(case, signature)()}).values()
    return array


@pytest.fixture
def full_float32() -> Iterator[None]:
    """On a GPU too: no TF32, which moves outputs by up to 5e-4."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.mark.usefixtures("full_float32")
def test_a_frozen_graph_and_a_checkpoint_give_what_the_saved_model_gives(files: Path, tmp_path: Path) -> None:
    """To the bit of each other; TensorFlow folds more of constants than of variables, which moves up to 1e-5."""
    data = {"images_dir": str(NIPS), "labels_path": str(NIPS / "labels.txt"), "batch_size": 16}
    forms = {
        "input_saved_model_dir": MODEL,
        "frozen_graph": files / "frozen.pb",
        "checkpoint": files / "model.ckpt.meta",
    }
    cases = [case_of(tmp_path, {key: str(path)}, data) for key, path in forms.items()]
    assert [case.model.format for case in cases] == ["saved_model", "frozen_graph", "checkpoint"]
    saved, frozen, checkpoint = (outputs(case, tmp_path) for case in cases)

    assert saved.shape == (16, 1000) and 0.5 < saved.max() <= 1
    np.testing.assert_array_equal(frozen, checkpoint)
    np.testing.assert_allclose(frozen, saved, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(frozen.argmax(1), saved.argmax(1))
