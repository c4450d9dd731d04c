"""A slow-down of 3 % that is put there on purpose: whole runs, from the command to the exit code.

Pipelined blocks do not gate here: they last half a second, in which whatever else the machine does counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.backends.base import Arrays
from bench.backends.null import NullSession
from tests import slowed
from tests.configs import ROOT, Outcome, bench, write_config

RULE = {"relative": 0.015}
CHANGES: dict[str, Any] = {
    "name": "steady",
    "benchmark_config.num_iterations": 30,
    "benchmark_config.telemetry": False,
    "benchmark_config.wrap_session": "tests.slowed:steady",
    "compare_config": {
        "rules": {"median_latency_ms": RULE, "compute_ms": RULE, "throughput_fps": {"gate": False}},
        "confirm_processes": 2,
    },
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test(*arguments: str) -> Outcome:
    return bench("test", write_config(CHANGES), *arguments)


test.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.alone
def test_a_suite_run_twice_is_green_and_red_with_a_session_that_waits_3_percent() -> None:
    assert test().exit_code == 0
    again = test("--baseline", "latest")
    assert again.exit_code == 0, again.stdout
    waiting = test("--baseline", "latest", "--set", "benchmark_config.wrap_session=tests.slowed:steady_slowed")
    assert waiting.exit_code == 1, waiting.stdout
    assert "Verdict of the comparison: regressed" in waiting.stdout
    assert "stages: compute +0." in waiting.stdout, waiting.stdout
    assert "session wrapped by tests.slowed:steady -> tests.slowed:steady_slowed" in waiting.stdout
    *_, run = sorted(Path("results/steady").iterdir())
    suite = json.loads((run / "suite.json").read_text(encoding="utf-8"))
    assert {each["metric"] for each in suite["flagged"]} == {"median_latency_ms", "compute_ms"}
    for each in suite["again"]:
        assert each["settled"] == "confirmed" and each["second"] != each["first"]
    assert len(list((run / "again").glob("resnet50*.json"))) == 2


class Clock:
    """Goes on by a microsecond whenever it is asked, and by as much as is said."""

    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


class Ticking(NullSession):
    """An inference takes 5 ms by a clock; of those in flight the last wait tells."""

    def __init__(self, clock: Clock) -> None:
        super().__init__({})
        self._clock = clock

    def infer(self, batch: Arrays) -> Arrays:
        self._clock.now += 0.005
        return super().infer(batch)

    def launch(self, staged: Arrays) -> Arrays:
        return self.infer(staged)


@pytest.mark.parametrize("launches", [1, 8])
def test_waiting_is_3_percent_of_what_inferences_take(monkeypatch: pytest.MonkeyPatch, launches: int) -> None:
    clock = Clock()
    monkeypatch.setattr(slowed, "perf_counter", clock)
    session = slowed.by_3_percent(Ticking(clock))
    for _ in range(3):
        began = clock.now
        for _ in range(launches):
            session.launch({})
        session.wait({})
        assert clock.now - began == pytest.approx(1.03 * 0.005 * launches, rel=0.001)
        began = clock.now
        session.infer({})
        assert clock.now - began == pytest.approx(1.03 * 0.005, rel=0.001)


@pytest.mark.parametrize(
    ("wrapper", "told"),
    [
        ("nowhere:f", "'nowhere:f': nowhere cannot be imported"),
        ("tests.slowed:by_9", "tests.slowed:by_9"),
        ("tests.slowed", "tests.slowed"),
    ],
)
def test_a_wrapper_that_is_not_there_is_told_before_anything_runs(wrapper: str, told: str) -> None:
    outcome = bench("test", write_config({"benchmark_config.wrap_session": wrapper}))
    assert outcome.exit_code == 2 and "benchmark_config.wrap_session" in outcome.stderr and told in outcome.stderr
    assert not Path("results").exists()


def test_a_wrapped_session_is_shown(tmp_path: Path) -> None:
    outcome = bench("test", write_config({"name": "n", "benchmark_config.wrap_session": "tests.slowed:by_3_percent"}))
    assert outcome.exit_code == 0
    (run,) = Path("results/n").iterdir()
    assert "tests.slowed:by_3_percent" in (run / "comparison.html").read_text(encoding="utf-8")


WRONG = """
class Raises:
    conversion = call = None
    on_device = False

    def infer(self, batch):
        raise ValueError("no such luck")

    stage = launch = wait = fetch = prove = infer

    def peak_gpu_bytes(self):
        return None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


def raises(session):
    raise ValueError("no such luck")


def gives_none(session):
    return None


def raises_later(session):
    return Raises()
"""


@pytest.mark.parametrize(
    ("function", "code", "told"),
    [
        ("raises", 2, "benchmark_config.wrap_session: 'wrong:raises' raised ValueError: no such luck"),
        ("gives_none", 2, "benchmark_config.wrap_session: 'wrong:gives_none' gave no session but NoneType, without"),
        ("raises_later", 4, "no such luck, within 'wrong:raises_later' of benchmark_config.wrap_session"),
    ],
)
def test_a_wrapper_that_fails_at_run_time_is_named(function: str, code: int, told: str) -> None:
    Path("wrong.py").write_text(WRONG, encoding="utf-8")
    outcome = bench("test", write_config({"name": "n", "benchmark_config.wrap_session": f"wrong:{function}"}))
    assert outcome.exit_code == code, outcome
    (file,) = Path("results/n").glob("*/resnet50*.json")
    assert told in json.loads(file.read_text(encoding="utf-8"))["failure"]["message"]
    assert code != 2 or told in outcome.stderr
