"""Statistics of a record: the values of metrics.py.

A percentile that the number of samples cannot support is null, with the reason. Which statistic has an interval, and
how it is found, is in uncertainty.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from bench.load.statistics import load_statistics
from bench.record import Record
from bench.repeats import processes
from bench.statistics.metrics import BOUNDED, BOUNDED_ACCURACY, METRICS, SPEEDUPS
from bench.statistics.percentiles import PERCENTILES, ranked, samples_needed

NO_NATIVE = 'no native case to compare with: add one, with "precision_mode": "native"'
CONVERSION_PHASES = ("convert", "calibrate", "build", "save", "reload")


@dataclass(frozen=True)
class Summary:
    """A case's statistics by name; `absent` tells why a value that belongs here is missing.

    `bounds` are 95 % intervals, low and high, of the spread within the run; `unbounded` tells why a value has none.
    """

    values: Mapping[str, float]
    absent: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unbounded: Mapping[str, str] = field(default_factory=dict)
    differences: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # intervals of accuracy less native's


def summarize(record: Record, native: Record | None = None) -> Summary:
    """All statistics of a record; `native` is the case to hold it against. Of a merged one, over its processes."""
    if not record.repeats:
        return _of_process(record, native)
    mine = processes(record)
    theirs = mine if record is native else () if native is None else processes(native)
    others = {_place(other): other for other in theirs}
    found = _over(mine, [_of_process(each, others.get(_place(each))) for each in mine])
    if record is native:  # 1 without doubt
        found = replace(found, bounds={name: each for name, each in found.bounds.items() if name not in SPEEDUPS})
    return found


def _of_process(record: Record, native: Record | None) -> Summary:
    values, absent = statistics_of_process(record, native)
    bounds, unbounded = _bounds(record, native, values)
    return Summary(values, absent, bounds, unbounded, _differences(record, native))


def statistics_of_process(record: Record, native: Record | None = None) -> tuple[dict[str, float], dict[str, str]]:
    """The values of one process, and why others are missing; without intervals, which take far longer."""
    values: dict[str, float] = {}
    absent: dict[str, str] = {}
    for part in (_latency, _device, _load, _accuracy, _costs, _profile):
        part(record, values, absent)
    if native is not None:
        _relative(record, native, values, absent)
    if record.failure is not None:
        absent.setdefault("avg_latency_ms", f"{record.failure.kind} in phase {record.failure.phase}")
    return values, {name: why for name, why in absent.items() if name not in values}


def _place(record: Record) -> tuple[int, int]:
    return record.case.build, record.case.repeat


def _over(records: Sequence[Record], summaries: Sequence[Summary]) -> Summary:
    """Means over processes, and intervals of what differs between them."""
    from bench.statistics.between import over_processes
    from bench.statistics.bounds import Interval

    values: dict[str, float] = {}
    absent: dict[str, str] = {}
    bounds: dict[str, tuple[float, float]] = {}
    unbounded: dict[str, str] = {}
    accuracy = set(BOUNDED_ACCURACY)
    for name in dict.fromkeys(name for summary in summaries for name in (*summary.values, *summary.absent)):
        found = [(r.case, s.values[name]) for r, s in zip(records, summaries, strict=True) if name in s.values]
        if len(found) < len(records):
            absent[name] = why_lacking(name, [s.absent for s in summaries], len(records) - len(found))
            continue
        values[name], interval = over_processes(found, in_logs=name in SPEEDUPS)
        if name not in BOUNDED:
            continue
        if not isinstance(interval, Interval):
            unbounded[name] = interval.reason
        elif interval.low <= 0:  # which no time and no rate is
            unbounded[name] = f"{len(found)} processes, which differ too much"
        else:
            bounds[name] = interval.low, interval.high
    over_images = {name: each for name, each in _mean_ends([s.bounds for s in summaries]).items() if name in accuracy}
    unbounded |= {
        name: s.unbounded[name] for s in summaries for name in (accuracy & set(s.unbounded)) - set(over_images)
    }
    return Summary(values, absent, {**bounds, **over_images}, unbounded, _mean_ends([s.differences for s in summaries]))


def why_lacking(name: str, absent: Sequence[Mapping[str, str]], lacking: int) -> str:
    """Why several processes taken together have no value of a statistic; `absent` is of each, some or all lack it."""
    why = next((each[name] for each in absent if name in each), "not measured")
    return why if lacking == len(absent) else f"{why}, in {lacking} of {len(absent)} processes"


def _mean_ends(found: Sequence[Mapping[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Intervals over images, those of all processes taken together: these saw the same images."""
    names = [name for name in found[0] if all(name in each for each in found)]
    return {name: (fmean(each[name][0] for each in found), fmean(each[name][1] for each in found)) for name in names}


def natives(records: Iterable[Record]) -> dict[str, Record]:
    """The record that each comparison's others are held against: its first native one."""
    found: dict[str, Record] = {}
    for record in records:
        if record.case.optimization.precision_mode == "native":
            found.setdefault(record.case.comparison, record)
    return found


def _bounds(
    record: Record, native: Record | None, values: Mapping[str, float]
) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
    """Intervals of the values that have one, and why others have none."""
    from bench.agreement import accuracy_intervals
    from bench.statistics.bounds import Interval
    from bench.statistics.uncertainty import intervals, speedup_intervals

    found = {
        **intervals(record),
        **accuracy_intervals(record),
        **(speedup_intervals(record, native) if native is not None else {}),
    }
    known = {name: each for name, each in found.items() if name in values}
    bounds = {name: (each.low, each.high) for name, each in known.items() if isinstance(each, Interval)}
    return bounds, {name: each.reason for name, each in known.items() if not isinstance(each, Interval)}


def _differences(record: Record, native: Record | None) -> dict[str, tuple[float, float]]:
    """Intervals of a record's accuracy less the native case's, over the same images."""
    from bench.agreement import difference_intervals
    from bench.statistics.bounds import Interval

    found = {} if native is None else difference_intervals(record, native)
    return {name: (each.low, each.high) for name, each in found.items() if isinstance(each, Interval)}


def _latency(record: Record, values: dict[str, float], absent: dict[str, str]) -> None:
    if record.latency is None or not record.latency.times_ns:
        return
    times = [t / 1e6 for t in sorted(record.latency.times_ns)]
    values["avg_latency_ms"] = fmean(times)
    values["median_latency_ms"] = median(times)
    values["min_latency_ms"], values["max_latency_ms"] = times[0], times[-1]
    values["avg_throughput_fps"] = sum(record.latency.images) / (sum(times) / 1e3)
    for percent in PERCENTILES:
        name, needed = f"p{percent}_latency_ms", samples_needed(percent)
        if len(times) >= needed:
            values[name] = ranked(times, percent)
        else:
            absent[name] = f"{len(times)} samples of the {needed} that p{percent} needs"


def _device(record: Record, values: dict[str, float], absent: dict[str, str]) -> None:
    if record.compute is not None and record.compute.times_ns:
        values["compute_ms"] = median(record.compute.times_ns) / 1e6
    if record.throughput is not None and record.throughput.block_ns:
        blocks = record.throughput
        images = blocks.launches_per_block * blocks.images_per_launch
        values["throughput_fps"] = images / (median(blocks.block_ns) / 1e9)


def _load(record: Record, values: dict[str, float], absent: dict[str, str]) -> None:
    found, reasons = load_statistics(record.load)
    values.update(found)
    absent.update(reasons)


def _accuracy(record: Record, values: dict[str, float], absent: dict[str, str]) -> None:
    if record.accuracy is not None:
        values.update(record.accuracy.metrics)
        return
    name = "map" if record.case.model.task == "detection" else "top1"
    if record.case.model.random_weights:
        absent[name] = "random weights"
    elif record.case.dataset.format in ("synthetic", "images"):
        absent[name] = "images without labels"


def _costs(record: Record, values: dict[str, float], absent: dict[str, str]) -> None:
    if record.first_inference_ns is not None:
        values["first_inference_ms"] = record.first_inference_ns / 1e6
    conversion = {phase.name: phase.seconds for phase in record.phases if phase.name in CONVERSION_PHASES}
    if record.conversion is not None and record.conversion.cached:  # what it took when it was made
        conversion = {**record.conversion.seconds, **conversion}
    if conversion:
        values["conversion_s"] = sum(conversion.values())
    if record.case.optimization.backend != "tf-trt" and record.latency is not None:
        values["fallbacks"] = values["engine_builds_while_timed"] = 0
    elif record.conversion is not None:
        _take(values, "fallbacks", record.conversion.native_executions)
        _take(values, "engine_builds_while_timed", record.conversion.engine_builds_while_timed)
    _take(values, "peak_host_bytes", record.peak_host_bytes)
    _take(values, "peak_gpu_bytes", record.peak_gpu_bytes)
    if record.conversion is not None:
        _take(values, "model_bytes", record.conversion.bytes_after)
        _take(values, "engines", record.conversion.engines)
        _take(values, "share_converted", record.conversion.share_converted)


def _profile(record: Record, values: dict[str, float], absent: dict[str, str]) -> None:
    """Shares of GPU time, of a GPU that was profiled."""
    profile = record.profile
    if profile is None:
        return
    _take(values, "tensor_core_share", profile.tensor_core_share)
    _take(values, "int8_share", profile.precision_shares.get("INT8", 0.0))
    _take(values, "gpu_busy_share", profile.gpu_share)
    if record.case.optimization.backend == "tf-trt":
        _take(values, "trt_gpu_time_share", profile.trt_share)


def _take(values: dict[str, float], name: str, value: float | None) -> None:
    if value is not None:
        values[name] = value


def _relative(record: Record, native: Record, values: dict[str, float], absent: dict[str, str]) -> None:
    """Ratios to the native case; none where the two ran on different devices, be it in another sitting."""
    from bench.agreement import agreement
    from bench.statistics.turns import paired_speedups

    values.update(agreement(record, native))
    devices = [_device_of(native), _device_of(record)]
    machines = [_machine_of(native), _machine_of(record)]
    pairs = paired_speedups(record, native)
    theirs: dict[str, float] = {}
    if not pairs:
        _latency(native, theirs, {})
        _device(native, theirs, {})
    for name, source in SPEEDUPS.items():
        if None not in devices and devices[0] != devices[1]:
            absent[name] = f"native ran on the {devices[0]}, this on the {devices[1]}"
        elif record.sitting != native.sitting and None not in machines and machines[0] != machines[1]:
            absent[name] = f"native ran on {machines[0]}, this on {machines[1]}"
        elif name in pairs:
            values[name] = pairs[name].value
        elif values.get(source) and theirs.get(source):
            mine, other = values[source], theirs[source]
            values[name] = mine / other if METRICS[source].higher_is_better else other / mine


def _device_of(record: Record) -> str | None:
    return None if record.environment is None else record.environment.details.get("device")


def _machine_of(record: Record) -> str | None:
    """What did the work, by its name."""
    environment = record.environment
    if environment is None:
        return None
    return record.gpu_name or f"{environment.cpu}, {environment.cpu_count} cores"
