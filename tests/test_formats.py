"""Models in every format, from the config to the record; what is wrong with a file is told before a worker starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import making
from bench.case import Edits, Model
from bench.errors import ConfigError, ModelError
from bench.graphs.once import once
from bench.record import Record, read_record
from bench.suite import load_suite
from tests.configs import GONE, ROOT, make_config
from tests.factory import make_case

REAL = {
    "optimization_config": {"precision_mode": "native"},
    "benchmark_config.num_images": 2,
    "benchmark_config.num_iterations": 3,
}
EDITED = {"precision_mode": "native", "replace_relu6": True, "remove_assert": True, "force_nms_cpu": True}
NAMED = {"input_names": ["images"], "output_names": ["scores:0"]}
SAVED = {"input_saved_model_tags": ["cpu", "serve"], "input_saved_model_signature_key": "predict"}
WHOLE: dict[str, dict[str, Any]] = {
    "saved_model": {"model_config": {"input_saved_model_dir": "saved", "task": "classification", **SAVED}},
    "frozen_graph": {"model_config": {"frozen_graph": "frozen.pb", "task": "classification"}},
    "checkpoint": {"model_config": {"checkpoint": "model.ckpt.meta", "task": "classification", **NAMED}},
    "keras": {"model_config": {"keras_model": "model.h5", "task": "classification"}},
    "edited": {
        "model_config": {
            "input_saved_model_dir": "detector", "task": "detection", "override_nms_score_threshold": 0.25,
            "override_resizer_shape": [5, 7], "output_path": "out/frozen.pb",
        },
        "optimization_config": EDITED,
    },
}  # fmt: skip


def run(folder: Path, name: str) -> Record:
    """The record that python -m bench.test gives of a format, on the CPU alone."""
    pytest.importorskip("tensorflow")
    from tests.graphs import small

    write: dict[str, Callable[[], object]] = {
        "saved_model": lambda: small.write_saved_model(folder / "saved"),
        "keras": lambda: small.make_keras().save(folder / "model.h5"),
        "edited": lambda: small.write_detector(folder / "detector"),
    }
    write.get(name, lambda: small.write_v1(folder))()
    config = make_config({"name": name, **REAL, **WHOLE[name]})
    (folder / "test.json").write_text(json.dumps(config), encoding="utf-8")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT), "BENCH_CACHE": "cache"}
    command = [sys.executable, "-m", "bench.test", "test.json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    file = next((folder / "results" / name).glob("*/*-b1*.json"))
    return read_record(file.read_text(encoding="utf-8"), name)


# Keras 2.14 gives random.randint a float, and calls .h5 an older format.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*saving your model as an HDF5 file")
@pytest.mark.parametrize("name", WHOLE)
def test_every_format_runs_the_whole_way(tmp_path: Path, name: str) -> None:
    record = run(tmp_path, name)
    assert record.failure is None
    assert record.latency is not None and len(record.latency.times_ns) == 3
    assert record.case.model.format == (name if name in ("frozen_graph", "checkpoint", "keras") else "saved_model")
    assert (record.edits is not None) == (name == "edited")
    if record.edits is not None:
        assert (tmp_path / "out" / "frozen.pb").is_file()
        assert min(record.edits.values()) >= 1
        assert set(record.edits) == {
            "force_nms_cpu", "replace_relu6", "remove_assert", "override_nms_score_threshold", "override_resizer_shape",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import json; print('noise'); print(json.dumps({'error': 'output_names: missing'}))", "output_names: missing"),
        ("import os; os.abort()", "ended with exit code -6 and no word"),
    ],
)
def test_what_the_child_says_is_the_error(monkeypatch: pytest.MonkeyPatch, program: str, words: str) -> None:
    monkeypatch.setattr(making, "MAKE", ("-c", program))
    Path("frozen.pb").write_bytes(b"graph")
    model = Model(name="own", task="classification", path="frozen.pb", format="frozen_graph")
    with pytest.raises(ModelError, match=f"model 'own' cannot be made: .*{words}"):
        making.saved_model(make_case(model=model))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def resolve(changes: dict[str, Any], **model: Any) -> Model:
    data = make_config({"model_config": {"task": "classification", **model}, **changes})
    Path("test.json").write_text(json.dumps(data), encoding="utf-8")
    return load_suite(Path("test.json")).cases[0].model


def test_a_model_is_what_the_config_says() -> None:
    touch("a/graph.pb", "a/net.h5", "a/b-7.meta", "a/b-7.index", "a/b-7.data-00000-of-00001", "a/sm/saved_model.pb")
    names = {"input_names": ["x"], "output_names": ["y:0", "z"]}
    fields = {"input_names": ("x",), "output_names": ("y:0", "z")}
    own: dict[str, Any] = {"task": "classification"}
    assert resolve({}, frozen_graph="a/graph.pb", **names) == Model(
        name="graph", path="a/graph.pb", format="frozen_graph", **fields, **own
    )
    wanted = Model(name="b_7", path="a/b-7", format="checkpoint", **fields, **own)
    assert resolve({}, checkpoint="a/b-7", **names) == resolve({}, checkpoint="a/b-7.meta", **names) == wanted
    assert resolve({}, keras_model="a/net.h5") == Model(name="net", path="a/net.h5", format="keras", **own)
    assert resolve({}, keras_application="VGG16") == Model(
        name="VGG16", keras_application="VGG16", random_weights=True, **own
    )
    saved = resolve({}, input_saved_model_dir="a/sm", input_saved_model_tags=["a", "b"])
    assert saved == Model(name="sm", path="a/sm", tags=("a", "b"), **own)
    assert saved.is_used_as_it_lies


def test_edits_are_the_models() -> None:
    changes = {"optimization_config.replace_relu6": True, "optimization_config.force_nms_cpu": True}
    model = resolve(changes, model_name="resnet50", override_nms_score_threshold=0.1, override_resizer_shape=[3, 4])
    assert model.edits == Edits(replace_relu6=True, force_nms_cpu=True, nms_score_threshold=0.1, resizer_shape=(3, 4))
    assert not model.is_used_as_it_lies


MODEL = "model_config."
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such graph": ({"frozen_graph": "no.pb"}, f"{MODEL}frozen_graph: 'no.pb': no such file"),
    "a folder": ({"frozen_graph": "sm"}, f"{MODEL}frozen_graph: 'sm': is a folder, not a file"),
    "another suffix": ({"frozen_graph": "net.h5"}, f"{MODEL}frozen_graph: 'net.h5': its name must end in .pb"),
    "a SavedModel's": ({"frozen_graph": "sm/saved_model.pb"}, "name its folder as input_saved_model_dir"),
    "no such Keras file": ({"keras_model": "no.keras"}, f"{MODEL}keras_model: 'no.keras': no such file"),
    "no Keras suffix": ({"keras_model": "graph.pb"}, f"{MODEL}keras_model: 'graph.pb': its name must end in .keras or"),
    "nothing of a checkpoint": (
        {"checkpoint": "no/x.meta"}, "'no/x.meta': not there: x.meta, x.index, x.data-00000-of-00001; a checkpoint is",
    ),
    "no index": ({"checkpoint": "half.meta"}, f"{MODEL}checkpoint: 'half.meta': not there: half.index; "),
    "a shard too few": ({"checkpoint": "two"}, f"{MODEL}checkpoint: 'two': not there: two.data-00001-of-00002; "),
    "a checkpoint's folder": ({"checkpoint": "sm"}, f"{MODEL}checkpoint: 'sm': is a folder; name the .meta file in it"),
    "two models": (
        {"frozen_graph": "graph.pb", "keras_model": "net.h5"}, "frozen_graph, keras_model are all set",
    ),
    "names of a Keras model": (
        {"keras_model": "net.h5", "input_names": ["x"]},
        f"{MODEL}input_names: goes with frozen_graph or checkpoint, not with keras_model; remove it",
    ),
    "tags of a graph": (
        {"frozen_graph": "graph.pb", "input_saved_model_tags": ["a"]}, "goes with input_saved_model_dir, not with",
    ),
    "no tags": ({"input_saved_model_dir": "sm", "input_saved_model_tags": []}, f"{MODEL}input_saved_model_tags: []"),
    "a folder to write to": ({"keras_model": "net.h5", "output_path": "sm"}, f'{MODEL}output_path: "sm": is a folder'),
}  # fmt: skip


@pytest.mark.parametrize(("model", "words"), WRONG.values(), ids=WRONG)
def test_what_is_missing_is_told_before_anything_runs(model: dict[str, Any], words: str) -> None:
    touch("graph.pb", "net.h5", "sm/saved_model.pb", "half.meta", "half.data-00000-of-00001")
    touch("two.meta", "two.index", "two.data-00000-of-00002")
    with pytest.raises(ConfigError) as caught:
        resolve({}, **model)
    assert str(caught.value).startswith("test.json: model_config") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_architecture_needs_a_shape() -> None:
    with pytest.raises(ConfigError, match=r"image_shape: missing: an architecture is built for one shape"):
        resolve({"benchmark_config.image_shape": GONE}, keras_application="VGG16")


def test_one_file_does_not_hold_several_models() -> None:
    matrix = {"matrix": {"optimization_config.replace_relu6": [False, True]}}
    with pytest.raises(ConfigError, match=r'output_path: "a.pb": the matrix varies optimization_config.replace_relu6'):
        resolve(matrix, model_name="resnet50", output_path="a.pb")
    assert resolve({"matrix": {"benchmark_config.batch_size": [1, 2]}}, model_name="resnet50", output_path="a.pb")


def write_saved_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"two")


def test_the_same_model_is_not_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.pb").write_bytes(b"one")
    asked: list[str] = []

    def answer(request: str) -> dict[str, Any]:
        asked.append(request)
        once(tmp_path / "made", write_saved_model)
        return {"path": str(tmp_path / "made"), "edits": None}

    monkeypatch.setattr(making, "_ask", answer)
    case = make_case(model=Model(name="a", task="detection", format="frozen_graph", path=str(tmp_path / "a.pb")))
    assert making.saved_model(case) == making.saved_model(case) == (tmp_path / "made", None)
    assert len(asked) == 1
    (tmp_path / "a.pb").write_bytes(b"two")
    making.saved_model(case)
    assert len(asked) == 2
    (tmp_path / "made" / "saved_model.pb").write_bytes(b"tw")
    making.saved_model(case)
    assert len(asked) == 3
    assert (tmp_path / "made" / "saved_model.pb").read_bytes() == b"two"
    monkeypatch.setattr(making, "VERSION", 0)
    making.saved_model(case)
    assert len(asked) == 4
