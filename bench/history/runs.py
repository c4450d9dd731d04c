"""The run that a word stands for: its folder, SUITE/RUN in the results folder, `latest` or `golden`."""

from __future__ import annotations

from pathlib import Path

from bench.errors import ConfigError
from bench.history.golden import read_golden
from bench.history.index import Index
from bench.history.measured import Run
from bench.report.words import counted
from bench.store import folder_of

LATEST, GOLDEN = "latest", "golden"


def find_run(word: str, results: Path, suite: str | None = None) -> Path:
    """A run's folder. `latest` is a suite's newest run, whole or not; `golden` its pinned one. None: the only suite."""
    if word not in (LATEST, GOLDEN):
        return run_folder(word, results, f"{LATEST} or {GOLDEN}")
    chosen = _only_suite(results) if suite is None else suite
    if word == GOLDEN:
        return golden_folder(results, chosen)
    found = Index(results).refresh().newest(chosen)
    if found is None:
        raise ConfigError(f"{results}: no run of suite {chosen}")
    return results / found


def run_folder(word: str, results: Path, others: str) -> Path:
    """The folder, or SUITE/RUN in the results folder; the error says what else the word could have been."""
    found = folder_of(word, results)
    if found is None:
        raise ConfigError(f"{word or repr(word)}: not a run's folder, here or in {results}, and not {others}")
    return found


def golden_folder(results: Path, suite: str) -> Path:
    """The run that is pinned for a suite."""
    found = read_golden(results).get(suite)
    if found is None:
        raise ConfigError(f"{results}: suite {suite} has no golden run; pin one with `bench history golden RUN`")
    return results / found.run


def no_earlier_run(index: Index, new: Run) -> str:
    """Why `latest` is no run for one to be held against, though there may be others of its suite, and what to do."""
    earlier, later = index.passed_over(before=new), index.later(new)
    unread = [each for each in index.skipped() if each.path.startswith(f"{new.suite}/")]
    if not (earlier or later or unread):
        return f"{index.results}: no earlier run of suite {new.suite}"
    said = []
    for why, words in (("partial", "with only some of the cases (--select)"), ("unfinished", "that was cut off")):
        if count := sum(each == why for _, each in earlier):
            said.append(f"{counted(count, 'earlier run')} {words}")
    if unread:
        said.append(f"{counted(len(unread), 'run')} that cannot be read ({unread[0].path}: {unread[0].reason})")
    if later:
        said.append(f"{counted(later, 'run')} that began later")
    remedy = "run the whole suite once, without --select"
    if earlier:
        remedy = f"name a run in place of {LATEST}, such as {index.results / earlier[0][0]}, or {remedy}"
    return f"{index.results}: no earlier whole run of suite {new.suite}, but {', '.join(said)}; {remedy}"


def _only_suite(results: Path) -> str:
    suites = Index(results).refresh().suites()
    if not suites:
        raise ConfigError(f"{results}: no run there")
    if len(suites) != 1:
        raise ConfigError(f"{results}: choose one of {len(suites)} suites with --suite: {', '.join(suites)}")
    return suites[0]
