"""A run as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined

from bench.record import Check, Environment
from bench.report.comparison import Column, Comparison
from bench.report.facts import Facts, case_facts, conversion_facts, environment_facts, phase_facts
from bench.report.grid import Grid, describe_failure, lay_out, plain

GOOD = ("passed", "improved")
BAD = ("failed", "regressed", "broken")


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


def _section(comparison: Comparison) -> tuple[Comparison, Grid, list[tuple[Column, str, list[tuple[str, Facts]]]]]:
    cases = [(column, describe_failure(column), _details(column)) for column in comparison.columns]
    return comparison, lay_out(comparison), cases


def _details(column: Column) -> list[tuple[str, Facts]]:
    record = column.record
    notes = tuple(("note", plain(note)) for note in record.notes)
    tables = [
        ("Case", case_facts(record) + notes),
        ("Phases (s)", phase_facts(record)),
        ("Conversion", conversion_facts(record.conversion)),
    ]
    return [(heading, facts) for heading, facts in tables if facts]


def _tone(word: str) -> str:
    """How a verdict or outcome is coloured, beside being said in words."""
    first = word.partition(" ")[0].strip(".,:;").lower()
    return "good" if first in GOOD else "bad" if first in BAD else "open"


def _alternative(name: str) -> str:
    return name.rpartition(".")[0].replace("-", " ")


def _data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
