"""Telemetry of whole cases: what a sampler beside a worker leaves in the record, however either of them ends."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.machine.observe import Observer
from bench.progress import Progress
from bench.record import Record
from bench.running import Running
from bench.sitting import Sitting
from bench.telemetry import Telemetry, problems
from tests.factory import make_case, run_worker
from tests.fake_nvml import GIB
from tests.faults import fake_gpu, inject
from tests.test_launch import null_case, only_run, started, write_config

pytestmark = pytest.mark.alone  # the sampler gives way to everything, and may be late with its readings


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        ("broken", "ZeroDivisionError: integer division or modulo by zero"),
        ("hanging", "the sampler did not end when told to"),
    ],
)
def test_one_that_fails_does_not_fail_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, failed: str
) -> None:
    monkeypatch.setattr("bench.machine.observe.END_S", 0.5)
    record = run_with_gpu(tmp_path, monkeypatch, script, num_warmup_iterations=1, num_iterations=4)
    assert record.failure is None and record.latency is not None
    assert record.telemetry is not None and record.telemetry.failed == failed
    assert record.telemetry.readings > 3 and record.telemetry.gpu is not None


def run_with_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, **changes: Any) -> Record:
    """A case on the null backend, each inference of which takes 0.2 s, beside a scripted GPU."""
    for name, value in fake_gpu(folder, script, at="infer").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("bench.launch.ON_GPU", ("null",))
    return run_worker(null_case(**changes), folder / "log", lambda *_: None)


def test_a_gpu_from_idle_to_energy_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run_with_gpu(tmp_path, monkeypatch, "working", num_warmup_iterations=1, num_iterations=12)
    telemetry = record.telemetry
    assert record.failure is None and telemetry is not None and telemetry.failed is None
    gpu, measure = telemetry.gpu, telemetry.window()
    assert gpu is not None and measure is not None
    assert gpu.idle_power_w == 60 and gpu.idle_s > 0.7 and gpu.worker_identified_by == "its process id"
    assert measure.fields["power_w"].median == 300 and measure.fields["worker_memory_bytes"].max == GIB
    assert measure.event_reasons == {"sw_power_cap": 1.0} and measure.throttled == 1
    assert measure.power_violation_ns == pytest.approx(measure.seconds / 2 * 1e9, rel=0.1)
    assert measure.energy_j == pytest.approx(300 * measure.seconds, rel=0.15)
    assert [process.pid for process in telemetry.foreign] == [1]
    latency = telemetry.energy[0]
    assert latency.loop == "latency" and latency.absent is None and latency.error_share is not None
    assert latency.joules_per_image == pytest.approx(300 * 0.2, rel=latency.error_share + 0.02)
    assert latency.net_joules_per_image == pytest.approx(240 * 0.2, rel=latency.error_share + 0.05)
    assert all(energy.absent for energy in telemetry.energy[1:])
    found = problems(telemetry)
    assert found[0] == "throttled: sw_power_cap for 100% of the measured time"
    assert found[1].startswith("another process on the GPU: pid 1 (")


def test_workers_that_wait_for_their_turn_are_no_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in fake_gpu(tmp_path, "crowded").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("bench.launch.ON_GPU", ("null",))
    running = Running(Sitting(tmp_path), str(tmp_path), Progress(Console(), 2))
    running.run([null_case(id=name, comparison="same", interleave_rounds=1) for name in "ab"])
    first, second = (record.telemetry for record in running.records.values())
    assert first is not None and second is not None
    assert [process.pid for process in first.foreign] == [process.pid for process in second.foreign] == [1]
    assert (first.waiting_workers, second.waiting_workers) == (0, 1)
    assert second.gpu is not None and second.gpu.worker_identified_by == "its process id"
    in_turn, same = (record.telemetry_in_turn for record in running.records.values())
    assert in_turn is not None and in_turn == same and in_turn.gpu is not None
    assert ([process.pid for process in in_turn.foreign], in_turn.waiting_workers) == ([1], 2)
    assert [window.name for window in in_turn.windows] == ["interleave"] and in_turn.trace.times_s == ()


def test_nothing_is_read_where_the_config_says_so(tmp_path: Path) -> None:
    record = run_worker(null_case(telemetry=False), tmp_path / "log", lambda *_: None)
    assert record.failure is None
    assert record.telemetry == Telemetry(absent={"readings": "benchmark_config.telemetry is false"})


def test_readings_come_as_often_as_the_config_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in inject(tmp_path, "infer", "pause").items():
        monkeypatch.setenv(name, value)
    rare, often = (
        run_worker(null_case(telemetry_period_s=period, num_iterations=2), tmp_path / "log", lambda *_: None).telemetry
        for period in (10.0, 0.02)
    )
    assert rare is not None and often is not None and (rare.period_s, often.period_s) == (10.0, 0.02)
    assert rare.readings < 15 < 2 * rare.readings < often.readings


def test_a_run_from_outside_without_a_gpu(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"benchmark_config.num_iterations": [8]})
    with started(config, **inject(tmp_path, "infer", "pause")) as run:
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 0, output
    (path,) = (path for path in only_run(config).glob("*.json") if path.name != "suite.json")
    record = Record.model_validate_json(path.read_text(encoding="utf-8"))
    telemetry = record.telemetry
    assert telemetry is not None and telemetry.failed is None and telemetry.gpu is None
    assert telemetry.absent["gpu"] == "the backend computes on the CPU"
    assert [w.name for w in telemetry.windows if ":" not in w.name] == [phase.name for phase in record.phases]
    measure = telemetry.window()
    assert measure is not None and measure.readings >= 8
    assert {phase.name: phase.seconds for phase in record.phases}["measure"] == pytest.approx(measure.seconds, abs=0.2)
    loop = telemetry.window("measure: latency")
    assert loop is not None and record.latency is not None  # what places batches among the readings
    assert loop.seconds == pytest.approx(sum(record.latency.times_ns) / 1e9, rel=0.05)
    assert measure.worker_cores is not None and measure.worker_cores < 0.5  # it sleeps
    cores = len(os.sched_getaffinity(0))
    assert measure.busy_cores is not None and 0 <= measure.busy_cores <= cores + 0.3
    assert measure.stolen_share is not None and 0 <= measure.stolen_share <= 1
    assert 0 <= measure.fields["load_1min"].max < 1000
    if "cpu_mhz" not in telemetry.absent:
        assert 100 < measure.fields["cpu_mhz"].median < 10_000
    assert 0 < len(telemetry.trace.times_s) <= 200 and telemetry.trace.times_s[-1] < record.seconds + 1


@pytest.mark.parametrize(("do", "kind"), [("hang", "time-out"), ("segfault", "crash")])
def test_a_worker_that_ends_badly_leaves_telemetry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do: str, kind: str
) -> None:
    for name, value in inject(tmp_path, "stage", do).items():
        monkeypatch.setenv(name, value)
    record = run_worker(null_case(phase_timeout_s=2.0), tmp_path / "log", lambda *_: None)
    assert record.failure is not None and record.failure.kind == kind
    assert record.telemetry is not None and record.telemetry.failed is None
    assert record.telemetry.window() is not None and record.telemetry.readings > 3


def test_ctrl_c_keeps_the_telemetry_up_to_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(phase: str, done: int, total: int) -> None:
        if phase == "measure":
            time.sleep(0.5)
            raise KeyboardInterrupt

    for name, value in inject(tmp_path, "infer", "pause").items():
        monkeypatch.setenv(name, value)
    record = run_worker(null_case(), tmp_path / "log", interrupt)
    assert record.failure is not None and record.failure.kind == "interrupted"
    assert record.telemetry is not None and record.telemetry.window() is not None and record.telemetry.readings > 3


def test_ctrl_c_while_the_idle_gpu_is_read_is_a_record_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(observer: Observer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Observer, "settle", interrupt)
    record = run_worker(make_case(), tmp_path / "log", lambda *_: None)
    assert record.failure is not None and record.failure.kind == "interrupted" and record.telemetry is not None
