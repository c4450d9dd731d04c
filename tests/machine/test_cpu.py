"""What is read of the CPU, of a machine with known numbers and of this one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.machine.cpu import TICK_S, Cpu


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /proc and /sys with known numbers."""
    files = {
        "proc/stat": "cpu  9 9 9 9 9 9 9 9 0 0\n"
        "cpu0 100 10 50 800 40 5 5 20 70 0\ncpu1 200 0 0 700 0 0 0 30 0 0\ncpu2 1 1 1 1 1 1 1 1 0 0\nintr 1 2 3\n",
        "proc/loadavg": "1.25 0.9 0.8 2/102 29118\n",
        "proc/77/stat": "77 (a) name) S " + " ".join(["1"] * 10) + " 150 50 " + " ".join(["1"] * 23) + " 1 0\n",
        "proc/cpuinfo": "processor\t: 0\ncpu MHz\t\t: 1000.5\n\nprocessor\t: 1\ncpu MHz\t\t: 2000.25\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_the_cpu_of_a_known_machine(machine: Path) -> None:
    cpu = Cpu({0, 1}, machine, worker=77)
    assert cpu.values() == {"worker_cpu_s": 200 * TICK_S} and cpu.core == 1
    assert cpu.slow_values() == {
        "cpu_busy_s": 370 * TICK_S, "cpu_steal_s": 50 * TICK_S, "cpu_total_s": 1960 * TICK_S,
        "load_1min": 1.25, "cpu_mhz": 2000.25,
    }  # fmt: skip
    assert cpu.refused == {} and cpu.mhz_source() == "/proc/cpuinfo"
    frequency = machine / "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq"
    frequency.parent.mkdir(parents=True)
    frequency.write_text("3456000\n", encoding="ascii")
    assert cpu.slow_values()["cpu_mhz"] == 3456 and Cpu({1}, machine).mhz_source() == "cpufreq"


def test_what_the_system_does_not_tell_of_the_cpu_has_a_reason(tmp_path: Path) -> None:
    cpu = Cpu({0}, tmp_path, worker=77, core=0)
    assert cpu.values() == {}
    assert set(cpu.slow_values().values()) == {None}
    assert set(cpu.refused) == {"cpu_busy_s", "cpu_steal_s", "cpu_total_s", "load_1min", "cpu_mhz"}
    assert all(reason.endswith("No such file or directory") for reason in cpu.refused.values())


def test_the_cpu_of_this_machine_and_of_this_process() -> None:
    cpu = Cpu(os.sched_getaffinity(0), worker=os.getpid())
    before = cpu.values()["worker_cpu_s"]
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert 0.08 <= cpu.values()["worker_cpu_s"] - before < 1
    assert cpu.core in os.sched_getaffinity(0)
    times = cpu.slow_values()
    assert 0 <= times["cpu_steal_s"] <= times["cpu_total_s"] and 0 < times["cpu_busy_s"] < times["cpu_total_s"]
