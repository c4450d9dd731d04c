"""Configs as the original examples spell them, parsed strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.config import SECTIONS, describe, parse, read_json
from bench.errors import ConfigError
from tests.configs import make_config

# The original's defaults of the keys that mean here what they meant there.
ORIGINAL_DEFAULTS: dict[str, dict[str, Any]] = {
    "model": {"input_dir": None, "output_dir": "."},
    "optimization": {
        "precision_mode": "FP32",
        "minimum_segment_size": 2,
        "max_workspace_size_bytes": 4294967296,
        "maximum_cached_engines": 100,
        "calib_images_dir": None,
        "num_calib_images": None,
        "calib_batch_size": 1,
        "calib_image_shape": None,
        "output_path": None,
    },
    "benchmark": {
        "batch_size": 1,
        "image_shape": None,
        "num_images": 4096,
        "remove_tmp_dir": True,
        "output_path": None,
        "display_every": 100,
        "use_synthetic": False,
        "num_warmup_iterations": 50,
    },
}


@pytest.mark.parametrize("section", ORIGINAL_DEFAULTS)
def test_defaults_are_the_originals(section: str) -> None:
    config = parse({"model_config": {"model_name": "a"}}, "test.json")
    found = getattr(config, section).model_dump(include=set(ORIGINAL_DEFAULTS[section]))
    assert found == ORIGINAL_DEFAULTS[section]


def test_the_original_readme_config_parses() -> None:
    config = parse(
        {
            "model_config": {"model_name": "ssd_resnet_50_fpn_coco", "input_dir": "models/ssd", "batch_size": 8},
            "optimization_config": {
                "use_trt": True,
                "precision_mode": "INT8",
                "calib_images_dir": "coco/train2017",
                "num_calib_images": 8,
                "calib_batch_size": 8,
                "calib_image_shape": [640, 640],
                "max_workspace_size_bytes": 17179869184,
            },
            "benchmark_config": {
                "images_dir": "coco/val2017",
                "annotation_path": "coco/annotations/instances_val2017.json",
                "batch_size": 8,
                "image_shape": [640, 640],
                "num_images": 4096,
                "output_path": "stats/ssd.json",
            },
            "assertions": ["statistics['map'] > (0.277 - 0.01)"],
        },
        "test.json",
    )
    assert config.model.batch_size == 8
    assert config.optimization.calib_image_shape == (640, 640)
    assert config.benchmark.annotation_path == "coco/annotations/instances_val2017.json"
    assert config.assertions == ("statistics['map'] > (0.277 - 0.01)",)


def test_source_model_is_model_config(tmp_path: Path) -> None:
    data = make_config()
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"source_model": data.pop("model_config"), **data}), encoding="utf-8")
    assert read_json(path) == make_config()


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch_size", 1.0), ("batch_size", True), ("batch_size", "1"), ("use_synthetic", 0), ("images_dir", 1)],
)
def test_loose_types_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^test.json: benchmark_config.{key}: "):
        parse(make_config({f"benchmark_config.{key}": value}), "test.json")


@pytest.mark.parametrize("key", ["image_shape", "num_iterations", "percentile", "output_path", "dataset"])
def test_null_is_a_key_left_out(key: str) -> None:
    with_null = parse(make_config({f"benchmark_config.{key}": None}), "test.json")
    assert getattr(with_null.benchmark, key) is None


def test_how_long_to_measure_by_default() -> None:
    benchmark = parse({"model_config": {"model_name": "a"}}, "test.json").benchmark
    assert (benchmark.num_iterations, benchmark.min_iterations, benchmark.percentile) == (None, None, 99)
    assert (benchmark.min_duration_s, benchmark.max_duration_s, benchmark.max_warmup_s) == (1, 20, 10)
    assert (benchmark.settle_tolerance, benchmark.settle_window) == (0.05, 16)


def test_configs_do_not_change() -> None:
    config = parse(make_config(), "test.json")
    with pytest.raises(ValueError, match="frozen"):
        config.benchmark.batch_size = 2  # type: ignore[misc]


def test_the_text_of_a_missing_key_names_its_place() -> None:
    error = {"type": "missing", "loc": ("benchmark_config", "image_shape", 1), "input": None}
    assert describe("a.json", error) == "a.json: benchmark_config.image_shape[1]: missing"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_explained(section: str) -> None:
    properties = SECTIONS[section].model_json_schema()["properties"]
    assert [key for key, value in properties.items() if not _description(value)] == []


def _description(value: dict[str, Any]) -> bool:
    return any("description" in option for option in (value, *value.get("anyOf", ())))


@pytest.mark.parametrize("name", ["model", "optimization", "benchmark"])
def test_a_section_has_one_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: unknown key"):
        parse({"model_config": {"model_name": "resnet50"}, name: {}}, "test.json")
