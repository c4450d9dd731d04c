"""The CPU, from /proc and /sys: how busy, how much of it was stolen, how fast, and what the worker had of it."""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# Of a cpu line in /proc/stat (proc(5)): user nice system idle iowait irq softirq steal; guests are in user and nice.
IDLE, IOWAIT, STEAL, COUNTED = 3, 4, 7, 8
CPUINFO_EVERY = 10  # slow readings: with many cores it takes the kernel milliseconds to make that file
# Of /proc/PID/stat (proc(5)), counted from what follows the name in parentheses.
USER_TICKS, SYSTEM_TICKS, LAST_CORE = 11, 12, 36


@dataclass
class Cpu:
    """Reads the cores that a worker may use, and the worker."""

    cores: Set[int]
    root: Path = Path("/")  # of proc and sys
    worker: int | None = None
    core: int | None = None  # that the worker's main thread was last on
    refused: dict[str, str] = field(default_factory=dict)
    _asked: int = 0  # how often for a clock that /proc/cpuinfo has to tell

    def values(self) -> dict[str, Any]:
        """Fields of a Reading that are read every time: they cost some microseconds."""
        if self.worker is None:
            return {}
        try:
            text = (self.root / f"proc/{self.worker}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has ended
            return {}
        numbers = text.rpartition(")")[2].split()
        self.core = int(numbers[LAST_CORE])
        return {"worker_cpu_s": round((int(numbers[USER_TICKS]) + int(numbers[SYSTEM_TICKS])) * TICK_S, 2)}

    def slow_values(self) -> dict[str, Any]:
        """Fields that are read less often: with many cores the kernel takes a while to make these files."""
        return {**self._times(), "load_1min": self._load(), "cpu_mhz": self._mhz()}

    def _times(self) -> dict[str, float]:
        try:
            lines = (self.root / "proc/stat").read_text(encoding="utf-8").splitlines()
        except OSError as error:
            self.refused.update(dict.fromkeys(("cpu_busy_s", "cpu_steal_s", "cpu_total_s"), _reason(error)))
            return {}
        busy = steal = total = 0
        for line in lines:
            name, *numbers = line.split()
            if not name.startswith("cpu"):
                break
            if name == "cpu" or int(name[3:]) not in self.cores:
                continue
            ticks = [int(number) for number in numbers[:COUNTED]]
            total += sum(ticks)
            steal += ticks[STEAL]
            busy += sum(ticks) - ticks[IDLE] - ticks[IOWAIT] - ticks[STEAL]
        return {
            "cpu_busy_s": round(busy * TICK_S, 2),
            "cpu_steal_s": round(steal * TICK_S, 2),
            "cpu_total_s": round(total * TICK_S, 2),
        }

    def _load(self) -> float | None:
        try:
            return float((self.root / "proc/loadavg").read_text(encoding="utf-8").split()[0])
        except OSError as error:
            self.refused["load_1min"] = _reason(error)
            return None

    def _mhz(self) -> float | None:
        """Of the worker's core: cpufreq's figure, else, seldom, /proc/cpuinfo's."""
        if self.core is None:
            return None
        try:
            path = self.root / f"sys/devices/system/cpu/cpu{self.core}/cpufreq/scaling_cur_freq"
            return int(path.read_text(encoding="ascii")) / 1000
        except (OSError, ValueError):
            self._asked += 1
            return self._mhz_of_cpuinfo(self.core) if self._asked % CPUINFO_EVERY == 1 else None

    def _mhz_of_cpuinfo(self, core: int) -> float | None:
        try:
            text = (self.root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            self.refused["cpu_mhz"] = _reason(error)
            return None
        for block in text.split("\n\n"):
            pairs = dict(line.split(":", 1) for line in block.splitlines() if ":" in line)
            known = {name.strip(): value.strip() for name, value in pairs.items()}
            if known.get("processor") == str(core) and "cpu MHz" in known:
                return float(known["cpu MHz"])
        self.refused["cpu_mhz"] = "neither cpufreq nor /proc/cpuinfo tells it"
        return None

    def mhz_source(self) -> str:
        """Where cpu_mhz comes from; in a virtual machine the second is the nominal figure and never changes."""
        path = self.root / f"sys/devices/system/cpu/cpu{min(self.cores)}/cpufreq/scaling_cur_freq"
        return "cpufreq" if path.exists() else "/proc/cpuinfo"


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}"
