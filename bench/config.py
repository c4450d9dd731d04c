"""A config out of a JSON file: strict parsing; errors name the file, the key, the value and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import ConfigError, nearest
from bench.sections.base import Section
from bench.sections.compare import CompareSection, Rule
from bench.sections.config import BenchmarkSection, Config, ModelSection, OptimizationSection

Location = tuple[Any, ...]  # keys and indices that lead to a value
EDITS = tuple(
    f"optimization_config.{key}"
    for key in ("force_nms_cpu", "replace_relu6", "remove_assert", "replace_quantizers", "quantize_weights")
)
FORMS = {  # of the keys whose text has one
    "name": "letters, digits, '.', '_' and '-' alone, the first one a letter or digit",
    "tf_cpp_vmodule": "MODULE=LEVEL and others after commas, such as segment=2,convert_graph=1",
    "wrap_session": "package.module:function is needed",
    "sha256": "64 hexadecimal digits are needed",
}
SECTIONS: dict[str, type[Section]] = {
    "model_config": ModelSection,
    "optimization_config": OptimizationSection,
    "benchmark_config": BenchmarkSection,
    "compare_config": CompareSection,
}


def read_json(path: Path) -> dict[str, Any]:
    """A config file's object as given; errors say what is wrong with the file."""
    data = decoded(path, "a config is a JSON object with a model_config")
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a config is a JSON object, not {json_type(data)}")
    return rename_source_model(data, path)


def decoded(path: Path, content: str) -> Any:
    """The JSON in a file, strictly read: no key twice, no NaN; `content` says what an empty one lacks."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty; {content}")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error


def rename_source_model(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The original's older name of the first section becomes its newer one."""
    if "source_model" not in data:
        return data
    if "model_config" in data:
        raise ConfigError(f"{path}: model_config and source_model are two names of one section; keep one")
    return {"model_config" if key == "source_model" else key: value for key, value in data.items()}


def parse(data: dict[str, Any], source: str) -> Config:
    """A config out of a JSON object; `source` is the file to name in errors."""
    try:
        config = Config.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise ConfigError("\n".join(describe(source, part) for part in error.errors())) from error
    _check_frozen_path(config, source)
    return config


def _check_frozen_path(config: Config, source: str) -> None:
    """One file cannot hold the graphs of several models."""
    key = "model_config.output_path"
    varied = [axis for axis in config.matrix if axis.startswith("model_config.") or axis in EDITS]
    if config.model.output_path is not None and varied and key not in varied:
        raise ConfigError(
            f"{source}: {key}: {json.dumps(config.model.output_path)}: the matrix varies {varied[0]}, and one file "
            "cannot hold several models; keep one of them"
        )


def describe(source: str, error: Any, keys: Callable[[Location], list[str]] | None = None) -> str:
    """One validation error as file: key path: what is wrong, with the value, what is allowed, the nearest spelling.

    `keys` gives the keys that the object at a location may have; the config's by default.
    """
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "json_invalid":
        return f"{source}: not valid JSON: {context['error']}"
    if kind == "model_type" and not where:
        return f"{source}: an object is needed, not {json_type(value)}"
    if not where:
        return f"{source}: {error['msg']}"
    if kind == "extra_forbidden":
        return f"{source}: {where}: unknown key{_hint(error['loc'], (keys or known_keys)(error['loc'][:-1]))}"
    if kind == "missing":
        return f"{source}: {where}: missing"
    if kind == "literal_error":
        hint = nearest(value, allowed(context)) if isinstance(value, str) else ""
        return f"{source}: {where}: {json.dumps(value)} is not one of {context['expected']}{hint}"
    return f"{source}: {where}: {json.dumps(value)}: {_words(error)}"


def _words(error: Any) -> str:
    """What is wrong with a value: pydantic's message, but for those that are about Python's tuples and patterns."""
    kind, key, message = error["type"], error["loc"][-1], error["msg"]
    if kind == "too_long":
        return f"{error['ctx']['max_length']} numbers are needed, not {len(error['input'])}"
    if kind == "string_pattern_mismatch" and key in FORMS:
        return FORMS[key]
    return f"{message[0].lower()}{message[1:]}"


def _hint(location: Location, known: list[str]) -> str:
    """Where an unknown key belongs, or what is spelled like it, or all that is known."""
    key = str(location[-1])
    homes = [name for name, section in SECTIONS.items() if location[0] in SECTIONS and key in section.model_fields]
    if homes:
        return f"; it belongs in {' or '.join(homes)}"
    return nearest(key, known) or f"; known: {', '.join(known)}"


def allowed(context: dict[str, Any]) -> list[str]:
    """The values in pydantic's "'a', 'b' or 'c'"."""
    return [word for word in context["expected"].split("'") if word.strip(" ,or")]


def known_keys(location: Location) -> list[str]:
    """The keys that the object at a location may have."""
    model = SECTIONS.get(location[0], Config) if location else Config
    if location[:2] == ("compare_config", "rules") and len(location) > 2:
        model = Rule
    return [field.alias or name for name, field in model.model_fields.items()]


def json_type(value: Any) -> str:
    """A JSON value's type in JSON's own words."""
    names = {list: "an array", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} stands twice in one object")
        seen[key] = value
    return seen
