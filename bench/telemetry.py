"""What is kept of the machine while it measured: summaries, a thinned trace, energy, and what speaks against it.

The readings are the sampler's (sampler.py); bench/machine joins them with a case's phases. Times are in seconds since
the worker's start.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field

from bench.part import Part

ClockPolicy = Literal["locked", "application", "floating", "unknown"]

# NVML's bits (nvml.h, nvmlClocksEventReason...; the last two under their older name, nvmlClocksThrottleReason...).
EVENT_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
NO_THROTTLING = ("gpu_idle", "applications_clocks_setting", "display_clock_setting")
SEVERE = ("hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")

# Bounds of problems(); docs/telemetry.md says why these.
THROTTLED_SHARE = 0.05  # of the measured time, for reasons that are not severe
HEATED_SHARE = 0.001  # of the measured time, by the thermal violation counter
STOLEN_SHARE = 0.01  # of the CPU time that was asked for
STOLEN_S = 0.05  # five ticks of the kernel's clock: less is not told from rounding
CPU_CLOCK_RATIO = 0.75  # least to greatest
BUSY_CORES = 0.9  # of the worker; a core that waits may clock down
CLOCK_STEP = 0.02  # of a clock: they come in steps of 15 MHz, and the driver takes the nearest
MEASURED, IN_TURN = "measure", "interleave"  # phases that are judged


class Summary(Part):
    """A field's readings in one phase."""

    min: float
    median: float
    max: float
    n: int


class Window(Part):
    """A phase, or a loop in it, and what was read meanwhile. Keys of `fields`: see docs/telemetry.md."""

    name: str
    begin_s: float
    end_s: float
    readings: int
    fields: dict[str, Summary] = {}
    event_reasons: dict[str, float] = {}  # share of the readings that knew the reasons
    throttled: float | None = None  # share of them with any reason that is not in NO_THROTTLING
    power_violation_ns: int | None = None  # in which the power limit held clocks down; from counters, as are the next
    thermal_violation_ns: int | None = None
    energy_j: float | None = None  # of the whole GPU
    worker_cpu_s: float | None = None  # user and system time of the worker's process
    worker_cores: float | None = None  # how many it kept busy
    busy_cores: float | None = None  # of the usable ones, by all processes
    stolen_s: float | None = None  # by the hypervisor, all usable cores together
    stolen_share: float | None = None  # of the CPU time that was asked for: busy and stolen

    @property
    def seconds(self) -> float:
        return self.end_s - self.begin_s


class Energy(Part):
    """The GPU's energy in one timed loop, or why it is not known."""

    loop: str
    seconds: float
    mean_power_w: float | None = None
    joules_per_image: float | None = None  # mean power times the loop's time for an image
    net_joules_per_image: float | None = None  # the same, less the idle GPU's power
    error_share: float | None = None  # of the mean power: one update of the counter over the window
    absent: str | None = None  # why neither is known
    net_absent: str | None = None


class ForeignProcess(Part):
    """A process on the GPU that is not the worker's."""

    pid: int  # as the driver counts, in a container maybe the host's
    name: str = ""
    bytes: int | None = None  # of GPU memory, the most that was seen
    first_s: float
    last_s: float
    while_measuring: bool


class ClockLock(Part):
    """The lock of the GPU's clocks that a config asked for."""

    asked_mhz: tuple[int, int] | None  # lowest, highest; None: the base clock
    refused: str | None = None  # why there is none

    def where(self) -> str:
        """Which clocks were asked for."""
        return "at the base clock" if self.asked_mhz is None else "at {} to {} MHz".format(*self.asked_mhz)

    def differs(self, clocks: Summary | None) -> bool:
        """Whether half of a GPU's readings or more are of another clock than was asked for."""
        if self.refused is not None or self.asked_mhz is None or clocks is None:
            return False
        low, high = self.asked_mhz
        return not low * (1 - CLOCK_STEP) <= clocks.median <= high * (1 + CLOCK_STEP)


class GpuState(Part):
    """The GPU that was read, and what does not change while a case runs."""

    index: int | None  # NVML's, in the order of PCI addresses; None: a MIG instance
    chosen_by: str
    name: str | None = None
    uuid: str | None = None
    power_limit_w: float | None = None
    max_sm_clock_mhz: float | None = None
    max_memory_clock_mhz: float | None = None
    boost_sm_clock_mhz: float | None = None  # the greatest that this board allows
    application_sm_clock_mhz: float | None = None
    default_sm_clock_mhz: float | None = None  # application clock unless someone sets another
    clock_policy: ClockPolicy = "unknown"
    clock_policy_reason: str = ""
    idle_power_w: float | None = None  # median of the readings before the worker began
    idle_s: float = 0.0
    worker_identified_by: str | None = None


class Trace(Part):
    """Readings over the run, thinned: at most half the points within warm-up and measure, half elsewhere."""

    times_s: tuple[float, ...] = ()
    columns: dict[str, tuple[float | None, ...]] = {}


class Telemetry(Part):
    """The machine while a case ran."""

    failed: str | None = None  # why there is none, or why it ends early
    period_s: float | None = None
    readings: int = 0
    sampler_cpu_share: float | None = None  # of one core, used by the reading process
    gpu: GpuState | None = None
    windows: tuple[Window, ...] = ()  # phases, in order, and the timed loops of "measure" as "measure: latency", ...
    energy: tuple[Energy, ...] = ()
    foreign: tuple[ForeignProcess, ...] = ()
    waiting_workers: int = 0  # of the same run on the GPU at once, alive but idle: the most that were seen
    clock_lock: ClockLock | None = None
    trace: Trace = Field(default_factory=Trace)
    cpu_mhz_source: str | None = None  # "/proc/cpuinfo" in a virtual machine: a nominal figure
    absent: dict[str, str] = {}  # fields that are not known at all or not always, and why

    def sm_clock_mhz(self) -> tuple[float, float] | None:
        """The least and the greatest while it was measured, if the GPU's clock was read."""
        measured = self.window()
        clock = measured.fields.get("sm_clock_mhz") if measured else None
        return (clock.min, clock.max) if clock else None

    def window(self, name: str = MEASURED) -> Window | None:
        """The phase of this name, if it was reached."""
        return next((window for window in self.windows if window.name == name), None)

    def foreign_in(self, names: Collection[str]) -> tuple[ForeignProcess, ...]:
        """Other processes that were on the GPU during any phase of these names."""
        spans = [window for window in self.windows if window.name in names]
        return tuple(
            process
            for process in self.foreign
            if any(process.first_s <= span.end_s and span.begin_s <= process.last_s for span in spans)
        )


def reasons_of(mask: int) -> tuple[str, ...]:
    """The names of NVML's bits."""
    return tuple(name for bit, name in EVENT_REASONS.items() if mask & bit)


def problems(telemetry: Telemetry | None) -> tuple[str, ...]:
    """What the machine did while it measured that makes its figures doubtful; nothing where nothing is known."""
    measured = telemetry.window() or telemetry.window(IN_TURN) if telemetry is not None else None
    if telemetry is None or measured is None:
        return ()
    return (*_throttling(measured), *_violations(measured), *_strangers(telemetry), *_stolen(measured),
            *_cpu_clock(measured))  # fmt: skip


def _throttling(measured: Window) -> list[str]:
    found = []
    for name, share in measured.event_reasons.items():
        bound = 0.0 if name in SEVERE else THROTTLED_SHARE
        if name not in NO_THROTTLING and share > bound:
            found.append(f"throttled: {name} for {share:.0%} of the measured time")
    return found


def _violations(measured: Window) -> list[str]:
    """The counters see what falls between two readings."""
    counters = (
        ("power", "sw_power_cap", measured.power_violation_ns, THROTTLED_SHARE),
        ("thermal", "thermal_slowdown", measured.thermal_violation_ns, HEATED_SHARE),
    )
    found = []
    for name, reason, spent_ns, bound in counters:
        share = (spent_ns or 0) / 1e9 / measured.seconds if measured.seconds else 0.0
        known = any(reason in told and amount > bound for told, amount in measured.event_reasons.items())
        if share > bound and not known:
            found.append(f"throttled: the {name} violation counter grew by {share:.1%} of the measured time")
    return found


def _strangers(telemetry: Telemetry) -> list[str]:
    return [
        f"another process on the GPU: pid {process.pid}{f' ({process.name})' if process.name else ''}"
        + (f", {process.bytes / 2**20:.0f} MiB" if process.bytes is not None else "")
        for process in telemetry.foreign
        if process.while_measuring
    ]


def _stolen(measured: Window) -> list[str]:
    share, seconds = measured.stolen_share, measured.stolen_s
    if share is None or seconds is None or share <= STOLEN_SHARE or seconds < STOLEN_S:
        return []
    return [f"the hypervisor took {share:.1%} of the CPU time that was asked for (bound: {STOLEN_SHARE:.0%})"]


def _cpu_clock(measured: Window) -> list[str]:
    clock, cores = measured.fields.get("cpu_mhz"), measured.worker_cores
    if clock is None or cores is None or cores < BUSY_CORES or clock.min >= CPU_CLOCK_RATIO * clock.max:
        return []
    return [f"the busy core's clock went from {clock.min:.0f} to {clock.max:.0f} MHz (bound: {CPU_CLOCK_RATIO:.0%})"]
