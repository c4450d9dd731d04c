"""The second measurement of what a comparison flagged: which cases run, in how many fresh processes, and beside what.

Where the baseline's engine is still in the conversion cache, and nothing beneath it has changed, each fresh process is
measured in turn with a twin: the same case on the baseline's engine. Where it is not, why is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.backends.cache import ConversionCache
from bench.case import Case, repeat_suffix
from bench.catalog.lookup import conversions_dir
from bench.compare.comparison import Row
from bench.compare.differing import versions
from bench.compare.sides import Sides
from bench.errors import ConfigError
from bench.load.statistics import SCENARIO_OF
from bench.statistics.metrics import RELATIVE

ROUNDS = 20  # of a process and its twin, at least: blocks of ten pairs A B, B A
TWIN = "baseline"  # ends the name of what runs the baseline's engine


@dataclass(frozen=True)
class Plan:
    """What is measured again."""

    cases: tuple[Case, ...]
    twins: Mapping[str, str]  # by a case's id: the one that runs the baseline's engine beside it
    alone: Mapping[str, str] = field(default_factory=dict)  # variants without a twin, and why
    references: Mapping[str, Path] = field(default_factory=dict)  # by variant: the run whose engine its twins run

    @property
    def of_twins(self) -> frozenset[str]:
        """The ids of the cases that run the baseline's engine."""
        return frozenset(self.twins.values())

    def of(self, variant: str) -> list[Case]:
        """Its fresh processes."""
        return [case for case in self.cases if case.variant == variant]


def plan(rows: Sequence[Row], cases: Sequence[Case], sides: Sides, processes: int) -> Plan:
    """The fresh processes of all flagged cases and their twins; with native ones, where what is flagged is relative."""
    found: dict[str, Case] = {}
    twins: dict[str, str] = {}
    alone: dict[str, str] = {}
    references: dict[str, Path] = {}
    for name in dict.fromkeys(row.case for row in rows):
        own = [row for row in rows if row.case == name]
        reference = next((row.reference for row in own if row.reference is not None), None)
        engine = _engine(own[0].series, reference, sides)
        if reference is not None:
            references[name] = reference
        for case in _fresh(_copies(name, cases), processes, own):
            if isinstance(engine, Kept):
                case = case.model_copy(update={"interleave_rounds": max(case.interleave_rounds, ROUNDS)})
                twin = _twin(case, engine)
                found[twin.id], twins[case.id] = twin, twin.id
            found[case.id] = case
        if isinstance(engine, str) and any(row.against != "bound" for row in own):
            alone[name] = engine
    for case in _natives(rows, cases, processes):
        found.setdefault(case.id, case)
    return Plan(tuple(found.values()), twins, alone, references)


@dataclass(frozen=True)
class Kept:
    """The baseline's engine, in the conversion cache, and whose session ran it."""

    entry: str
    wrap_session: str | None


def _copies(variant: str, cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.variant == variant]


def _fresh(copies: Sequence[Case], processes: int, rows: Sequence[Row]) -> list[Case]:
    """So many processes, of all builds in turn; load tests where they are what was flagged."""
    wants_load = any(row.metric in SCENARIO_OF for row in rows)
    builds = list(dict.fromkeys(case.build for case in copies))
    found = []
    for number in range(processes):
        build, repeat = builds[number % len(builds)], 1 + number // len(builds)
        changes = {
            "id": copies[0].variant + repeat_suffix(build, repeat),
            "build": build,
            "repeat": repeat,
            "output_path": None,
            "keep_profile": False,
            "load": copies[0].load if wants_load else (),
            "optimization": copies[0].optimization.model_copy(update={"output_path": None}),
        }
        found.append(copies[0].model_copy(update=changes))
    return found


def _twin(case: Case, engine: Kept) -> Case:
    changes = {
        "id": f"{case.variant}-{TWIN}{repeat_suffix(case.build, case.repeat)}",
        "optimization": case.optimization.model_copy(update={"kept_conversion": engine.entry}),
        "wrap_session": engine.wrap_session,
        "load": (),
    }
    return case.model_copy(update=changes)


def _natives(rows: Sequence[Row], cases: Sequence[Case], processes: int) -> list[Case]:
    """The native cases that what was flagged is relative to."""
    relative = {row.case for row in rows if row.metric in RELATIVE}
    comparisons = {case.comparison for case in cases if case.variant in relative}
    natives = {
        case.comparison: case.variant
        for case in reversed(cases)
        if case.comparison in comparisons and case.optimization.precision_mode == "native"
    }
    return [case for name in natives.values() for case in _fresh(_copies(name, cases), processes, ())]


def _engine(series: str, reference: Path | None, sides: Sides) -> Kept | str:
    """The baseline's engine, or why it takes no part."""
    if reference is None:
        return "no run stands for the baseline"
    try:
        baseline = sides.of(series, reference).record
    except ConfigError as error:
        return f"the baseline's record cannot be read: {error}"
    if baseline.case.optimization.backend != "tf-trt":
        return f"backend {baseline.case.optimization.backend} keeps no engine"
    entry = None if baseline.conversion is None else baseline.conversion.cache_entry
    if entry is None:
        return "the baseline's record names no engine in the conversion cache"
    changed = versions(baseline, sides.now(series))
    if changed:
        return f"the baseline's engine ran on something else: {changed[0]}"
    if not ConversionCache(conversions_dir()).has(entry):
        return f"the baseline's engine is no longer in the conversion cache, {conversions_dir()}"
    return Kept(entry, baseline.case.wrap_session)
