"""The cards that come with tf-bench, and what a card may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.catalog.card_pages import card_schema
from bench.catalog.cards import ModelCard, Source
from bench.catalog.lookup import model_card, names
from bench.sources import COCO80
from tests.configs import ROOT, bench

SHIPPED = sorted(path.stem for path in (ROOT / "models").glob("*.json"))
VERIFIED = (
    "mobilenet_v1", "mobilenet_v2", "nasnet_large", "nasnet_mobile", "resnet_v1.5_50", "resnet_v2_50",
    "vgg16", "vgg19", "inception_v3", "inception_v4",
)  # fmt: skip
ZOO = (
    "ssd_mobilenet_v1_coco", "ssd_mobilenet_v1_0p75_depth_quantized_coco", "ssd_mobilenet_v1_ppn_coco",
    "ssd_mobilenet_v1_fpn_coco", "ssd_mobilenet_v2_coco", "ssdlite_mobilenet_v2_coco", "ssd_inception_v2_coco",
    "ssd_resnet_50_fpn_coco", "faster_rcnn_resnet50_coco", "faster_rcnn_nas", "mask_rcnn_resnet50_atrous_coco",
    "facessd_mobilenet_v2_quantized_open_image_v4",
)  # fmt: skip


def card(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "description": "", "task": "detection", "source": {"path": "a"}, **changes}


def schema_refuses(content: dict[str, Any]) -> bool:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(json.loads(card_schema()))
    return bool(list(validator.iter_errors(content)))


def parser_refuses(content: dict[str, Any]) -> bool:
    try:
        ModelCard.model_validate_json(json.dumps(content))
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize("name", SHIPPED)
def test_every_card_reads_and_fits_the_schema(name: str) -> None:
    content = json.loads((ROOT / "models" / f"{name}.json").read_text(encoding="utf-8"))
    assert model_card(name).name == name
    assert not schema_refuses(content)


@pytest.mark.parametrize("name", VERIFIED)
def test_the_verified_architectures_can_be_built_without_a_network(name: str) -> None:
    found = model_card(name)
    assert found.source.keras_application is not None
    assert found.image_shape is not None
    assert found.published is not None and set(found.published.modes) == {"FP32", "FP16", "INT8"}
    column = "Volta" if name == "inception_v4" else "Turing"  # of which the table has no figure for that one
    assert f"TF-TRT INT8 on {column};" in found.published.source
    assert found.class_offset == found.source.arguments.get("classes", 1000) - 1000  # type: ignore[operator]


@pytest.mark.parametrize("name", ZOO)
def test_the_detectors_of_the_original_say_where_they_are_and_what_was_published(name: str) -> None:
    found = model_card(name)
    assert found.source.url is not None and found.source.url.endswith(".tar.gz")
    assert found.published is not None and found.published.speed_ms is not None
    assert found.published.map is not None or found.published.map50 is not None
    assert {tensor.name for tensor in found.outputs} >= {"detection_boxes", "detection_scores", "detection_classes"}


BAD = {
    "no place": {"source": {}},
    "two places": {"source": {"path": "a", "url": "http://a/b.tgz"}},
    "a checksum of nothing": {"source": {"path": "a", "sha256": "0" * 64}},
    "arguments of nothing": {"source": {"path": "a", "arguments": {"alpha": 1.0}}},
    "an address of no file": {"source": {"url": "http://a/"}},
    "an address that leads out": {"source": {"url": "http://a/b/..%2f.."}},
    "options of nothing": {"postprocess_options": {"iou_threshold": 0.5}},
}
ALSO_IN_THE_SCHEMA = {
    "a checksum that is none": {"source": {"url": "http://a/b.tgz", "sha256": "abc"}},
    "a file's address": {"source": {"url": "file:///etc/passwd"}},
    "an absolute place inside": {"source": {"url": "http://a/b.tgz", "inside": "/models/b"}},
    "a place that leads out": {"source": {"url": "http://a/b.tgz", "inside": "b/../../c"}},
    "an address without a host": {"source": {"url": "http:///b.tgz"}},
    "classes that are no numbers": {"class_map": ["person"]},
    "a category that no dataset has": {"class_map": [1, -1]},
    "an unknown class map": {"class_map": "coco"},
    "a percentage": {"published": {"top1": 71.01, "source": "somewhere"}},
    "a percentage of a mode": {"published": {"modes": {"INT8": {"top1": 70.5}}, "source": "somewhere"}},
    "a figure without a source": {"published": {"top1": 0.7}},
    "an unknown mode": {"published": {"modes": {"BF16": {}}, "source": "somewhere"}},
    "weights of an architecture": {"source": {"keras_application": "VGG16", "arguments": {"weights": "imagenet"}}},
    "a shape of an architecture": {"source": {"keras_application": "VGG16", "arguments": {"input_shape": [8, 8, 3]}}},
    "an unknown box format": {"box_format": "polar"},
    "a negative offset": {"class_offset": -1},
}


@pytest.mark.parametrize("changes", [*BAD.values(), *ALSO_IN_THE_SCHEMA.values()], ids=[*BAD, *ALSO_IN_THE_SCHEMA])
def test_a_card_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    assert not parser_refuses(card())
    assert parser_refuses(card(**changes))


@pytest.mark.parametrize("changes", ALSO_IN_THE_SCHEMA.values(), ids=ALSO_IN_THE_SCHEMA)
def test_the_schema_refuses_what_the_parser_refuses(changes: dict[str, Any]) -> None:
    assert not schema_refuses(card())
    assert schema_refuses(card(**changes))


def test_a_class_map_is_a_name_or_a_list() -> None:
    for class_map in ("coco80", [1, 90], [0, 3, 3], None):  # several classes may be of one category
        content = card(class_map=class_map)
        assert ModelCard.model_validate_json(json.dumps(content)).class_map == class_map
        assert not schema_refuses(content)


def test_a_checksum_may_be_in_upper_case() -> None:
    content = card(source={"url": "http://a/b.tgz", "sha256": "ABCDEF0123456789" * 4})
    read = ModelCard.model_validate_json(json.dumps(content))
    assert read.source.sha256 == "abcdef0123456789" * 4
    assert not schema_refuses(content)


@pytest.mark.parametrize("inside", ["b", "b/saved_model", "b..c/..d/e..", "./b"])
def test_a_place_inside_may_be_called_as_it_likes(inside: str) -> None:
    content = card(source={"url": "http://a/b.tgz", "inside": inside})
    assert not parser_refuses(content) and not schema_refuses(content)


def test_a_model_that_only_an_architecture_gives_is_not_trained() -> None:
    assert not model_card("vgg16").is_trained
    assert model_card("mobilenet_v1").is_trained
    assert Source(path="a").format == "saved_model"


def test_coco80_is_the_ids_that_coco_uses() -> None:
    assert len(COCO80) == 80
    assert (COCO80[0], COCO80[11], COCO80[-1]) == (1, 13, 90)  # person, stop sign, toothbrush


def listing(*options: str) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads(bench("models", "list", "--json", *options).stdout)}


def test_every_name_stands_whole_in_the_list_on_80_columns() -> None:
    lines = bench("models", "list").stdout.splitlines()
    assert {line.split()[0] for line in lines if line.strip()} == {*names("models"), "classification", "detection"}
    assert max(map(len, lines)) <= 80


def test_the_list_tells_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = listing()
    assert set(listed) == set(names("models"))
    assert listed["shapes_detector"]["state"] == "here"
    assert listed["vgg16"]["state"] == "random weights"
    assert listed["ssd_mobilenet_v1_coco"]["state"] == "to be fetched"
    fetched = tmp_path / "zoo/ssd_mobilenet_v1_coco/ssd_mobilenet_v1_coco_2018_01_28/saved_model"
    fetched.mkdir(parents=True)
    (fetched / "saved_model.pb").touch()
    listed = {
        entry["name"]: entry for entry in json.loads(bench("models", "list", "--json", "--output-dir", "zoo").stdout)
    }
    assert listed["ssd_mobilenet_v1_coco"]["state"] == "here"


def test_a_card_is_shown_with_how_to_get_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    shown = bench("models", "show", "mobilenet_v2")
    assert shown.exit_code == 0
    for words in (
        "mobilenet_v2_1.4_224.tgz",
        "0.7408",
        "unverified",
        "bench models download mobilenet_v2",
        "random_weights",
    ):
        assert words in shown.stdout
    assert "verified, as model.yml" in bench("models", "show", "ssd_mobilenet_v2_coco").stdout


def test_an_unknown_model_is_a_usage_error() -> None:
    outcome = bench("models", "show", "vgg61")
    assert outcome.exit_code == 2
    assert "no model 'vgg61'; did you mean 'vgg1" in outcome.stderr
