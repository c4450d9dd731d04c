"""python -m tests.killed [KILLS [SEED]]: kill a run's processes with SIGKILL at random moments, and go on with it.

After every kill each later command must work and read nothing but what was whole; at the end the run is gone on with
until it is whole. CI kills a few times (test_killed.py), this more often: 100 times, unless it is told otherwise.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.record import read_record
from bench.store import load_records, read_suite
from tests.configs import ROOT, Outcome, bench, write_config

MODES = ("native", "FP16")
CHANGES = {"benchmark_config.interleave_rounds": 2, "benchmark_config.telemetry": False}


@dataclass
class Seen:
    """What the kills came upon."""

    kills: int = 0
    runs: int = 0  # begun and gone on with until they were whole
    sittings: int = 0  # of these runs
    stages: Counter[str] = field(default_factory=Counter)  # where a kill found the run

    def __str__(self) -> str:
        stages = ", ".join(f"{count} {stage}" for stage, count in sorted(self.stages.items()))
        return f"{self.kills} kills in {self.runs} runs of {self.sittings} sittings: {stages}"


def kill_at_random(kills: int, seed: int, batch_sizes: Sequence[int]) -> Seen:
    """In the working directory; raises AssertionError where anything that must hold does not."""
    matrix = {"benchmark_config.batch_size": list(batch_sizes), "optimization_config.precision_mode": list(MODES)}
    write_config({**CHANGES, "matrix": matrix})
    lot, seen = random.Random(seed), Seen()
    began = time.monotonic()
    assert _started().wait() == 0
    length = time.monotonic() - began
    baseline = newest()
    assert baseline is not None
    while seen.kills < kills:
        run = newest()
        goes_on = run is not None and run != baseline and not _is_whole(run)
        process = _started(*(("--resume", "latest") if goes_on else ()))
        time.sleep(lot.uniform(0, length))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen.kills += 1
        _check(baseline, seen)
    run = newest()
    if run is not None and not _is_whole(run):
        outcome = bench("test", "test.json", "--resume", "latest")
        assert outcome.exit_code == 0, outcome
        assert "Verdict: passed" in outcome.stdout
        assert _is_whole(run) and read_suite(run)["verdict"] == "passed"
        assert _pictures(run) == _pictures(baseline)
    whole = [each for each in _runs() if each != baseline]
    assert all(map(_is_whole, whole))
    seen.runs, seen.sittings = len(whole), sum(len(read_suite(each)["sittings"]) for each in whole)
    return seen


def newest() -> Path | None:
    """The newest run that has begun."""
    return max(_runs(), default=None)


def _runs() -> list[Path]:
    return [file.parent for file in Path("results/test").glob("*/suite.json")]


def _started(*arguments: str) -> subprocess.Popen[bytes]:
    """The main job in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.test", "test.json", *arguments],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _pictures(run: Path) -> set[str]:
    """All but those of turns, which cases of several sittings did not take together."""
    return {file.name for file in run.glob("plots/*.png") if not file.name.startswith("speedup-rounds")}


def _is_whole(run: Path) -> bool:
    return sum(record.is_whole for record in load_records(run)) == len(read_suite(run)["planned"])


def _check(baseline: Path, seen: Seen) -> None:
    """Nothing half written is read, and every command that reads works."""
    for file in Path("results").rglob("*.json"):
        if not file.name.startswith("."):
            json.loads(file.read_bytes())
            if file.name != "suite.json":
                record = read_record(file.read_text("utf-8"), str(file))
                assert record.failure is None, f"{file}: {record.failure}"
    run = newest()
    assert run is not None
    if run == baseline:
        seen.stages["before the run had begun"] += 1
        return
    known = sum(record.is_whole for record in load_records(run))
    seen.stages["with all cases measured" if _is_whole(run) else f"with {known} cases measured"] += 1
    _worked(bench("report", str(run), str(baseline)), 0)
    _worked(bench("compare", str(baseline), str(run)), 0, 1, 3, 4)
    _worked(bench("history", "show"), 0)


def _worked(outcome: Outcome, *codes: int) -> None:
    assert outcome.exit_code in codes and outcome.stderr == "", outcome


def main() -> None:
    """Run as a program."""
    kills, seed = (int(sys.argv[1]) if len(sys.argv) > 1 else 100), (int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    began = time.monotonic()
    os.environ["PYTHONPATH"] = str(ROOT)  # of workers
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print(kill_at_random(kills, seed, (1, 2)), f"({time.monotonic() - began:.0f} s)")
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
