"""What a run is held against: a folder, `latest`, `golden` or `history`; and the comparison that follows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from bench.compare.comparison import Comparison
from bench.compare.nights import compare_history
from bench.compare.rules import Judged, check_rules, rules
from bench.compare.runs import compare_runs
from bench.errors import ConfigError
from bench.history.acknowledged import read_acknowledged
from bench.history.golden import golden_run
from bench.history.index import Index
from bench.history.measured import Run, read_run
from bench.history.runs import GOLDEN, LATEST, find_run, golden_folder, no_earlier_run, run_folder
from bench.history.series import has_random_weights
from bench.report.labels import untrained
from bench.sections.compare import CompareSection

HISTORY = "history"
BASELINES = f"{LATEST}, {GOLDEN} or {HISTORY}"


def check_baseline(baseline: str, results: Path, suite: str) -> None:
    """Before anything is measured: a folder that is no run, or a golden run that is not pinned, is an error."""
    if baseline == GOLDEN:
        read_run(golden_folder(results, suite))
    elif baseline not in (LATEST, HISTORY):
        read_run(run_folder(baseline, results, BASELINES))


def compare(baseline: str, new: Run, results: Path, acknowledged: Path, section: CompareSection | None) -> Comparison:
    """`new` against the baseline, by a config's rules; those of the run's own config where none are given."""
    section = section_of(new) if section is None else section
    check_rules(section, "--config")
    judged = rules(section)
    found = _compare(baseline, new, results, acknowledged, section, judged)
    return replace(found, remarks=(*found.remarks, *_random_weights(new), *_about_none(new, judged)))


def _compare(
    baseline: str, new: Run, results: Path, acknowledged: Path, section: CompareSection, judged: Sequence[Judged]
) -> Comparison:
    if baseline == HISTORY:
        index = Index(results).refresh()
        known = read_acknowledged(acknowledged)
        return compare_history(new, index, judged, section, known, golden_run(results, new.suite))
    if baseline == GOLDEN:
        return compare_runs(read_run(golden_folder(results, new.suite)), new, judged, "golden")
    if baseline != LATEST:
        return compare_runs(read_run(run_folder(baseline, results, BASELINES)), new, judged)
    index = Index(results).refresh()
    old = index.latest(new.suite, before=new)
    if old is None:
        return Comparison(LATEST, new.name, (), remarks=(no_earlier_run(index, new),))
    return compare_runs(old, new, judged)


def _random_weights(new: Run) -> tuple[str, ...]:
    """The models of which the speed alone is held against the baseline."""
    facts = [each.series.facts for each in new.measurements]
    names = dict.fromkeys(each["model.name"] for each in facts if has_random_weights(each))
    return tuple(map(untrained, names))


def _about_none(new: Run, judged: Sequence[Judged]) -> Iterator[str]:
    """Bounds that no case of a whole run can break: their statistic is one of other tasks, backends or load tests."""
    if not new.whole or any(each.failure for each in new.measurements):
        return
    known = {name for each in new.measurements for name in (*each.values, *each.absent)}
    for each in judged:
        if each.bounds and each.metric not in known:
            yield f"The rule on {each.metric}, {each.bounds}, is about no case of this run."


def find_candidate(word: str, results: Path, suite: str | None) -> Run:
    """The run that is judged, by what stands for it."""
    return read_run(find_run(word, results, suite))


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
