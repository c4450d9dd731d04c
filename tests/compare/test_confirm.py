"""Gate B: what is flagged is measured again before it counts; by hand-made second measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.case import Case
from bench.compare import confirm
from bench.compare.baseline import compare
from bench.compare.comparison import Comparison
from bench.compare.confirm import as_stored, confirmed
from bench.compare.rules import rules
from bench.compare.runs import compare_runs
from bench.compare.table import markdown
from bench.history.golden import pin
from bench.history.index import Index
from bench.history.measured import Run, read_run
from bench.record import Failure, Record
from bench.sections.compare import CompareSection
from bench.sections.config import BenchmarkSection
from bench.suite import Suite
from tests.compare.second import METRIC, Gate, row
from tests.configs import bench, write_config
from tests.factory import make_case, make_environment, make_samples
from tests.history.nights import night_record, repeated, write_night, write_nights


def never(case: Case) -> Record:
    raise AssertionError(f"{case.id} was measured again")


def test_what_fresh_processes_confirm_has_regressed(gate: Gate) -> None:
    found = gate([night_record(10.0)], [night_record(10.5)], lambda case: night_record(10.4, case=case))
    assert found.verdict == "regressed" and row(found).settled == "confirmed"
    assert (row(found).new, row(found).second) == (10.5, 10.4) and "confirmed by fresh processes" in row(found).note
    assert found.flagged == ((row(found).series, METRIC),)


def test_what_they_do_not_confirm_has_passed_with_the_word(gate: Gate) -> None:
    found = gate([night_record(10.0)], [night_record(10.5)], lambda case: night_record(10.1, case=case))
    assert found.verdict == "passed" and row(found).settled == "not confirmed" and found.flagged == ()
    assert (row(found).new, row(found).second) == (10.5, 10.1) and "do not confirm it" in row(found).note
    assert as_stored(found)["again"] == [
        {"case": row(found).case, "metric": METRIC, "against": "run", "first": 10.5, "second": 10.1,
         "settled": "not confirmed"}
    ]  # fmt: skip


def test_one_fresh_process_of_five_that_is_slow_confirms_nothing(gate: Gate) -> None:
    def second(case: Case) -> Record:
        return night_record(12.0 if case.repeat == 3 else 10.0, case=case)

    assert gate([night_record(10.0)], [night_record(10.5)], second).verdict == "passed"


def test_processes_that_differ_by_as_much_leave_it_open(gate: Gate) -> None:
    def second(case: Case) -> Record:
        return night_record(8.0 + case.repeat, case=case)

    old = repeated([9.0, 10.0, 11.0])
    found = gate(old, repeated([12.9, 13.0, 13.1]), second)
    assert found.verdict == "inconclusive" and row(found).settled == "undecided"
    assert found.flagged, "such a night is no usual one"


def test_a_second_measurement_that_is_not_valid_leaves_it_open(gate: Gate) -> None:
    def second(case: Case) -> Record:
        record = night_record(10.5, case=case)
        assert record.latency is not None
        return record.model_copy(update={"latency": record.latency.model_copy(update={"settled": False})})

    found = gate([night_record(10.0)], [night_record(10.5)], second)
    assert row(found).settled == "undecided" and "warm-up had not settled" in row(found).note


def test_a_second_measurement_without_the_statistic_leaves_it_open(gate: Gate) -> None:
    """Not to be flagged again is good news only of what was measured again."""

    def second(case: Case) -> Record:
        return night_record(10.0, case=case, compute=None)

    pair = [night_record(10.0, compute=make_samples([5.0] * 9))]
    section = {"rules": {"compute_ms": {"at_most": 1.0}, METRIC: {"gate": False}}}
    found = gate(pair, pair, second, **section)
    (bound,) = (each for each in found.rows if each.metric == "compute_ms" and each.settled)
    assert found.verdict == "inconclusive" and "it has no compute_ms" in bound.note


@pytest.mark.parametrize("ms", [10.0, 10.5])
def test_a_second_measurement_on_other_hardware_leaves_it_open(gate: Gate, ms: float) -> None:
    def second(case: Case) -> Record:
        return night_record(ms, case=case, environment=make_environment(cpu="another"))

    found = gate([night_record(10.0)], [night_record(10.5)], second)
    assert found.verdict == "inconclusive" and "other hardware" in row(found).note


def test_a_case_that_crashes_when_measured_again_is_broken(gate: Gate) -> None:
    def second(case: Case) -> Record:
        failure = Failure(kind="crash", phase="measure", message="crashed: SIGSEGV")
        return night_record(10.0, case=case, failure=failure)

    found = gate([night_record(10.0)], [night_record(10.5)], second)
    assert found.verdict == "broken" and "SIGSEGV" in row(found).note


def test_only_what_is_flagged_runs_again_in_as_many_processes_as_asked_for(gate: Gate) -> None:
    seen: list[Case] = []

    def second(case: Case) -> Record:
        seen.append(case)
        return night_record(10.4, case=case)

    old = [night_record(20.0, "native"), night_record(10.0)]
    gate(old, [night_record(20.0, "native"), *repeated([10.5, 10.5])], second, confirm_processes=3)
    assert [case.id for case in seen] == [old[1].case.id + end for end in ("", "-repeat2", "-repeat3")]


def test_a_speed_up_is_measured_again_with_the_native_case(gate: Gate) -> None:
    seen: list[str] = []

    def second(case: Case) -> Record:
        seen.append(case.optimization.precision_mode)
        return night_record(20.0 if case.optimization.precision_mode == "native" else 15.0, case=case)

    section = {"rules": {"speedup": {"at_least": 1.5}, METRIC: {"gate": False}}, "confirm_processes": 2}
    pair = [night_record(20.0, "native"), night_record(15.0)]
    found = gate(pair, pair, second, **section)
    assert sorted(seen) == ["FP16", "FP16", "native", "native"]
    assert row(found, "speedup").settled == "confirmed" and found.verdict == "regressed"


def test_nothing_is_measured_again_where_nothing_counts(gate: Gate) -> None:
    assert gate([night_record(10.0)], [night_record(10.1)], never).verdict == "passed"


def test_an_improvement_and_what_does_not_gate_are_told_at_once(gate: Gate) -> None:
    assert gate([night_record(10.0)], [night_record(9.0)], never).verdict == "improved"


def test_it_can_be_turned_off(gate: Gate) -> None:
    found = gate([night_record(10.0)], [night_record(10.5)], never, confirm_processes=0)
    assert found.verdict == "regressed" and not row(found).settled


@pytest.mark.parametrize(("second", "verdict"), [(1.0, "inconclusive"), (1.1, "regressed")])
def test_no_more_cases_are_measured_again_than_asked_for_the_most_changed_first(
    tmp_path: Path, gate: Gate, second: float, verdict: str
) -> None:
    """A night in which everything became worse: the others stay open, and say so."""
    seen: list[str] = []

    def measured(case: Case) -> Record:
        seen.append(case.variant)
        return night_record(10.0 * second, case=case)

    cases = [make_case(id=f"case{n}", comparison=f"{n}", num_images=128 + n) for n in range(5)]
    old = [night_record(10.0, case=case) for case in cases]
    new = [
        night_record(10.0 + change, case=case) for change, case in zip((0.5, 3.0, 1.0, 2.0, 0.0), cases, strict=True)
    ]
    found = gate(old, new, measured, confirm_max_cases=2, confirm_processes=2)
    assert sorted(set(seen)) == ["case1", "case3"] and len(seen) == 4 and found.verdict == verdict
    left = {each.case: each for each in found.rows if each.case in ("case0", "case2") and each.metric == METRIC}
    for each in left.values():
        assert (each.outcome, each.settled, each.second) == ("inconclusive", "undecided", None)
        assert each.note == "not measured again: 2 of 4 cases (compare_config.confirm_max_cases is 2)"
    assert len(left) == 2 and {each.series for each in left.values()} <= {series for series, _ in found.flagged}
    assert {each["case"]: each["second"] for each in as_stored(found)["again"]}["case0"] is None
    assert left["case0"].note in markdown(found) and found.remarks[-1].startswith("Not measured again: 2 of 4 cases")


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


def test_ctrl_c_meanwhile_leaves_what_was_found_first(gate: Gate) -> None:
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


def test_history_takes_no_notice_of_the_second_measurement(tmp_path: Path, gate: Gate) -> None:
    gate([night_record(10.0)], [night_record(10.5)], lambda case: night_record(99.0, case=case))
    (second,) = (tmp_path / "results").glob("*/*/again/suite.json")
    assert json.loads(second.read_text(encoding="utf-8"))["cases"]
    index = Index(tmp_path / "results").refresh()
    assert [each.nights for each in index.series()] == [2]
