"""What a run is held against: a folder, `latest`, `golden` or `history`; and the comparison that follows."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from bench.compare.comparison import Comparison
from bench.compare.nights import compare_history
from bench.compare.rules import check_rules, rules
from bench.compare.runs import compare_runs
from bench.compare_section import CompareSection
from bench.errors import ConfigError
from bench.history.acknowledged import read_acknowledged
from bench.history.golden import golden_run
from bench.history.index import Index
from bench.history.measured import Run, read_run
from bench.store import SUITE_FILE

LATEST, GOLDEN, HISTORY = "latest", "golden", "history"
BASELINES = f"{LATEST}, {GOLDEN} or {HISTORY}"


def check_baseline(baseline: str, results: Path, suite: str) -> None:
    """Before anything is measured: a folder that is no run, or a golden run that is not pinned, is an error."""
    if baseline == GOLDEN:
        _golden(results, suite)
    elif baseline not in (LATEST, HISTORY):
        _run(baseline, BASELINES)


def compare(baseline: str, new: Run, results: Path, acknowledged: Path, section: CompareSection | None) -> Comparison:
    """`new` against the baseline, by a config's rules; those of the run's own config where none are given."""
    section = section_of(new) if section is None else section
    check_rules(section, "--config")
    judged = rules(section)
    if baseline == HISTORY:
        index = Index(results).refresh()
        known = read_acknowledged(acknowledged)
        return compare_history(new, index, judged, section, known, golden_run(results, new.suite))
    if baseline == GOLDEN:
        return compare_runs(_golden(results, new.suite), new, judged, "golden")
    if baseline != LATEST:
        return compare_runs(_run(baseline, BASELINES), new, judged)
    old = Index(results).refresh().latest(new.suite, before=new)
    if old is None:
        return Comparison("latest", new.name, (), remarks=(f"{results}: no earlier run of suite {new.suite}",))
    return compare_runs(old, new, judged)


def find_candidate(word: str, results: Path, suite: str | None) -> Run:
    """The run that is judged: a folder, or the `latest` or `golden` one of a suite."""
    if word not in (LATEST, GOLDEN):
        return _run(word, f"{LATEST} or {GOLDEN}")
    if suite is None:
        suites = Index(results).refresh().suites()
        if not suites:
            raise ConfigError(f"{results}: no run there")
        if len(suites) != 1:
            raise ConfigError(f"{results}: choose one of {len(suites)} suites with --suite: {', '.join(suites)}")
        (suite,) = suites
    if word == GOLDEN:
        return _golden(results, suite)
    found = Index(results).refresh().latest(suite)
    if found is None:
        raise ConfigError(f"{results}: no run of suite {suite}")
    return found


def section_of(run: Run) -> CompareSection:
    """The comparison's section in a run's own config."""
    try:
        section = CompareSection.model_validate_json(json.dumps(run.config.get("compare_config") or {}))
    except ValidationError as error:
        raise ConfigError(
            f"{run.path}: its compare_config: {error.errors()[0]['msg']}; give one by --config"
        ) from error
    check_rules(section, str(run.path))
    return section


def _run(word: str, others: str) -> Run:
    """A run's folder, or what else the word could have been."""
    if not word or not (Path(word) / SUITE_FILE).exists():
        raise ConfigError(f"{word or repr(word)}: not a run's folder, and not {others}")
    return read_run(Path(word))


def _golden(results: Path, suite: str) -> Run:
    found = golden_run(results, suite)
    if found is None:
        raise ConfigError(f"{results}: suite {suite} has no golden run; pin one with `bench history golden RUN`")
    return found
