"""Gate B: fresh processes in turn with the baseline's engine, where the conversion cache has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.blocks import Block, Turn
from bench.case import Case
from bench.compare import again, confirm
from bench.compare.comparison import Row
from bench.conversion import Conversion
from bench.record import Failure, Record
from bench.repeats import repeated as repeats
from bench.store import load_records
from tests.compare.second import METRIC, Gate, Second, row
from tests.configs import ROOT, bench, write_config
from tests.factory import make_case, make_environment
from tests.history.nights import night_record


def block(number: int, ms: float) -> Block:
    ns = round(1e6 * ms)
    turn = Turn(round=number, place=0, samples=5)
    return Block(turn=turn, began_ns=number, latency_ns=(ns,) * 5, compute_ns=(ns,) * 5, pipelined_ns=5 * ns)


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
    tmp_path: Path, gate: Gate, slower: float, fresh: float, noise: float, settled: str, told: str
) -> None:
    keep_engine(tmp_path)
    old, new = night_record(10.0, **with_engine()), night_record(10.5, **with_engine())
    found = gate([old], [new], in_turn(slower, fresh, noise))
    assert row(found).settled == settled and told in row(found).note


def test_a_twin_runs_the_baselines_engine_in_the_baselines_session(tmp_path: Path, gate: Gate) -> None:
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
    tmp_path: Path, gate: Gate, old: dict[str, Any], new: dict[str, Any], why: str
) -> None:
    keep_engine(tmp_path)
    found = gate([night_record(10.0, **old)], [night_record(10.5, **new)], lambda case: night_record(10.5, case=case))
    assert row(found).settled == "confirmed" and any(why in remark for remark in found.remarks)


def test_a_twin_that_fails_leaves_it_to_the_fresh_processes(tmp_path: Path, gate: Gate) -> None:
    def second(case: Case) -> Record:
        failed = case.optimization.kept_conversion is not None
        failure = Failure(kind="error", phase="load", message="conversion e1: corrupt") if failed else None
        return night_record(10.5, case=case, failure=failure)

    keep_engine(tmp_path)
    found = gate([night_record(10.0, **with_engine())], [night_record(10.5, **with_engine())], second)
    assert row(found).settled == "confirmed" and any("e1: corrupt" in remark for remark in found.remarks)


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
