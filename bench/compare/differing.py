"""What two records of a case differ in besides their times: what may be the reason of a change, in words.

What ran (engines, precisions, fallbacks, how it was called), the machine while it measured (clocks, throttling, power,
what else it did), and the versions beneath. Each line says both sides; what one side does not know is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bench.conversion import Conversion
from bench.history.series import covariates
from bench.record import Record
from bench.report.words import clipped, counted, listed, percent, size
from bench.telemetry import EVENT_REASONS, NO_THROTTLING, Telemetry, Window

SM_CLOCK = "sm_clock_mhz"
CLOCK = 0.01  # a share: clocks come in steps of 15 MHz
POWER, TEMPERATURE_C, SHARE, CORES = 0.10, 5.0, 0.01, 0.5  # below these, two runs differ in nothing
MOST_KINDS = 3
LONGEST_VALUE = 60


def what_ran(old: Record, new: Record) -> list[str]:
    """Another session than the backend's, engines, their precision, fallbacks, what stayed in TensorFlow, the call."""
    return [
        *_wrapper(old, new),
        *_conversions(old.conversion, new.conversion),
        *_calls(old, new),
        *_engines_at_work(old, new),
    ]


def machine(old: Record, new: Record, leave_out: str = "") -> list[str]:
    """Clocks, throttling, power, temperature, other processes and the host while it measured; without one field."""
    before, now = _measured(old.telemetry), _measured(new.telemetry)
    if before is None or now is None:
        return []
    return [*_clocks(before, now, leave_out), *_throttling(before, now), *_host(before, now), *_strangers(old, new)]


def versions(old: Record, new: Record) -> list[str]:
    """Driver, CUDA, TensorRT, TensorFlow, other packages, variables, and what only the loaded libraries know."""
    sides = [
        {**covariates(record.environment), **({} if record.environment is None else _details(record))}
        for record in (old, new)
    ]
    if not sides[0] or not sides[1]:
        return []
    return [*_differences(*sides)]


def _details(record: Record) -> dict[str, str]:
    assert record.environment is not None
    return {name: str(value) for name, value in record.environment.details.items() if isinstance(value, str | int)}


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            sides = (clipped(side.get(name, "none"), LONGEST_VALUE) for side in (old, new))
            yield f"{name} {' -> '.join(sides)}"


def _conversions(old: Conversion | None, new: Conversion | None) -> Iterator[str]:
    if old is None or new is None:
        return
    if (new.native_executions or 0) != (old.native_executions or 0):
        yield f"engine executions that fell back to TensorFlow {old.native_executions} -> {new.native_executions}"
    yield from _numbers(old, new)
    precisions = [listed(_precisions(each)) for each in (old, new)]
    if precisions[0] != precisions[1] and all(precisions):
        yield f"engines by precision: {' -> '.join(precisions)}"
    yield from _left_out(old, new)
    if old.calibration_table_sha256 != new.calibration_table_sha256:
        yield "another calibration table"
    elif old.calibration_sha256 != new.calibration_sha256:
        yield "calibrated on other images"


def _numbers(old: Conversion, new: Conversion) -> Iterator[str]:
    if old.converter != new.converter:
        yield f"{old.converter} -> {new.converter}"
    if old.engines != new.engines:
        yield f"engines {old.engines} -> {new.engines}"
    if _differ(old.share_converted, new.share_converted, lambda a, b: a != b):
        yield f"nodes converted {percent(old.share_converted or 0)} -> {percent(new.share_converted or 0)}"
    if _differ(old.nodes_before, new.nodes_before, lambda a, b: a != b):
        yield f"the model itself: {old.nodes_before} -> {new.nodes_before} nodes before conversion"
    if _differ(old.bytes_after, new.bytes_after, lambda a, b: abs(b - a) > SHARE * a):
        yield f"size of what is loaded {size(old.bytes_after or 0)} -> {size(new.bytes_after or 0)}"


def _precisions(conversion: Conversion) -> dict[str, int]:
    found: dict[str, int] = {}
    for engine in conversion.engine_list:
        found[engine.precision] = found.get(engine.precision, 0) + 1
    return dict(sorted(found.items()))


def _left_out(old: Conversion, new: Conversion) -> Iterator[str]:
    sides: list[dict[str, int]] = []
    for each in (old, new):
        counts: dict[str, int] = {}
        for left in each.left_out:
            counts[left.op] = counts.get(left.op, 0) + left.count
        sides.append(counts)
    more = {op: count - sides[0].get(op, 0) for op, count in sides[1].items() if count > sides[0].get(op, 0)}
    fewer = {op: count - sides[1].get(op, 0) for op, count in sides[0].items() if count > sides[1].get(op, 0)}
    for counts, words in ((more, "now left to TensorFlow"), (fewer, "no longer left to TensorFlow")):
        if counts:
            yield f"{words}: {listed(dict(sorted(counts.items(), key=lambda item: -item[1])), MOST_KINDS)}"


def _wrapper(old: Record, new: Record) -> Iterator[str]:
    sides = [each.case.wrap_session or "none" for each in (old, new)]
    if sides[0] != sides[1]:
        yield f"session wrapped by {' -> '.join(sides)}"


def _calls(old: Record, new: Record) -> Iterator[str]:
    if old.call is not None and new.call is not None and old.call.kind != new.call.kind:
        yield f"called {old.call.kind} -> {new.call.kind}"


def _engines_at_work(old: Record, new: Record) -> Iterator[str]:
    before, now = old.profile, new.profile
    if before is None or now is None:
        return
    for name in dict.fromkeys((*before.precision_shares, *now.precision_shares)):
        shares = [each.precision_shares.get(name, 0.0) for each in (before, now)]
        if abs(shares[1] - shares[0]) > SHARE:
            words = "of unknown precision" if name == "other" else f"in {name}"
            yield f"kernels' time {words} {percent(shares[0])} -> {percent(shares[1])}"
    if _differ(before.trt_share, now.trt_share, lambda a, b: abs(b - a) > SHARE):
        yield f"kernels' time in TensorRT {percent(before.trt_share or 0)} -> {percent(now.trt_share or 0)}"
    if _differ(before.tensor_core_share, now.tensor_core_share, lambda a, b: abs(b - a) > SHARE):
        shares = [each.tensor_core_share or 0 for each in (before, now)]
        yield f"kernels' time on Tensor Cores {percent(shares[0])} -> {percent(shares[1])}"


def _measured(telemetry: Telemetry | None) -> Window | None:
    return telemetry.window() if telemetry is not None else None


def _clocks(old: Window, new: Window, leave_out: str) -> Iterator[str]:
    for field, words in ((SM_CLOCK, "the GPU's clock"), ("memory_clock_mhz", "its memory's clock")):
        before, now = old.fields.get(field), new.fields.get(field)
        if field == leave_out or before is None or now is None:
            continue
        if abs(now.median - before.median) > CLOCK * before.median > 0:
            change = 100 * (now.median / before.median - 1)
            slower = 100 * (before.median / now.median - 1) if now.median else 0.0
            explains = f": work that follows it takes {slower:+.1f} %" if now.median else ""
            yield f"{words} {before.median:.0f} -> {now.median:.0f} MHz ({change:+.1f} %){explains}"
    before, now = old.fields.get("power_w"), new.fields.get("power_w")
    if before is not None and now is not None and abs(now.median - before.median) > POWER * before.median:
        yield f"power {before.median:.0f} -> {now.median:.0f} W"
    before, now = old.fields.get("temperature_c"), new.fields.get("temperature_c")
    if before is not None and now is not None and abs(now.median - before.median) > TEMPERATURE_C:
        yield f"temperature {before.median:.0f} -> {now.median:.0f} °C"


def _throttling(old: Window, new: Window) -> Iterator[str]:
    for reason in EVENT_REASONS.values():
        shares = [each.event_reasons.get(reason, 0.0) for each in (old, new)]
        if reason not in NO_THROTTLING and abs(shares[1] - shares[0]) > SHARE:
            yield f"throttled by {reason} for {percent(shares[0])} -> {percent(shares[1])} of the measured time"
    for name, spent in (("power", "power_violation_ns"), ("thermal", "thermal_violation_ns")):
        sides = [(getattr(each, spent) or 0) / 1e9 / each.seconds if each.seconds else 0.0 for each in (old, new)]
        if abs(sides[1] - sides[0]) > SHARE:
            yield f"clocks held down by the {name} limit for {percent(sides[0])} -> {percent(sides[1])} of the time"


def _host(old: Window, new: Window) -> Iterator[str]:
    if _differ(old.stolen_share, new.stolen_share, lambda a, b: abs(b - a) > SHARE):
        taken = [percent(each.stolen_share or 0) for each in (old, new)]
        yield f"the hypervisor took {taken[0]} -> {taken[1]} of the CPU time"
    others = [_others_cores(each) for each in (old, new)]
    if _differ(others[0], others[1], lambda a, b: abs(b - a) > CORES):
        yield f"cores kept busy by other processes {others[0]:.1f} -> {others[1]:.1f}"
    before, now = old.fields.get("cpu_mhz"), new.fields.get("cpu_mhz")
    if before is not None and now is not None and abs(now.median - before.median) > POWER * before.median:
        yield f"the CPU's clock {before.median:.0f} -> {now.median:.0f} MHz"


def _others_cores(window: Window) -> float | None:
    if window.busy_cores is None or window.worker_cores is None:
        return None
    return max(0.0, window.busy_cores - window.worker_cores)


def _strangers(old: Record, new: Record) -> Iterator[str]:
    counts = [
        0 if each.telemetry is None else sum(process.while_measuring for process in each.telemetry.foreign)
        for each in (old, new)
    ]
    if counts[0] != counts[1]:
        yield f"other processes on the GPU: {counts[0]} -> {counted(counts[1], 'process', 'processes')}"


def _differ(old: float | None, new: float | None, by: Callable[[float, float], bool]) -> bool:
    """Whether both are known and differ by more than noise does."""
    return old is not None and new is not None and by(old, new)
