"""The index of results/: a SQLite file beside the runs, made from their files and rebuilt from them at any time.

`results/` is the truth. A run is read again when its suite.json changes, which is written when the run ends. Writers
hold one lock and write in one transaction, so that a process that is killed leaves the last whole state.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, StoreError
from bench.history.answers import Ended, Night, SeriesInfo, Skipped
from bench.history.measured import Measurement, Run
from bench.history.rows import drop, insert, runs, utc
from bench.history.series import Key

INDEX_FILE = "history.sqlite"
LOCK_FILE = ".history.lock"
VERSION = 2  # of the tables and of what is in them; another one is rebuilt
WAIT_S = 120.0

_TABLES = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE, stamp TEXT, suite TEXT, started TEXT, verdict TEXT, whole INTEGER,
    covariates TEXT, config TEXT, error TEXT);
CREATE TABLE measurement (
    run INTEGER REFERENCES run ON DELETE CASCADE, name TEXT, series TEXT, series_facts TEXT, segment TEXT,
    segment_facts TEXT, methodology INTEGER, measured TEXT, doubts TEXT, failure TEXT, broken TEXT, absent TEXT);
CREATE TABLE flag (run INTEGER REFERENCES run ON DELETE CASCADE, series TEXT, metric TEXT);
CREATE INDEX run_suite ON run (suite, started);
CREATE INDEX measurement_run ON measurement (run);
CREATE INDEX measurement_series ON measurement (series, segment, run);
CREATE INDEX flag_series ON flag (series, metric);
CREATE INDEX flag_run ON flag (run);
"""
_FINISHED = "verdict != 'unfinished'"
_WHOLE = f"whole AND {_FINISHED}"  # a run that may be a baseline: nothing is missing in it
_RUN = "SELECT id, path, suite, started, verdict, whole, covariates, config FROM run WHERE error IS NULL"


class Index:
    """The index of one results folder."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.path = results / INDEX_FILE
        if not results.is_dir():
            raise ConfigError(f"{results}: no such folder; name the one with the runs with --results")

    def refresh(self) -> Index:
        """Take in what is new or changed, drop what is gone."""
        with self._writing() as db:
            known = dict(db.execute("SELECT path, stamp FROM run"))
            stamps = dict(runs(self.results))
            changed = [path for path, stamp in stamps.items() if known.get(path) != stamp]
            drop(db, [*(path for path in known if path not in stamps), *changed])
            insert(db, self.results, changed, stamps)
        return self

    def rebuild(self) -> Index:
        """Read every run again."""
        with self._writing() as db:
            stamps = dict(runs(self.results))
            db.execute("DELETE FROM run")
            insert(db, self.results, list(stamps), stamps)
        return self

    def count(self) -> int:
        """How many runs are in it."""
        return int(self._ask("SELECT count(*) FROM run WHERE error IS NULL")[0][0])

    def skipped(self) -> list[Skipped]:
        """Runs that could not be read."""
        return [Skipped(*row) for row in self._ask("SELECT path, error FROM run WHERE error IS NOT NULL ORDER BY path")]

    def suites(self) -> list[str]:
        """The suites that have runs."""
        return [row[0] for row in self._ask("SELECT DISTINCT suite FROM run WHERE error IS NULL ORDER BY suite")]

    def latest(self, suite: str | None = None, before: Run | None = None) -> Run | None:
        """The newest whole run of a suite that was finished; `before`, the newest that began earlier than that one.

        Where `before` is itself not whole, another such run will do if it has all of its cases.
        """
        clauses, values = f" AND {_WHOLE}", []
        if before is not None and not before.whole:
            names = [each.name for each in before.measurements]
            marks = ", ".join("?" * len(names))
            have = f"SELECT count(DISTINCT name) FROM measurement WHERE measurement.run = run.id AND name IN ({marks})"
            clauses, values = f" AND {_FINISHED} AND (whole OR ({have}) = {len(names)})", names
        if suite is not None:
            clauses, values = f"{clauses} AND suite = ?", [*values, suite]
        if before is not None:
            clauses, values = f"{clauses} AND started < ? AND path != ?", [*values, utc(before.started), before.name]
        rows = self._ask(f"{_RUN}{clauses} ORDER BY started DESC, path DESC LIMIT 1", values)
        return self._run(rows[0]) if rows else None

    def newest(self, suite: str) -> str | None:
        """The newest run of a suite, whole or not, as suite/folder."""
        query = "SELECT path FROM run WHERE error IS NULL AND suite = ? ORDER BY started DESC, path DESC LIMIT 1"
        rows = self._ask(query, [suite])
        return str(rows[0][0]) if rows else None

    def passed_over(self, before: Run) -> list[tuple[str, str]]:
        """Earlier runs of a run's suite that `latest` leaves out, the newest first; each with why."""
        query = (
            "SELECT path, CASE WHEN whole THEN 'unfinished' ELSE 'partial' END FROM run "
            f"WHERE error IS NULL AND NOT ({_WHOLE}) AND suite = ? AND started < ? AND path != ? "
            "ORDER BY started DESC, path DESC"
        )
        return [(path, why) for path, why in self._ask(query, [before.suite, utc(before.started), before.name])]

    def later(self, run: Run) -> int:
        """How many other runs of its suite did not begin earlier."""
        query = "SELECT count(*) FROM run WHERE error IS NULL AND suite = ? AND started >= ? AND path != ?"
        return int(self._ask(query, [run.suite, utc(run.started), run.name])[0][0])

    def run(self, name: str) -> Run | None:
        """A run by suite/folder."""
        rows = self._ask(f"{_RUN} AND path = ?", [name])
        return self._run(rows[0]) if rows else None

    def ended(self, suite: str, last: int) -> list[Ended]:
        """How the last runs of a suite ended, the newest first."""
        query = (
            "SELECT path, started, verdict, (SELECT count(*) FROM flag WHERE flag.run = run.id) "
            "FROM run WHERE error IS NULL AND suite = ? ORDER BY started DESC, path DESC LIMIT ?"
        )
        return [Ended(path, datetime.fromisoformat(t), *rest) for path, t, *rest in self._ask(query, [suite, last])]

    def nights(self, series: str, segment: str, before: Run | None = None, last: int | None = None) -> list[Night]:
        """A series in one segment, the oldest first; of those before a run, the last so many."""
        clause, values = "", [series, segment]
        if before is not None:
            clause, values = " AND started < ? AND path != ?", [*values, utc(before.started), before.name]
        limit = "" if last is None else f" LIMIT {last:d}"
        newest = (
            "SELECT measurement.rowid FROM measurement JOIN run ON run.id = run "
            f"WHERE series = ? AND segment = ?{clause} ORDER BY started DESC, path DESC{limit}"
        )
        rows = self._ask(  # chosen first, then read: of thousands of nights only the last are wanted
            "SELECT path, started, measured, doubts, failure IS NULL AND broken IS NULL, covariates "
            f"FROM measurement JOIN run ON run.id = run WHERE measurement.rowid IN ({newest}) "
            "ORDER BY started DESC, path DESC",
            values,
        )
        return [
            Night(path, datetime.fromisoformat(started), _values(measured), json.loads(doubts), bool(sound), covariates)
            for path, started, measured, doubts, sound, covariates in reversed(rows)
        ]

    def flagged(self, series: str) -> set[tuple[str, str]]:
        """Runs and statistics in which a comparison found this series worse."""
        query = "SELECT path, metric FROM flag JOIN run ON run.id = run WHERE series = ?"
        return {(run, metric) for run, metric in self._ask(query, [series])}

    def series(self) -> list[SeriesInfo]:
        """All series that have a measurement, the last measured first."""
        rows = self._ask(
            "SELECT series, segment, name, suite, count(*), max(started), series_facts FROM measurement "
            "JOIN run ON run.id = run "
            "WHERE methodology > 0 GROUP BY series, segment ORDER BY max(started) DESC, name"
        )
        return [SeriesInfo(*row) for row in rows]

    def _run(self, row: Sequence[Any]) -> Run:
        number, path, suite, started, verdict, whole, covariates, config = row
        rows = self._ask(
            "SELECT name, series_facts, segment_facts, methodology, measured, doubts, failure, broken, absent "
            "FROM measurement WHERE run = ? ORDER BY rowid",
            [number],
        )
        flags = self._ask("SELECT series, metric FROM flag WHERE run = ?", [number])
        return Run(
            path=self.results / path,
            suite=suite,
            started=datetime.fromisoformat(started),
            verdict=verdict,
            measurements=tuple(
                Measurement(name, Key(json.loads(series)), Key(json.loads(segment)), methodology, _values(measured),
                            json.loads(doubts), failure, broken, json.loads(absent))
                for name, series, segment, methodology, measured, doubts, failure, broken, absent in rows
            ),
            covariates=json.loads(covariates),
            config=json.loads(config),
            flagged=frozenset(map(tuple, flags)),
            whole=bool(whole),
        )  # fmt: skip

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=WAIT_S)) as db:
                return db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}; `bench history rebuild` makes it anew") from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; a file that is no index, or an older one, is made anew."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.results / LOCK_FILE, timeout=WAIT_S), contextlib.closing(self._open()) as db, db:
                db.execute("BEGIN IMMEDIATE")
                yield db
        except Timeout as error:
            raise StoreError(f"{self.path}: another process has been writing it for {WAIT_S:.0f} s") from error
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.path}: {error}; it can be deleted, and is then made anew") from error

    def _open(self) -> sqlite3.Connection:
        try:
            return _prepared(self.path)
        except sqlite3.OperationalError:  # locked, or a full disk: the file is none the worse
            raise
        except sqlite3.DatabaseError:
            for leftover in (self.path, self.path.with_name(f"{INDEX_FILE}-journal")):
                leftover.unlink(missing_ok=True)
            return _prepared(self.path)


def _prepared(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=WAIT_S)
    try:
        db.execute("PRAGMA foreign_keys = ON")
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            for table in ("flag", "measurement", "run"):
                db.execute(f"DROP TABLE IF EXISTS {table}")
            db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _values(text: str) -> dict[str, tuple[float, ...]]:
    return {name: tuple(each) for name, each in json.loads(text).items()}
