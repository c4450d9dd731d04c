"""A run as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    machine_facts,
    phase_facts,
    stage_facts,
)
from bench.report.grid import Grid, describe_broken, describe_failure, lay_out, plain
from bench.report.listing import Listing
from bench.report.loads import load_listings, load_remarks
from bench.report.profiled import profile_facts, profile_listings
from bench.report.story import stories

GOOD = ("passed", "improved")
LONGEST_NAME = 300  # of a kernel: those of templates are longer than any reader reads
BAD = ("failed", "regressed", "broken")


@dataclass(frozen=True)
class _Case:
    """All that the page says of one case."""

    column: Column
    failure: str
    broken: str
    facts: tuple[tuple[str, Facts], ...]
    listings: tuple[Listing, ...]


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
    return templates.get_template("page.html.j2").render(
        title=title,
        verdict=verdict,
        checks=checks,
        sections=[_section(comparison) for comparison in comparisons],
        pictures=[(_alternative(name), _data_uri(data)) for name, data in (plots or {}).items()],
        environment=() if environment is None else environment_facts(environment),
    )


def _section(comparison: Comparison) -> _Section:
    columns = comparison.columns
    return _Section(
        comparison=comparison,
        grid=lay_out(comparison),
        stories=stories(columns),
        loads=load_listings(columns),
        load_remarks=load_remarks(columns),
        cases=tuple(map(_case, columns)),
    )


def _case(column: Column) -> _Case:
    record = column.record
    notes = tuple(("note", plain(note)) for note in record.notes)
    tables = (
        ("Case", case_facts(record) + notes),
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
    )


def _tone(word: str) -> str:
    """How a verdict or outcome is coloured, beside being said in words."""
    first = word.partition(" ")[0].strip(".,:;").lower()
    return "good" if first in GOOD else "bad" if first in BAD else "open"


def _alternative(name: str) -> str:
    return name.rpartition(".")[0].replace("-", " ")


def _data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
