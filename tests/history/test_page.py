"""The history's page: what it tells of a history in which this and that happened."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.history.index import Index
from bench.history.page import history_page
from bench.history.spark import thinned
from tests.configs import bench
from tests.factory import make_case, make_environment
from tests.history.nights import FIRST, night_record, write_night
from tests.report.markup import Reader

METRIC = "median_latency_ms"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(nights: int, fp16_from: int, factor: float, **last: Any) -> list[Path]:
    """Nights of two series, of which FP16 is slower from one night on, under another driver."""
    generator = np.random.default_rng(1)
    paths = []
    for number in range(nights):
        noise = np.exp(0.004 * generator.normal(size=2))
        changed = number >= fp16_from
        environment = make_environment(driver="590.00" if changed else "580.00", git_commit=f"{number:02x}{0:038x}")
        records = [
            night_record(20 * float(noise[0]), "native", environment=environment),
            night_record(10 * float(noise[1]) * (factor if changed else 1.0), environment=environment),
        ]
        paths.append(write_night(Path("results"), number, records, **(last if number == nights - 1 else {})))
    return paths


def show(*arguments: str) -> str:
    outcome = bench("history", "page", *arguments)
    assert outcome.exit_code == 0 and outcome.stdout.strip() == "history.html", outcome.stderr
    return Path("history.html").read_text(encoding="utf-8")


def test_what_became_worse_comes_first_with_its_night_and_what_differs() -> None:
    paths = write(45, fp16_from=30, factor=1.06, verdict="regressed")
    page = show()
    reader = Reader(page)
    text = reader.text
    assert reader.open == [] and "script" in reader.tags and "link" not in reader.tags
    since = f"{FIRST + timedelta(days=30):%Y-%m-%d}"
    assert "Newest night: regressed ; worse and not accepted: 1 series" in text
    order = [text.index(part) for part in ("Newest night", f"worse since {since}: +6.", "Series", "Changes", "Nights")]
    assert order == sorted(order)
    assert text.index("fp16-tf-trt nightly") < text.index("native-tensorflow nightly")  # worst first
    assert text.count("driver 580.00 → 590.00") == 2  # of the change, and as an environment of its own
    assert "commit 1d0000000000 → 1e0000000000" in text
    assert f"nightly/{paths[30].name}" in text
    assert page.count('<g class="change worse">') == 2  # in the legend too


def test_an_accepted_change_and_a_golden_run_are_marked() -> None:
    paths = write(45, fp16_from=30, factor=1.06)
    assert bench("history", "ack", "*fp16*", str(paths[30]), "--reason", "new driver", "--by", "me").exit_code == 0
    assert bench("history", "golden", str(paths[0])).exit_code == 0
    page = show()
    text = Reader(page).text
    assert "accepted: worse since" in text and "me: new driver" in text and "worse and not accepted" not in text
    assert page.count('<path class="golden"') == 3  # in the legend, and of both series
    assert re.search(r'data-name="to golden" data-value="0\.0[5-7]\d+">\+[567]\.\d\d %', page)


def test_what_a_comparison_found_worse_is_named_by_its_series() -> None:
    write(12, fp16_from=99, factor=1.0)
    series = next(each for each in Index(Path("results")).refresh().series() if "fp16" in each.name)
    record = night_record(10.1)
    flagged = [{"series": series.id, "metric": METRIC}]
    write_night(Path("results"), 12, [record], verdict="regressed", flagged=flagged)
    text = Reader(show()).text
    assert f"{series.name}: {METRIC}" in text and "regressed in the newest night" in text
    assert "no sound value since" in text  # the native series was not measured


def test_a_suite_that_no_longer_runs_does_not_keep_the_page_red() -> None:
    case = make_case("FP16", batch_size=8)
    write_night(Path("results"), 0, [night_record(5.0, case=case)], suite="old", verdict="broken")
    write(3, fp16_from=99, factor=1.0)
    text = Reader(show()).text
    assert "Newest night: passed" in text and "(not run since)" in text


def test_two_machines_of_one_suite_have_a_row_each_and_neither_is_overdue() -> None:
    for number in range(4):
        for hour, cpu in enumerate(("one", "other")):
            record = night_record(10.0 + hour, environment=make_environment(cpu=cpu))
            write_night(Path("results"), number + hour / 24, [record])
    text = Reader(show()).text
    assert text.count(", hardware ") == 2 and "no sound value" not in text and text.count("steady") == 2


def test_what_became_worse_on_one_machine_is_not_said_of_the_other() -> None:
    results = Path("results")
    machines = [make_environment(cpu=name, hostname=name) for name in ("one", "other")]
    for number in range(4):
        for hour, environment in enumerate(machines):
            flagged = []
            if number == 3 and not hour:  # the earlier of the two, in the last night
                series = Index(results).refresh().series()[0].id
                flagged = [{"series": series, "metric": METRIC}]
            record = night_record(10.0 + hour, environment=environment)
            verdict = "regressed" if flagged else "passed"
            write_night(results, number + hour / 24, [record], verdict=verdict, flagged=flagged)
    text = Reader(show()).text
    assert text.count("steady") == 1 and "Newest night: regressed" in text
    assert text.count("regressed in the newest night") == 2  # of one series: on top, and in its row


def test_an_outlier_is_a_cross_and_does_not_flatten_the_rest() -> None:
    for number in range(30):
        write_night(Path("results"), number, [night_record(100.0 if number == 15 else 10.0 + 0.01 * (number % 3))])
    page = show()
    places = re.findall(r"M[\d.]+ ([\d.]+)h0", page[page.index("<tbody>") :])
    assert page.count('<path class="outliers"') == 2  # in the legend too
    assert max(map(float, places)) - min(map(float, places)) > 50


def test_several_statistics_have_a_row_each_and_the_last_nights_are_counted() -> None:
    write(9, fp16_from=99, factor=1.0)
    text = Reader(show("*fp16*", "--metric", METRIC, "--metric", "avg_latency_ms", "--nights", "4")).text
    assert f"{METRIC}, nightly" in text and "avg_latency_ms, nightly" in text and "native-tensorflow" not in text
    assert "the last 4 nights at most" in text


def test_mistakes_are_told() -> None:
    write(1, fp16_from=99, factor=1.0)
    outcome = bench("history", "page", "--metric", "median")
    assert outcome.exit_code == 2 and "unknown statistic" in outcome.stderr and not Path("history.html").exists()


def test_a_long_history_makes_no_larger_picture() -> None:
    points = [(float(x), float(x * 7919 % 101)) for x in range(10_000)]
    kept = thinned(points, 600)
    assert len(kept) <= 600 and set(kept) <= set(points) and kept == sorted(kept)
    assert {min(y for _, y in kept), max(y for _, y in kept)} == {0.0, 100.0}
    assert thinned(points[:600], 600) == points[:600]


def test_nothing_of_a_history_is_taken_as_markup() -> None:
    evil = '"><script>alert(1)</script>'
    environment = make_environment(driver=evil, hostname=evil)
    plain_one, evil_one = night_record(10.0), night_record(10.0, environment=environment)
    write_night(Path("results"), 0, [plain_one])
    write_night(Path("results"), 1, [evil_one], verdict="broken")
    reader = Reader(history_page(Index(Path("results")).refresh(), (), (METRIC,), ()))
    assert reader.tags.count("script") == 1 and reader.text.count(evil) >= 2
