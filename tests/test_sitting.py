"""A run that goes on after it was cut off: what stands is kept, the rest is measured, and what was mixed is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.backends.variables import worker_variables
from bench.blocks import Block, Turn
from bench.case import Case
from bench.config import read_json
from bench.errors import ConfigError
from bench.record import METHODOLOGY_VERSION, Failure, Record
from bench.report.sittings import environment_differences, said
from bench.running import why_alone
from bench.sitting import find_run, hold, look_back
from bench.statistics.summary import summarize
from bench.statistics.turns import paired_speedups
from bench.store import load_records, read_suite, save_record, save_suite
from bench.suite import load_suite
from bench.telemetry import GpuState, Telemetry
from tests.configs import ROOT, bench, write_config
from tests.factory import make_case, make_environment, make_record

MODES = {
    "matrix": {"optimization_config.precision_mode": ["native", "FP32", "FP16"]},
    "benchmark_config.interleave_rounds": 6,
}
CRASH = {"kind": "crash", "phase": "measure", "message": "crashed: SIGSEGV", "log_tail": ""}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "300")


def only_run() -> Path:
    (run,) = Path("results/test").iterdir()
    return run


def change(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def records(run: Path) -> dict[str, Record]:
    return {record.case.optimization.precision_mode: record for record in load_records(run)}


def test_each_sitting_adds_cases_and_the_last_makes_the_run_whole() -> None:
    config = write_config(MODES)
    first = bench("test", config, "--select", "*FP16*")
    assert first.exit_code == 0, first
    assert "Verdict: passed: 2 of 3 cases are not yet measured: resnet50-native-b1, resnet50-FP32-b1" in first.stdout
    run = only_run()
    change(run / "resnet50-FP16-b1.json", environment=make_environment(driver="550").model_dump(mode="json"))
    kept = (run / "resnet50-FP16-b1.json").read_bytes()
    second = bench("test", config, "--resume", "latest", "--select", "*FP32*", "--select", "*native*")
    assert second.exit_code == 0, second
    assert f"Sitting 2 of {run}: of 3 cases 1 are kept, and 2 measured now" in second.stdout
    assert "Verdict: passed: measured in 2 sittings, in different environments: " in second.stdout
    assert (run / "resnet50-FP16-b1.json").read_bytes() == kept
    suite = read_suite(run)
    assert suite["whole"] and len(suite["sittings"]) == 2 and suite["cases"] == suite["planned"]
    found = records(run)
    assert {name: record.sitting for name, record in found.items()} == {"native": 2, "FP32": 2, "FP16": 1}
    assert len(paired_speedups(found["FP32"], found["native"])) == 3
    report = (run / "comparison.md").read_text()
    assert "FP16 (null): not measured in turn with the native case, which was measured in another sitting" in report
    assert "driver: 550 in sitting 1, none in sitting 2" in report
    assert bench("report", str(run)).stdout.count("driver: 550 in sitting 1") == 2
    shown = bench("history", "show")
    assert shown.exit_code == 0 and shown.stderr == ""


def test_what_failed_or_did_not_reach_its_end_is_measured_again_and_put_aside() -> None:
    config = write_config(MODES)
    assert bench("test", config).exit_code == 0
    run = only_run()
    change(run / "resnet50-FP32-b1.json", failure=CRASH)
    change(run / "resnet50-FP16-b1.json", peak_host_bytes=None)
    change(run / "suite.json", verdict="unfinished")
    (run / "baseline.json").write_text("{}")
    assert (
        "Verdict: unfinished: 1 of 3 cases are not yet measured: resnet50-FP16-b1" in bench("report", str(run)).stdout
    )
    again = bench("test", config, "--resume", str(run))
    assert again.exit_code == 0, again
    found = records(run)
    assert {name: record.sitting for name, record in found.items()} == {"native": 1, "FP32": 2, "FP16": 2}
    assert all(record.is_whole for record in found.values())
    assert found["FP32"].not_interleaved == "the native case was measured in an earlier sitting"
    crashed = "failed in sitting 1, and was measured again in sitting 2: crash in phase measure: crashed: SIGSEGV"
    assert found["FP32"].notes == (crashed,) and found["FP16"].notes == ()
    assert crashed in (run / "comparison.md").read_text()
    aside = {path.name for path in (run / "earlier" / "before-2").iterdir()}
    assert aside == {f"resnet50-{mode}-b1.{end}" for mode in ("FP32", "FP16") for end in ("json", "log")} | {
        "baseline.json"
    }


def test_a_run_that_is_whole_is_shown_again_and_nothing_is_measured() -> None:
    config = write_config()
    assert bench("test", config).exit_code == 0
    before = {path: path.read_bytes() for path in only_run().glob("resnet50*")}
    (only_run() / ".suite.json.abcdef").write_text("{")
    shown = bench("test", config, "--resume", "latest", "--dry-run").stdout
    assert "resnet50-FP32-b1: null FP32, synthetic, 8x8 (kept)" in shown
    outcome = bench("test", config, "--resume", "latest", "--set", 'assertions=["avg_latency_ms < 0"]')
    assert outcome.exit_code == 1, outcome
    assert "of 1 cases 1 are kept, and 0 measured now" in outcome.stdout
    assert {path: path.read_bytes() for path in only_run().glob("resnet50*")} == before
    assert not (only_run() / ".suite.json.abcdef").exists()


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Stores a run of test.json with a record of its only case, the record and suite.json with changes."""

    def store(case: dict[str, Any] | None = None, **changes: Any) -> Path:
        suite = load_suite(Path(write_config()))
        run = tmp_path / "results" / "test" / "20260101T000000Z-abcdef"
        run.mkdir(parents=True)
        changed = suite.cases[0].model_copy(update=case or {})
        save_record(run, make_record(case=changed, peak_host_bytes=1))
        ids = [each.id for each in suite.cases]
        save_suite(run, "test", read_json(Path("test.json")), ids, {"verdict": "unfinished", "planned": ids, **changes})
        return run

    return store


NO_MATTER = {
    "benchmark_config.phase_timeout_s": 77,
    "benchmark_config.tmp_dir": "/tmp",
    "assertions": ["avg_latency_ms > 0"],
    "compare_config.nights": 30,
}


def test_what_leaves_figures_alone_may_change(stored: Callable[..., Path]) -> None:
    run = stored({"num_images": 3})
    suite = load_suite(Path(write_config(NO_MATTER)))
    sitting, asked = look_back(run, suite)
    assert sitting.number == 2 and asked == (suite.cases[0].id,) and sitting.to_measure(suite.cases) == ()


DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "a key": ({"benchmark_config.num_iterations": 9}, {}, {}, "benchmark_config.num_iterations: 5 there, 9 here"),
    "a key that is new": ({"benchmark_config.percentile": 90}, {}, {}, "percentile: not given there, 90 here"),
    "another case": (
        {"benchmark_config.batch_size": 2}, {}, {},
        "cases only there: resnet50-FP32-b1; cases only here: resnet50-FP32-b2",
    ),
    "the suite": ({"name": "other"}, {}, {}, "suite 'test' there, 'other' here"),
    "a default": ({}, {"settle_window": 3}, {}, "case resnet50-FP32-b1: settle_window: 3 there, 16 here"),
    "methodology": ({}, {}, {"methodology_version": 1}, f"methodology 1 there, {METHODOLOGY_VERSION} here"),
}  # fmt: skip


@pytest.mark.parametrize(("config", "case", "suite", "words"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_is_not_the_same_suite_is_refused(
    config: dict[str, Any], case: dict[str, Any], suite: dict[str, Any], words: str, stored: Callable[..., Path]
) -> None:
    run = stored(case, **suite)
    before = {path: path.read_bytes() for path in run.iterdir()}
    outcome = bench("test", write_config(config), "--resume", str(run))
    assert outcome.exit_code == 2, outcome
    assert words in outcome.stderr and f"not what {run} was begun with" in outcome.stderr
    assert {path: path.read_bytes() for path in run.iterdir() if path.name != ".lock"} == before


def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    config = write_config()
    nothing = bench("test", config, "--resume", "latest")
    assert (nothing.exit_code, nothing.stderr) == (2, "error: --resume latest: results/test has no run of this suite\n")
    other = bench("test", config, "--resume", str(tmp_path))
    assert (other.exit_code, "not a run's folder, here or in results, and not latest" in other.stderr) == (2, True)
    several = bench("test", config, config, "--resume", "latest")
    assert (several.exit_code, "a run is of one config, not of 2" in several.stderr) == (2, True)


def test_the_latest_run_is_the_newest_that_began(stored: Callable[..., Path]) -> None:
    run = stored()
    (run.parent / "20270101T000000Z-123456").mkdir()  # killed before it began: there is nothing to go on with
    results, suite = Path("results").resolve(), load_suite(Path("test.json"))
    assert find_run(results, suite, "latest") == find_run(results, suite, f"test/{run.name}") == run


def test_a_run_that_another_process_measures_is_refused(stored: Callable[..., Path]) -> None:
    run = stored()
    with hold(run):
        outcome = bench("test", "test.json", "--resume", str(run))
        assert (outcome.exit_code, "another process is measuring this run" in outcome.stderr) == (2, True)
    with hold(run):
        assert (run / ".lock").exists()
    assert not (run / ".lock").exists()


def test_a_newer_format_is_not_taken_for_a_case_to_measure_again(stored: Callable[..., Path]) -> None:
    run = stored()
    change(run / "resnet50-FP32-b1.json", format_version=99)
    outcome = bench("test", "test.json", "--resume", str(run))
    assert (outcome.exit_code, "format version 99" in outcome.stderr) == (2, True)


def in_turn(precision: str, sitting: int, **changes: Any) -> Record:
    times = (1_000_000,) * 5
    blocks = tuple(
        Block(turn=Turn(round=n, place=0, samples=5), began_ns=n, latency_ns=times, compute_ns=times, pipelined_ns=1)
        for n in range(8)
    )
    return make_record(precision, sitting=sitting, blocks=blocks, environment=make_environment(), **changes)


def test_rounds_of_two_sittings_are_no_pairs() -> None:
    native = in_turn("native", 1)
    assert paired_speedups(in_turn("FP16", 1), native)
    assert not paired_speedups(in_turn("FP16", 2), native)
    assert "speedup" in summarize(in_turn("FP16", 2), native).values


def test_another_machine_gives_no_speedup() -> None:
    moved = in_turn("FP16", 2).model_copy(update={"environment": make_environment(gpus=())})
    summary = summarize(moved, in_turn("native", 1))
    assert "speedup" not in summary.values
    assert summary.absent["speedup"] == "native ran on Example GPU, this on Example CPU, 16 cores"


def test_a_host_with_more_gpus_of_one_kind_is_no_other_machine() -> None:
    """Of several GPUs one does the work: by telemetry's choice, or any of them where all are alike."""
    (gpu,) = make_environment().gpus
    native = in_turn("native", 1)
    moved = in_turn("FP16", 2).model_copy(update={"environment": make_environment(gpus=(gpu, gpu))})
    assert "speedup" in summarize(moved, native).values
    assert environment_differences([native, moved]) == []
    mixed = make_environment(gpus=(gpu.model_copy(update={"name": "Display GPU"}), gpu))
    unread = moved.model_copy(update={"environment": mixed})
    assert summarize(unread, native).absent["speedup"] == "native ran on Example GPU, this on Display GPU, Example GPU"
    assert environment_differences([native, unread]) == [
        "GPU: Example GPU in sitting 1, Display GPU, Example GPU in sitting 2"
    ]
    state = GpuState(index=1, chosen_by="CUDA_VISIBLE_DEVICES begins with 1", name=gpu.name)
    read = unread.model_copy(update={"telemetry": Telemetry(gpu=state)})
    assert "speedup" in summarize(read, native).values


def test_turns_are_taken_where_nothing_of_the_comparison_lies_in_another_sitting() -> None:
    native, first, second = (make_case(name, interleave_rounds=4) for name in ("native", "FP32", "FP16"))
    assert why_alone([native, first], []) is None and why_alone([native, first], [second]) is None
    assert why_alone([first, second], [native]) == "the native case was measured in an earlier sitting"
    assert why_alone([native], [first]) == "the other variants were measured in an earlier sitting"
    assert why_alone([native.model_copy(update={"interleave_rounds": 0})], [first]) is None


def test_the_verdict_says_what_is_missing_and_what_was_mixed() -> None:
    known = make_record(case=make_case(id="a"), peak_host_bytes=1)
    stopped = make_record(
        case=make_case(id="b"), failure=Failure(kind="interrupted", phase="measure", message="stopped")
    )
    assert said("passed", ["a"], [known]) == "passed"
    assert said("unfinished", ["a", "b", "c"], [known, stopped]) == (
        "unfinished: 2 of 3 cases are not yet measured: b, c"
    )
    names = [f"c{number}" for number in range(20)]
    assert said("passed", names, []).endswith("c6, c7 and 12 more")
    other = make_record(environment=make_environment(driver="560"), sitting=2)
    mixed = [make_record(environment=make_environment()), other]
    assert environment_differences(mixed) == ["driver: 580.00 in sitting 1, 560 in sitting 2"]


def test_what_a_backend_sets_is_no_difference_of_sittings_and_what_a_user_sets_is() -> None:
    def measured(precision: str, sitting: int, **variables: str) -> Record:
        own = worker_variables(make_case(precision), {}) | variables
        return make_record(precision, sitting=sitting, environment=make_environment(variables=own))

    first, alone = measured("native", 1), measured("FP16", 2)
    assert "TF_TRT_SHOW_DETAILED_REPORT" in str(alone.environment)
    assert environment_differences([first, alone]) == []
    louder = measured("native", 1, TF_CPP_MIN_LOG_LEVEL="2", TF_ENABLE_ONEDNN_OPTS="0")
    assert environment_differences([louder, alone]) == ["$TF_ENABLE_ONEDNN_OPTS: 0 in sitting 1, none in sitting 2"]
    assert environment_differences([measured("FP32", 1), louder, alone, measured("native", 2)]) == [
        "$TF_CPP_MIN_LOG_LEVEL: 2 in sitting 1, none in sitting 2",
        "$TF_ENABLE_ONEDNN_OPTS: 0 in sitting 1, none in sitting 2",
    ]


def test_a_baseline_is_not_asked_about_a_run_that_is_unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.running.run_alone", stop)
    outcome = bench("test", write_config(), "--baseline", "history")
    assert outcome.exit_code == 4, outcome
    assert "Verdict: unfinished: 1 of 1 cases are not yet measured" in outcome.stdout
    assert f"with --resume {only_run()}" in outcome.stdout
    with pytest.raises(ConfigError, match="has no run of this suite"):
        find_run(Path("nowhere"), load_suite(Path("test.json")), "latest")


def test_nothing_is_held_against_a_baseline_after_ctrl_c_though_a_case_had_crashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash makes the verdict broken, and hides that the run was stopped."""
    left = [Failure.model_validate(CRASH)]

    def crash_then_stop(case: Case, start: object, keep: Callable[[Record], None], *_: object) -> None:
        if not left:
            raise KeyboardInterrupt
        keep(make_record(case=case, latency=None, failure=left.pop()))

    monkeypatch.setattr("bench.running.run_alone", crash_then_stop)
    config = write_config({"matrix": {"benchmark_config.batch_size": [1, 2]}})
    outcome = bench("test", config, "--baseline", "latest", "--export", "junit=junit.xml")
    assert outcome.exit_code == 4 and "Stopped by Ctrl-C" in outcome.stdout, outcome
    assert not (only_run() / "baseline.json").exists()
    assert "SIGSEGV" in Path("junit.xml").read_text()


def test_a_second_measurement_that_is_stopped_leaves_the_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.compare.confirm.confirmed", stop)
    outcome = bench("test", write_config(), "--baseline", "latest", "--export", "csv=run.csv")
    assert outcome.exit_code == 4 and "Stopped by Ctrl-C." in outcome.stderr
    assert "median_latency_ms" in Path("run.csv").read_text()
