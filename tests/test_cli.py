"""The command from end to end on the backend that answers at once: what is printed, what is kept, the exit code."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.configs import GONE, ROOT, Outcome, bench, write_config, write_images

FAILS = {"assertions": ["avg_latency_ms < 0"]}
INCONCLUSIVE = {"assertions": ["p99_latency_ms >= 0"]}
MAKE_IMAGES = """
import sys
from pathlib import Path

from PIL import Image

folder = Path(sys.argv[sys.argv.index("--out") + 1], "images")
folder.mkdir(parents=True)
Image.new("L", (8, 8)).save(folder / "0.png")
print('{"pixels_sha256": "0123"}')
"""
SOURCE = {"generator": "make.py", "pixels_sha256": "0123"}
TWO = {"optimization_config.precision_mode": ["FP32", "FP16"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory; workers find `bench` all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "120")


def only_run(results: str = "results", suite: str = "test") -> Path:
    (run,) = Path(results, suite).iterdir()
    return run


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_a_run_that_passes_keeps_everything() -> None:
    changes = {
        "matrix": TWO,
        "assertions": ["avg_latency_ms >= 0", "median_latency_ms >= 0"],
        "benchmark_config.output_path": "stats/null.json",
    }
    outcome = bench("test", write_config(changes))
    assert outcome.exit_code == 0, outcome
    assert outcome.stderr == ""
    assert "Verdict: passed" in outcome.stdout
    run = only_run()
    assert f"Results: {run}" in outcome.stdout
    cases = ["resnet50-FP32-b1", "resnet50-FP16-b1"]
    kept = {f"{case}.{ending}" for case in cases for ending in ("json", "log")}
    assert files(run) == kept | {"suite.json", "comparison.md", "comparison.csv", "comparison.html"}
    suite = json.loads((run / "suite.json").read_text(encoding="utf-8"))
    assert (suite["cases"], suite["verdict"]) == (cases, "passed")
    assert [check["case_id"] for check in suite["assertions"]] == cases * 2
    assert files(Path("stats")) == {f"null.{case}.json" for case in cases}
    again = bench("report", str(run))
    assert again.exit_code == 0, again
    assert "Verdict: passed" in again.stdout


def test_several_runs_are_shown_side_by_side_and_written_only_where_it_is_said() -> None:
    for _ in range(2):
        assert bench("test", write_config()).exit_code == 0
    runs = sorted(Path("results/test").iterdir())
    before = {run: files(run) for run in runs}
    outcome = bench("report", *map(str, runs))
    assert outcome.exit_code == 0, outcome
    assert "Verdict" not in outcome.stdout
    assert "Reports" not in outcome.stdout
    assert bench("report", *(f"test/{run.name}" for run in runs)).stdout == outcome.stdout
    outcome = bench("report", *map(str, runs), "--output", "both")
    assert files(Path("both")) == {"comparison.md", "comparison.csv", "comparison.html"}
    assert len((Path("both/comparison.csv")).read_text(encoding="utf-8").splitlines()) == 3
    assert {run: files(run) for run in runs} == before


def test_a_runs_reports_go_to_another_folder_if_that_is_asked() -> None:
    assert bench("test", write_config()).exit_code == 0
    page = only_run() / "comparison.html"
    page.unlink()
    assert bench("report", "latest", "--output", "elsewhere").exit_code == 0
    assert not page.exists()
    assert Path("elsewhere/comparison.html").exists()


def test_the_original_statistics_file_is_written_where_it_was() -> None:
    Path("stats").mkdir()
    Path("stats/null.json").write_text("of another day", encoding="utf-8")
    assert bench("test", write_config({"benchmark_config.output_path": "stats/null.json"})).exit_code == 0
    statistics = json.loads(Path("stats/null.json").read_text(encoding="utf-8"))
    assert {"avg_latency_ms", "avg_throughput_fps", "runtimes_ms"} <= set(statistics)
    assert len(statistics["runtimes_ms"]) == 5
    assert statistics["avg_latency_ms"] == pytest.approx(sum(statistics["runtimes_ms"]) / 5)
    assert files(Path("stats")) == {"null.json"}


def test_an_assertion_that_fails_is_exit_code_1() -> None:
    outcome = bench("test", write_config(FAILS))
    assert outcome.exit_code == 1
    assert "FAILED" in outcome.stdout
    assert "avg_latency_ms < 0  (avg_latency_ms = " in outcome.stdout
    assert "Verdict: failed" in outcome.stdout


def test_an_assertion_that_cannot_be_judged_is_exit_code_3() -> None:
    outcome = bench("test", write_config(INCONCLUSIVE))
    assert outcome.exit_code == 3
    assert "5 samples of the 662 that p99 needs" in outcome.stdout
    assert "Verdict: inconclusive" in outcome.stdout


def test_the_worst_of_several_configs_counts() -> None:
    configs = [write_config(FAILS, "a.json"), write_config(INCONCLUSIVE, "b.json"), write_config({}, "c.json")]
    assert bench("test", *configs, "--results", "kept").exit_code == 1
    verdicts = [
        json.loads((only_run("kept", suite) / "suite.json").read_text(encoding="utf-8"))["verdict"]
        for suite in ("a", "b", "c")
    ]
    assert verdicts == ["failed", "inconclusive", "passed"]
    assert not Path("results").exists()


def test_settings_and_selection_reach_the_run() -> None:
    config = write_config({"matrix": TWO})
    outcome = bench("test", config, "--set", "benchmark_config.batch_size=3", "--select", "*-FP16-*")
    assert outcome.exit_code == 0, outcome
    record = json.loads((only_run() / "resnet50-FP16-b3.json").read_text(encoding="utf-8"))
    assert record["case"]["batch_size"] == 3
    assert record["latency"]["images"] == [3] * 5
    suite = json.loads((only_run() / "suite.json").read_text(encoding="utf-8"))
    assert suite["cases"] == ["resnet50-FP16-b3"]
    assert suite["config"]["benchmark_config"]["batch_size"] == 3


def test_every_batch_of_the_images_is_timed_unless_said_otherwise() -> None:
    changes = {"num_images": 277, "batch_size": 4, "num_iterations": GONE, "min_duration_s": 0, "percentile": None}
    config = write_config({f"benchmark_config.{key}": value for key, value in changes.items()})
    assert bench("test", config).exit_code == 0
    record = json.loads((only_run() / "resnet50-FP32-b4.json").read_text(encoding="utf-8"))
    assert len(record["latency"]["times_ns"]) == 70
    assert record["latency"]["ended"] == "minimum reached"


@pytest.mark.parametrize("file", ["resnet50-FP32-b1.json", "suite.json"])
def test_results_that_cannot_be_stored_are_exit_code_5(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, full = os.replace, Path("full")

    def fill_up(source: str, target: Path) -> None:
        if target.name == file and full.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)
        full.touch()  # the first write, to see whether the folder can be written, still goes well

    monkeypatch.setattr("bench.store.os.replace", fill_up)
    outcome = bench("test", write_config())
    assert outcome.exit_code == 5
    assert outcome.stderr.startswith("error: ")
    assert f"{file}: cannot be written: No space left on device" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not [name for name in files(only_run()) if name.startswith(".")]
    assert json.loads((only_run() / "suite.json").read_text(encoding="utf-8"))["verdict"] == "unfinished"
    assert "Verdict: unfinished" in bench("report", str(only_run())).stdout


def test_a_dry_run_prints_the_cases_and_does_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", "cache")
    data = {"benchmark_config.use_synthetic": GONE, "benchmark_config.dataset": "shapes-classification-validation"}
    configs = [write_config({"matrix": TWO}, "a.json"), write_config({**data, "name": "shapes"}, "b.json")]
    outcome = bench("test", *configs, "--dry-run", "--set", "benchmark_config.tmp_dir=scratch")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines() == [
        "a.json: suite a, 2 cases",
        "  resnet50-FP32-b1: null FP32, synthetic, 8x8",
        "  resnet50-FP16-b1: null FP16, synthetic, 8x8",
        "b.json: suite shapes, 1 case",
        "  resnet50-FP32-b1: null FP32, shapes-classification-validation, 8x8",
    ]
    assert files(Path()) == {"a.json", "b.json"}
    assert [path.name for path in Path().iterdir() if path.is_dir()] == []


def test_a_dataset_that_a_script_makes_is_made_for_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", "cache")
    Path("datasets").mkdir()
    Path("datasets/make.py").write_text(MAKE_IMAGES, encoding="utf-8")
    card = {"name": "made", "description": "", "source": SOURCE, "format": "images"}
    Path("datasets/made.json").write_text(json.dumps({**card, "images_dir": "images"}), encoding="utf-8")
    data = {"benchmark_config.use_synthetic": GONE, "benchmark_config.dataset": "made"}
    outcome = bench("test", write_config(data))
    assert outcome.exit_code == 0, outcome
    assert [path.name for path in Path("cache").glob("made-*/images/*")] == ["0.png"]


def test_a_run_leaves_no_scratch_files() -> None:
    assert bench("test", write_config({"benchmark_config.tmp_dir": "scratch"})).exit_code == 0
    assert list(Path("scratch").iterdir()) == []


def test_scratch_files_are_kept_on_request() -> None:
    changes = {"benchmark_config.tmp_dir": "scratch", "benchmark_config.remove_tmp_dir": False}
    assert bench("test", write_config(changes)).exit_code == 0
    assert len(list(Path("scratch").iterdir())) == 1


@pytest.mark.parametrize("command", [[], ["test"], ["report"], ["schema"]], ids=["bench", "test", "report", "schema"])
def test_help(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = bench(*command, "--help")
    assert "…" not in outcome.stdout
    assert outcome.exit_code == 0
    assert "Usage: " in outcome.stdout


@pytest.mark.parametrize("command", [["tset"], ["test"], ["test", "test.json", "--selct", "a"], ["report"]])
def test_a_command_that_is_not_understood_is_exit_code_2(command: list[str]) -> None:
    outcome = bench(*command)
    assert outcome.exit_code == 2
    assert "Usage: " in outcome.stderr
    assert not Path("results").exists()


def test_a_report_of_nothing_is_refused() -> None:
    outcome = bench("report", "results/none")
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith("error: results/none: not a run's folder, here or in results, ")
    assert not Path("results").exists()


def test_the_module_runs_as_the_command_does() -> None:
    config = write_config(FAILS)
    done = subprocess.run([sys.executable, "-m", "bench.test", config], capture_output=True, text=True, check=False)
    outcome = Outcome(done.returncode, done.stdout, done.stderr)
    assert (outcome.exit_code, outcome.stderr) == (1, "")
    assert (only_run() / "resnet50-FP32-b1.json").is_file()


def test_a_mistake_that_all_cases_meet_is_told_once() -> None:
    write_images("images", 1)
    Path("labels.txt").write_text("0.jpg 5000\n", encoding="utf-8")
    Path("own").mkdir()
    Path("own/saved_model.pb").touch()
    own = {"use_synthetic": GONE, "images_dir": "images", "labels_path": "labels.txt"}
    changes = {
        "matrix": TWO, "model_config": {"input_saved_model_dir": "own", "task": "classification"},
        **{f"benchmark_config.{key}": value for key, value in own.items()},
    }  # fmt: skip
    outcome = bench("test", write_config(changes))
    assert outcome.exit_code == 2, outcome
    assert outcome.stderr.splitlines() == [
        "error: test.json: case own-FP32-b1, own-FP16-b1: images/0.jpg: label 5000 is beyond the model's 1000 classes; "
        "model_config.class_offset, 0 here, says where label 0 is, "
        "benchmark_config.first_label what labels are counted from"
    ]
