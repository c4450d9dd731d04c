"""`bench doctor` as a user sees it, on a machine without a GPU and on machines that are made up."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from bench.backends import availability
from bench.case import Model
from bench.doctor import ask, examine, libraries
from bench.doctor.diagnosis import Library
from bench.doctor.kernels import explain, match
from bench.doctor.libraries import NAMES, find_libraries
from bench.environment import gpus_and_driver
from bench.record import Gpu
from tests.configs import ROOT, Outcome, bench

WHEEL = ["sm_35", "sm_50", "sm_60", "sm_70", "sm_75", "compute_80"]  # of TensorFlow 2.14.1
H200 = Gpu(name="NVIDIA H200", memory_bytes=150 << 30, compute_capability="9.0")
needs_no_driver = pytest.mark.skipif(gpus_and_driver()[1] is not None, reason="there is an NVIDIA driver")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory; children find `bench` all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "400")


def doctor(*arguments: str) -> Outcome:
    return bench("doctor", *arguments)


def diagnosis(*arguments: str) -> dict[str, Any]:
    outcome = doctor("--json", *arguments)
    assert (outcome.exit_code, outcome.stderr) == (0, ""), outcome
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def pretend(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
    """Children that answer this to every question."""
    monkeypatch.setattr(examine, "ask", lambda *question, **options: ask.Answers(answers))


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu, cuda: str = "13.0") -> None:
    for module in (availability, examine):
        monkeypatch.setattr(module, "gpus_and_driver", lambda: (gpus, "580.1", cuda))


def stub_tensorflow(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """A `tensorflow` that children import in place of the real one."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow/__init__.py").write_text(source, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT}")


@needs_no_driver
def test_without_a_gpu_the_screen_says_what_runs_and_why_not_the_rest() -> None:
    pytest.importorskip("tensorflow")
    outcome = doctor()
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in outcome.stdout.splitlines()]
    assert "tensorflow yes on the CPU" in lines
    assert "litert yes on the CPU" in lines
    assert any(
        line.startswith("tf-trt no no NVIDIA driver (libnvidia-ml.so.1 does not load): install") for line in lines
    )
    assert "libcuda no not found: it comes with NVIDIA's driver" in lines
    assert "Ops that TF-TRT converts: 124" in lines or availability.tensorflow_version() != "2.14.1"


@needs_no_driver
def test_a_model_as_json_and_every_unknown_with_its_reason() -> None:
    pytest.importorskip("tensorflow")
    found = diagnosis("--model", "shapes_classifier")
    assert found["model"]["convertible"]["Conv2D"] == 10
    assert found["model"]["convertible"]["DepthwiseConv2dNative"] == 8
    assert found["model"]["staying"] == {}
    assert not {"Const", "Placeholder", "Identity", "NoOp", "ReadVariableOp"} & set(found["model"]["convertible"])
    assert {backend["name"]: backend["runs"] for backend in found["backends"]} == {
        "tensorflow": True, "tf-trt": False, "litert": True,
    }  # fmt: skip
    assert found["gpu"]["driver"] is None and "no NVIDIA driver" in found["gpu"]["reasons"][0]
    assert all(library["remark"] for library in found["libraries"] if not library["version"])
    assert [library["name"] for library in found["libraries"]] == list(NAMES)
    for version in ("linked", "loaded"):
        assert bool(found["tensorrt"][version]) != bool(found["tensorrt"][f"{version}_reason"])
    assert found["converters"]["asked"] == found["tensorflow"]["is_tensorrt_build"]
    assert "2.14.1" in found["converters"]["source"] or found["converters"]["asked"]


@pytest.mark.parametrize(
    "model, words",
    [
        ("shapes_clasifier", "--model: no card and no folder 'shapes_clasifier'; did you mean 'shapes_classifier'?"),
        ("./nowhere", "--model: 'nowhere': no such folder"),
        ("cards/nowhere.json", "no card 'cards/nowhere.json': a name that ends in .json is the path of a card"),
        (".", "--model: '.': is not a SavedModel: no saved_model.pb in it"),
        (__file__, "is a file: name a card, the folder of a SavedModel, or a .pb, .meta, .keras, .h5 file"),
        ("ssd_mobilenet_v1_coco", "is not on this machine: fetch http"),
    ],
)
def test_a_model_that_is_not_there_is_a_mistake_of_usage(model: str, words: str) -> None:
    outcome = doctor("--model", model)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error: ") and words in outcome.stderr


def test_a_model_that_cannot_be_read_is_a_mistake_of_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("saved_model.pb").write_bytes(b"no")
    pretend(monkeypatch, error="saved_model.pb: not a SavedModel")
    monkeypatch.setattr(examine, "tensorflow_folder", lambda: Path())
    monkeypatch.setattr(examine, "_libraries", lambda answers: ())
    outcome = doctor("--model", ".")
    assert (outcome.exit_code, outcome.stderr) == (2, "error: saved_model.pb: not a SavedModel\n")


def test_an_architecture_is_built_at_its_cards_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", "cache")
    assert examine._model_question("resnet50") == ("application", "ResNet50", "{}", "224", "224", "cache/models")


@pytest.mark.parametrize(
    ("file", "path", "kind"),
    [
        ("net.pb", "net.pb", "frozen_graph"),
        ("net.ckpt.meta", "net.ckpt", "checkpoint"),
        ("net.h5", "net.h5", "keras"),
        ("net.keras", "net.keras", "keras"),
    ],
)
def test_of_another_format_a_saved_model_is_made(file: str, path: str, kind: str) -> None:
    Path(file).touch()
    *question, description, folder = examine._model_question(file)
    model = Model.model_validate_json(description)
    assert question == ["made", "model"]
    assert (Path(folder).name, model.path, model.format) == ("models", path, kind)


def test_a_card_s_graph_has_the_card_s_inputs_and_outputs() -> None:
    Path("net.pb").touch()
    source = {"path": "net.pb", "format": "frozen_graph"}
    tensors = {
        side: [{"name": name, "dtype": "float32", "shape": [None, 4]}]
        for side, name in (("inputs", "x"), ("outputs", "y"))
    }
    card = {
        "name": "own",
        "description": "",
        "task": "classification",
        "image_shape": [2, 2],
        "source": source,
        "preprocess": "raw",
        "licence": "none",
        **tensors,
    }
    Path("own.json").write_text(json.dumps(card), encoding="utf-8")
    model = Model.model_validate_json(examine._model_question("own.json")[2])
    assert (model.format, model.input_names, model.output_names) == ("frozen_graph", ("x",), ("y",))


def test_without_tensorflow_all_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else real(name))
    monkeypatch.setattr(importlib.metadata, "version", _not_installed)
    found = diagnosis("--model", "shapes_detector")
    assert found["tensorflow"]["version"] is None
    assert [backend["runs"] for backend in found["backends"]] == [False, False, False]
    assert all("no TensorFlow: install the extra" in str(backend["reasons"]) for backend in found["backends"])
    assert found["model"]["staying"] is None and "no TensorFlow" in found["model"]["reason"]
    assert not found["converters"]["asked"] and "TensorFlow 2.14.1" in found["converters"]["source"]
    assert doctor().exit_code == 0


def _not_installed(name: str) -> str:
    raise PackageNotFoundError(name)


@pytest.mark.parametrize(
    "source, words",
    [
        ("raise ImportError('libcudart.so.12: cannot open')", "failed with exit code 1: ImportError: libcudart.so.12"),
        ("import os; print('noise'); os.abort()", "was ended by SIGABRT"),
    ],
)
def test_a_tensorflow_that_breaks_is_told_with_its_last_words(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_tensorflow(tmp_path, monkeypatch, source)
    monkeypatch.setattr(examine, "tensorflow_folder", lambda: tmp_path)
    monkeypatch.setattr(examine, "tensorflow_version", lambda: "2.14.1")
    found = diagnosis()
    states = {backend["name"]: backend for backend in found["backends"]}
    assert states["litert"]["runs"] is None and words in states["litert"]["reasons"][0]
    assert words in found["tensorflow"]["reason"]
    assert "?" in doctor().stdout


def test_what_a_child_said_before_it_ended_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench/doctor").mkdir(parents=True)
    (tmp_path / "bench/__init__.py").touch()
    (tmp_path / "bench/doctor/__init__.py").touch()
    answer = '{"name": "gpus", "value": 1}'
    probe = f"import os, sys, time\nprint('''{answer}''', flush=True)\nprint('half', end='', flush=True)\n"
    (tmp_path / "bench/doctor/probe.py").write_text(probe + "'hang' in sys.argv and time.sleep(60)\nos.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    crashed, hung = ask.ask("crash"), ask.ask("hang", timeout_s=1)
    assert crashed.get("gpus") == hung.get("gpus") == 1
    assert crashed.failure == "the process that asks was ended by SIGABRT: it said nothing"
    assert hung.failure == "the process that asks did not end in 1 s"


def test_a_library_that_ends_the_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Library(name="libcuda", found=True, soname="libcuda.so.1").model_dump()
    found = examine._libraries(
        ask.Answers({"libcuda": there}, "the process that asks was ended by SIGABRT: no libnvrtc")
    )
    assert found[0].remark == "it is there, and does not work: the process that asks was ended by SIGABRT: no libnvrtc"
    assert [library.name for library in found] == list(NAMES)
    assert {library.found for library in found[1:]} == {None}


def test_a_gpu_whose_kernels_come_from_ptx(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, H200)
    pretend(monkeypatch, gpus=1, tensorflow=None, litert=None, converters=["Conv2D"], linked="8.4.3", loaded="8.5.3")
    build = {"cuda_compute_capabilities": WHEEL, "cuda_version": "11.8", "is_cuda_build": True}
    monkeypatch.setattr(examine, "tensorflow_build", lambda: build)
    monkeypatch.setattr(examine, "tensorflow_folder", lambda: Path())
    monkeypatch.setattr(examine, "_libraries", lambda answers: ())
    monkeypatch.delenv("CUDA_CACHE_PATH", raising=False)
    screen = " ".join(doctor().stdout.split())
    assert "GPU 0 yes NVIDIA H200, 150.0 GiB, compute capability 9.0" in screen
    assert "no machine code for sm_90 in TensorFlow: its native kernels are compiled from PTX (compute_80)" in screen
    assert "set CUDA_CACHE_PATH to a folder that stays" in screen
    assert "tensorflow yes on the GPU" in screen
    monkeypatch.setenv("CUDA_CACHE_PATH", "/cache")
    assert "CUDA_CACHE_PATH keeps them in /cache" in doctor().stdout


@pytest.mark.parametrize(
    "visible, build, cuda, words",
    [
        ("1", {}, "13.0", "TensorFlow sees 0 of 1 GPUs: CUDA_VISIBLE_DEVICES is '1'"),
        (None, {}, "13.0", "TensorFlow sees 0 of 1 GPUs: see which libraries are not found"),
        (None, {"is_cuda_build": False}, "13.0", "it was built without CUDA: install the extra gpu"),
        (
            None,
            {"cuda_version": "12.5.1"},
            "11.4",
            "is for CUDA up to 11.4 and TensorFlow was built for 12.5.1: install",
        ),
    ],
)
def test_why_a_gpu_that_is_there_is_not_used(
    visible: str | None, build: dict[str, Any], cuda: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpus(monkeypatch, H200)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert words in "\n".join(examine._gpu_reasons(1, 0, build, cuda))


@pytest.mark.parametrize(
    "capability, built_for, kind, entry",
    [
        ("9.0", ["sm_75", "compute_80"], "PTX", "compute_80"),
        ("9.0", WHEEL, "PTX", "compute_80"),
        ("7.5", WHEEL, "machine code", "sm_75"),
        ("7.2", WHEEL, "machine code", "sm_70"),
        ("8.6", ["sm_80", "sm_86", "compute_90"], "machine code", "sm_86"),
        ("8.9", ["sm_80", "sm_86"], "machine code", "sm_86"),
        ("8.0", ["sm_86"], "none", None),
        ("8.6", ["sm_75", "compute_80"], "PTX", "compute_80"),
        ("12.0", ["sm_90", "compute_90", "compute_100"], "PTX", "compute_100"),
        ("10.0", ["sm_90a", "compute_90a"], "none", None),
        ("9.0", ["sm_90a"], "machine code", "sm_90a"),
        ("7.0", ["sm_75", "compute_80"], "none", None),
        ("9.0", ["sm_75", "unheard-of"], "none", None),
    ],
)
def test_what_a_build_has_for_a_gpu(capability: str, built_for: list[str], kind: str, entry: str | None) -> None:
    found = match(capability, built_for)
    assert (found.kind, found.entry) == (kind, entry)


def test_a_gpu_without_any_kernels_and_one_of_which_nothing_is_known() -> None:
    assert explain("3.0", WHEEL, None)[1].endswith("install a TensorFlow that was built for compute capability 3.0")
    assert explain(None, WHEEL, None) == (None, "its compute capability is unknown: the driver does not tell it")
    assert explain("9.0", [], None)[0] is None


def test_libraries_are_asked_for_by_the_names_of_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia/cudnn/lib/libcudnn.so.8", "tensorrt/libnvinfer.so.8"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr("bench.doctor.libraries._load", lambda name: None)
    found = {library.name: library for library in find_libraries({"cuda_version": "11.8", "cudnn_version": "8"})}
    assert found["libcudart"].remark == "libcudart.so.11.0 not found: install tensorflow[and-cuda]"
    assert found["libcudnn"].found and found["libcudnn"].path == str(tmp_path / "nvidia/cudnn/lib/libcudnn.so.8")
    assert not found["libnvinfer"].found
    assert found["libnvinfer"].remark is not None
    assert found["libnvinfer"].remark.endswith(f"put {tmp_path}/tensorrt on LD_LIBRARY_PATH")


def test_a_library_is_where_the_loader_found_it() -> None:
    path = libraries._path("libc.so.6")
    assert path is not None and Path(path).is_file()


def test_ops_that_stay_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("saved_model.pb").touch()
    pretend(monkeypatch, ops={"Conv2D": 2, "Invert": 1, "Unique": 3})
    monkeypatch.setattr(examine, "tensorflow_folder", lambda: Path())
    monkeypatch.setattr(examine, "_libraries", lambda answers: ())
    lines = [" ".join(line.split()) for line in doctor("--model", ".").stdout.splitlines()]
    staying = lines.index("Nodes that stay in TensorFlow: 4")
    assert lines[staying + 1] == "3 Unique 1 Invert"
    assert lines[staying + 3 : staying + 5] == ["Nodes that have a converter: 2", "2 Conv2D"]
    assert "A converter is necessary, not sufficient" in lines[-1]


@pytest.mark.slow
def test_a_frozen_graph_is_looked_into_and_one_in_doubt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setenv("BENCH_CACHE", "cache")
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.int32, (None, 4), name="x")
        tf.bitwise.invert(x, name="y")
    Path("one.pb").write_bytes(graph.as_graph_def().SerializeToString())
    assert diagnosis("--model", "one.pb")["model"]["staying"] == {"Invert": 1}
    with graph.as_default():
        tf.bitwise.invert(x, name="z")
    Path("two.pb").write_bytes(graph.as_graph_def().SerializeToString())
    outcome = doctor("--model", "two.pb")
    assert outcome.exit_code == 2 and "ends in several tensors: y:0 (int32 [None, 4]), z:0" in outcome.stderr


@pytest.mark.slow
def test_a_folder_is_a_model_even_where_a_card_has_its_name(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    spec = [tf.TensorSpec((None, 4), tf.float32, name="images")]
    serve = tf.function(lambda images: {"scores": tf.bitwise.invert(tf.cast(images, tf.int32))}, input_signature=spec)
    tf.saved_model.save(tf.Module(), "resnet50/saved_model", signatures=serve)
    assert diagnosis("--model", "./resnet50")["model"]["staying"] == {"Invert": 1}
