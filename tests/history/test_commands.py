"""`bench history`, as someone uses it in the morning."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.conversion import Conversion
from bench.history.index import Index
from tests.configs import bench
from tests.factory import make_environment
from tests.history.nights import night_record, with_random_weights, write_night, write_nights

RESULTS = Path("results")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")


def noise(count: int, level: float, seed: int) -> list[float]:
    return [float(value) for value in level * np.exp(0.004 * np.random.default_rng(seed).normal(size=count))]


def test_random_weights_are_said_of_their_series_alone() -> None:
    for number in range(3):
        write_night(RESULTS, number, [night_record(10.0), with_random_weights(night_record(20.0, "INT8"))])
    text = bench("history", "show").stdout
    assert text.count("random weights") == 1
    (line,) = [line for line in text.splitlines() if "random weights" in line]
    series = {each.name: each.random_weights for each in Index(RESULTS).refresh().series()}
    assert sorted(series.values()) == [False, True] and series[night_record(20.0, "INT8").case.id]
    assert "nightly" in line
    assert bench("history", "page", "--output", "page.html").exit_code == 0
    assert Path("page.html").read_text(encoding="utf-8").count(", random weights") == 1


@pytest.fixture
def stepped() -> list[Path]:
    """Thirty nights at 10 ms, then fifteen at 10.5 ms under another driver; night 20 is an outlier."""
    before = noise(30, 10.0, 1)
    before[20] = 14.0
    old = write_nights(RESULTS, before)
    new = make_environment(driver="590.00", git_commit="0123456789ab")
    return [*old, *write_nights(RESULTS, noise(15, 10.5, 2), first=30, environment=new)]


def test_rebuild_says_what_is_there_and_what_is_not_read(stepped: list[Path]) -> None:
    (stepped[3] / "suite.json").write_text("{", encoding="utf-8")
    outcome = bench("history", "rebuild")
    assert outcome.exit_code == 0 and "44 runs, 1 series" in outcome.stdout
    assert f"skipped: nightly/{stepped[3].name}" in outcome.stderr


def test_show_lists_series_and_nights(stepped: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = bench("history", "show", "--nights", "2")
    assert outcome.exit_code == 0 and "45 nights" in outcome.stdout and "median_latency_ms, ms" in outcome.stdout
    assert re.search(r"\b[0-9a-f]{12}, nightly, ", outcome.stdout), "the id, whole, to be given to `bench history ack`"
    assert stepped[-1].name in outcome.stdout and stepped[-3].name not in outcome.stdout


def test_changepoints_name_the_first_night_and_both_sides(stepped: list[Path]) -> None:
    outcome = bench("history", "changepoints", "--fail")
    assert outcome.exit_code == 1
    assert f"first night nightly/{stepped[30].name}, the one before nightly/{stepped[29].name}" in outcome.stdout
    assert "(worse)" in outcome.stdout and "driver 580.00 -> 590.00" in outcome.stdout
    assert "commit none -> 0123456789ab" in outcome.stdout
    assert f"outlier: ssd_mobilenet_v1_coco-coco-val2017-b1-fp16-tf-trt: 14.00 in nightly/{stepped[20].name}" in (
        outcome.stdout
    )


def test_where_neither_more_nor_less_is_worse_a_change_is_no_failure() -> None:
    """More engines in the graph are no regression, nor are fewer."""
    for night in range(24):
        conversion = Conversion(converter="TF-TRT", engines=2 if night < 12 else 3, engine_executions=1)
        write_night(RESULTS, night, [night_record(10.0, conversion=conversion)])
    outcome = bench("history", "changepoints", "--metric", "engines", "--fail")
    assert outcome.exit_code == 0 and "+50.0 % (changed)" in outcome.stdout
    assert bench("history", "plot", "--metric", "engines").exit_code == 0
    assert bench("history", "page", "--metric", "engines").exit_code == 0
    page = Path("history.html").read_text(encoding="utf-8")
    assert "changed since 2026-01-13: +50.0 %" in page and "worse since" not in page


def test_an_acknowledged_change_is_no_longer_open(stepped: list[Path]) -> None:
    done = bench("history", "ack", "ssd*", str(stepped[30]), "--reason", "driver 590", "--by", "me")
    assert done.exit_code == 0
    (entry,) = json.loads(Path("acknowledged.json").read_text(encoding="utf-8"))
    assert entry["run"] == f"nightly/{stepped[30].name}" and entry["reason"] == "driver 590" and entry["by"] == "me"
    outcome = bench("history", "changepoints", "--fail")
    assert outcome.exit_code == 0 and "acknowledged by me: driver 590" in outcome.stdout
    assert bench("compare", "history").exit_code == 0
    again = bench("history", "ack", "ssd*", f"nightly/{stepped[30].name}", "--reason", "driver 590")
    assert again.exit_code == 0 and len(json.loads(Path("acknowledged.json").read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing", "RUN"], "no such series in results; there are: ssd"),
        (["*", "nowhere"], "nowhere: not a run's folder, here or in results, and not latest or golden"),
        (["*", "ELSEWHERE"], "not in results; name its results folder with --results"),
        (["*", "RUN", "--metric", "median"], "unknown statistic"),
    ],
)
def test_what_cannot_be_acknowledged_is_told(stepped: list[Path], arguments: list[str], told: str) -> None:
    elsewhere = write_night(Path("elsewhere"), 0, [night_record(10.0)])
    runs = {"RUN": str(stepped[30]), "ELSEWHERE": str(elsewhere)}
    arguments = [runs.get(each, each) for each in arguments]
    outcome = bench("history", "ack", *arguments, "--reason", "none")
    assert outcome.exit_code == 2 and told in outcome.stderr and not Path("acknowledged.json").exists()


@pytest.mark.parametrize("text", ["{", "{}", '[{"series": "*"}]', '[{"series": "*", "metric": "*", "run": 1}]'])
def test_a_file_of_acknowledged_changes_that_is_wrong_is_told(stepped: list[Path], text: str) -> None:
    Path("acknowledged.json").write_text(text, encoding="utf-8")
    outcome = bench("history", "changepoints")
    assert outcome.exit_code == 2 and outcome.stderr.startswith("error: acknowledged.json: ")


def test_a_golden_run_is_pinned_and_compared_with(stepped: list[Path]) -> None:
    assert "No golden run is pinned" in bench("history", "golden").stdout
    pinned = bench("history", "golden", str(stepped[0]), "--reason", "release 1")
    assert pinned.exit_code == 0 and f"nightly: nightly/{stepped[0].name}" in pinned.stdout
    assert "release 1" in bench("history", "golden").stdout
    assert bench("compare", "golden").exit_code == 1
    elsewhere = write_night(Path("elsewhere"), 0, [night_record(10.0)])
    assert "not in results" in bench("history", "golden", str(elsewhere)).stderr


def test_latest_and_golden_stand_for_runs(stepped: list[Path]) -> None:
    newest = f"nightly/{stepped[-1].name}"
    assert f"nightly: {newest}, pinned" in bench("history", "golden", "latest").stdout
    for word in ("latest", "golden"):
        accepted = bench("history", "ack", "ssd*", word, "--reason", "driver 590")
        assert f"accepted from {newest} on" in accepted.stdout


def test_plot_writes_a_picture_a_series(stepped: list[Path]) -> None:
    write_night(RESULTS, 60, [night_record(20.0, "native"), night_record(10.5)])
    outcome = bench("history", "plot", "--output", "pictures")
    paths = outcome.stdout.split()
    assert outcome.exit_code == 0 and len(paths) == len({*paths}) == 2
    for path in paths:
        with Image.open(io.BytesIO(Path(path).read_bytes())) as picture:
            assert picture.size[0] > 800


def test_an_empty_folder_and_a_wrong_statistic_are_told() -> None:
    RESULTS.mkdir()
    assert "results: no run there" in bench("history", "show").stderr
    write_nights(RESULTS, [10.0])
    assert "did you mean 'median_latency_ms'?" in bench("history", "show", "--metric", "median_latency").stderr
