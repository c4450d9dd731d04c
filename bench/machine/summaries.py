"""A case's readings joined with its phases by time: what the record keeps. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

from bench.machine.clocks import policy
from bench.machine.energy import energies
from bench.machine.reading import Reading, Sampled
from bench.machine.timeline import EDGE_NS, MEASURED, Span, change
from bench.telemetry import (
    IN_TURN,
    NO_THROTTLING,
    ClockLock,
    ForeignProcess,
    GpuState,
    Summary,
    Telemetry,
    Trace,
    Window,
    reasons_of,
)

Item = TypeVar("Item")

LEVELS = (
    "sm_clock_mhz", "memory_clock_mhz", "power_w", "temperature_c", "utilization_pct", "memory_used_bytes",
    "worker_memory_bytes", "cpu_mhz", "load_1min",
)  # fmt: skip
TRACE_POINTS = 200
TRACED_CLOSELY = ("warm-up", MEASURED)
IDLE_LEAST_S = 0.5
RATE_NS = 50_000_000


def summarize(
    sampled: Sampled,
    spans: Sequence[Span],
    worker_ns: int,
    parts: Mapping[str, Any],
    lock: ClockLock | None = None,
) -> Telemetry:
    """All that is kept; `parts` are the record's, for the times of its loops. Without readings, what was refused."""
    readings = sampled.readings
    spans = sorted(spans, key=lambda span: (span.begin_ns, -span.end_ns))
    gpu = _gpu(sampled, worker_ns, lock)
    return Telemetry(
        failed=sampled.failed,
        period_s=sampled.facts.get("period_s"),
        readings=len(readings),
        sampler_cpu_share=_sampler_share(sampled),
        gpu=gpu,
        windows=tuple(_window(span, readings, worker_ns) for span in spans),
        energy=energies(sampled, spans, parts, gpu.idle_power_w) if gpu is not None else (),
        foreign=_foreign(readings, spans, worker_ns),
        waiting_workers=sampled.facts.get("waiting_workers", 0),
        clock_lock=lock,
        trace=trace(readings, spans, worker_ns),
        cpu_mhz_source=sampled.facts.get("mhz_source"),
        absent=_absent(sampled),
    )


def summary(values: Sequence[float]) -> Summary | None:
    """None of no values."""
    if not values:
        return None
    return Summary(min=min(values), median=median(values), max=max(values), n=len(values))


def thin(items: Sequence[Item], limit: int) -> list[Item]:
    """At most `limit` of the items, in their order, evenly spread, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    last = len(items) - 1
    return [items[i * last // (limit - 1)] for i in range(limit)]


def _sampler_share(sampled: Sampled) -> float | None:
    if sampled.cpu_s is None or len(sampled.readings) < 2:
        return None
    seconds = (sampled.readings[-1].time_ns - sampled.readings[0].time_ns) / 1e9
    return round(sampled.cpu_s / seconds, 4) if seconds else None


def _gpu(sampled: Sampled, worker_ns: int, lock: ClockLock | None) -> GpuState | None:
    facts = sampled.facts.get("gpu")
    if facts is None:
        return None
    idle = [r for r in sampled.readings if r.time_ns <= worker_ns]
    seconds = (idle[-1].time_ns - idle[0].time_ns) / 1e9 if idle else 0.0
    powers = [r.power_w for r in idle if r.power_w is not None]
    held, reason = policy(facts, sampled.readings, lock)
    return GpuState(
        **facts,
        clock_policy=held,
        clock_policy_reason=reason,
        idle_power_w=median(powers) if powers and seconds >= IDLE_LEAST_S else None,
        idle_s=round(seconds, 3),
        worker_identified_by=sampled.facts.get("identified_by"),
    )


def _window(span: Span, readings: Sequence[Reading], worker_ns: int) -> Window:
    near = [r for r in readings if span.begin_ns <= r.time_ns <= span.end_ns + EDGE_NS]
    within = [r for r in near if r.time_ns <= span.end_ns]
    summaries = {name: summary([v for r in within if (v := getattr(r, name)) is not None]) for name in LEVELS}
    return Window(
        name=span.name,
        begin_s=seconds_since(worker_ns, span.begin_ns),
        end_s=seconds_since(worker_ns, span.end_ns),
        readings=len(within),
        fields={name: found for name, found in summaries.items() if found is not None},
        **_reason_shares(within),
        **_changes(near, span),
    )


def _reason_shares(within: Sequence[Reading]) -> dict[str, Any]:
    told = [reasons_of(r.event_reasons) for r in within if r.event_reasons is not None]
    if not told:
        return {}
    names = dict.fromkeys(name for reasons in told for name in reasons)
    throttled = sum(bool(set(reasons) - set(NO_THROTTLING)) for reasons in told)
    shares = {name: round(sum(name in reasons for reasons in told) / len(told), 4) for name in names}
    return {"event_reasons": shares, "throttled": round(throttled / len(told), 4)}


def _changes(near: Sequence[Reading], span: Span) -> dict[str, Any]:
    """What the cumulative fields tell."""
    found: dict[str, Any] = {}
    for name in ("power_violation_ns", "thermal_violation_ns"):
        if (grown := change(name, near, span)) is not None:
            found[name] = grown[0]
    if (energy := change("energy_mj", near, span)) is not None:
        found["energy_j"] = energy[0] / 1000
    if (worker := change("worker_cpu_s", near, span)) is not None and worker[1]:
        found |= {"worker_cpu_s": round(worker[0], 2), "worker_cores": round(worker[0] / worker[1], 3)}
    busy, stolen = change("cpu_busy_s", near, span), change("cpu_steal_s", near, span)
    if busy is not None and stolen is not None and busy[1]:
        asked = busy[0] + stolen[0]
        found |= {
            "busy_cores": round(busy[0] / busy[1], 3),
            "stolen_s": round(stolen[0], 2),
            "stolen_share": round(stolen[0] / asked, 4) if asked else 0.0,
        }
    return found


def _foreign(readings: Sequence[Reading], spans: Sequence[Span], worker_ns: int) -> tuple[ForeignProcess, ...]:
    measured = [span for span in spans if span.name in (MEASURED, IN_TURN)]
    seen: dict[int, list[tuple[Reading, int | None, str]]] = {}
    for reading in readings:
        for pid, used, name in reading.foreign or ():
            seen.setdefault(pid, []).append((reading, used, name))
    return tuple(_process(pid, sightings, measured, worker_ns) for pid, sightings in seen.items())


def _process(
    pid: int, sightings: Sequence[tuple[Reading, int | None, str]], measured: Sequence[Span], worker_ns: int
) -> ForeignProcess:
    times = [reading.time_ns for reading, _, _ in sightings]
    known = [used for _, used, _ in sightings if used is not None]
    return ForeignProcess(
        pid=pid,
        name=next((name for _, _, name in sightings if name), ""),
        bytes=max(known) if known else None,
        first_s=seconds_since(worker_ns, times[0]),
        last_s=seconds_since(worker_ns, times[-1]),
        while_measuring=any(s.begin_ns <= time <= s.end_ns for s in measured for time in times),
    )


def trace(readings: Sequence[Reading], spans: Sequence[Span], worker_ns: int) -> Trace:
    """The readings thinned to TRACE_POINTS; what is read less often keeps its last value."""
    filled = _carried(readings)
    closely = [s for s in spans if s.name in TRACED_CLOSELY]
    inside = [r for r in filled if any(s.begin_ns <= r.time_ns <= s.end_ns for s in closely)]
    times = {r.time_ns for r in inside}
    outside = [r for r in filled if r.time_ns not in times]
    half = TRACE_POINTS // 2
    kept = sorted([*thin(inside, half), *thin(outside, half)], key=lambda r: r.time_ns)
    columns = {name: tuple(getattr(r, name) for r in kept) for name in (*LEVELS, "event_reasons")}
    columns["worker_cores"] = _rates(kept, "worker_cpu_s")
    columns["busy_cores"] = _rates(kept, "cpu_busy_s")
    columns["stolen_cores"] = _rates(kept, "cpu_steal_s")
    return Trace(
        times_s=tuple(seconds_since(worker_ns, r.time_ns) for r in kept),
        columns={name: values for name, values in columns.items() if any(v is not None for v in values)},
    )


def _carried(readings: Sequence[Reading]) -> list[Reading]:
    slow = ("worker_memory_bytes", "cpu_mhz", "load_1min")
    last: dict[str, Any] = {}
    filled = []
    for reading in readings:
        last.update({name: value for name in slow if (value := getattr(reading, name)) is not None})
        filled.append(reading._replace(**last))
    return filled


def _rates(readings: Sequence[Reading], name: str) -> tuple[float | None, ...]:
    """How fast a cumulative field grew since the point before that knew it; of ticks of 10 ms, so not at once after."""
    rates: list[float | None] = [None] * len(readings)
    before: tuple[float, int] | None = None
    for i, reading in enumerate(readings):
        value = getattr(reading, name)
        if value is None or (before is not None and reading.time_ns - before[1] < RATE_NS):
            continue
        if before is not None:
            rates[i] = round((value - before[0]) / (reading.time_ns - before[1]) * 1e9, 2)
        before = value, reading.time_ns
    return tuple(rates)


def _absent(sampled: Sampled) -> dict[str, str]:
    """Reasons by field; a field that is there at times is said to be."""
    found = {}
    for name, reason in sampled.refused.items():
        known = name in Reading._fields and any(getattr(r, name) is not None for r in sampled.readings)
        found[name] = f"at times: {reason}" if known else reason
    if "gpu" in sampled.facts and all(r.worker_memory_bytes is None for r in sampled.readings):
        found.setdefault("worker_memory_bytes", "the driver lists no process of the worker with its memory")
    return found


def seconds_since(worker_ns: int, time_ns: int) -> float:
    return round((time_ns - worker_ns) / 1e9, 3)
