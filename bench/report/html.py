"""The page of a run: verdict first, then tables, pictures, cases with their logs, and the environment."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.record import Check, Environment
from bench.report.all_cases import all_cases, anchor
from bench.report.by_class import all_classes
from bench.report.comparison import Column, Comparison
from bench.report.converted import conversion_listings
from bench.report.facts import (
    Facts,
    case_facts,
    conversion_facts,
    environment_facts,
    loop_facts,
    machine_facts,
    phase_facts,
    stage_facts,
)
from bench.report.figures import plain
from bench.report.filenames import TIMELINE, case_files
from bench.report.grid import Grid, describe_broken, describe_failure, lay_out
from bench.report.listing import Listing
from bench.report.loads import load_listings, load_remarks
from bench.report.logs import Logs, log_key
from bench.report.overview import overview_listings
from bench.report.pages import render
from bench.report.profiled import profile_facts, profile_listings
from bench.report.story import stories

LONGEST_NAME = 300  # of a kernel: those of templates are longer than any reader reads


class _Picture(NamedTuple):
    """A picture as the page has it."""

    alternative: str
    source: str


@dataclass(frozen=True)
class _Case:
    """All that the page says of one case."""

    column: Column
    failure: str
    broken: str
    facts: tuple[tuple[str, Facts], ...]
    listings: tuple[Listing, ...]
    pictures: tuple[_Picture, ...]
    log: str  # its end


@dataclass(frozen=True)
class _Section:
    """All that the page says of one comparison."""

    comparison: Comparison
    grid: Grid
    stories: list[tuple[str, str]]
    loads: list[Listing]
    load_remarks: list[str]
    classes: list[Listing]
    cases: tuple[_Case, ...]


def page(
    title: str,
    comparisons: Sequence[Comparison],
    environment: Environment | None = None,
    plots: Mapping[str, bytes] | None = None,
    verdict: str = "",
    checks: Sequence[Check] = (),
    logs: Logs | None = None,
) -> str:
    """The page of a run: verdict, tables, pictures, cases, environment. Everything in it is escaped."""
    pictures = {name: _picture(name, data) for name, data in (plots or {}).items()}
    names = iter(case_files(comparisons, TIMELINE))
    own = {id(column): next(names) for comparison in comparisons for column in comparison.columns}
    return render(
        "page.html.j2",
        title=title,
        verdict=verdict,
        checks=checks,
        all_cases=all_cases(comparisons),
        overview=overview_listings(comparisons),
        anchor=anchor,
        sections=[_section(comparison, own, pictures, logs or {}) for comparison in comparisons],
        pictures=[picture for name, picture in pictures.items() if name not in own.values()],
        environment=() if environment is None else environment_facts(environment),
    )


def _section(comparison: Comparison, own: Mapping[int, str], pictures: Mapping[str, _Picture], logs: Logs) -> _Section:
    """Its cases with the pictures and logs that are their own."""
    columns = comparison.columns
    found = [pictures.get(own[id(column)]) for column in columns]
    return _Section(
        comparison=comparison,
        grid=lay_out(comparison),
        stories=stories(columns),
        loads=load_listings(columns),
        load_remarks=load_remarks(columns),
        classes=all_classes(columns),
        cases=tuple(_case(column, picture, logs) for column, picture in zip(columns, found, strict=True)),
    )


def _case(column: Column, picture: _Picture | None, logs: Logs) -> _Case:
    record = column.record
    notes = tuple(("note", plain(note)) for note in record.notes)
    tables = (
        ("Case", case_facts(record) + notes),
        ("Loops", loop_facts(record)),
        ("Phases (s)", phase_facts(record)),
        ("Stages (ms)", stage_facts(record)),
        ("Machine while measuring", machine_facts(record)),
        ("Conversion", conversion_facts(record.conversion)),
        ("What ran", profile_facts(record)),
    )
    return _Case(
        column=column,
        failure=describe_failure(column),
        broken=describe_broken(column),
        facts=tuple((heading, facts) for heading, facts in tables if facts),
        listings=(*conversion_listings(record.conversion), *profile_listings(record, longest=LONGEST_NAME)),
        pictures=() if picture is None else (picture,),
        log=logs.get(log_key(record), "" if record.failure is None else record.failure.log_tail),
    )


def _picture(name: str, data: bytes) -> _Picture:
    encoded = base64.b64encode(data).decode("ascii")
    return _Picture(name.rpartition(".")[0].replace("-", " "), f"data:image/png;base64,{encoded}")
