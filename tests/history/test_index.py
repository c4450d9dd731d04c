"""The index says what the files say, whatever became of it; what cannot be read is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import ConfigError
from bench.history.index import INDEX_FILE, VERSION, Index
from bench.history.measured import read_run
from bench.record import Failure
from tests.configs import ROOT
from tests.history.nights import SUITE, night_record, write_night, write_nights


def medians(index: Index) -> list[float]:
    (series,) = index.series()
    return [night.values["median_latency_ms"][0] for night in index.nights(series.id, series.segment)]


def test_it_has_every_night_in_order(tmp_path: Path) -> None:
    write_nights(tmp_path, [10.0, 12.0, 11.0])
    index = Index(tmp_path).refresh()
    assert index.count() == 3 and index.skipped() == [] and index.suites() == [SUITE]
    assert medians(index) == [10.0, 12.0, 11.0]


def test_a_run_out_of_it_is_the_run_of_the_files(tmp_path: Path) -> None:
    path = write_night(tmp_path, 0, [night_record(10.0), night_record(20.0, "native")], flagged=[])
    assert Index(tmp_path).refresh().latest(SUITE) == read_run(path)


def test_new_changed_and_deleted_runs_are_noticed(tmp_path: Path) -> None:
    first, second, _ = write_nights(tmp_path, [10.0, 12.0, 11.0])
    Index(tmp_path).refresh()
    shutil.rmtree(first)
    shutil.rmtree(second)
    write_night(tmp_path, 1, [night_record(15.0)], verdict="inconclusive")
    write_nights(tmp_path, [16.0], first=7)
    assert medians(Index(tmp_path).refresh()) == [15.0, 11.0, 16.0]


def test_what_cannot_be_read_is_named_and_skipped(tmp_path: Path) -> None:
    good, cut, newer, wrong, empty = write_nights(tmp_path, [10.0] * 5)
    record = next(path for path in cut.glob("*.json") if path.name != "suite.json")
    record.write_bytes(record.read_bytes()[:100])
    suite = json.loads((newer / "suite.json").read_text(encoding="utf-8"))
    (newer / "suite.json").write_text(json.dumps({**suite, "format_version": 99}), encoding="utf-8")
    (wrong / "suite.json").write_text('{"format_version": 1}', encoding="utf-8")
    (empty / "suite.json").write_text("", encoding="utf-8")
    (tmp_path / SUITE / "no-run").mkdir()
    index = Index(tmp_path).refresh()
    reasons = {found.path.partition("/")[2]: found.reason for found in index.skipped()}
    assert set(reasons) == {path.name for path in (cut, newer, wrong, empty)}
    assert record.name in reasons[cut.name]
    assert "format version 99 is not 1 but newer" in reasons[newer.name]
    assert "not a run as this program stores it" in reasons[wrong.name]
    assert index.count() == 1 and index.latest() == read_run(good)


def test_a_case_without_a_record_failed(tmp_path: Path) -> None:
    run = write_night(tmp_path, 0, [night_record(10.0)], cases=["ssd-b1", "ssd-b16", "ssd-b1-repeat2"])
    found = {each.name: each.failure for each in read_run(run).measurements}
    assert set(found) == {"ssd-b1", "ssd-b16"} and all(found.values())


def test_a_failed_case_is_no_sound_night(tmp_path: Path) -> None:
    failure = Failure(kind="crash", phase="measure", message="signal 11")
    write_night(tmp_path, 0, [night_record(10.0, failure=failure)])
    index = Index(tmp_path).refresh()
    (series,) = index.series()
    assert [night.is_sound for night in index.nights(series.id, series.segment)] == [False]


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be taken for one" * 50])
def test_a_spoilt_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    write_nights(tmp_path, [10.0, 12.0])
    Index(tmp_path).refresh()
    (tmp_path / INDEX_FILE).write_bytes(content)
    (tmp_path / f"{INDEX_FILE}-journal").write_bytes(b"left by a process that was killed")
    assert medians(Index(tmp_path).refresh()) == [10.0, 12.0]


def test_an_index_of_other_tables_is_made_anew(tmp_path: Path) -> None:
    import sqlite3

    write_nights(tmp_path, [10.0, 12.0])
    Index(tmp_path).refresh()
    with sqlite3.connect(tmp_path / INDEX_FILE) as db:
        db.execute("ALTER TABLE run RENAME COLUMN stamp TO older")
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    assert medians(Index(tmp_path).refresh()) == [10.0, 12.0]


def test_latest_is_the_newest_whole_run_of_the_suite_before_another(tmp_path: Path) -> None:
    first, second, third = write_nights(tmp_path, [10.0, 12.0, 11.0])
    write_night(tmp_path, 9, [night_record(10.0)], whole=False)
    write_night(tmp_path, 10, [night_record(10.0)], suite="other")
    index = Index(tmp_path).refresh()
    newest = index.latest(SUITE)
    assert newest is not None and newest.path == third
    before = index.latest(SUITE, before=newest)
    assert before is not None and before.path == second
    assert index.latest(SUITE, before=read_run(first)) is None


PROGRAM = """
import sys
from pathlib import Path
from bench.history.index import Index
for turn in range(8):
    index = Index(Path(sys.argv[1]))
    index.rebuild() if turn % 2 else index.refresh()
    assert index.count() == 12, index.count()
"""


def test_two_processes_may_use_it_at_once(tmp_path: Path) -> None:
    write_nights(tmp_path, [10.0] * 12)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[1] for process in running] == ["", "", ""]


def test_a_killed_writer_leaves_a_whole_index(tmp_path: Path) -> None:
    write_nights(tmp_path, [10.0, 12.0])
    Index(tmp_path).refresh()
    write_nights(tmp_path, [11.0], first=5)
    program = """
import os, signal, sys
from pathlib import Path
import bench.history.index as index
insert = index.insert
def killed(*arguments):
    insert(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
index.insert = killed
index.Index(Path(sys.argv[1])).rebuild()
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -9
    assert Index(tmp_path).count() == 2
    assert medians(Index(tmp_path).refresh()) == [10.0, 12.0, 11.0]


def test_results_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        Index(tmp_path / "nowhere")


def test_many_runs_are_read_by_several_processes(tmp_path: Path) -> None:
    """As many as make it worth while; both ways give the same index."""
    from bench.history.rows import WORTH_PROCESSES

    write_nights(tmp_path, [10.0 + n / 100 for n in range(WORTH_PROCESSES)])
    index = Index(tmp_path).rebuild()
    assert medians(index) == pytest.approx([10.0 + n / 100 for n in range(WORTH_PROCESSES)])
