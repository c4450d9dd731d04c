"""`bench compare` and `--baseline`, as a nightly job calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.configs import ROOT, bench, write_config
from tests.history.nights import night_record, repeated, with_random_weights, write_night, write_nights


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_names_of_cases_and_statistics_stand_whole_on_a_narrow_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    a, b = write_nights(Path("results"), [10.0, 12.0])
    lines = bench("compare", str(a), str(b)).stdout.splitlines()
    assert night_record(10.0).case.id in [line.strip() for line in lines]
    (row,) = [line for line in lines if line.startswith(" median_latency_ms ")]
    assert "+20.00 %" in row and "! regressed" in row


def test_the_words_of_a_verdict_have_the_screens_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    nights = [repeated([10.0, 10.1, 10.2]), repeated([10.0, 11.0, 14.0])]
    a, b = (write_night(Path("results"), number, records) for number, records in enumerate(nights))
    lines = bench("compare", str(a), str(b)).stdout.splitlines()
    noted = [line.strip() for line in lines if line.startswith("  median_latency_ms: ")]
    assert noted == ["median_latency_ms: the processes differ among themselves by as much"]
    assert any(line.rstrip().endswith("? inconclusive") for line in lines)


def test_exit_codes_say_how_it_came_out() -> None:
    a, b, c = write_nights(Path("results"), [10.0, 10.1, 12.0])
    assert bench("compare", str(a), str(b)).exit_code == 0
    worse = bench("compare", str(b), str(c))
    assert worse.exit_code == 1 and "regressed" in worse.stdout and "+18.81 %" in worse.stdout
    assert "3 % and 0.02 ms (default)" in worse.stdout
    assert bench("compare", str(c), str(b)).exit_code == 0
    crossed = write_night(Path("results"), 9, [night_record(10.0, methodology_version=1)])
    assert bench("compare", str(a), str(crossed)).exit_code == 3
    vanished = write_night(Path("results"), 10, [night_record(10.0), night_record(20.0, "native")])
    assert bench("compare", str(vanished), str(a)).exit_code == 4


def test_words_stand_for_runs() -> None:
    write_nights(Path("results"), [*([10.0] * 12), 12.0])
    assert bench("compare", "latest").exit_code == 1
    assert bench("compare", "history", "latest").exit_code == 1
    nothing = bench("compare", "golden")
    assert nothing.exit_code == 2 and "bench history golden RUN" in nothing.stderr


def test_random_weights_are_told_once_for_each_model() -> None:
    native, fast = night_record(20.0, "native"), night_record(10.0)
    random = [with_random_weights(record) for record in (native, fast)]
    told = f"{fast.case.model.name} has random weights: its speed is measured, its accuracy is not"
    for number, (records, times) in enumerate([(random, 1), ([native, fast], 0)]):
        a, b = (str(write_night(Path("results"), 2 * number + night, records)) for night in range(2))
        assert bench("compare", a, b).stdout.count(told) == times
        assert bench("compare", a, b, "--markdown").stdout.count(told) == times


def test_a_bound_that_cannot_be_told_is_exit_code_3_and_one_about_no_case_is_named() -> None:
    config = {"compare_config": {"rules": {"p99_latency_ms": {"at_most": 20}, "server_qps": {"at_least": 100}}}}
    a, b = (str(write_night(Path("results"), number, [night_record(10.0)], config)) for number in range(2))
    found = bench("compare", a, b)
    assert found.exit_code == 3 and "9 samples of the 662 that p99 needs" in found.stdout
    assert "The rule on server_qps, at least 100, is about no case of this run." in found.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["nowhere", "latest", "--suite", "other"],
            "not a run's folder, here or in results, and not latest, golden or history",
        ),
        (["latest", "--results", "nowhere"], "nowhere: no such folder"),
        (["latest"], "choose one of 2 suites with --suite: nightly, other"),
        (["latest", "--suite", "third"], "no run of suite third"),
    ],
)
def test_mistakes_are_told_in_one_message(arguments: list[str], told: str) -> None:
    write_nights(Path("results"), [10.0])
    write_night(Path("results"), 3, [night_record(10.0)], suite="other")
    outcome = bench("compare", *arguments)
    assert outcome.exit_code == 2 and told in outcome.stderr and "Traceback" not in outcome.stderr


def test_a_run_may_be_named_within_the_results_folder() -> None:
    a, b = write_nights(Path("results"), [10.0, 12.0])
    names = [f"nightly/{each.name}" for each in (a, b)]
    assert bench("compare", *names).exit_code == 1 and bench("compare", *reversed(names)).exit_code == 0


def test_latest_is_the_newest_run_whether_or_not_all_cases_were_selected() -> None:
    """As the one that is judged; as a baseline it is the newest one that lacks none of its cases."""
    both = [night_record(10.0), night_record(20.0, "native")]
    write_night(Path("results"), 0, both)
    write_night(Path("results"), 1, both[1:], whole=False)
    write_night(Path("results"), 2, [night_record(12.0)], whole=False)
    worse = bench("compare", "latest")
    assert worse.exit_code == 1 and "Left out by --select: ssd" in worse.stdout and "20260101T02" in worse.stdout


def test_selected_cases_are_held_against_the_last_run_that_has_them_all() -> None:
    """A job that always selects the same: it is held against its last run, and not against one of other cases."""
    both = [night_record(20.0, "native"), night_record(12.0)]
    write_night(Path("results"), 0, both[1:], whole=False)
    write_night(Path("results"), 1, [night_record(10.0)], whole=False)
    write_night(Path("results"), 2, both[:1], whole=False)
    write_night(Path("results"), 3, both[1:], whole=False)
    worse = bench("compare", "latest")
    assert worse.exit_code == 1 and "20260104T020000Z-000003 against nightly/20260102T020000Z" in worse.stdout
    write_night(Path("results"), 4, both, whole=False)
    lacking = bench("compare", "latest")
    assert lacking.exit_code == 3 and "but 4 earlier runs with only some of the cases" in " ".join(
        lacking.stdout.split()
    )


def test_that_no_earlier_run_counts_is_told_with_the_reason_and_what_to_do() -> None:
    both = [night_record(10.0), night_record(20.0, "native")]
    partial = [write_night(Path("results"), number, both[:1], whole=False) for number in (0, 1)]
    unread = write_night(Path("results"), 2, both)
    (unread / "suite.json").write_text("{", encoding="utf-8")
    new, _later = write_night(Path("results"), 3, both), write_night(Path("results"), 4, both)
    found = bench("compare", "latest", str(new))
    told = " ".join(found.stdout.split())
    assert found.exit_code == 3 and "no earlier whole run of suite nightly, but 2 earlier runs with only some" in told
    assert f"1 run that cannot be read (nightly/{unread.name}: " in told and "1 run that began later" in told
    assert f"name a run in place of latest, such as {partial[1]}, or run the whole suite once, without --select" in told
    named = bench("compare", str(partial[1]), str(new))
    assert named.exit_code == 0 and f"Left out of the baseline by --select: {both[1].case.id}" in named.stdout
    assert "Appeared" not in named.stdout


def test_a_run_that_was_cut_off_is_no_baseline_unless_it_is_named() -> None:
    """It lacks cases, as one with --select does; the night before it is what the next is held against."""
    cut = write_night(Path("results"), 1, [night_record(10.0)], verdict="unfinished")
    new = write_night(Path("results"), 2, [night_record(10.0)])
    alone = bench("compare", "latest")
    assert alone.exit_code == 3 and "but 1 earlier run that was cut off; name a run" in " ".join(alone.stdout.split())
    assert bench("compare", str(cut), str(new)).exit_code == 0
    write_night(Path("results"), 0, [night_record(8.0)])
    assert bench("compare", "latest").exit_code == 1


def test_rules_come_from_the_run_or_from_another_config() -> None:
    lax = {"compare_config": {"rules": {"median_latency_ms": {"relative": 0.5}}}}
    for n, latency in enumerate((10.0, 12.0)):
        write_night(Path("results"), n, [night_record(latency)], config=lax)
    assert bench("compare", "latest").exit_code == 0
    strict = write_config({"compare_config": {"rules": {"median_latency_ms": {"relative": 0.1}}}})
    assert bench("compare", "latest", "--config", strict).exit_code == 1


def test_markdown_has_the_verdict_and_changed_rows_first() -> None:
    pairs = [(10.0, 10.0), (12.0, 10.0)]
    for n, (fp16, native) in enumerate(pairs):
        write_night(Path("results"), n, [night_record(native, "native"), night_record(fp16)])
    lines = bench("compare", "latest", "--markdown").stdout.splitlines()
    assert lines[0] == "## ! regressed"
    rows = [line for line in lines if line.startswith("| ssd")]
    assert "FP16".lower() in rows[0] and "+20.00 %" in rows[0]
    assert any("<details><summary>" in line and "unchanged" in line for line in lines)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"median_latency": {"relative": 0.1}}, "unknown statistic; did you mean 'median_latency_ms'?"),
        ({"engines": {"relative": 0.1}}, "neither more nor less of it is worse"),
        ({"speedup": {}}, "says nothing"),
        ({"speedup": {"at_least": 3, "at_most": 1}}, "at_least 3 is above at_most 1"),
        ({"speedup": {"relativ": 0.1}}, "compare_config.rules.speedup.relativ: unknown key; did you mean 'relative'?"),
        ({"speedup": {"relative": -0.1}}, "greater than or equal to 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_an_error(rule: dict[str, object], told: str) -> None:
    outcome = bench("test", write_config({"compare_config": {"rules": rule}}), "--dry-run")
    assert outcome.exit_code == 2 and told in outcome.stderr


def test_a_run_is_held_against_the_one_before_at_its_end() -> None:
    """First there is none; then one that took no time at all, which nothing can keep up with."""
    quiet = ("compute_ms", "throughput_fps", "p99_latency_ms", "fallbacks")
    rules = {"median_latency_ms": {"absolute": 0}, **{name: {"gate": False} for name in quiet}}
    changes = {
        "name": "suite",
        "benchmark_config.telemetry": False,
        "compare_config": {"rules": rules, "confirm_processes": 2},
    }
    config = write_config(changes)
    first = bench("test", config, "--baseline", "latest")
    assert first.exit_code == 3 and "no earlier run of suite suite" in first.stdout
    (run,) = Path("results/suite").iterdir()
    (record,) = (path for path in run.glob("*.json") if path.name not in ("suite.json", "baseline.json"))
    content = json.loads(record.read_text(encoding="utf-8"))
    content["latency"]["times_ns"] = [1] * len(content["latency"]["times_ns"])
    record.write_text(json.dumps(content), encoding="utf-8")
    (run / "suite.json").touch()  # as when a run ends
    assert bench("test", config, "--baseline", "latest").exit_code == 1
    (newest,) = (path for path in Path("results/suite").iterdir() if path != run)
    suite = json.loads((newest / "suite.json").read_text(encoding="utf-8"))
    assert suite["verdict"] == "regressed" and [each["metric"] for each in suite["flagged"]] == ["median_latency_ms"]
    assert [each["settled"] for each in suite["again"]] == ["confirmed"]
    assert len(list((newest / "again").glob("resnet50*.json"))) == 2
    for name in ("baseline.md", "baseline.html"):
        assert "regressed" in (newest / name).read_text(encoding="utf-8")
    again = bench("test", config, "--resume", str(newest))  # nothing is measured, so what was found stands
    assert again.exit_code == 1 and "0 measured now" in again.stdout
    after = json.loads((newest / "suite.json").read_text(encoding="utf-8"))
    assert {key: after[key] for key in ("verdict", "flagged", "again")} == {
        key: suite[key] for key in ("verdict", "flagged", "again")
    }


@pytest.mark.parametrize("baseline", ["golden", "nowhere"])
def test_a_baseline_that_is_not_there_is_told_before_anything_runs(baseline: str) -> None:
    outcome = bench("test", write_config(), "--baseline", baseline)
    assert outcome.exit_code == 2 and not Path("results").exists()


def test_a_file_of_accepted_changes_under_another_name_has_to_be_there() -> None:
    write_night(Path("results"), 1, [night_record(10.0)])
    outcome = bench("compare", "history", "latest", "--acknowledged", "typo.json")
    assert (outcome.exit_code, outcome.stderr) == (2, "error: --acknowledged typo.json: no such file\n")
