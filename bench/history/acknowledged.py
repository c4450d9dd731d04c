"""Changes that someone has looked at and accepted: a JSON file that is reviewed as code is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from bench.errors import ConfigError
from bench.part import Part
from bench.store import replace_atomic

USUAL = "acknowledged.json"
EVERY = "*"


class Acknowledged(Part):
    """From this run on, a new level of a series is what is expected of it."""

    series: str  # its id; "*" for all
    metric: str  # "*" for all
    run: str  # suite/folder: the first night of the new level
    reason: str
    name: str = ""  # of the series, for who reads the file
    by: str = ""
    on: date | None = None  # by UTC: nights up to and on this day that were found worse are accepted with it

    def is_about(self, series: str, metric: str) -> bool:
        """Whether it is about this statistic of this series."""
        return self.series in (series, EVERY) and self.metric in (metric, EVERY)


def read_acknowledged(path: Path) -> tuple[Acknowledged, ...]:
    """What the file holds; nothing where there is none of the usual name, which the first acceptance makes."""
    if not path.exists():
        if path.name != USUAL:
            raise ConfigError(f"--acknowledged {path}: no such file")
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: acknowledged changes are an array of objects")
    return tuple(_entry(path, number, entry) for number, entry in enumerate(entries))


def _entry(path: Path, number: int, entry: object) -> Acknowledged:
    try:
        return Acknowledged.model_validate_json(json.dumps(entry))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: [{number}].{key}: {first['msg']}") from error


def add_acknowledged(path: Path, entries: Sequence[Acknowledged]) -> None:
    """Adds to the file; one that stands there already is not written twice."""
    known = list(read_acknowledged(path)) if path.exists() else []
    known += [entry for entry in entries if not any(_same(entry, other) for other in known)]
    text = json.dumps([entry.model_dump(mode="json", exclude_defaults=True) for entry in known], indent=1)
    replace_atomic(path, f"{text}\n".encode())


def _same(one: Acknowledged, other: Acknowledged) -> bool:
    return (one.series, one.metric, one.run) == (other.series, other.metric, other.run)
