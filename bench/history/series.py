"""What makes measurements comparable: the series of a case, the segment it was measured in, and its covariates.

The series is what is measured and how. A segment is the hardware and whether its clocks were held: figures of two
segments are never held against each other. Covariates are versions and hosts: they are what a nightly run tests, so
that a difference is shown and is no reason to refuse.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from bench.case import Case
from bench.record import Environment, Record

# What leaves the figures alone, or lies elsewhere on another machine.
NO_PART_OF_A_MODEL = frozenset({"path", "frozen_path", "published", "declared"})
HOW_IT_WAS_MADE = frozenset({"requested_backend", "output_path", "strict", "use_conversion_cache", "kept_conversion"})
OF_A_DATASET = frozenset({"name", "format", "mean", "deviation"})
OF_THE_CASE = ("batch_size", "image_shape", "num_images", "seed", "load")
UNKNOWN = "unknown"
WRAPPED = "session wrapped by"  # a covariate of runs whose session is not the backend's own


@dataclass(frozen=True)
class Key:
    """Named facts of which two measurements share all, or are not comparable."""

    facts: Mapping[str, str]

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for the facts."""
        return hashlib.sha256(json.dumps(sorted(self.facts.items())).encode()).hexdigest()[:12]

    def differences(self, other: Key) -> tuple[str, ...]:
        """What differs, as "name: theirs, here mine" with `other` as mine."""
        names = dict.fromkeys((*self.facts, *other.facts))
        pairs = ((name, self.facts.get(name, "default"), other.facts.get(name, "default")) for name in names)
        return tuple(f"{name}: {old} -> {new}" for name, old, new in pairs if old != new)


def series_key(case: Case) -> Key:
    """What is measured: model, optimization, data, shapes. Defaults are left out, so that a new field changes none."""
    return _series_key(case.model_dump_json())


@lru_cache(maxsize=4096)
def _series_key(text: str) -> Key:
    """Of a case as JSON: in a history every night has the same ones."""
    case = Case.model_validate_json(text)
    facts = {
        **_facts("model", case.model.model_dump(mode="json", exclude_defaults=True, exclude=set(NO_PART_OF_A_MODEL))),
        **_facts(
            "optimization",
            case.optimization.model_dump(mode="json", exclude_defaults=True, exclude=set(HOW_IT_WAS_MADE)),
        ),
        **_facts("dataset", case.dataset.model_dump(mode="json", exclude_none=True, include=set(OF_A_DATASET))),
    }
    if case.calibration is not None:
        facts["calibration"] = case.calibration.name
    for name in OF_THE_CASE:
        if (value := case.model_dump(mode="json", include={name})[name]) not in (None, [], 0):
            facts[name] = _text(value)
    return Key(facts)


def series_name(case: Case) -> str:
    """The series in words: the case's id, which builds and repeats share."""
    return case.variant


def has_random_weights(facts: Mapping[str, str]) -> bool:
    """Whether the series of these facts is of a model that nobody trained."""
    return facts.get("model.random_weights") == "true"


def segment_key(record: Record) -> Key:
    """The hardware, and whether its clocks were held."""
    environment = record.environment
    if environment is None:
        return Key({"machine": UNKNOWN})
    facts = {"cpu": environment.cpu, "cpu_count": str(environment.cpu_count)}
    gpu = record.gpu_name
    if gpu is None:
        return Key(facts)
    state = record.telemetry.gpu if record.telemetry is not None else None
    limit = state.power_limit_w if state is not None else None
    facts["gpu"] = gpu
    facts["power_limit"] = UNKNOWN if limit is None else f"{limit:.0f} W"
    facts["clocks"] = _clocks(record)
    return Key(facts)


def _clocks(record: Record) -> str:
    """A clock that moved and one that stood at its maximum by chance are the same policy: nobody held it."""
    telemetry = record.telemetry
    if telemetry is None or telemetry.gpu is None:
        return UNKNOWN
    lock = telemetry.clock_lock
    if lock is not None and lock.refused is None:
        return f"locked {lock.where()}"
    return telemetry.gpu.clock_policy if telemetry.gpu.clock_policy in ("locked", "application") else "not locked"


def covariates(environment: Environment | None) -> dict[str, str]:
    """Versions, host and variables: what may differ between two nights and explain a change."""
    if environment is None:
        return {}
    found = {
        "driver": environment.driver,
        "CUDA of the driver": environment.cuda_driver,
        "python": environment.python,
        "platform": environment.platform,
        "host": environment.hostname,
        "commit": environment.git_commit,
        **environment.packages,
        **{f"${name}": value for name, value in environment.variables.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


def _facts(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    return {f"{prefix}.{name}": _text(value) for name, value in _flat(values)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def covariate_differences(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Covariates that differ: name, there, here."""
    names = dict.fromkeys((*old, *new))
    return tuple((n, old.get(n, "none"), new.get(n, "none")) for n in names if old.get(n) != new.get(n))
