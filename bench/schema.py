"""The JSON Schema of configs, and their keys as a page of documentation; both made from bench/sections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from bench.config import SECTIONS
from bench.sections.config import Config
from bench.statistics.metrics import METRICS


def json_schema() -> str:
    """The schema that editors complete and check a config with."""
    schema = Config.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Test config"
    schema["properties"]["source_model"] = {
        "$ref": "#/$defs/ModelSection",
        "description": "An older name of model_config.",
    }
    schema["anyOf"] = [{"required": ["model_config"]}, {"required": ["source_model"]}]
    schema["required"] = []
    return json.dumps(schema, indent=2) + "\n"


def keys_as_markdown() -> str:
    """Every key with its type, default and meaning, and every statistic that an assertion can name."""
    parts = ["# Config keys", _INTRODUCTION, "## The file", *table(Config)]
    for name, section in SECTIONS.items():
        parts += [f"\n## {name}", (section.__doc__ or "") + "\n", *table(section)]
    parts += ["\n## Statistics in assertions", _STATISTICS, "| name | unit | what |", "| --- | --- | --- |"]
    parts += [f"| `{metric.name}` | {metric.unit} | {metric.text} |" for metric in METRICS.values()]
    return "\n".join(parts) + "\n"


_INTRODUCTION = """
Made by `bench schema --markdown` from `bench/sections`. A key that is not here is an error, and so is a value of
another type. `bench/test.schema.json` tells the same to editors: name it as `"$schema"`.
"""

_STATISTICS = """
`native.NAME` is the native case's of the same model, data and batch size. A percentile that too few samples
support makes an assertion inconclusive (exit code 3); a statistic that a case should have and has not makes it fail.
"""


def table(section: type[BaseModel]) -> Iterator[str]:
    """The keys of a section or a card, as a table in Markdown."""
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    properties = section.model_json_schema(by_alias=True)["properties"]
    for key, value in properties.items():
        description = str(value.get("description", "")).replace("|", "\\|")
        yield f"| `{key}` | {_type(value)} | {_default(value)} | {description} |"


def _type(value: dict[str, Any]) -> str:
    options = [option for option in _options(value) if option.get("type") != "null"]
    return " or ".join(dict.fromkeys(_one_type(option) for option in options))


def _options(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The types that a key may have, out of alternatives in alternatives."""
    return [each for option in value["anyOf"] for each in _options(option)] if "anyOf" in value else [value]


def _one_type(option: dict[str, Any]) -> str:
    if "enum" in option:
        return ", ".join(f"`{choice}`" for choice in option["enum"])
    if "prefixItems" in option:
        return str(option.get("description") or f"{len(option['prefixItems'])} numbers")
    return str(option.get("type", "object"))


def _default(value: dict[str, Any]) -> str:
    if "default" not in value or "$ref" in value or isinstance(value["default"], dict):
        return ""
    return "" if value["default"] is None else f"`{json.dumps(value['default'])}`"
