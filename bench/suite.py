"""A suite: all cases that a config expands to, resolved and checked before anything runs."""

from __future__ import annotations

import copy
import fnmatch
import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from bench.assertions import parse_assertion, without_load
from bench.case import Case
from bench.compare.rules import check_rules
from bench.config import SECTIONS, json_type, parse, read_json
from bench.errors import ConfigError, nearest
from bench.load.statistics import SCENARIO_OF, SPREAD
from bench.repeats import repeated
from bench.resolve import SHOWN_IN_ID, plain, resolve_case
from bench.sections.compare import CompareSection
from bench.sections.config import BenchmarkSection, Config

OF_ALL_CASES = ("benchmark_config.repeats", "benchmark_config.rebuilds", "compare_config.")


@dataclass(frozen=True)
class Suite:
    """What one config runs."""

    name: str
    source: Path
    config: Mapping[str, Any]  # as given, after --set
    cases: tuple[Case, ...]
    assertions: tuple[str, ...]
    benchmark: BenchmarkSection  # for the keys that are the same in all cases
    is_whole: bool = True  # False where --select left cases out
    compare: CompareSection = field(default_factory=CompareSection)
    every: tuple[Case, ...] = ()  # all cases of the config, whatever --select took


def load_suite(path: Path, settings: Sequence[str] = (), select: Sequence[str] = ()) -> Suite:
    """The suite of a config file; every mistake that can be found without running a model is found here."""
    data = apply_settings(read_json(path), settings, str(path))
    config = parse(data, str(path))
    for index, expression in enumerate(config.assertions):
        parse_assertion(expression, f"{path}: assertions[{index}]")
    check_rules(config.compare, str(path))
    combinations = expand(data, config.matrix, str(path))
    cases = [resolve_case(combination, values, path) for combination, values in combinations]
    every_values = [values for _, values in combinations]
    cases = _with_own_outputs(_with_unique_ids(_with_unique_comparisons(cases, every_values), every_values))
    _check_load_assertions(config.assertions, cases, path)
    kept = _selected(cases, select, path)
    every = {case.id: repeated(case, config.benchmark.rebuilds, config.benchmark.repeats) for case in cases}
    return Suite(
        name=config.name or path.stem,
        source=path,
        config=data,
        cases=tuple(copy for case in kept for copy in every[case.id]),
        assertions=config.assertions,
        benchmark=_with_tmp_dir(config),
        is_whole=len(kept) == len(cases),
        compare=config.compare,
        every=tuple(copy for copies in every.values() for copy in copies),
    )


def _check_load_assertions(assertions: Sequence[str], cases: Sequence[Case], path: Path) -> None:
    """A statistic of load tests, of a suite without such a test, would fail at the end alone."""
    for index, expression in enumerate(assertions):
        name = without_load(expression, cases)
        if name is not None:
            needed = f'"{SCENARIO_OF[name]}" in benchmark_config.load_scenarios'
            needed += " and load_searches above 1" if name == SPREAD else ""
            raise ConfigError(f"{path}: assertions[{index}]: {expression!r}: no case has {name}: it needs {needed}")


def _with_tmp_dir(config: Config) -> BenchmarkSection:
    """The benchmark section, with the tmp_dir keys that the original had in model_config too."""
    model, benchmark = config.model, config.benchmark
    return benchmark.model_copy(
        update={
            "tmp_dir": benchmark.tmp_dir or model.tmp_dir,
            "remove_tmp_dir": benchmark.remove_tmp_dir and model.remove_tmp_dir,
        }
    )


def apply_settings(data: dict[str, Any], settings: Sequence[str], source: str) -> dict[str, Any]:
    """The object with each KEY=VALUE put in. A matrix over the same key gives way to it; matrix.KEY=[...] makes one."""
    data = copy.deepcopy(data)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write KEY=VALUE, such as benchmark_config.batch_size=8")
        axis = key.removeprefix("matrix.")
        _check_key(axis, f"--set {setting}", allow_top=axis == key)
        if axis != key:
            _put_axis(data, axis, _value(axis, text), f"--set {setting}", source)
            continue
        _put(data, key, _value(key, text), source)
        if isinstance(data.get("matrix"), dict):
            data["matrix"].pop(key, None)
    return data


def _put_axis(data: dict[str, Any], axis: str, values: Any, where: str, source: str) -> None:
    """One key of the matrix, whose name has a dot in it."""
    if not isinstance(values, list):
        raise ConfigError(f"{where}: {json.dumps(values)}: the matrix needs a list, such as [1, 8]")
    matrix = data.setdefault("matrix", {})
    if not isinstance(matrix, dict):
        raise ConfigError(f"{source}: matrix: an object is needed, not {json_type(matrix)}")
    matrix[axis] = values


def _value(key: str, text: str) -> Any:
    """A setting's value: JSON, or a plain word; a word that the key takes ("null" is a backend) is that word."""
    section, _, name = key.partition(".")
    field = SECTIONS[section].model_fields[name] if section in SECTIONS else None
    if field is not None and text in get_args(field.annotation):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def expand(data: dict[str, Any], matrix: Mapping[str, list[Any]], source: str) -> list[tuple[Config, dict[str, Any]]]:
    """A config for every combination of the matrix, with the values that make it."""
    for key, values in matrix.items():
        _check_key(key, f"{source}: matrix.{key}")
        if key.startswith(OF_ALL_CASES):
            raise ConfigError(f"{source}: matrix.{key}: is the same for all cases; set it in its section")
        if not values:
            raise ConfigError(f"{source}: matrix.{key}: []: needs at least one value")
        if key.endswith("_shape") and not any(value is None or isinstance(value, list) for value in values):
            raise ConfigError(
                f"{source}: matrix.{key}: {json.dumps(values)}: write a list of shapes, such as [[300, 300]]"
            )
        if len({json.dumps(value) for value in values}) < len(values):
            raise ConfigError(f"{source}: matrix.{key}: {json.dumps(values)}: a value stands there twice")
    combinations = []
    for combination in itertools.product(*matrix.values()):
        chosen = dict(zip(matrix, combination, strict=True))
        one = copy.deepcopy({key: value for key, value in data.items() if key != "matrix"})
        for key, value in chosen.items():
            _put(one, key, value, source)
        combinations.append((parse(one, source + (" (with its matrix)" if matrix else "")), chosen))
    return combinations


def _put(data: dict[str, Any], key: str, value: Any, source: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ConfigError(f"{source}: {section}: an object is needed, not {json_type(data)}")
    data[last] = value


def _check_key(key: str, where: str, allow_top: bool = False) -> None:
    known = [f"{section}.{name}" for section, model in SECTIONS.items() for name in model.model_fields]
    if allow_top:
        known += ["name", "assertions", "matrix"]
    if key not in known:
        same = [name for name in known if name.rpartition(".")[2] == key]
        hint = f"; did you mean {same[-1]!r}?" if same else nearest(key, known)
        hint = hint or "; write section.key, such as optimization_config.precision_mode"
        raise ConfigError(f"{where}: unknown key{hint}")


def _with_unique_ids(cases: list[Case], values: Sequence[Mapping[str, Any]]) -> list[Case]:
    """Ids tell apart what the matrix varies beyond model, precision and batch size; by number where words do not."""
    ids = [case.id for case in cases]
    if len(set(ids)) == len(ids):
        return cases
    named = []
    for case, chosen in zip(cases, values, strict=True):
        rest = [f"{k.partition('.')[2]}_{plain(v)}" for k, v in chosen.items() if k not in SHOWN_IN_ID]
        named.append(case.model_copy(update={"id": "-".join([case.id, *rest])}))
    taken = [case.id for case in named]
    return [
        case if taken.count(case.id) == 1 else case.model_copy(update={"id": f"{case.id}-{number}"})
        for number, case in enumerate(named, start=1)
    ]


def _with_unique_comparisons(cases: list[Case], values: Sequence[Mapping[str, Any]]) -> list[Case]:
    """Cases that differ in more than optimization are not held against each other, though their names be alike."""
    apart = [
        json.dumps([v for k, v in chosen.items() if not k.startswith("optimization_config.")]) for chosen in values
    ]
    alike: dict[str, set[str]] = defaultdict(set)
    for case, what in zip(cases, apart, strict=True):
        alike[case.comparison].add(what)
    return [
        case
        if len(alike[case.comparison]) == 1
        else case.model_copy(update={"comparison": f"{case.comparison}, of {what[1:-1]}"})
        for case, what in zip(cases, apart, strict=True)
    ]


def _with_own_outputs(cases: list[Case]) -> list[Case]:
    """Where there are several cases, each writes its statistics and its converted model under a name of its own."""
    if len(cases) == 1:
        return cases

    def own(path: str | None, case: Case) -> str | None:
        return None if path is None else str(Path(path).with_name(f"{Path(path).stem}.{case.id}{Path(path).suffix}"))

    return [
        case.model_copy(
            update={
                "output_path": own(case.output_path, case),
                "optimization": case.optimization.model_copy(
                    update={"output_path": own(case.optimization.output_path, case)}
                ),
            }
        )
        for case in cases
    ]


def _selected(cases: Sequence[Case], patterns: Sequence[str], path: Path) -> tuple[Case, ...]:
    if not patterns:
        return tuple(cases)
    kept = tuple(case for case in cases if any(fnmatch.fnmatchcase(case.id, pattern) for pattern in patterns))
    if not kept:
        raise ConfigError(
            f"{path}: --select {' '.join(patterns)}: no such case; there are: {', '.join(c.id for c in cases)}"
        )
    return kept
