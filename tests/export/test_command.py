"""`bench export` and `bench test --export`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.export.formats import FORMATS
from tests.configs import ROOT, bench, write_config
from tests.export.runs import write_run
from tests.history.nights import night_record, write_night, write_nights


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "archive"])
def test_every_format_is_written(name: str) -> None:
    run = write_run()
    written = bench("export", str(run), "--format", name, "--output", "out/file")
    assert (written.exit_code, written.stdout, written.stderr) == (0, "", "")
    assert Path("out/file").read_text(encoding="utf-8") == bench("export", str(run), "--format", name).stdout


def test_an_archive_is_what_history_import_takes_in() -> None:
    run = write_run()
    assert bench("export", str(run), "--format", "archive", "--output", "run.tar.gz").exit_code == 0
    assert bench("history", "import", "run.tar.gz", "--results", "elsewhere").exit_code == 0
    here, there = (
        {file.name: file.read_bytes() for file in folder.iterdir()}
        for folder in (run, Path("elsewhere", *run.parts[1:]))
    )
    assert here == there
    assert "name a file with --output" in bench("export", str(run), "--format", "archive").stderr


def test_the_newest_run_is_held_against_another() -> None:
    write_nights(Path("results"), [10.0, 12.0])
    plain, held = (
        bench("export", "latest", "--format", "junit", *more).stdout for more in ((), ("--baseline", "latest"))
    )
    assert "against the baseline" not in plain
    assert ElementTree.fromstring(held.encode()).get("failures") == "1"


def test_what_the_run_was_judged_by_is_exported() -> None:
    stored = bench("export", str(write_run()), "--format", "junit").stdout
    assert "median_latency_ms against the baseline" in stored


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["RUN", "--format", "junt"], "unknown format 'junt'; did you mean 'junit'?"),
        (["nowhere", "--format", "junit"], "nowhere: not a run's folder, here or in results, and not latest or golden"),
        (["RUN", "--format", "junit", "--baseline", "golden"], "no golden run"),
        (["RUN", "--format", "junit", "--output", "RUN/suite.json/x"], "cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_told(arguments: list[str], told: str) -> None:
    run = str(write_night(Path("results"), 0, [night_record(10.0)]))
    outcome = bench("export", *(each.replace("RUN", run) for each in arguments))
    assert outcome.exit_code == (5 if "written" in told else 2) and told in outcome.stderr
    assert not outcome.stdout


def test_a_baseline_that_cannot_be_read_is_told() -> None:
    run = write_run()
    (run / "baseline.json").write_text("{", encoding="utf-8")
    outcome = bench("export", str(run), "--format", "csv")
    assert outcome.exit_code == 2 and "baseline.json: cannot be read" in outcome.stderr


def test_a_run_writes_its_exports_at_its_end() -> None:
    config = write_config({"name": "nightly", "compare_config": {"confirm_processes": 0}})
    first = bench("test", config, "--export", "junit=junit.xml")
    code = bench(
        "test", config, "--baseline", "latest", "--export", "markdown=out/{suite}.md", "--export", "csv=all.csv"
    ).exit_code
    assert ElementTree.parse("junit.xml").getroot().get("name") == "nightly", first.stderr
    assert Path("out/nightly.md").read_text(encoding="utf-8").startswith("## ")
    newest = max(Path("results/nightly").iterdir(), key=lambda run: (run / "suite.json").stat().st_mtime_ns)
    verdict = json.loads((newest / "suite.json").read_text(encoding="utf-8"))["verdict"]
    assert {"passed": 0, "improved": 0, "regressed": 1, "inconclusive": 3}[verdict] == code
    assert f",{verdict}," in Path("all.csv").read_text(encoding="utf-8")
    assert "against nightly/" in Path("out/nightly.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("export", "told"),
    [
        ("junit", "--export junit: names no file; write FORMAT=FILE"),
        ("junit= ", "names no file"),
        ("xml=junit.xml", "--export xml=junit.xml: unknown format 'xml'"),
        ("=junit.xml", "--export =junit.xml: no format; known: junit, csv"),
        ("mlflow=", "--export mlflow=: MLflow takes no file; log the run when it is there: `bench export latest"),
        ("mlflow=file:///runs", "MLflow takes no file"),
        ("junit=junit.xml", "put {suite} into its name"),
        ("junit=one.json/{suite}.xml", "one.json cannot be made"),
    ],
)
def test_an_export_that_cannot_be_is_told_before_anything_is_measured(export: str, told: str) -> None:
    one, two = write_config({"name": "one"}, "one.json"), write_config({"name": "two"}, "two.json")
    outcome = bench("test", one, two, "--export", export)
    assert outcome.exit_code == 2 and told in outcome.stderr and not Path("results").exists()


def test_two_exports_to_one_file_are_a_mistake_and_one_that_fails_leaves_the_others(tmp_path: Path) -> None:
    config = write_config({"name": "nightly"})
    twice = bench("test", config, "--export", "junit=one", "--export", "csv=one")
    assert (twice.exit_code, twice.stderr) == (
        2,
        "error: --export: two would write one; name another file for one of them\n",
    )
    folder = bench("test", config, "--export", f"junit={tmp_path}")
    assert folder.exit_code == 2 and "it cannot be written" in folder.stderr
