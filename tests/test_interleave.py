"""Variants of one comparison are measured in turn, one at a time; whatever ends one, the others' figures stay."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench import interleave
from bench.case import Case
from bench.interleave import lengths_of_block, run_together
from bench.launch import Worker
from bench.machine.observe import observer_of
from bench.record import Observations, Record
from bench.running import groups
from bench.statistics.summary import summarize
from bench.store import load_records
from tests.configs import ROOT, bench, write_config
from tests.factory import make_case, make_record, make_samples
from tests.faults import inject
from tests.test_launch import null_case

MODES = {"optimization_config.precision_mode": ["native", "FP32", "FP16"]}


class Run:
    """What a run of a comparison left: the last record of every case, and how often each was kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: dict[str, Record] = {}
        self.kept: list[str] = []
        self.pids: list[int] = []
        self.told: list[tuple[int, int]] = []

    def start(self, case: Case) -> Worker:
        before = {child.pid for child in psutil.Process().children()}
        worker = Worker(case, self.folder / f"{case.id}.log", lambda *_: None)
        worker.run()
        self.pids += [child.pid for child in psutil.Process().children() if child.pid not in before]
        return worker

    def keep(self, record: Record) -> None:
        self.records[record.case.id] = record
        self.kept.append(record.case.id)

    def together(self, cases: list[Case], told: Callable[[int, int], Any] | None = None) -> dict[str, Record]:
        def tell(done: int, total: int) -> None:
            self.told.append((done, total))
            if told is not None:
                told(done, total)

        run_together(cases, self.start, self.keep, tell, lambda: observer_of(cases[0], False, os.environ))
        return self.records

    def none_is_left(self) -> bool:
        return not any(psutil.pid_exists(pid) for pid in self.pids)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def variants(*names: str, **changes: Any) -> list[Case]:
    return [null_case(id=name, comparison="same", interleave_rounds=4, **changes) for name in names]


def test_a_config_measures_its_modes_in_turn_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    outcome = bench("test", write_config({"matrix": MODES, "benchmark_config.interleave_rounds": 8, "name": "s"}))
    assert outcome.exit_code == 0, outcome.stderr
    assert "measuring in turn: 8 rounds" in outcome.stdout
    assert "in 8 rounds in which the variants were measured" in " ".join(outcome.stdout.split())
    (folder,) = (tmp_path / "results" / "s").iterdir()
    records = load_records(folder)
    turns = sorted((b.began_ns, b.turn.round, b.turn.place, r.case.id) for r in records for b in r.blocks)
    assert [turn[1:3] for turn in turns] == [(number, place) for number in range(8) for place in range(3)]
    assert all(len({turn[3] for turn in turns if turn[1] == number}) == 3 for number in range(8))
    assert len({tuple(turn[3] for turn in turns if turn[1] == number) for number in range(8)}) > 1  # drawn by lot
    lengths = {b.began_ns: sum(b.latency_ns) + sum(b.compute_ns) + b.pipelined_ns for r in records for b in r.blocks}
    assert all(a[0] + lengths[a[0]] <= b[0] for a, b in pairwise(turns))
    for block in [b for r in records for b in r.blocks]:
        assert len(block.latency_ns) == block.turn.samples and len(block.compute_ns) == block.turn.launches
    assert all(record.peak_host_bytes for record in records)


@pytest.mark.parametrize("changes", [{"benchmark_config.interleave": False}, {"matrix": {}}])
def test_without_it_or_without_another_variant_nothing_waits(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert bench("test", write_config({"matrix": MODES, "name": "s", **changes})).exit_code == 0
    (folder,) = (tmp_path / "results" / "s").iterdir()
    assert all(not record.blocks and record.not_interleaved is None for record in load_records(folder))


def test_every_record_is_kept_before_the_turns_and_again_after_them(run: Run) -> None:
    records = run.together(variants("a", "b"))
    assert run.kept == ["a", "b", "a", "b"]
    assert run.told == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert all(len(record.blocks) == 4 and record.failure is None for record in records.values())
    assert run.none_is_left()


def test_the_machine_is_read_while_they_take_turns(run: Run) -> None:
    """Once for all of them, and not where it was not asked for; rounds take long enough for a reading."""
    a, b = run.together(variants("a", "b"), lambda *_: time.sleep(0.3)).values()
    assert a.telemetry_in_turn is not None and a.telemetry_in_turn == b.telemetry_in_turn
    (window,) = a.telemetry_in_turn.windows
    spent_ns = max(record.blocks[-1].began_ns for record in (a, b)) - min(r.blocks[0].began_ns for r in (a, b))
    assert window.name == "interleave" and window.readings >= 1 and window.seconds >= spent_ns / 1e9
    assert a.telemetry is not None and not a.telemetry.window("interleave")
    (alone,) = run.together(variants("alone")).keys() - {"a", "b"}
    assert run.records[alone].telemetry_in_turn is None
    unwatched = run.together(variants("a", "b", telemetry=False))["a"].telemetry_in_turn
    assert unwatched is not None and unwatched.absent == {"readings": "benchmark_config.telemetry is false"}


def test_one_that_dies_in_its_turn_fails_alone(run: Run) -> None:
    def kill_one(done: int, total: int) -> None:
        if done == 2:
            psutil.Process(run.pids[1]).kill()

    records = run.together(variants("a", "b", "c"), kill_one)
    failure = records["b"].failure
    assert failure is not None and (failure.kind, failure.phase) == ("out-of-memory", "interleave")
    assert records["b"].latency is not None
    assert all(records[name].failure is None and len(records[name].blocks) == 4 for name in "ac")


def test_one_that_failed_before_is_not_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in inject(run.folder, "open", "raise", case="broken").items():
        monkeypatch.setenv(name, value)
    records = run.together(variants("a", "broken", "c"))
    assert records["broken"].failure is not None
    assert [len(records[name].blocks) for name in ("a", "broken", "c")] == [4, 0, 4]
    monkeypatch.setenv("FAULT", json.dumps({"at": "open", "do": "raise", "case": "broken"}))
    alone = run.together(variants("broken", "d"))["d"]
    assert alone.failure is None and alone.not_interleaved == "no other variant was ready"


def test_ctrl_c_between_turns_ends_all_and_keeps_their_own_figures(run: Run) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.together(variants("a", "b"), interrupt)
    assert all(record.is_interrupted and record.latency is not None for record in run.records.values())
    assert run.none_is_left()


def test_where_memory_is_short_they_are_measured_one_after_the_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interleave, "free_host_bytes", lambda: 1 << 20)
    records = run.together(variants("a", "b", "c"))
    assert all(record.failure is None and not record.blocks for record in records.values())
    assert all("0.0 GiB of memory are free" in (record.not_interleaved or "") for record in records.values())
    assert run.told == []


def test_what_a_container_holds_of_files_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("max", "4096"), ("current", "4000"), ("stat", "anon 900\ninactive_file 3000\nfile 3100")):
        (tmp_path / f"memory.{name}").write_text(text, encoding="ascii")
    monkeypatch.setattr(interleave, "CGROUP", tmp_path)
    assert interleave.free_host_bytes() == 3096


def test_a_variant_that_runs_out_of_memory_gets_what_the_waiting_ones_held(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in inject(run.folder, "open", "memory", case="large").items():
        monkeypatch.setenv(name, value)
    records = run.together(variants("small", "large"))
    assert len(run.kept) == 3  # small, small again without turns, large
    assert records["small"].not_interleaved == "memory ran out while several workers were alive"
    assert records["large"].failure is not None and records["large"].failure.kind == "out-of-memory"


def test_a_gpu_that_is_nearly_full_is_no_place_for_another(run: Run) -> None:
    from bench.interleave import _gpu_shortage
    from bench.telemetry import Summary, Telemetry, Window
    from tests.factory import make_environment

    def using(gib: float) -> Record:
        summary = Summary(min=0, median=0, max=gib * 2**30, n=1)
        window = Window(name="measure", begin_s=0, end_s=1, readings=1, fields={"memory_used_bytes": summary})
        return make_record(environment=make_environment(), telemetry=Telemetry(windows=(window,)))  # of 16 GiB

    assert _gpu_shortage([using(4), using(8)]) is None
    assert _gpu_shortage([make_record(environment=make_environment())]) is None
    assert "5.0 GiB of GPU memory are free, and a worker that waits holds 7.0 GiB" in str(
        _gpu_shortage([using(4), using(11)])
    )


def test_a_block_fills_its_time_within_bounds_and_goes_round_batches_that_differ_in_shape() -> None:
    def lengths(latency_ms: float, compute_ms: float, **changes: Any) -> tuple[int, int]:
        case = make_case(num_iterations=None, block_duration_s=0.1, **changes)
        pool = Observations(pool_batches=7, pool_images=7, identical_images=False, flat_images=False)
        latency, compute = make_samples([latency_ms] * 9), make_samples([compute_ms] * 9)
        return lengths_of_block(make_record(case=case, observed=pool, latency=latency, compute=compute))

    assert lengths(2, 1) == (50, 100)
    assert lengths(20, 0.6) == (5, 167)  # copies take long, computing does not
    assert lengths(0.001, 0.001) == (200, 200)
    assert lengths(300, 300) == (5, 5)
    assert lengths(2, 1, image_shape=None) == (56, 100)
    assert lengths(300, 300, image_shape=None) == (7, 5)


def test_comparisons_run_together_and_repeats_after_all_of_them() -> None:
    cases = [
        null_case(id=f"{name}{repeat}", comparison=name, interleave_rounds=rounds, repeat=repeat)
        for repeat in (1, 2)
        for name, rounds in (("x", 3), ("y", 3), ("x", 3), ("z", 0), ("z", 0))
    ]
    shown = [[case.id for case in group] for group in groups(cases)]
    assert shown == [["x1", "x1"], ["y1"], ["z1", "z1"], ["x2", "x2"], ["y2"], ["z2", "z2"]]


def test_a_speedup_is_that_of_the_pairs_where_there_are_any() -> None:
    from bench.blocks import Block, Turn

    def blocks(times: list[int]) -> tuple[Block, ...]:
        return tuple(
            Block(
                turn=Turn(round=n, place=0, samples=2),
                began_ns=n,
                latency_ns=(t, t, 9 * t),
                compute_ns=(t,),
                pipelined_ns=2 * t,
            )
            for n, t in enumerate(times)
        )

    drifting = [1000 * (20 + n) for n in range(12)]
    native = make_record("native", blocks=blocks([3 * t for t in drifting]))
    fast = make_record("FP16", blocks=blocks(drifting))
    summary = summarize(fast, native)
    assert summary.values["speedup"] == pytest.approx(3) == summary.values["throughput_speedup"]
    assert summary.bounds["speedup"] == pytest.approx((3, 3))  # the drift is in both
    apart = summarize(fast.model_copy(update={"blocks": ()}), native)
    assert apart.values["speedup"] == 1
