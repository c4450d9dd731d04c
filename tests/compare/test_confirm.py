"""Gate B: what is flagged is measured again before it counts; by hand-made second measurements."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.blocks import Block, Turn
from bench.compare import again, confirm
from bench.compare.baseline import compare
from bench.compare.comparison import Comparison, Row
from bench.compare.confirm import as_stored, confirmed
from bench.compare.rules import rules
from bench.compare.runs import compare_runs
from bench.compare_section import CompareSection
from bench.conversion import Conversion
from bench.history.golden import pin
from bench.history.index import Index
from bench.history.measured import Run, read_run
from bench.progress import Progress
from bench.record import Case, Failure, Record
from bench.repeats import repeated as repeats
from bench.sections import BenchmarkSection
from bench.sitting import Sitting
from bench.store import load_records
from bench.suite import Suite
from tests.configs import ROOT, bench, write_config
from tests.factory import make_case, make_environment
from tests.history.nights import night_record, repeated, write_night, write_nights

METRIC = "median_latency_ms"
Second = Callable[[Case], Record]  # what measuring a case again gives


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Comparison]:
    """Holds a run against another, with a second measurement that is made up."""

    def hold(old: Sequence[Record], new: Sequence[Record], second: Second, **section: Any) -> Comparison:
        def run_cases(suite: Suite, sitting: Sitting, progress: Progress) -> list[Record]:
            return [second(case) for case in suite.cases]

        monkeypatch.setattr(confirm, "run_cases", run_cases)
        before, after = write_night(tmp_path / "results", 0, old), write_night(tmp_path / "results", 1, new)
        rule = CompareSection.model_validate(section)
        suite = Suite("nightly", Path("test.json"), {}, tuple(r.case for r in new), (), BenchmarkSection(), True, rule)

        def judge(run: Run) -> Comparison:
            return compare_runs(read_run(before), run, rules(rule))

        run = read_run(after)
        return confirmed(judge(run), suite, run, judge, Console(quiet=True))

    return hold


def row(comparison: Comparison, metric: str = METRIC) -> Row:
    (found,) = (each for each in comparison.rows if each.metric == metric)
    return found


def never(case: Case) -> Record:
    raise AssertionError(f"{case.id} was measured again")


def block(number: int, ms: float) -> Block:
    ns = round(1e6 * ms)
    turn = Turn(round=number, place=0, samples=5)
    return Block(turn=turn, began_ns=number, latency_ns=(ns,) * 5, compute_ns=(ns,) * 5, pipelined_ns=5 * ns)


def test_what_fresh_processes_confirm_has_regressed(gate: Callable[..., Comparison]) -> None:
    found = gate([night_record(10.0)], [night_record(10.5)], lambda case: night_record(10.4, case=case))
    assert found.verdict == "regressed" and row(found).settled == "confirmed"
    assert (row(found).new, row(found).second) == (10.5, 10.4) and "confirmed by fresh processes" in row(found).note
    assert found.flagged == ((row(found).series, METRIC),)


def test_what_they_do_not_confirm_has_passed_with_the_word(gate: Callable[..., Comparison]) -> None:
    found = gate([night_record(10.0)], [night_record(10.5)], lambda case: night_record(10.1, case=case))
    assert found.verdict == "passed" and row(found).settled == "not confirmed" and found.flagged == ()
    assert (row(found).new, row(found).second) == (10.5, 10.1) and "do not confirm it" in row(found).note
    assert as_stored(found)["again"] == [
        {"case": row(found).case, "metric": METRIC, "against": "run", "first": 10.5, "second": 10.1,
         "settled": "not confirmed"}
    ]  # fmt: skip


def test_one_fresh_process_of_five_that_is_slow_confirms_nothing(gate: Callable[..., Comparison]) -> None:
    def second(case: Case) -> Record:
        return night_record(12.0 if case.repeat == 3 else 10.0, case=case)

    assert gate([night_record(10.0)], [night_record(10.5)], second).verdict == "passed"


def test_processes_that_differ_by_as_much_leave_it_open(gate: Callable[..., Comparison]) -> None:
    def second(case: Case) -> Record:
        return night_record(8.0 + case.repeat, case=case)

    old = repeated([9.0, 10.0, 11.0])
    found = gate(old, repeated([12.9, 13.0, 13.1]), second)
    assert found.verdict == "inconclusive" and row(found).settled == "undecided"
    assert found.flagged, "such a night is no usual one"


def test_a_second_measurement_that_is_not_valid_leaves_it_open(gate: Callable[..., Comparison]) -> None:
    def second(case: Case) -> Record:
        record = night_record(10.5, case=case)
        assert record.latency is not None
        return record.model_copy(update={"latency": record.latency.model_copy(update={"settled": False})})

    found = gate([night_record(10.0)], [night_record(10.5)], second)
    assert row(found).settled == "undecided" and "warm-up had not settled" in row(found).note


def test_a_case_that_crashes_when_measured_again_is_broken(gate: Callable[..., Comparison]) -> None:
    def second(case: Case) -> Record:
        failure = Failure(kind="crash", phase="measure", message="crashed: SIGSEGV")
        return night_record(10.0, case=case, failure=failure)

    found = gate([night_record(10.0)], [night_record(10.5)], second)
    assert found.verdict == "broken" and "SIGSEGV" in row(found).note


def test_only_what_is_flagged_runs_again_in_as_many_processes_as_asked_for(gate: Callable[..., Comparison]) -> None:
    seen: list[Case] = []

    def second(case: Case) -> Record:
        seen.append(case)
        return night_record(10.4, case=case)

    old = [night_record(20.0, "native"), night_record(10.0)]
    gate(old, [night_record(20.0, "native"), *repeated([10.5, 10.5])], second, confirm_processes=3)
    assert [case.id for case in seen] == [old[1].case.id + end for end in ("", "-repeat2", "-repeat3")]


def test_a_speed_up_is_measured_again_with_the_native_case(gate: Callable[..., Comparison]) -> None:
    seen: list[str] = []

    def second(case: Case) -> Record:
        seen.append(case.optimization.precision_mode)
        return night_record(20.0 if case.optimization.precision_mode == "native" else 15.0, case=case)

    section = {"rules": {"speedup": {"at_least": 1.5}, METRIC: {"gate": False}}, "confirm_processes": 2}
    pair = [night_record(20.0, "native"), night_record(15.0)]
    found = gate(pair, pair, second, **section)
    assert sorted(seen) == ["FP16", "FP16", "native", "native"]
    assert row(found, "speedup").settled == "confirmed" and found.verdict == "regressed"


def test_nothing_is_measured_again_where_nothing_counts(gate: Callable[..., Comparison]) -> None:
    assert gate([night_record(10.0)], [night_record(10.1)], never).verdict == "passed"


def test_an_improvement_and_what_does_not_gate_are_told_at_once(gate: Callable[..., Comparison]) -> None:
    assert gate([night_record(10.0)], [night_record(9.0)], never).verdict == "improved"


def test_it_can_be_turned_off(gate: Callable[..., Comparison]) -> None:
    found = gate([night_record(10.0)], [night_record(10.5)], never, confirm_processes=0)
    assert found.verdict == "regressed" and not row(found).settled


def with_engine(entry: str | None = "e1", **changes: Any) -> dict[str, Any]:
    return {"conversion": Conversion(converter="TF-TRT 8.5.3", cache_entry=entry), **changes}


def keep_engine(tmp_path: Path, entry: str = "e1") -> None:
    (tmp_path / "cache" / "conversions" / "entries" / entry).mkdir(parents=True)


def in_turn(slower: float, fresh_ms: float, noise: float = 0.001) -> Second:
    """A case, and its twin on the baseline's engine, in 20 rounds; each pair of processes differs a little."""

    def second(case: Case) -> Record:
        twin = case.optimization.kept_conversion is not None
        factor = 1.0 if twin else slower * (1 + noise * (case.repeat - 3))
        return night_record(fresh_ms, case=case, blocks=tuple(block(n, 10.0 * factor) for n in range(20)))

    return second


@given(st.floats(0.5, 2.0), st.integers(2, 8))
def test_what_pairs_say_is_the_change_of_the_statistic(slower: float, processes: int) -> None:
    """Of a time it is the time's, of a throughput the throughput's; pairs that all say the same leave no doubt."""
    cases = repeats(make_case("FP16"), 1, processes)
    twins = {case.id: f"twin-{case.id}" for case in cases}
    records = {}
    for case in cases:
        records[case.id] = night_record(1.0, case=case, blocks=tuple(block(n, 10.0 * slower) for n in range(8)))
        records[twins[case.id]] = night_record(1.0, case=case, blocks=tuple(block(n, 10.0) for n in range(8)))
    planned = again.Plan(cases, twins, references={cases[0].variant: Path("baseline")})
    for metric, expected in ((METRIC, slower - 1), ("compute_ms", slower - 1), ("throughput_fps", 1 - 1 / slower)):
        found = Row(cases[0].variant, "", metric, "regressed", reference=Path("baseline"), against="run")
        turns = confirm.in_turn(found, planned, records)
        assert turns is not None and turns.processes == processes
        assert (turns.worse, turns.at_least) == pytest.approx((expected, expected), abs=1e-6)
    elsewhere = Row(cases[0].variant, "", METRIC, "regressed", reference=Path("golden"), against="golden")
    assert confirm.in_turn(elsewhere, planned, records) is None, "its engine is another one"


@pytest.mark.parametrize(
    ("slower", "fresh", "noise", "settled", "told"),
    [
        (1.05, 10.5, 0.001, "confirmed", "confirmed: +5.00 % worse than the baseline's engine, in turn (5 pairs"),
        (1.05, 10.0, 0.001, "confirmed", "confirmed: +5.00 %"),
        (1.0, 10.0, 0.001, "not confirmed", "not confirmed: "),
        (1.0, 10.5, 0.001, "undecided", "the baseline's engine is as slow now, so the machine may have changed"),
        (1.05, 10.5, 0.05, "undecided", "it cannot be told"),
    ],
)
def test_measured_in_turn_with_the_baselines_engine(
    tmp_path: Path, gate: Callable[..., Comparison], slower: float, fresh: float, noise: float, settled: str, told: str
) -> None:
    keep_engine(tmp_path)
    old, new = night_record(10.0, **with_engine()), night_record(10.5, **with_engine())
    found = gate([old], [new], in_turn(slower, fresh, noise))
    assert row(found).settled == settled and told in row(found).note


def test_a_twin_runs_the_baselines_engine_in_the_baselines_session(
    tmp_path: Path, gate: Callable[..., Comparison]
) -> None:
    seen: list[Case] = []

    def second(case: Case) -> Record:
        seen.append(case)
        return in_turn(1.05, 10.5)(case)

    keep_engine(tmp_path)
    slowed = make_case("FP16", wrap_session="tests.slowed:by_3_percent", interleave_rounds=0)
    gate([night_record(10.0, **with_engine())], [night_record(10.5, case=slowed, **with_engine("e2"))], second)
    twins = [case for case in seen if case.optimization.kept_conversion is not None]
    assert len(twins) == 5 and len(seen) == 10 and len({case.id for case in seen}) == 10
    assert {case.optimization.kept_conversion for case in twins} == {"e1"}
    assert {case.wrap_session for case in twins} == {None}
    assert {case.wrap_session for case in seen} - {None} == {"tests.slowed:by_3_percent"}
    assert all(case.interleave_rounds >= 20 and case.comparison == slowed.comparison for case in seen)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (with_engine(None), with_engine(), "the baseline's record names no engine in the conversion cache"),
        (with_engine("gone"), with_engine(), "the baseline's engine is no longer in the conversion cache"),
        (with_engine(), with_engine(environment=make_environment(driver="590.10")),
         "the baseline's engine ran on something else: driver 580.00 -> 590.10"),
    ],
)  # fmt: skip
def test_without_the_baselines_engine_fresh_processes_decide_and_that_is_said(
    tmp_path: Path, gate: Callable[..., Comparison], old: dict[str, Any], new: dict[str, Any], why: str
) -> None:
    keep_engine(tmp_path)
    found = gate([night_record(10.0, **old)], [night_record(10.5, **new)], lambda case: night_record(10.5, case=case))
    assert row(found).settled == "confirmed" and any(why in remark for remark in found.remarks)


def test_a_twin_that_fails_leaves_it_to_the_fresh_processes(tmp_path: Path, gate: Callable[..., Comparison]) -> None:
    def second(case: Case) -> Record:
        failed = case.optimization.kept_conversion is not None
        failure = Failure(kind="error", phase="load", message="conversion e1: corrupt") if failed else None
        return night_record(10.5, case=case, failure=failure)

    keep_engine(tmp_path)
    found = gate([night_record(10.0, **with_engine())], [night_record(10.5, **with_engine())], second)
    assert row(found).settled == "confirmed" and any("e1: corrupt" in remark for remark in found.remarks)


@pytest.mark.parametrize(("second", "settled"), [(10.05, "not confirmed"), (10.5, "confirmed")])
def test_what_the_history_and_the_golden_run_flag_is_held_against_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: float, settled: str
) -> None:
    """A night that is not confirmed is flagged no more: it is one of the usual ones for the next."""
    results = tmp_path / "results"
    first, *_ = write_nights(results, [10.0] * 12)
    pin(results, read_run(first), "")
    run = read_run(write_night(results, 12, [night_record(10.6)]))

    def judge(run: Run) -> Comparison:
        return compare("history", run, results, tmp_path / "acknowledged.json", CompareSection())

    monkeypatch.setattr(confirm, "run_cases", lambda suite, *_: [night_record(second, case=c) for c in suite.cases])
    suite = Suite("nightly", Path("test.json"), {}, (make_case("FP16"),), (), BenchmarkSection())
    assert [each.against for each in judge(run).rows if each.is_flagged] == ["history", "golden"]
    found = confirmed(judge(run), suite, run, judge, Console(quiet=True))
    assert [each.settled for each in found.rows if each.settled] == [settled] * 2
    assert found.verdict == ("regressed" if settled == "confirmed" else "passed")
    assert bool(as_stored(found)["flagged"]) == (settled == "confirmed")


def test_ctrl_c_meanwhile_leaves_what_was_found_first(gate: Callable[..., Comparison]) -> None:
    def second(case: Case) -> Record:
        failure = Failure(kind="interrupted", phase="measure", message="stopped by Ctrl-C")
        return night_record(10.5, case=case, failure=failure)

    with pytest.raises(KeyboardInterrupt):
        gate([night_record(10.0)], [night_record(10.5)], second)


def test_what_was_measured_again_before_keeps_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on after it was cut off is judged, and measured again, once more."""
    monkeypatch.setattr(confirm, "run_cases", lambda suite, *_: [night_record(10.5, case=c) for c in suite.cases])
    before, after = map(read_run, write_nights(tmp_path, [10.0, 10.5]))
    suite = Suite("nightly", Path("test.json"), {}, (make_case("FP16"),), (), BenchmarkSection())

    def judge(run: Run) -> Comparison:
        return compare_runs(before, run, rules(CompareSection()))

    for name in ("again", "again-2"):
        found = confirmed(judge(after), suite, after, judge, Console(quiet=True))
        assert (after.path / name / "suite.json").is_file()
        assert f"Measured again in 5 processes; the records are in {name}/." in found.remarks


def test_one_process_is_no_second_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = bench("test", write_config({"compare_config": {"confirm_processes": 1}}), "--dry-run")
    assert outcome.exit_code == 2 and "compare_config.confirm_processes: 1: set 0, or at least 2" in outcome.stderr


def test_history_takes_no_notice_of_the_second_measurement(tmp_path: Path, gate: Callable[..., Comparison]) -> None:
    gate([night_record(10.0)], [night_record(10.5)], lambda case: night_record(99.0, case=case))
    (second,) = (tmp_path / "results").glob("*/*/again/suite.json")
    assert json.loads(second.read_text(encoding="utf-8"))["cases"]
    index = Index(tmp_path / "results").refresh()
    assert [each.nights for each in index.series()] == [2]


@pytest.mark.slow
def test_real_workers_take_turns_with_their_twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the null backend, which heeds no engine; the baseline's record is made too good to be kept up with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(again, "_engine", lambda *_: again.Kept("e1", None))
    quiet = {name: {"gate": False} for name in ("compute_ms", "throughput_fps", "p99_latency_ms", "fallbacks")}
    section = {"rules": {METRIC: {"absolute": 0}, **quiet}, "confirm_processes": 2}
    config = write_config({"name": "suite", "benchmark_config.telemetry": False, "compare_config": section})
    assert bench("test", config).exit_code == 0
    (run,) = Path("results/suite").iterdir()
    (record,) = (path for path in run.glob("*.json") if path.name != "suite.json")
    content = json.loads(record.read_text(encoding="utf-8"))
    content["latency"]["times_ns"] = [1] * len(content["latency"]["times_ns"])
    record.write_text(json.dumps(content), encoding="utf-8")
    outcome = bench("test", config, "--baseline", str(run))
    (newest,) = (path for path in Path("results/suite").iterdir() if path != run)
    records = load_records(newest / "again")
    assert sorted(each.case.id for each in records) == [
        f"resnet50-FP32-b1{end}" for end in ("", "-baseline", "-baseline-repeat2", "-repeat2")
    ]
    assert all(len(each.blocks) == 20 and each.not_interleaved is None for each in records)
    (told,) = json.loads((newest / "suite.json").read_text(encoding="utf-8"))["again"]
    assert "2 pairs of processes" in (newest / "baseline.md").read_text(encoding="utf-8")
    assert (outcome.exit_code, told["settled"]) in ((3, "undecided"), (1, "confirmed"))
