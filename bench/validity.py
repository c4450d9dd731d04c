"""Why a measurement is not valid: judged from what its record holds, on reading. Empty for one that is.

A problem touches some statistics and spares others; assertions on what it touches are inconclusive (verdict.py).

Drift is a level that goes one way. The samples are cut into 21 blocks; a curve that only rises, or only falls, must
explain 85 % of the variance between the blocks' medians, and the medians of the first and the last third must differ
by more than `settle_tolerance` besides. Medians, so that a stall or a heavy tail moves one block at most; any curve
and not a line, so that a step and a decay count as well; a share of the variance, so that a level which wanders and
comes back, as that of a machine with other work does, is not taken for drift. The floor is there because with
thousands of samples a drift of a thousandth is plain to see, and of no consequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean, median

from bench.functions import is_function
from bench.record import Record, Samples
from bench.repeats import processes
from bench.statistics.metrics import METRICS, SPEEDUPS
from bench.statistics.percentiles import PERCENTILES, samples_needed
from bench.statistics.rounds import rounds_in_common
from bench.telemetry import problems as machine_problems

BLOCKS, THIRD = 21, 7
LEAST_IN_BLOCK = 3
ONE_WAY = 0.85  # share of the blocks' variance; tests/test_validity.py has its false alarms
RESOLUTION_NS = 1000  # the clock's and the loop's own

# The same session, asked twice, differs by the order of sums in floating point, and of atomic additions on a GPU; in
# INT8 a value on the edge between two steps falls to either side. Far more is another batch, engine or shape.
TOLERANCES = {"native": 1e-3, "FP32": 1e-3, "FP16": 1e-2, "INT8": 5e-2}
DETECTION_TOLERANCE = 5e-2  # a detection more or less of twenty, where one stands on the threshold
UNORDERED = ("boxes", "classes")  # outputs that two detections of nearly equal score change places in

ACCURACY = frozenset(
    name for name in METRICS if name.startswith(("map", "ar1", "ar_", "top", "agreement", "largest_score"))
)
MACHINE = frozenset({
    "first_inference_ms", "conversion_s", "model_bytes", "engines", "share_converted", "fallbacks",
    "engine_builds_while_timed", "trt_gpu_time_share", "tensor_core_share", "int8_share", "gpu_busy_share",
    "peak_host_bytes", "peak_gpu_bytes",
})  # fmt: skip
OF_LATENCY = frozenset({
    *(f"{which}_latency_ms" for which in ("avg", "median", "min", "max", *(f"p{percent}" for percent in PERCENTILES))),
    "avg_throughput_fps", "speedup",
})  # fmt: skip
OF_COMPUTE = frozenset({"compute_ms", "compute_speedup"})


@dataclass(frozen=True)
class Problem:
    """One reason why a measurement is not valid, and the statistics that mean what they say all the same."""

    reason: str
    spares: frozenset[str] = ACCURACY | MACHINE
    of_loops: bool = False  # of a case's own alone, from which speed-ups of blocks measured in turn do not come


def problems(record: Record) -> tuple[str, ...]:
    """Why a record's measurement is not valid; empty if it is, or if the case failed, which says more."""
    return tuple(problem.reason for problem in judge(record))


def judge(record: Record, other: Record | None = None) -> tuple[Problem, ...]:
    """The problems of a record, each with what it spares.

    `other` is the native case that its speed-ups are relative to, or the case whose speed-ups are relative to it: where
    the two were not measured in turn with each other, their speed-ups come from their loops.
    """
    if record.latency is None or record.failure is not None:
        return ()
    in_turn = _in_turn(record, other)
    found = filter(None, (rule(record, record.latency) for rule in RULES))
    own = (
        replace(each, spares=each.spares | frozenset(SPEEDUPS)) if each.of_loops and in_turn else each for each in found
    )
    of_repeats = chain.from_iterable(_of_repeat(each, other) for each in record.repeats)
    return (*own, *_of_machine(record, in_turn or other is None), *of_repeats)


def _in_turn(record: Record, other: Record | None) -> bool:
    """Whether speed-ups are of blocks; of a record alone, whether they may be."""
    if other is None or other.case.variant == record.case.variant:
        return bool(record.blocks)
    place = record.case.build, record.case.repeat
    theirs = (each for each in processes(other) if (each.case.build, each.case.repeat) == place)
    return any(rounds_in_common(record, each) for each in theirs)


def _of_machine(record: Record, in_turn: bool) -> Iterator[Problem]:
    """Speed-ups of blocks measured in turn are judged by what was read meanwhile, where anything was."""
    read, speedups = record.telemetry_in_turn, frozenset(SPEEDUPS)
    apart = speedups if in_turn and read is not None and read.readings else frozenset()
    for reason in machine_problems(record.telemetry):
        yield Problem(reason, ACCURACY | MACHINE | apart)
    for reason in machine_problems(read):
        yield Problem(f"while measured in turn: {reason}", frozenset(METRICS) - speedups)


def _of_repeat(record: Record, other: Record | None) -> Iterator[Problem]:
    which = record.case.id.removeprefix(record.case.variant).lstrip("-")
    return (Problem(f"{which}: {problem.reason}", problem.spares) for problem in judge(record, other))


def drift(times_ns: Sequence[int], tolerance: float, period: int = 1) -> float | None:
    """The relative change from the first to the last third, where the level goes one way; else None.

    `period` is a number of samples after which inputs of different shapes come round again.
    """
    size = len(times_ns) // BLOCKS // period * period
    if size < LEAST_IN_BLOCK:
        return None
    rest = len(times_ns) - BLOCKS * size
    medians = [median(times_ns[rest + n * size : rest + (n + 1) * size]) for n in range(BLOCKS)]
    first, last = median(medians[:THIRD]), median(medians[-THIRD:])
    change = last - first
    if abs(change) <= max(tolerance * first, RESOLUTION_NS):
        return None
    one_way = _rising_share(medians if change > 0 else medians[::-1])
    return change / first if one_way >= ONE_WAY else None


def _rising_share(values: Sequence[float]) -> float:
    """The share of the values' variance that the best curve explains which never falls; of values that differ."""
    middle = fmean(values)
    level = _never_falling(values)
    left = sum((value - fitted) ** 2 for value, fitted in zip(values, level, strict=True))
    return 1 - left / sum((value - middle) ** 2 for value in values)


def _never_falling(values: Sequence[float]) -> list[float]:
    """The values' isotonic regression: neighbours that fall are pooled (Barlow et al. 1972, "Order Restrictions")."""
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]


def _unsettled(record: Record, latency: Samples) -> Problem | None:
    if latency.settled is not False:
        return None
    seconds = sum(latency.warmup_ns) / 1e9
    return Problem(f"warm-up had not settled after {len(latency.warmup_ns)} batches and {seconds:.1f} s")


def _latency_drift(record: Record, latency: Samples) -> Problem | None:
    alike = record.case.image_shape is not None or record.observed is None
    period = 1 if alike or record.observed is None else record.observed.pool_batches
    return _drifting("latency", OF_LATENCY, drift(latency.times_ns, record.case.settle_tolerance, period))


def _compute_drift(record: Record, latency: Samples) -> Problem | None:
    times = record.compute.times_ns if record.compute is not None else ()
    return _drifting("compute", OF_COMPUTE, drift(times, record.case.settle_tolerance))


def _drifting(loop: str, touched: frozenset[str], change: float | None) -> Problem | None:
    if change is None:
        return None
    way = "above" if change > 0 else "below"
    reason = f"{loop} drifts: the last third's median is {100 * abs(change):.1f} % {way} the first's"
    return Problem(reason, frozenset(METRICS) - touched, of_loops=True)


def _few_samples(record: Record, latency: Samples) -> Problem | None:
    """Of a case that asks for a percentile, not for a number of samples."""
    case, count = record.case, len(latency.times_ns)
    if case.num_iterations is not None:
        return None
    if count < samples_needed(50):
        return Problem(f"{count} samples of the {samples_needed(50)} that a median needs")
    if case.percentile is None or count >= samples_needed(case.percentile):
        return None
    shown = f"p{case.percentile:g}"
    others = frozenset(METRICS) - {f"{shown}_latency_ms"}
    return Problem(f"{count} samples of the {samples_needed(case.percentile)} that {shown} needs", others)


def _engine_builds(record: Record, latency: Samples) -> Problem | None:
    built = 0 if record.conversion is None else record.conversion.engine_builds_while_timed
    return Problem(f"engines were built while timed: {built}") if built else None


def _other_outputs(record: Record, latency: Samples) -> Problem | None:
    """Whether the timed loop and the accuracy pass gave different answers to the same batch; neither is then known."""
    observed = record.observed
    if observed is None or not observed.output_differences:
        return None
    detector = record.case.model.task == "detection"
    tolerance = TOLERANCES[record.case.optimization.precision_mode]
    tolerance = max(tolerance, DETECTION_TOLERANCE) if detector else tolerance
    judged = {
        name: difference
        for name, difference in observed.output_differences.items()
        if not (detector and any(word in name for word in UNORDERED))
    }
    name = max(judged, key=lambda name: (math.isnan(judged[name]), judged[name]), default="")
    if judged.get(name, 0) <= tolerance:
        return None
    by = "NaN" if math.isnan(judged[name]) else f"{100 * judged[name]:.2g} %"
    told = f"output {name!r} of the timed loop differs by {by} from the accuracy pass's"
    own = record.case.model.preprocess
    why = f"; {own!r} of model_config.preprocess may not give the same twice" if is_function(own) else ""
    return Problem(f"{told}; {100 * tolerance:g} % are allowed{why}", MACHINE)


def _constant_inputs(record: Record, latency: Samples) -> Problem | None:
    observed = record.observed
    if observed is None or record.case.optimization.backend == "null":
        return None
    if observed.flat_images:
        return Problem("every timed image is of one colour")
    if observed.identical_images and observed.pool_images > 1:
        return Problem(f"all {observed.pool_images} timed images are the same")
    return None


def _empty_detections(record: Record, latency: Samples) -> Problem | None:
    """The time of non-maximum suppression depends on what is detected. `null` runs no model."""
    if record.observed is None or record.case.optimization.backend == "null" or record.observed.detections != 0:
        return None
    return Problem(f"nothing was detected in any of the {record.observed.pool_images} timed images")


RULES: tuple[Callable[[Record, Samples], Problem | None], ...] = (
    _unsettled, _latency_drift, _compute_drift, _few_samples, _engine_builds, _other_outputs, _constant_inputs,
    _empty_detections,
)  # fmt: skip
