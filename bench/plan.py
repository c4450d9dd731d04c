"""What a command measures: new runs of all that configs ask for, or what a run that was cut off still lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import ConfigError
from bench.preflight import make_ready
from bench.sitting import Sitting, begun, find_run, hold, look_back, remove_leftovers
from bench.store import create_run
from bench.suite import Suite


@dataclass(frozen=True)
class Plan:
    """A suite, and what is measured of it in this sitting."""

    suite: Suite  # all cases that the run was asked for, now or before
    ready: Suite  # those to be measured, ready to run
    sitting: Sitting


def begin(suites: Sequence[Suite], results: Path, held: contextlib.ExitStack) -> list[Plan]:
    """New runs of all cases; their folders are held until the end."""
    ready = [make_ready(suite) for suite in suites]
    sittings = [Sitting(create_run(results, suite.name), sittings=(begun(),)) for suite in ready]
    for sitting in sittings:
        held.enter_context(hold(sitting.run))
    return [Plan(suite, suite, sitting) for suite, sitting in zip(ready, sittings, strict=True)]


def go_on(suites: Sequence[Suite], results: Path, resume: str, held: contextlib.ExitStack) -> Plan:
    """Go on with a run: of what is asked for now, the cases without a record that stands."""
    suite = _only(suites, resume)
    run = find_run(results, suite, resume)
    held.enter_context(hold(run))
    sitting, before = look_back(run, suite)
    remove_leftovers(run)
    asked = {*before, *(case.id for case in suite.cases)}
    cases = tuple(case for case in suite.every if case.id in asked)
    whole = replace(suite, cases=cases, is_whole=len(cases) == len(suite.every))
    return Plan(whole, make_ready(replace(suite, cases=sitting.to_measure(suite.cases))), sitting)


def kept_cases(suites: Sequence[Suite], results: Path, resume: str | None) -> Collection[str]:
    """The cases that a run would not be measured for again."""
    if resume is None:
        return ()
    suite = _only(suites, resume)
    return look_back(find_run(results, suite, resume), suite)[0].kept


def _only(suites: Sequence[Suite], resume: str) -> Suite:
    if len(suites) != 1:
        raise ConfigError(f"--resume {resume}: a run is of one config, not of {len(suites)}")
    return suites[0]
