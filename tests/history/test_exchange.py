"""`bench history export` and `import`."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from bench.record import Samples
from tests.configs import bench
from tests.factory import make_environment
from tests.history.nights import night_record, repeated, write_night, write_nights

RESULTS, OTHERS = Path("results"), Path("others")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith((".", "history.sqlite"))
    }


def test_series_are_tidy_and_say_what_is_not_valid() -> None:
    environment = make_environment(git_commit="0123456789ab")
    write_night(RESULTS, 0, repeated([10.0, 12.0, 11.0], environment=environment))
    unsettled = Samples(times_ns=(10**7,) * 9, images=(1,) * 9, warmup_ns=(10**7,) * 5, settled=False)
    write_night(RESULTS, 1, [night_record(10.0, latency=unsettled, environment=environment)])
    table = pd.read_csv(io.StringIO(bench("history", "export").stdout))
    assert table.value.tolist() == [11.0, 10.0] and table.processes.tolist() == [3, 1]
    assert table.valid.tolist() == [True, False] and "warm-up" in table.reason[1]
    assert {*table.commit} == {"0123456789ab"} and {*table.unit} == {"ms"} and table.series.nunique() == 1
    every = pd.read_csv(io.StringIO(bench("history", "export", "--metric", "*").stdout))
    assert {"median_latency_ms", "avg_throughput_fps"} <= {*every.statistic}
    (first, second) = json.loads(bench("history", "export", "ssd*", "--format", "json").stdout)
    assert first["processes"] == [10.0, 12.0, 11.0] and second["valid"] is False
    assert first["covariates"]["driver"] == "580.00"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--metric", "median"], "--metric median: unknown statistic"),
        (["--format", "jsn"], "did you mean 'json'?"),
        (["nothing"], "nothing: no such series"),
    ],
)
def test_what_cannot_be_exported_is_told(arguments: list[str], told: str) -> None:
    write_nights(RESULTS, [10.0])
    outcome = bench("history", "export", *arguments)
    assert outcome.exit_code == 2 and told in outcome.stderr


def archive_of(folder: Path, name: str) -> Path:
    path = Path(name)
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as zipped:
            for file, data in files(folder).items():
                zipped.writestr(file, data)
    else:
        with tarfile.open(path, "w:gz") as tarred:
            tarred.add(folder, folder.name)
    return path


@pytest.mark.parametrize("source", ["others", "others/nightly", "others.zip", "others.tgz"])
def test_runs_are_taken_in_once(source: str) -> None:
    write_nights(RESULTS, [10.0])
    write_nights(OTHERS, [11.0, 12.0], first=1)
    if source.startswith("others."):
        archive_of(OTHERS, source)
    expected = {**files(RESULTS), **files(OTHERS)}
    first, again = bench("history", "import", source), bench("history", "import", source)
    assert (first.exit_code, first.stdout) == (0, "results: 2 runs taken in, 0 were there already\n")
    assert again.stdout == "results: 0 runs taken in, 2 were there already\n"
    assert files(RESULTS) == expected
    assert len(bench("history", "export").stdout.splitlines()) == 1 + 3
    assert not [*RESULTS.glob(".importing*")]


def test_one_run_is_taken_in_into_a_folder_that_is_new() -> None:
    run = write_night(OTHERS, 0, [night_record(10.0)])
    assert bench("history", "import", str(run)).exit_code == 0
    assert files(RESULTS) == files(OTHERS)


def test_an_archive_of_a_run_is_taken_in_under_the_archives_name() -> None:
    run = write_night(OTHERS, 0, [night_record(10.0)])
    archive_of(run, f"{run.name}.zip")
    assert bench("history", "import", f"{run.name}.zip").exit_code == 0
    assert files(RESULTS) == files(OTHERS)


def test_what_is_wrong_is_refused_and_the_rest_taken_in() -> None:
    good = write_night(OTHERS, 0, [night_record(10.0)])
    broken, newer, leads_out, linked, odd = (write_night(OTHERS, n, [night_record(10.0)]) for n in range(1, 6))
    (broken / "suite.json").write_text("{", encoding="utf-8")
    for run, change in ((newer, {"format_version": 99}), (leads_out, {"cases": ["../../secret"]}), (odd, {"cases": 3})):
        suite = {**json.loads((run / "suite.json").read_text(encoding="utf-8")), **change}
        (run / "suite.json").write_text(json.dumps(suite), encoding="utf-8")
    os.symlink("/etc/passwd", linked / "notes")
    outcome = bench("history", "import", str(OTHERS))
    assert outcome.exit_code == 2 and "1 runs taken in" in outcome.stdout
    for run in (broken, newer, leads_out, linked, odd):
        assert f"refused: nightly/{run.name}: " in outcome.stderr
    assert {name.split("/")[1] for name in files(RESULTS)} == {good.name}


@pytest.mark.parametrize("name", ["../elsewhere", "/elsewhere", "a/b", ".hidden", ""])
def test_a_suites_name_leads_nowhere_else(name: str) -> None:
    run = write_night(OTHERS, 0, [night_record(10.0)])
    suite = {**json.loads((run / "suite.json").read_text(encoding="utf-8")), "name": name}
    (run / "suite.json").write_text(json.dumps(suite), encoding="utf-8")
    before = files(Path())
    assert bench("history", "import", str(run)).exit_code == 2
    assert files(Path()) == before


def test_another_run_of_the_same_name_is_not_overwritten() -> None:
    mine, theirs = (write_nights(folder, [value])[0] for folder, value in ((RESULTS, 10.0), (OTHERS, 20.0)))
    (theirs / "suite.json").write_text((theirs / "suite.json").read_text(encoding="utf-8") + " ", encoding="utf-8")
    before = files(mine)
    outcome = bench("history", "import", str(OTHERS))
    assert outcome.exit_code == 2 and "never overwritten" in outcome.stderr and files(mine) == before


def test_what_is_refused_is_named_where_nothing_was_there_before(tmp_path: Path) -> None:
    spoilt = tmp_path / "theirs" / "nightly" / "20260101T020000Z-000000"
    spoilt.mkdir(parents=True)
    (spoilt / "suite.json").write_text("{}")
    outcome = bench("history", "import", str(tmp_path / "theirs"), "--results", str(tmp_path / "ours"))
    assert outcome.exit_code == 2 and "refused: nightly/20260101T020000Z-000000: " in outcome.stderr


@pytest.mark.parametrize(
    ("member", "kind"), [("../out.json", "leads out of the folder"), ("link", "only files and folders are unpacked")]
)
def test_an_archive_that_would_write_elsewhere_is_refused(member: str, kind: str) -> None:
    write_nights(OTHERS, [10.0])
    with tarfile.open("bad.tar", "w") as archive:
        archive.add(OTHERS, "others")
        entry = tarfile.TarInfo(member)
        if member == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    outcome = bench("history", "import", "bad.tar")
    assert outcome.exit_code == 2 and kind in outcome.stderr
    assert not files(RESULTS) and not Path("out.json").exists() and not [*RESULTS.glob(".importing*")]


@pytest.mark.parametrize(
    ("source", "told"), [("nowhere", "neither a folder nor an archive"), ("empty", "empty: no run there")]
)
def test_a_source_without_runs_is_told(source: str, told: str) -> None:
    Path("empty").mkdir()
    outcome = bench("history", "import", source)
    assert outcome.exit_code == 2 and told in outcome.stderr
