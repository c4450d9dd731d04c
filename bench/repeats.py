"""A case measured in several processes: its copies in a suite, and its records taken together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.case import Case, repeat_suffix
from bench.record import Record

_COPY = re.compile(r"(-build\d+)?(-repeat\d+)?$")  # what repeat_suffix writes


def repeated(case: Case, rebuilds: int, repeats: int) -> tuple[Case, ...]:
    """The case for every build and repeat; the first keeps its id, and alone writes what it was asked to write."""
    copies = [(build, repeat) for build in range(1, rebuilds + 1) for repeat in range(1, repeats + 1)]
    return (case, *(_copy(case, build, repeat) for build, repeat in copies[1:]))


def _copy(case: Case, build: int, repeat: int) -> Case:
    changes = {
        "id": case.id + repeat_suffix(build, repeat),
        "build": build,
        "repeat": repeat,
        "output_path": None,
        "optimization": case.optimization.model_copy(update={"output_path": None}),
    }
    return case.model_copy(update=changes)


def merged(records: Iterable[Record]) -> tuple[Record, ...]:
    """One record a variant: its first, with all others in `repeats`, and the first failure of any of them."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.case.variant, []).append(record)
    return tuple(map(_merge, found.values()))


def _merge(records: Sequence[Record]) -> Record:
    first, *others = records
    if not others:
        return first
    failure = next((record.failure for record in records if record.failure is not None), None)
    return first.model_copy(update={"repeats": tuple(others), "failure": failure})


def processes(record: Record) -> tuple[Record, ...]:
    """A merged record's own and all its repeats, a process each."""
    return (record.model_copy(update={"repeats": ()}), *record.repeats) if record.repeats else (record,)


def variant_of(case: str) -> str:
    """The id that a case's builds and repeats share, out of the id alone."""
    return _COPY.sub("", case)
