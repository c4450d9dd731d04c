"""What a config expands to: every combination of its matrix, each with a name of its own."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config import parse
from bench.errors import ConfigError
from bench.suite import Suite, apply_settings, expand, load_suite
from tests.configs import GONE, make_config, write_images

AXES: dict[str, st.SearchStrategy[Any]] = {
    "optimization_config.precision_mode": st.sampled_from(["native", "FP32", "FP16", "INT8"]),
    "optimization_config.minimum_segment_size": st.sampled_from([-1, 1, 3, 50]),
    "benchmark_config.batch_size": st.integers(1, 64),
    "benchmark_config.num_images": st.integers(1, 5000),
    "benchmark_config.image_shape": st.sampled_from([[8, 8], [88, 8], [8, 88]]),
    "benchmark_config.output_path": st.sampled_from(["a/b", "a_b", "a b"]),
    "model_config.preprocess": st.sampled_from(["raw", "inception"]),
}
MATRICES = st.lists(st.sampled_from(list(AXES)), unique=True, max_size=3).flatmap(
    lambda keys: st.fixed_dictionaries(
        {key: st.lists(AXES[key], min_size=1, max_size=4, unique_by=str) for key in keys}
    )
)


def load(data: dict[str, Any], *settings: str, select: tuple[str, ...] = ()) -> Suite:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        return load_suite(path, settings, select)


def batch_sizes(suite: Suite) -> list[int]:
    return [case.batch_size for case in suite.cases]


@settings(max_examples=60)
@given(MATRICES)
def test_a_matrix_is_the_product_of_its_axes(matrix: dict[str, list[Any]]) -> None:
    data = make_config({"matrix": matrix})
    chosen = [values for _, values in expand(data, matrix, "test.json")]
    assert len(chosen) == math.prod(map(len, matrix.values()))
    assert all(list(values) == list(matrix) for values in chosen)
    # The last axis turns fastest, as in nested loops.
    places = [tuple(matrix[key].index(value) for key, value in values.items()) for values in chosen]
    assert places == sorted(set(places))


@settings(max_examples=60)
@given(MATRICES)
def test_every_case_has_a_name_of_its_own(matrix: dict[str, list[Any]]) -> None:
    data = make_config({"matrix": matrix})
    suite = load(data)
    ids = [case.id for case in suite.cases]
    assert len(set(ids)) == len(ids) == math.prod(map(len, matrix.values()))
    assert ids == [case.id for case in load(data).cases]
    assert not any(set(name) & set("/ ") for name in ids)


def test_the_values_of_a_matrix_reach_the_cases() -> None:
    matrix = {"benchmark_config.batch_size": [1, 8], "optimization_config.precision_mode": ["FP32", "FP16"]}
    cases = load(make_config({"matrix": matrix})).cases
    found = [(case.batch_size, case.optimization.precision_mode) for case in cases]
    assert found == [(1, "FP32"), (1, "FP16"), (8, "FP32"), (8, "FP16")]
    assert cases[0].comparison == cases[1].comparison != cases[2].comparison


def test_models_of_one_folder_name_keep_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for home in ("a/model", "b/model"):
        Path(home).mkdir(parents=True)
        Path(home, "saved_model.pb").touch()
    matrix = {"model_config.input_saved_model_dir": ["a/model", "b/model"]}
    cases = load(make_config({"model_config": {"task": "classification"}, "matrix": matrix})).cases
    assert [case.model.path for case in cases] == ["a/model", "b/model"]
    assert len({case.id for case in cases}) == 2


@pytest.mark.parametrize(
    ("key", "values", "others"),
    [
        ("model_config.model_name", ["old/net.json", "new/net.json"], {}),
        ("benchmark_config.images_dir", ["set-a", "set_a"], {"benchmark_config.use_synthetic": GONE}),
    ],
)
def test_what_is_named_alike_is_not_held_against_each_other(
    key: str, values: list[str], others: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("set-a", "set_a"):
        write_images(name)
    for home in ("old", "new"):
        Path(home).mkdir()
        card = {"name": "net", "description": "", "task": "classification", "source": {"keras_application": "VGG16"}}
        Path(home, "net.json").write_text(json.dumps(card), encoding="utf-8")
    matrix = {key: values, "optimization_config.precision_mode": ["native", "FP32"]}
    cases = load(make_config({**others, "matrix": matrix})).cases
    assert cases[0].comparison == cases[1].comparison and cases[2].comparison == cases[3].comparison
    assert cases[0].comparison != cases[2].comparison and values[1] in cases[2].comparison


def test_a_matrix_leaves_the_given_config_alone() -> None:
    data = make_config({"matrix": {"benchmark_config.batch_size": [1, 2]}})
    before = json.dumps(data)
    expand(data, data["matrix"], "test.json")
    apply_settings(data, ["benchmark_config.batch_size=3"], "test.json")
    assert json.dumps(data) == before


def test_a_setting_replaces_an_axis() -> None:
    matrix = {"benchmark_config.batch_size": [1, 2], "benchmark_config.seed": [1, 2, 3]}
    suite = load(make_config({"matrix": matrix}), "benchmark_config.batch_size=5")
    assert batch_sizes(suite) == [5, 5, 5]
    assert suite.config["matrix"] == {"benchmark_config.seed": [1, 2, 3]}


def test_a_setting_makes_an_axis_or_the_whole_matrix() -> None:
    data = make_config({"matrix": {"benchmark_config.batch_size": [1, 2]}})
    more = load(data, "matrix.benchmark_config.seed=[1, 2, 3]")
    assert batch_sizes(more) == [1, 1, 1, 2, 2, 2]
    other = load(data, 'matrix={"benchmark_config.batch_size": [4, 8]}')
    assert batch_sizes(other) == [4, 8] and other.config["matrix"] == {"benchmark_config.batch_size": [4, 8]}
    assert batch_sizes(load(make_config(), "matrix.benchmark_config.batch_size=[3, 4]")) == [3, 4]
    assert batch_sizes(load(data, "matrix={}")) == [1]


SETTINGS: dict[str, tuple[str, str, Any]] = {
    "number": ("benchmark_config.batch_size=8", "batch_size", 8),
    "text": ("benchmark_config.dataset=coco", "dataset", "coco"),
    "text with an equals sign": ("benchmark_config.tmp_dir=a=b", "tmp_dir", "a=b"),
    "text in quotes": ('benchmark_config.tmp_dir="8"', "tmp_dir", "8"),
    "list": ("benchmark_config.image_shape=[4, 6]", "image_shape", [4, 6]),
    "true": ("benchmark_config.use_synthetic=true", "use_synthetic", True),
    "null": ("benchmark_config.image_shape=null", "image_shape", None),
}


@pytest.mark.parametrize(("setting", "key", "value"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_is_put_in_its_section(setting: str, key: str, value: object) -> None:
    expected = make_config({f"benchmark_config.{key}": value})
    assert apply_settings(make_config(), [setting], "test.json") == expected


def test_a_setting_makes_a_section_that_is_missing() -> None:
    data = {"model_config": {"model_name": "resnet50"}}
    assert apply_settings(data, ["benchmark_config.seed=1"], "test.json")["benchmark_config"] == {"seed": 1}


def test_the_last_setting_of_a_key_counts() -> None:
    assert batch_sizes(load(make_config(), "benchmark_config.batch_size=2", "benchmark_config.batch_size=3")) == [3]


@pytest.mark.parametrize("settings", [["name=mine"], ['assertions=["top1 > 0"]', "name=mine"]])
def test_a_setting_of_the_file_itself(settings: list[str]) -> None:
    suite = load(make_config(), *settings)
    assert (suite.name, len(suite.assertions)) == ("mine", len(settings) - 1)


def test_a_suite_is_named_after_its_file() -> None:
    assert load(make_config()).name == "test"
    assert load(make_config({"name": "nightly"})).name == "nightly"


def test_a_selection_keeps_the_cases_that_match() -> None:
    data = make_config({"matrix": {"benchmark_config.batch_size": [1, 2, 16]}})
    assert batch_sizes(load(data, select=("*-b1",))) == [1]
    assert batch_sizes(load(data, select=("*-b16", "*-b1"))) == [1, 16]
    assert batch_sizes(load(data, select=("*-b1*",))) == [1, 16]


def test_use_trt_false_is_native() -> None:
    (case,) = load(make_config({"optimization_config": {"use_trt": False, "precision_mode": "FP16"}})).cases
    assert (case.optimization.backend, case.optimization.precision_mode) == ("tensorflow", "native")


@pytest.mark.parametrize(("missing", "backend"), [((), "tf-trt"), (("no GPU",), "litert")])
def test_auto_is_what_can_run(missing: tuple[str, ...], backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.optimizations.missing_for_tf_trt", lambda: missing)
    (case,) = load(make_config({"optimization_config.backend": "auto"})).cases
    assert (case.optimization.backend, case.optimization.requested_backend) == (backend, "auto")


def test_the_image_shape_is_the_configs_or_the_cards() -> None:
    assert load(make_config()).cases[0].image_shape == (8, 8)
    assert load(make_config({"benchmark_config.image_shape": None})).cases[0].image_shape == (224, 224)


def test_errors_of_a_combination_name_the_file() -> None:
    with pytest.raises(ConfigError, match=r"^test.json .*optimization_config.precision_mode: \"FP61\""):
        data = make_config()
        expand(data, parse(data, "test.json").matrix | {"optimization_config.precision_mode": ["FP61"]}, "test.json")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("is_dynamic_op", False, "TensorFlow 2 has no static engines"),
        ("nodes_blacklist", ["conv1/Conv2D"], "is no type of op"),
        ("nodes_blacklist", ["logits"], "is no type of op"),  # a node's name, as in TensorFlow 1
        ("use_dynamic_shape", True, "backend litert has no equal"),
        ("nodes_blacklist", ["Softmax"], "backend litert has no equal"),
        ("build_batch_sizes", [1, 8], "backend litert has no equal"),
        ("build_batch_sizes", [], "at least 1 item"),
        ("dynamic_shape_profile_strategy", "Optimal", "backend litert has no equal"),
        ("use_function_backup", False, "backend litert has no equal"),
        ("call", "eager", "backend litert has no equal"),
        ("calibration_tables", "tables", "backend litert has no equal"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_key(key: str, value: object, message: str) -> None:
    changes = {"optimization_config.backend": "litert", f"optimization_config.{key}": value}
    with pytest.raises(ConfigError, match=rf"test.json: optimization_config.{key}: .*{message}"):
        load(make_config(changes))


def test_a_strategy_of_profiles_is_of_dynamic_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.optimizations.missing_for_tf_trt", lambda: ())
    changes = {"backend": "tf-trt", "dynamic_shape_profile_strategy": "Optimal"}
    with pytest.raises(ConfigError, match=r"dynamic_shape_profile_strategy: \"Optimal\": .* set use_dynamic_shape"):
        load(make_config({f"optimization_config.{key}": value for key, value in changes.items()}))
    changes["use_dynamic_shape"] = True  # type: ignore[assignment]
    (case,) = load(make_config({f"optimization_config.{key}": value for key, value in changes.items()})).cases
    assert case.optimization.dynamic_shape_profile_strategy == "Optimal"


def test_the_originals_own_keys_are_no_obstacle_to_litert() -> None:
    changes = {"minimum_segment_size": 3, "maximum_cached_engines": 7, "max_workspace_size_bytes": 1 << 20}
    keys = {f"optimization_config.{key}": value for key, value in changes.items()}
    (case,) = load(make_config({"optimization_config.backend": "litert", **keys})).cases
    assert case.optimization.maximum_cached_engines == 7


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [({}, (4,)), ({"max_batch_size": 16}, (16,)), ({"build_batch_sizes": [1, 8], "max_batch_size": 8}, (1, 8))],
)
def test_engines_are_built_for_the_batch_size_unless_told(
    changes: dict[str, object], sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.optimizations.missing_for_tf_trt", lambda: ())
    keys = {f"optimization_config.{key}": value for key, value in changes.items()}
    base = {"optimization_config.backend": "tf-trt", "benchmark_config.batch_size": 4}
    (case,) = load(make_config({**base, **keys})).cases
    assert case.optimization.build_batch_sizes == sizes
