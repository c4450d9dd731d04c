"""What was converted and what ran, in a few sentences; the tables hold the whole of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from bench.conversion import Conversion, LeftOut
from bench.record import Record
from bench.report.comparison import Column
from bench.report.converted import by_reason, dropped_segments, engine_bytes, is_plumbing
from bench.report.figures import plain
from bench.report.profiled import how_called, kernel_shares, parts, profiler_cost
from bench.report.words import and_more, clipped, counted, milliseconds, percent, size

REASONS = 3
LETTERS = 90  # of a reason
PRECISIONS = 2
FROM_CACHE = "converted earlier, taken from the cache"
LOADING = ("reload", "first inference")
MAKING = ("convert", "calibrate", "build")


def stories(columns: Sequence[Column], brief: bool = False) -> list[tuple[str, str]]:
    """Labels of cases and what is to be said of them: of each what ran, then what several have in common, once."""
    told = [(column.label, ran(column.record, brief)) for column in columns if not brief or _converted(column.record)]
    for tell in (left_out, remarks):
        shared: dict[str, list[str]] = {}
        for column in columns:
            shared.setdefault(tell(column.record), []).append(column.label)
        told += [(", ".join(labels), text) for text, labels in shared.items()]
    return [(plain(labels), plain(text)) for labels, text in told if text]


def ran(record: Record, brief: bool = False) -> str:
    """What was built and how much of the work it did; unless brief, where an inference's time went too."""
    more = [] if brief else [*_time(record), *_called(record)]
    return "; ".join([*_built(record), *_kernels(record), *_executions(record), *more])


def left_out(record: Record) -> str:
    """What stays in TensorFlow, and why."""
    conversion = _converted(record)
    if conversion is None:
        return ""
    texts = [_left(conversion.left_out)] if conversion.left_out else []
    for reason, segments, nodes in islice(dropped_segments(conversion), 2):
        found = f"{counted(segments, 'segment')} ({counted(nodes, 'node')})"
        texts.append(f"{found} dropped: {clipped(reason, LETTERS)}")
    return "; ".join(texts)


def remarks(record: Record) -> str:
    """Warnings, and what was not made anew."""
    conversion = _converted(record)
    if conversion is None:
        return ""
    warnings = [clipped(warning, LETTERS) for warning in conversion.warnings]
    texts = [and_more(warnings, "warning", 1)] if warnings else []
    texts += ["calibration table reused"] if conversion.calibration_reused else []
    return "; ".join([*texts, *_beside(record), *([FROM_CACHE] if conversion.cached else [])])


def _beside(record: Record) -> Iterator[str]:
    """What made conversion_s longer, where it was this run that converted: a cached one has no such phases."""
    others = () if record.telemetry is None else record.telemetry.foreign_in(MAKING)
    if others:
        on_gpu = f"{counted(len(others), 'other process', 'other processes')} on the GPU"
        yield f"converted beside {on_gpu}: conversion_s may be longer than alone"


def making(record: Record) -> str:
    """How a conversion was made: seconds, calibration, sizes on disk, the cache."""
    conversion = record.conversion
    if conversion is None:
        return ""
    texts = [*_took(record, conversion), *_beside(record), *_calibrated(conversion)]
    if conversion.bytes_before is not None and conversion.bytes_after is not None:
        texts.append(f"{size(conversion.bytes_before)} on disk became {size(conversion.bytes_after)}")
    if conversion.cached:
        texts.append(FROM_CACHE)
    elif conversion.cached is False:
        texts.append(f"not from the cache: {clipped(conversion.cache_reason, LETTERS)}".rstrip(": "))
    return plain("; ".join(texts))


def _took(record: Record, conversion: Conversion) -> Iterator[str]:
    """Seconds of making it, whenever that was, and of loading it now."""
    if conversion.seconds:
        yield "made in " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in conversion.seconds.items())
    now = [f"{phase.name} {phase.seconds:.1f} s" for phase in record.phases if phase.name in LOADING]
    if now:
        yield ", ".join(now)


def _calibrated(conversion: Conversion) -> Iterator[str]:
    if conversion.calibration_images is not None:
        yield f"calibrated on {counted(conversion.calibration_images, 'image')}{_hash(conversion.calibration_sha256)}"
    if conversion.calibration_table_sha256 is not None:
        reused = "reused" if conversion.calibration_reused else "new"
        yield f"{reused} calibration table{_hash(conversion.calibration_table_sha256)}"


def _hash(sha256: str | None) -> str:
    return "" if sha256 is None else f" (SHA-256 {sha256[:12]}…)"


def _converted(record: Record) -> Conversion | None:
    return record.conversion if record.case.optimization.backend == "tf-trt" else None


def _built(record: Record) -> Iterator[str]:
    conversion = _converted(record)
    if conversion is None or conversion.engines is None:
        return
    total = engine_bytes(conversion)
    engines = counted(conversion.engines, "engine") if conversion.engines else "no engine"
    yield engines + ("" if total is None else f" ({size(total)})") + _replaced(conversion)
    asked = record.case.optimization.precision_mode
    others = [engine.precision for engine in conversion.engine_list if engine.precision != asked]
    if others:
        yield f"{len(others)} of them {' and '.join(dict.fromkeys(others))}, not {asked}"


def _replaced(conversion: Conversion) -> str:
    before, after, share = conversion.nodes_before, conversion.nodes_after, conversion.share_converted
    if not conversion.engines or before is None or after is None or share is None:
        return ""
    verb = "replaces" if conversion.engines == 1 else "replace"
    return f" {verb} {before - after + conversion.engines} of {before} nodes ({percent(share)})"


def _kernels(record: Record) -> Iterator[str]:
    shares = [f"{percent(share)} {where}" for where, share in kernel_shares(record)]
    if shares and record.profile is not None:
        precisions = {name: share for name, share in record.profile.precision_shares.items() if name != "other"}
        shares += [f"{percent(share)} in {name}" for name, share in islice(precisions.items(), PRECISIONS)]
        yield f"of the kernels' time {', '.join(shares)}"


def _executions(record: Record) -> Iterator[str]:
    """How many engines ran, where kernels do not tell it."""
    conversion = _converted(record)
    if conversion is None or conversion.engine_executions is None:
        return
    if conversion.native_executions:
        both = conversion.engine_executions + conversion.native_executions
        yield f"{conversion.native_executions} of {both} engine executions fell back to TensorFlow"
    elif not kernel_shares(record):
        yield f"{counted(conversion.engine_executions, 'engine execution')} seen, none fell back"


def _time(record: Record) -> Iterator[str]:
    profile = record.profile
    if profile is None or not profile.inferences or not profile.wall_ns:
        return
    shares = ", ".join(f"{name} {percent(ns / profile.wall_ns)}" for name, ns in parts(profile))
    cost = profiler_cost(record)
    (wall,) = milliseconds([profile.wall_ns / profile.inferences])
    yield f"profiled inference {wall} ms" + (f", {cost}" if cost else "") + f": {shares}"


def _called(record: Record) -> Iterator[str]:
    if record.call is not None and len(record.call.median_ms) > 1:
        yield f"called {how_called(record.call)}"


def _left(items: Sequence[LeftOut]) -> str:
    working = [item for item in items if not is_plumbing(item)]
    plumbing = sum(item.count for item in items) - sum(item.count for item in working)
    beside = f"{plumbing} inputs, outputs and the like"
    if not working:
        return f"TF-TRT left out nothing but {beside}"
    texts = [
        ", ".join(f"{item.count} {item.op}" for item in group)
        + (f" ({clipped(reason.rstrip('.'), LETTERS)})" if reason else "")
        for reason, group in by_reason(working).items()
    ]
    nodes = counted(sum(item.count for item in working), "node") + (f" and {beside}" if plumbing else "")
    return f"TF-TRT left out {nodes}: {and_more(texts, 'reason', REASONS)}"
