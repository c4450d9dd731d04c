"""What is said of a run that was made in several sittings, or is not yet whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from bench.backends.variables import worker_variables
from bench.history.series import covariates
from bench.record import Environment, Record
from bench.repeats import processes

SHOWN = 8  # names of cases


def said(verdict: str, planned: Sequence[str], records: Sequence[Record]) -> str:
    """The verdict with what qualifies it: cases that are not yet measured, sittings in different environments."""
    known = {record.case.id for record in records if record.is_whole or (record.failure and not record.is_interrupted)}
    if verdict != "unfinished":  # what an older version measured, or was told to leave out
        known = {record.case.id for record in records}
    missing = [name for name in planned if name not in known]
    parts = [f"{len(missing)} of {len(planned)} cases are not yet measured: {_some(missing)}"] if missing else []
    numbers = sorted({record.sitting for record in records})
    if len(numbers) > 1:
        parts.append(f"measured in {len(numbers)} sittings, {_alike(records)}")
    return f"{verdict}: {'; '.join(parts)}" if parts else verdict


def by_sitting(records: Iterable[Record], labels: Iterable[str]) -> Iterator[str]:
    """Which of some cases were measured when, and in what the environments differ; nothing, of one sitting."""
    found: dict[int, dict[str, None]] = {}
    each = [(one, label) for record, label in zip(records, labels, strict=True) for one in processes(record)]
    for record, label in each:
        found.setdefault(record.sitting, {})[label] = None
    if len(found) > 1:
        shown = "; ".join(f"in sitting {number}: {', '.join(found[number])}" for number in sorted(found))
        yield f"measured {shown}; {_alike([record for record, _ in each])}"


def _alike(records: Iterable[Record]) -> str:
    differences = environment_differences(records)
    return f"in different environments: {'; '.join(differences)}" if differences else "in the same environment"


def environment_differences(records: Iterable[Record]) -> list[str]:
    """What was not the same in all sittings, as "driver: 550 in sitting 1, 560 in sitting 2".

    A variable that a case's own backend sets tells nothing of the sitting: other cases do, or it is left out.
    """
    found: dict[int, dict[str, str]] = {}
    untold: dict[int, set[str]] = {}
    for record in records:
        if record.environment is not None:
            own = {f"${name}" for name in worker_variables(record.case)}
            facts = {name: value for name, value in _facts(record, record.environment).items() if name not in own}
            found[record.sitting] = facts | found.get(record.sitting, {})
            untold[record.sitting] = own & untold.get(record.sitting, own)
    names = dict.fromkeys(name for facts in found.values() for name in facts)
    left_out = {name for own in untold.values() for name in own}
    differing = [name for name in names if len({facts.get(name) for facts in found.values()}) > 1]
    return [f"{name}: {', '.join(_values(name, found))}" for name in differing if name not in left_out]


def _values(name: str, found: Mapping[int, Mapping[str, str]]) -> Iterator[str]:
    for number in sorted(found):
        yield f"{found[number].get(name) or 'none'} in sitting {number}"


def _facts(record: Record, environment: Environment) -> dict[str, str]:
    """Hardware and what history counts as covariates; what only a backend's own libraries know is left out."""
    cpu = f"{environment.cpu}, {environment.cpu_count} cores"
    return {"CPU": cpu, "GPU": record.gpu_name or "", **covariates(environment)}


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(islice(names, SHOWN)) + (f" and {more} more" if more > 0 else "")
