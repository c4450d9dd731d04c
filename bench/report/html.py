"""A run as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined

from bench.record import Check, Environment
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
from bench.report.filenames import TIMELINE, case_files
from bench.report.grid import Grid, describe_broken, describe_failure, lay_out, plain
from bench.report.listing import Listing
from bench.report.loads import load_listings, load_remarks
from bench.report.profiled import profile_facts, profile_listings
from bench.report.story import stories

GOOD = ("passed", "improved")
LONGEST_NAME = 300  # of a kernel: those of templates are longer than any reader reads
BAD = ("failed", "regressed", "broken")


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


@dataclass(frozen=True)
class _Section:
    """All that the page says of one comparison."""

    comparison: Comparison
    grid: Grid
    stories: list[tuple[str, str]]
    loads: list[Listing]
    load_remarks: list[str]
    cases: tuple[_Case, ...]


def page(
    title: str,
    comparisons: Sequence[Comparison],
    environment: Environment | None = None,
    plots: Mapping[str, bytes] | None = None,
    verdict: str = "",
    checks: Sequence[Check] = (),
) -> str:
    """The page of a run: verdict, tables, pictures, cases, environment. Everything in it is escaped."""
    templates = Templates(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(plain=plain, tone=_tone)
    pictures = {name: _picture(name, data) for name, data in (plots or {}).items()}
    names = iter(case_files(comparisons, TIMELINE))
    own = {id(column): next(names) for comparison in comparisons for column in comparison.columns}
    return templates.get_template("page.html.j2").render(
        title=title,
        verdict=verdict,
        checks=checks,
        sections=[_section(comparison, own, pictures) for comparison in comparisons],
        pictures=[picture for name, picture in pictures.items() if name not in own.values()],
        environment=() if environment is None else environment_facts(environment),
    )


def _section(comparison: Comparison, own: Mapping[int, str], pictures: Mapping[str, _Picture]) -> _Section:
    """Its cases with the pictures that are their own."""
    columns = comparison.columns
    found = [pictures.get(own[id(column)]) for column in columns]
    return _Section(
        comparison=comparison,
        grid=lay_out(comparison),
        stories=stories(columns),
        loads=load_listings(columns),
        load_remarks=load_remarks(columns),
        cases=tuple(_case(column, picture) for column, picture in zip(columns, found, strict=True)),
    )


def _case(column: Column, picture: _Picture | None) -> _Case:
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
    )


def _tone(word: str) -> str:
    """How a verdict or outcome is coloured, beside being said in words."""
    first = word.partition(" ")[0].strip(".,:;").lower()
    return "good" if first in GOOD else "bad" if first in BAD else "open"


def _picture(name: str, data: bytes) -> _Picture:
    encoded = base64.b64encode(data).decode("ascii")
    return _Picture(name.rpartition(".")[0].replace("-", " "), f"data:image/png;base64,{encoded}")
