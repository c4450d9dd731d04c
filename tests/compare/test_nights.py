"""A run against the history: the last sound nights, acknowledged changes, the golden run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.compare.comparison import Comparison, Row
from bench.compare.nights import candidate, compare_history, gate
from bench.compare.rules import rules
from bench.history.acknowledged import EVERY, Acknowledged
from bench.history.index import Index
from bench.history.measured import Measurement, read_run
from bench.history.series import Key
from bench.record import Accuracy, Failure
from bench.sections.compare import CompareSection
from tests.factory import make_case, make_environment, make_samples
from tests.history.nights import FIRST, night_record, repeated, write_night, write_nights

METRIC = "median_latency_ms"


def noise(count: int, seed: int = 1, sd: float = 0.004) -> list[float]:
    """Nights around 10 ms."""
    return [float(value) for value in 10 * np.exp(sd * np.random.default_rng(seed).normal(size=count))]


def tonight(
    results: Path, acknowledged: Sequence[Acknowledged] = (), golden: Path | None = None, **settings: Any
) -> Comparison:
    """The newest run against all before it."""
    index, section = Index(results).refresh(), CompareSection(**settings)
    new = index.latest()
    assert new is not None
    pinned = None if golden is None else read_run(golden)
    return compare_history(new, index, rules(section), section, acknowledged, pinned)


def median(comparison: Comparison) -> Row:
    (found,) = (row for row in comparison.rows if row.metric == METRIC and "golden" not in row.note)
    return found


@pytest.mark.parametrize(
    ("latency", "outcome"), [(10.0, "passed"), (10.1, "passed"), (10.4, "regressed"), (9.6, "improved")]
)
def test_a_night_is_held_against_those_before(tmp_path: Path, latency: float, outcome: str) -> None:
    write_nights(tmp_path, [*noise(20), latency])
    found = tonight(tmp_path)
    assert median(found).outcome == outcome == found.verdict
    assert median(found).old == pytest.approx(10.0, rel=0.005)


def test_nights_that_differ_ask_for_a_greater_change(tmp_path: Path) -> None:
    write_nights(tmp_path, [*noise(20, sd=0.03), 10.4])
    assert median(tonight(tmp_path)).outcome == "passed"
    assert "the spread of 20 nights" in median(tonight(tmp_path)).threshold


def test_a_change_too_small_to_matter_is_none(tmp_path: Path) -> None:
    """Of nights that agree to 0.3 %, 1.3 % is far out, and less than the least that matters."""
    write_nights(tmp_path, [*noise(20, sd=0.0005), 10.13])
    assert median(tonight(tmp_path)).outcome == "passed"
    assert "the least that matters" in median(tonight(tmp_path)).threshold


@pytest.mark.parametrize(
    ("share", "outcome"), [(0.9852, "passed"), (0.9848, "regressed"), (1.0148, "passed"), (1.0152, "improved")]
)
def test_the_least_that_matters_is_a_share_of_the_usual_value(share: float, outcome: str) -> None:
    """1.5 % less throughput is 1.52 % more time."""
    (judged,) = (each for each in rules(CompareSection()) if each.metric == "throughput_fps")
    measured = Measurement("a", Key({}), Key({}), 1, {})
    (row,) = gate([candidate(measured, judged, 1000 * share, [1000.0] * 20, None)], 0.01)
    assert row.outcome == outcome


def test_what_has_a_tolerance_alone_is_held_against_the_median_of_the_nights(tmp_path: Path) -> None:
    """Of an even number of nights too, the middle of the two in the middle."""
    for night, top1 in enumerate([0.900] * 5 + [0.908] * 5 + [0.8985]):
        write_night(tmp_path, night, [night_record(10.0, accuracy=Accuracy(metrics={"map": top1}, num_images=100))])
    (row,) = (each for each in tonight(tmp_path).rows if each.metric == "map")
    assert row.old == pytest.approx(0.904) and row.outcome == "regressed"


def test_a_statistic_that_some_processes_lack_is_not_green_and_no_baseline(tmp_path: Path) -> None:
    def write(night: int, counts: Sequence[int]) -> None:
        latencies = (make_samples([10.0] * count) for count in counts)
        write_night(tmp_path, night, [
            each.model_copy(update={"latency": own}) for each, own in zip(repeated([10.0] * 2), latencies, strict=True)
        ])  # fmt: skip

    for night in range(10):
        write(night, (700, 600))
    why = "this run does not have it: 600 samples of the 662 that p99 needs, in 1 of 2 processes"
    assert [each.note for each in tonight(tmp_path).rows if each.metric == "p99_latency_ms"] == [why]
    write(10, (700, 700))
    (row,) = (each for each in tonight(tmp_path).rows if each.metric == "p99_latency_ms")
    assert row.note == "0 sound nights of the 8 that are needed"
    for night in range(11, 20):
        write(night, (700, 700))
    write(20, (600, 700))
    (row,) = (each for each in tonight(tmp_path).rows if each.metric == "p99_latency_ms")
    assert row.note == f"{why}; the nights before do" and row.outcome == "inconclusive"


def test_a_bound_on_what_is_missed_is_not_green(tmp_path: Path) -> None:
    """Though the nights before lack it too, and no tolerance is about it; the golden run has no say in bounds."""
    runs = write_nights(tmp_path, [*noise(20), 10.0])
    found = tonight(tmp_path, golden=runs[0], rules={"speedup": {"at_least": 1.3}})
    (row,) = (each for each in found.rows if each.metric == "speedup")
    assert row.note.startswith("this run does not have it: no native case") and row.against == "bound"
    assert found.verdict == row.outcome == "inconclusive" and "Not to be told" not in found.remarks[-1]


def test_few_nights_tell_nothing(tmp_path: Path) -> None:
    write_nights(tmp_path, [*noise(7), 20.0])
    found = tonight(tmp_path)
    assert median(found).note == "7 sound nights of the 8 that are needed" and found.verdict == "inconclusive"


def test_the_first_night_tells_nothing(tmp_path: Path) -> None:
    write_nights(tmp_path, [10.0])
    assert tonight(tmp_path).rows[0].note == "no night before this one measured it"


def test_another_machine_begins_a_history_of_its_own(tmp_path: Path) -> None:
    write_nights(tmp_path, noise(20))
    write_nights(tmp_path, [20.0], first=30, environment=make_environment(cpu_count=8))
    found = tonight(tmp_path)
    assert found.verdict == "inconclusive"
    assert found.rows[0].note == "no night on this hardware; the last differs in cpu_count: 16 -> 8"


def test_failed_doubtful_and_flagged_nights_are_no_baseline(tmp_path: Path) -> None:
    """Ten nights at 20 ms of each kind among twenty at 10 ms."""
    write_nights(tmp_path, noise(20))
    drifting = make_samples([20.0 * (1 + 0.01 * n) for n in range(100)])
    failure = Failure(kind="crash", phase="measure", message="signal 11")
    for n in range(10):
        write_night(tmp_path, 30 + n, [night_record(20.0, failure=failure)])
        write_night(tmp_path, 50 + n, [night_record(20.0, latency=drifting)])
        run = write_night(tmp_path, 70 + n, [night_record(20.0)])
        series = read_run(run).measurements[0].series_id
        write_night(tmp_path, 90 + n, [night_record(20.0)], flagged=[{"series": series, "metric": METRIC}])
        (run / "suite.json").unlink()
    write_nights(tmp_path, [10.4], first=120)
    assert median(tonight(tmp_path)).old == pytest.approx(10.0, rel=0.005)
    assert median(tonight(tmp_path)).outcome == "regressed"


def test_an_acknowledged_change_begins_a_new_baseline(tmp_path: Path) -> None:
    write_nights(tmp_path, noise(20))
    runs = write_nights(tmp_path, [1.1 * value for value in noise(9, seed=2)], first=40)
    assert median(tonight(tmp_path)).outcome == "regressed"
    change = Acknowledged(series=EVERY, metric=METRIC, run=f"nightly/{runs[0].name}", reason="a new driver")
    found = median(tonight(tmp_path, [change]))
    assert found.outcome == "passed" and found.old == pytest.approx(11.0, rel=0.01)
    elsewhere = change.model_copy(update={"metric": "compute_ms"})
    assert median(tonight(tmp_path, [elsewhere])).outcome == "regressed"


def test_nights_that_were_found_worse_count_once_their_level_is_accepted(tmp_path: Path) -> None:
    """Nine red nights, then someone accepts them; a night that is found worse later still does not count."""
    write_nights(tmp_path, noise(20))
    series = read_run(write_nights(tmp_path, [10.0], first=25)[0]).measurements[0].series_id
    flagged = [{"series": series, "metric": METRIC}]
    records = [[night_record(value)] for value in [*(1.1 * each for each in noise(9, seed=2)), 15.0, 11.0]]
    red = [write_night(tmp_path, 40 + n, each, flagged=flagged) for n, each in enumerate(records)]
    accepted = Acknowledged(
        series=series, metric=METRIC, run=f"nightly/{red[0].name}", reason="", on=(FIRST + timedelta(days=48)).date()
    )
    found = median(tonight(tmp_path, [accepted]))
    assert found.outcome == "passed" and found.old == pytest.approx(11.0, rel=0.01)
    assert "9 nights" in found.threshold or found.threshold.startswith("1.5 %")


@pytest.mark.parametrize(("day", "nights"), [(39, 0), (40, 1), (41, 2), (60, 2)])
def test_accepting_covers_the_nights_up_to_and_on_its_day(tmp_path: Path, day: int, nights: int) -> None:
    """The alarm of last night, which bears the day's date, is accepted; a night that is found worse later is not."""
    series = read_run(write_nights(tmp_path, [10.0])[0]).measurements[0].series_id
    flagged = [{"series": series, "metric": METRIC}]
    red = [write_night(tmp_path, 40 + n, [night_record(11.0)], flagged=flagged) for n in range(2)]
    write_nights(tmp_path, [11.0], first=70)
    on = (FIRST + timedelta(days=day)).date()
    accepted = Acknowledged(series=series, metric=METRIC, run=f"nightly/{red[0].name}", reason="", on=on)
    assert median(tonight(tmp_path, [accepted])).note == f"{nights} sound nights of the 8 that are needed"


def test_a_run_that_begins_a_new_level_is_not_held_against_the_old_one(tmp_path: Path) -> None:
    runs = write_nights(tmp_path, [*noise(20), 12.0])
    accepted = Acknowledged(series=EVERY, metric=EVERY, run=f"nightly/{runs[-1].name}", reason="")
    assert median(tonight(tmp_path, [accepted])).note == "0 sound nights of the 8 that are needed"


def test_slow_drift_shows_against_the_golden_run(tmp_path: Path) -> None:
    """0.1 % a night: no night differs from the twenty before it."""
    runs = write_nights(tmp_path, [10 * 1.001**n * value / 10 for n, value in enumerate(noise(60))])
    assert tonight(tmp_path).verdict == "passed"
    found = tonight(tmp_path, golden=runs[0])
    (drifted,) = (row for row in found.rows if row.note.startswith("against the golden run"))
    assert found.verdict == "regressed" and drifted.metric == METRIC
    assert found.flagged == ((drifted.series, METRIC),)


def test_a_golden_run_that_is_not_valid_is_not_said_to_be_compared_with(tmp_path: Path) -> None:
    drifting = make_samples([10.0 * (1 + 0.01 * n) for n in range(100)])
    golden = write_night(tmp_path, 0, [night_record(10.0, latency=drifting)])
    write_nights(tmp_path, noise(21), first=1)
    (remark,) = (each for each in tonight(tmp_path, golden=golden).remarks if each.startswith("Golden run"))
    assert ", 0 statistics compared, 0 worse. Not to be told: 1 row; the first: not valid: the baseline" in remark


def test_a_vanished_case_is_broken(tmp_path: Path) -> None:
    for n in range(10):
        write_night(tmp_path, n, [night_record(10.0), night_record(20.0, "native")])
    write_nights(tmp_path, [10.0], first=20)
    found = tonight(tmp_path)
    assert len(found.vanished) == 1 and found.verdict == "broken"


def test_versions_are_held_against_the_night_before(tmp_path: Path) -> None:
    write_nights(tmp_path, noise(10))
    write_nights(tmp_path, [10.0], first=20, environment=make_environment(driver="590.00"))
    assert tonight(tmp_path).environment == (("driver", "580.00", "590.00"),)


def test_a_run_is_not_its_own_baseline_nor_that_of_an_earlier_one(tmp_path: Path) -> None:
    runs = write_nights(tmp_path, [*noise(10), *(2 * value for value in noise(10))])
    index, section = Index(tmp_path).refresh(), CompareSection()
    found = compare_history(read_run(runs[9]), index, rules(section), section)
    assert median(found).old == pytest.approx(10.0, rel=0.005) and f"{FIRST:%Y}" in found.candidate


def test_nights_that_someone_slowed_down_on_purpose_are_no_measure_of_others(tmp_path: Path) -> None:
    """Those of a wrapped session are held against the others, but not the others against them."""
    slowed = make_case("FP16", wrap_session="tests.slowed:by_3_percent")
    write_nights(tmp_path, [10.0] * 12)
    for number in range(12, 36):
        write_night(tmp_path, number, [night_record(10.5, case=slowed)])
        assert number > 12 or median(tonight(tmp_path)).outcome == "regressed"
    write_nights(tmp_path, [10.0], first=36)
    assert median(tonight(tmp_path)).outcome == "passed"
    assert median(tonight(tmp_path)).old == pytest.approx(10.0)
    write_nights(tmp_path, [10.5], first=37)
    assert median(tonight(tmp_path)).outcome == "regressed"
