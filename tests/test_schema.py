"""The schema and the page of keys are made from the classes that parse; both are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.catalog.card_pages import card_schema, models_page
from bench.config import SECTIONS, parse
from bench.errors import ConfigError
from bench.schema import json_schema, keys_as_markdown
from bench.statistics.metrics import METRICS
from tests.configs import GONE, ROOT, bench, make_config

KEPT = {
    "bench/test.schema.json": (("schema",), json_schema),
    "docs/config.md": (("schema", "--markdown"), keys_as_markdown),
    "bench/card.schema.json": (("models", "schema"), card_schema),
    "docs/models.md": (("models", "list", "--markdown"), models_page),
}


@pytest.mark.parametrize("file", KEPT)
def test_the_kept_file_is_what_the_classes_give(file: str) -> None:
    options, make = KEPT[file]
    kept = (ROOT / file).read_text(encoding="utf-8")
    assert kept == make(), f"make it anew: bench {' '.join(options)} > {file}"


@pytest.mark.parametrize("file", KEPT)
def test_the_command_prints_it(file: str) -> None:
    options, make = KEPT[file]
    outcome = bench(*options)
    assert (outcome.exit_code, outcome.stdout) == (0, make())


def test_the_page_names_every_key_and_statistic() -> None:
    page = keys_as_markdown()
    keys = [key for section in SECTIONS.values() for key in section.model_fields]
    assert [name for name in (*keys, *METRICS) if f"| `{name}` |" not in page] == []


def errors(config: object) -> list[str]:
    """What the schema says of a config."""
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    schema = json.loads(json_schema())
    validator.check_schema(schema)
    return [error.message for error in validator(schema).iter_errors(config)]


def good() -> dict[str, Any]:
    return {
        "test.json": json.loads((ROOT / "test.json").read_text(encoding="utf-8")),
        "quick": make_config(),
        "matrix": make_config({"matrix": {"benchmark_config.batch_size": [1, 8]}, "assertions": ["map > 0"]}),
        "older name": {**make_config({"model_config": GONE}), "source_model": {"model_name": "a"}},
        "least": {"model_config": {}},
        "null": make_config({"benchmark_config.image_shape": None}),
    }


@pytest.mark.parametrize("name", good())
def test_the_schema_accepts_a_good_config(name: str) -> None:
    assert errors(good()[name]) == []


BAD: dict[str, dict[str, Any]] = {
    "no model": {"model_config": GONE},
    "unknown section": {"benchmark": {}},
    "unknown key": {"benchmark_config.batchsize": 1},
    "text for a number": {"benchmark_config.batch_size": "8"},
    "batch size 0": {"benchmark_config.batch_size": 0},
    "one dimension": {"benchmark_config.image_shape": [8]},
    "unknown backend": {"optimization_config.backend": "trt"},
    "unknown precision": {"optimization_config.precision_mode": "fp16"},
    "no time": {"benchmark_config.phase_timeout_s": 0},
    "a name with a slash": {"name": "a/b"},
    "an axis that is no list": {"matrix": {"benchmark_config.seed": 1}},
    "one assertion": {"assertions": "map > 0"},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_the_schema_and_the_parser_refuse_the_same(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse(make_config(changes), "test.json")
    assert errors(make_config(changes)) != []
