"""A run over several sittings: what Ctrl-C, a kill or a lost machine left of it, and what is still to be measured.

A record stands if its worker reached its end and nothing failed. Every other case is measured again, and what was known
of it is put aside under `earlier/`, so that nothing is overwritten. One process at a time holds a run's folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from platform import node
from typing import Any

from bench.case import Case
from bench.errors import ConfigError, StoreError
from bench.record import METHODOLOGY_VERSION, Record, read_record
from bench.store import SUITE_FILE, folder_of, load_records, read_suite
from bench.suite import Suite

LATEST = "latest"
LOCK_FILE = ".lock"
EARLIER = "earlier"
MAY_CHANGE = frozenset(
    {"$schema", "assertions", "compare_config", "model_config.tmp_dir", "model_config.remove_tmp_dir"}
    | {f"benchmark_config.{key}" for key in ("tmp_dir", "remove_tmp_dir", "phase_timeout_s", "display_every")}
)  # of a config: what leaves the figures alone
OF_A_MACHINE = frozenset(
    {"path", "frozen_path", "images_dir", "annotation_path", "labels_path", "classes_path", "pattern", "output_path"}
    | {"calibration_tables", "scratch_dir", "artifacts_dir", "load_dir", "phase_timeout_s", "display_every"}
    | {"published", "declared", "num_images", "left_out"}  # the last two are found when the data is checked
)  # of a case: what may differ where the same is measured
OF_A_CASE = (".json", ".log", ".load", ".profile", ".md", ".html")  # what its files' names end with
SHOWN = 8  # differences named in an error


@dataclass(frozen=True)
class Sitting:
    """One sitting of a run, and what those before it left."""

    run: Path
    number: int = 1
    sittings: tuple[Mapping[str, Any], ...] = ()  # when each began and where, this one last; as suite.json has them
    records: Mapping[str, Record] = field(default_factory=dict)  # of the earlier sittings, by case
    compared: Mapping[str, Any] = field(default_factory=dict)  # what a baseline said of them

    @property
    def kept(self) -> dict[str, Record]:
        """The records that stand."""
        return {name: record for name, record in self.records.items() if record.is_whole}

    def to_measure(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        """Those of which no record stands."""
        return tuple(case for case in cases if case.id not in self.kept)

    def put_aside(self, name: str) -> None:
        """Move what an earlier sitting left of a case, or of its comparison with a baseline, out of the way."""
        for suffix in OF_A_CASE:
            found = self.run / f"{name}{suffix}"
            if self.number > 1 and found.exists():
                target = self.run / EARLIER / f"before-{self.number}" / found.name
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(found, target)
                except OSError as error:
                    raise StoreError(f"{found}: cannot be moved to {target}: {error.strerror}") from error

    def failures(self, case_id: str) -> Iterator[str]:
        """What went wrong with a case before it was measured again: a finding, unless someone stopped it."""
        for file in sorted((self.run / EARLIER).glob("*/*.json")):
            if file.name == f"{case_id}.json":
                record = read_record(file.read_text(encoding="utf-8"), str(file))
                failure = record.failure
                if failure is not None and not record.is_interrupted:
                    said = f"{failure.kind} in phase {failure.phase}: {failure.message}"
                    yield f"failed in sitting {record.sitting}, and was measured again in sitting {self.number}: {said}"


def begun() -> dict[str, str]:
    """When and where a sitting begins."""
    return {"started": datetime.now(timezone.utc).isoformat(timespec="seconds"), "hostname": node()}


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Keep other processes from going on with the same run meanwhile; a process that dies lets go."""
    from filelock import FileLock, Timeout

    lock = FileLock(run / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(f"{run}: another process is measuring this run") from error
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"{run}: cannot be locked: {error}; choose another folder with --results") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (run / LOCK_FILE).unlink()
        lock.release()


def find_run(results: Path, suite: Suite, resume: str) -> Path:
    """The folder that --resume names; `latest` is the suite's newest one."""
    if resume != LATEST:
        found = folder_of(resume, results)
        if found is None:
            raise ConfigError(f"--resume {resume}: not a run's folder, here or in {results}, and not {LATEST}")
        return found
    runs = sorted(file.parent for file in (results / suite.name).glob(f"*/{SUITE_FILE}"))
    if not runs:
        raise ConfigError(f"--resume {LATEST}: {results / suite.name} has no run of this suite")
    return runs[-1]


def look_back(run: Path, suite: Suite) -> tuple[Sitting, tuple[str, ...]]:
    """The sitting that goes on with a run, and the cases that it was asked for; a ConfigError where it cannot."""
    stored = read_suite(run)
    records = {record.case.id: record for record in load_records(run)}
    _check_config(run, suite, stored, records)
    sittings = (*(stored.get("sittings") or ({},)), begun())
    compared: dict[str, Any] = {key: stored[key] for key in ("baseline", "flagged", "again") if key in stored}
    return Sitting(run, len(sittings), sittings, records, compared), tuple(stored["cases"])


def _check_config(run: Path, suite: Suite, stored: Mapping[str, Any], records: Mapping[str, Record]) -> None:
    """Refuse to put into one run what is not the same suite, measured in the same way."""
    differences = [*_of_configs(stored, suite), *_of_cases(stored, suite, records)]
    if differences:
        more = len(differences) - SHOWN
        shown = "; ".join(differences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
        remedy = "give the same config and --set, or start a new run"
        raise ConfigError(f"{suite.source}: not what {run} was begun with: {shown}; {remedy}")


def _of_configs(stored: Mapping[str, Any], suite: Suite) -> Iterator[str]:
    if stored.get("name") != suite.name:
        yield f"suite {stored.get('name')!r} there, {suite.name!r} here"
    if stored.get("methodology_version") != METHODOLOGY_VERSION:
        yield f"methodology {stored.get('methodology_version')} there, {METHODOLOGY_VERSION} here"
    theirs, ours = _flat(stored.get("config") or {}), _flat(suite.config)
    yield from _differences("", theirs, ours, MAY_CHANGE)


def _of_cases(stored: Mapping[str, Any], suite: Suite, records: Mapping[str, Record]) -> Iterator[str]:
    """Cases that only one side has, and cases that mean something else by now: a default, a card, a backend."""
    ours = {case.id: case for case in suite.every}
    gone = [name for name in (stored.get("planned") or stored["cases"]) if name not in ours]
    if gone:
        yield f"cases only there: {', '.join(gone[:SHOWN])}"
    new = [name for name in ours if name not in stored["planned"]] if stored.get("planned") else []
    if new:
        yield f"cases only here: {', '.join(new[:SHOWN])}"
    for name, record in records.items():
        if name in ours and record.is_whole:
            yield from _differences(f"case {name}: ", _facts(record.case), _facts(ours[name]), frozenset())


def _differences(
    prefix: str, theirs: Mapping[str, str], ours: Mapping[str, str], ignored: frozenset[str]
) -> Iterator[str]:
    for key in dict.fromkeys((*theirs, *ours)):
        if key not in ignored and theirs.get(key) != ours.get(key):
            yield f"{prefix}{key}: {theirs.get(key, 'not given')} there, {ours.get(key, 'not given')} here"


def _flat(config: Mapping[str, Any]) -> dict[str, str]:
    """Keys of sections, dotted, with their values as JSON."""
    found: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and key != "compare_config":
            found.update({f"{key}.{name}": json.dumps(each, sort_keys=True) for name, each in value.items()})
        else:
            found[key] = json.dumps(value, sort_keys=True)
    return found


def _facts(case: Case) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in case.model_dump(mode="json").items():
        parts = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
        found.update({name: json.dumps(each, sort_keys=True) for name, each in parts.items()})
    return {name: text for name, text in found.items() if name.rpartition(".")[2] not in OF_A_MACHINE}


def remove_leftovers(run: Path) -> None:
    """What a killed process was writing: hidden files, which nothing reads."""
    for folder in (run, run / "plots"):
        for file in folder.glob(".*"):
            if file.is_file() and file.name != LOCK_FILE:
                with suppress(OSError):
                    file.unlink()
