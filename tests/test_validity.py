"""Why a measurement is not valid, and what that does to its assertions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.blocks import Block, Turn
from bench.case import Model
from bench.conversion import Conversion
from bench.record import Accuracy, Failure, Observations, Record, Samples
from bench.statistics.bounds import Array
from bench.statistics.metrics import METRICS, SPEEDUPS
from bench.telemetry import ForeignProcess, Telemetry, Window
from bench.validity import ACCURACY, BLOCKS, MACHINE, drift, judge, problems
from bench.verdict import check_all, exit_code, verdict
from tests.factory import make_case, make_record, make_samples
from tests.measure.simulated import MS, Script, scripts
from tests.series import autoregressive

SEEN = Observations(pool_batches=2, pool_images=16, identical_images=False, flat_images=False)


def taken(script: Script, count: int = 662, first: int = 0) -> tuple[int, ...]:
    return tuple(round(script(number)) for number in range(first, first + count))


def record(
    precision: str = "FP32", backend: str | None = None, case: dict[str, Any] | None = None, **changes: Any
) -> Record:
    return make_record(case=make_case(precision, backend, **(case or {})), **changes)


def samples(times_ns: Sequence[int], **changes: Any) -> Samples:
    return Samples(times_ns=tuple(times_ns), images=(1,) * len(times_ns), **changes)


STEADY = ("constant", "noise", "much noise", "two modes", "heavy tail", "stall", "no time")


@pytest.mark.parametrize("name", STEADY)
def test_noise_is_no_drift(name: str) -> None:
    assert [drift(taken(scripts(seed)[name]), 0.05) for seed in range(10)] == [None] * 10


@pytest.mark.parametrize(("name", "sign"), [("drift", 1), ("slow start", -1), ("late step", -1)])
def test_drift_is_found_in_noise(name: str, sign: int) -> None:
    found = [drift(taken(scripts(seed)[name]), 0.05) for seed in range(10)]
    assert all(change is not None and change * sign > 0.2 for change in found)


def stationary(kind: str, samples: int, runs: int) -> Array:
    """Series of nanoseconds without drift; "switching" is a neighbour that comes and goes, some ten samples long."""
    rng = np.random.default_rng(samples)
    if kind != "switching":
        noise: Array = np.exp(0.05 * autoregressive(rng, runs, samples, float(kind.removeprefix("AR(1), rho "))))
        return 1e7 * noise
    busy = autoregressive(rng, runs, samples, 0.95) > 0.5
    return np.where(busy, 1.4e7, 1e7) + 2e5 * rng.standard_normal((runs, samples))


@pytest.mark.parametrize(
    ("kind", "samples", "most"),
    [
        ("AR(1), rho 0", 63, 0.01), ("AR(1), rho 0.5", 200, 0.01), ("AR(1), rho 0.9", 200, 0.03),
        ("AR(1), rho 0.9", 662, 0.01), ("AR(1), rho 0.99", 662, 0.15), ("AR(1), rho 0.99", 3000, 0.02),
        ("switching", 200, 0.15), ("switching", 662, 0.02),
    ],
)  # fmt: skip
def test_a_level_that_wanders_and_comes_back_is_no_drift(kind: str, samples: int, most: float) -> None:
    """The shares that docs/measuring.md gives; a run that is short beside its wandering is not told from a drift."""
    runs = stationary(kind, samples, 400)
    share = sum(drift(list(map(int, run)), 0.05) is not None for run in runs) / len(runs)
    print(f"{kind}, {samples} samples: {100 * share:.1f} %")
    assert share <= most


LEVELS: dict[str, Callable[[Array], Any]] = {
    "line": lambda at: 1 + 0.3 * at,
    "step": lambda at: 1 + 0.2 * (at > 0.3),
    "late step": lambda at: 1 - 0.2 * (at > 0.7),
    "decay": lambda at: 1 + 0.5 * np.exp(-5 * at),
}


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("shape", LEVELS)
def test_a_level_that_goes_one_way_is_found_whatever_its_shape(shape: str, rho: float) -> None:
    noise = np.exp(0.05 * autoregressive(np.random.default_rng(1), 200, 662, rho))
    runs = 1e7 * LEVELS[shape](np.arange(662) / 662) * noise
    share = sum(drift(list(map(int, run)), 0.05) is not None for run in runs) / len(runs)
    print(f"{shape}, rho {rho}: {100 * share:.1f} %")
    assert share >= 0.8


def test_a_drift_below_the_tolerance_is_of_no_consequence() -> None:
    times = [round(3 * MS * (1 + 0.06 * number / 1000)) for number in range(1000)]
    assert drift(times, 0.05) is None
    assert drift(times, 0.02) == pytest.approx(0.04, abs=0.002)
    assert drift([100 + number // 10 for number in range(1000)], 0.05) is None  # below the clock's resolution


def test_a_wave_is_no_drift() -> None:
    assert drift([(3 + number // 100 % 2) * MS for number in range(1000)], 0.05) is None


def test_too_few_samples_do_not_drift() -> None:
    times = [number * MS for number in range(1, 3 * BLOCKS)]
    assert drift(times, 0.05) is None
    assert drift([*times, 100 * MS], 0.05) is not None


def test_inputs_of_different_shapes_are_compared_in_whole_rounds() -> None:
    """Without its period, the round's slow batches would fall into some blocks and not into others."""
    shapes = [(9 if number % 40 < 14 else 3) * MS for number in range(40 * BLOCKS)]
    assert drift(shapes, 0.05, period=40) is None
    assert drift(shapes[:-1], 0.05, period=40) is None  # less than a round a block: no telling


@settings(deadline=None)
@given(st.lists(st.integers(10**6, 10**9), min_size=70, max_size=200), st.integers(2, 9))
def test_drift_turns_round_with_time_and_does_not_depend_on_the_unit(times: list[int], factor: int) -> None:
    times = times[len(times) % BLOCKS :]
    found, back = drift(times, 0.05), drift(times[::-1], 0.05)
    assert drift([time * factor for time in times], 0.05) == found
    if found is not None and abs(found) > 0.06:
        assert back is not None and (1 + found) * (1 + back) == pytest.approx(1)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_shuffled_samples_hardly_ever_drift(seed: int) -> None:
    times = list(taken(scripts(0)["drift"], 2100))
    random.Random(seed).shuffle(times)
    change = drift(times, 0.05)
    assert change is None or abs(change) < 0.3  # of 210 %


def test_a_plain_record_is_valid() -> None:
    assert problems(record()) == ()
    assert problems(record(observed=SEEN, latency=samples(taken(scripts(0)["noise"]), settled=True))) == ()


def test_the_first_methodologys_records_are_judged_by_what_they_hold() -> None:
    old = record(case={"num_iterations": None}, methodology_version=1, latency=make_samples([3.0] * 20))
    assert problems(old) == ()


FEW = {"num_iterations": None, "percentile": 99.0}
NOISE = samples(taken(scripts(0)["noise"], 100))
UNSETTLED = samples((MS,) * 100, warmup_ns=(3 * MS,) * 4000, settled=False)
DRIFTING = samples([3 * MS + 3000 * number for number in range(662)])
INVALID: dict[str, tuple[Record, str]] = {
    "unsettled": (record(latency=UNSETTLED), "warm-up had not settled after 4000 batches and 12.0 s"),
    "latency drifts": (record(latency=DRIFTING), "latency drifts: the last third's median is 38.8 % above the first's"),
    "compute drifts": (
        record(compute=samples(DRIFTING.times_ns[::-1])),
        "compute drifts: the last third's median is 28.1 % below the first's",
    ),
    "few": (record(case=FEW, latency=NOISE), "100 samples of the 662 that p99 needs"),
    "hardly any": (
        record(case={**FEW, "percentile": None}, latency=make_samples([3.0] * 10)),
        "10 samples of the 11 that a median needs",
    ),
    "built": (
        record(conversion=Conversion(converter="TF-TRT", engine_builds_while_timed=2)),
        "engines were built while timed: 2",
    ),
    "other outputs": (
        record(observed=SEEN.model_copy(update={"output_differences": {"scores": 0.06, "x": 0.0}})),
        "output 'scores' of the timed loop differs by 6 % from the accuracy pass's; 5 % are allowed",
    ),
    "other outputs by own preprocess": (
        record(
            observed=SEEN.model_copy(update={"output_differences": {"scores": 0.06}}),
            case={"model": Model(name="mine", task="detection", path="mine", preprocess="mine:noise")},
        ),
        "output 'scores' of the timed loop differs by 6 % from the accuracy pass's; 5 % are allowed; "
        "'mine:noise' of model_config.preprocess may not give the same twice",
    ),
    "same": (
        record(observed=SEEN.model_copy(update={"identical_images": True})), "all 16 timed images are the same"
    ),
    "flat": (record(observed=SEEN.model_copy(update={"flat_images": True})), "every timed image is of one colour"),
    "empty": (
        record(observed=SEEN.model_copy(update={"detections": 0})), "nothing was detected in any of the 16 timed images"
    ),
}  # fmt: skip


def test_what_the_machine_did_while_they_took_turns_touches_their_speedups_alone() -> None:
    window = Window(name="interleave", begin_s=0, end_s=9, readings=90, event_reasons={"hw_slowdown": 0.1})
    stranger = ForeignProcess(pid=7, first_s=1, last_s=2, while_measuring=True)
    found = judge(record(telemetry_in_turn=Telemetry(windows=(window,), foreign=(stranger,))))
    assert [problem.reason for problem in found] == [
        "while measured in turn: throttled: hw_slowdown for 10% of the measured time",
        "while measured in turn: another process on the GPU: pid 7",
    ]
    assert all(set(METRICS) - problem.spares == set(SPEEDUPS) for problem in found)


def test_what_it_did_before_touches_speedups_only_where_it_was_not_read_in_turn() -> None:
    before = Window(name="measure", begin_s=0, end_s=9, readings=90, event_reasons={"hw_slowdown": 0.1})
    throttled, quiet = Telemetry(windows=(before,)), Telemetry(readings=90)
    (alone,), (in_turn,), (unread,) = (
        judge(record(telemetry=throttled, telemetry_in_turn=other)) for other in (None, quiet, Telemetry())
    )
    assert in_turn.spares == alone.spares | set(SPEEDUPS) and alone.spares == unread.spares


@pytest.mark.parametrize("name", INVALID)
def test_each_reason(name: str) -> None:
    found, reason = INVALID[name]
    assert problems(found) == (reason,)
    failed = found.model_copy(update={"failure": Failure(kind="error", phase="accuracy", message="broken")})
    assert problems(failed) == problems(found.model_copy(update={"latency": None})) == ()


def test_an_exact_count_is_never_too_small() -> None:
    assert problems(record(case={**FEW, "num_iterations": 5}, latency=make_samples([3.0] * 5))) == ()


def test_a_single_image_is_what_was_asked_for() -> None:
    one = SEEN.model_copy(update={"identical_images": True, "pool_images": 1})
    assert problems(record(observed=one)) == ()


def test_null_runs_no_model() -> None:
    nothing = {"identical_images": True, "flat_images": True, "detections": 0}
    assert problems(record("native", "null", observed=SEEN.model_copy(update=nothing))) == ()


def test_images_of_their_own_sizes_are_compared_in_whole_rounds_of_the_pool() -> None:
    rounds = samples([(9 if number % 40 < 14 else 3) * MS + number for number in range(40 * BLOCKS - 1)])
    own = record(case={"image_shape": None}, latency=rounds, observed=SEEN.model_copy(update={"pool_batches": 40}))
    assert problems(own) == ()


CLASSIFIED = {"model": make_case().model.model_copy(update={"task": "classification"})}


@pytest.mark.parametrize(
    ("precision", "task", "difference", "valid"),
    [
        ("native", "classification", 0.0009, True), ("native", "classification", 0.0011, False),
        ("FP16", "classification", 0.009, True), ("FP16", "classification", 0.011, False),
        ("INT8", "classification", 0.049, True), ("INT8", "classification", 0.051, False),
        ("native", "detection", 0.049, True), ("native", "detection", 0.051, False),
    ],
)  # fmt: skip
def test_outputs_may_differ_by_what_the_precision_explains(
    precision: str, task: str, difference: float, valid: bool
) -> None:
    seen = SEEN.model_copy(update={"output_differences": {"scores": difference}})
    assert (
        problems(record(precision, case=CLASSIFIED if task == "classification" else {}, observed=seen)) == ()
    ) == valid


def test_detections_may_change_places() -> None:
    seen = SEEN.model_copy(update={"output_differences": {"detection_boxes": 0.9, "detection_classes": 0.9}})
    assert problems(record(observed=seen)) == ()
    assert problems(record(case=CLASSIFIED, observed=seen)) != ()


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_difference_of_nan_is_seen_wherever_it_stands(names: tuple[str, str]) -> None:
    seen = SEEN.model_copy(update={"output_differences": {name: {"a": 0.0, "b": math.nan}[name] for name in names}})
    (problem,) = problems(record(case=CLASSIFIED, observed=seen))
    assert problem.startswith("output 'b' of the timed loop differs by NaN from the accuracy pass's")


def test_every_statistic_is_a_time_unless_it_is_known_to_be_none() -> None:
    assert set(METRICS) >= ACCURACY | MACHINE
    timed = set(METRICS) - ACCURACY - MACHINE
    assert {"avg_latency_ms", "p99_latency_ms", "compute_ms", "throughput_fps", "speedup"} <= timed
    assert not any(name.startswith(("map", "top", "peak")) for name in timed)


NATIVE = make_record(latency=make_samples([20.0] * 100), accuracy=Accuracy(metrics={"map": 0.3}, num_images=128))
MAP = Accuracy(metrics={"map": 0.25}, num_images=128)


def outcomes(found: Record, *assertions: str, native: Record = NATIVE) -> list[str]:
    return [check.outcome for check in check_all(assertions, [native, found]) if check.case_id == found.case.id]


@pytest.mark.parametrize(
    "assertion", ["speedup >= 1.2", "speedup >= 100", "median_latency_ms < 1", "speedup > 1 or map > 0"]
)
def test_times_that_are_not_valid_neither_pass_nor_fail(assertion: str) -> None:
    assert outcomes(INVALID["unsettled"][0], assertion) == ["inconclusive"]


@pytest.mark.parametrize("name", [name for name in INVALID if "other outputs" not in name])
def test_accuracy_and_fallbacks_are_judged_all_the_same(name: str) -> None:
    found = INVALID[name][0]
    conversion = found.conversion or Conversion(converter="TF-TRT", engine_builds_while_timed=0)
    whole = found.model_copy(
        update={"accuracy": MAP, "conversion": conversion.model_copy(update={"native_executions": 0})}
    )
    assert outcomes(whole, "map >= 0.3", "map >= native.map - 0.1", "fallbacks == 0") == ["failed", "passed", "passed"]


def test_outputs_that_differ_leave_no_accuracy_either() -> None:
    found = INVALID["other outputs"][0].model_copy(update={"accuracy": MAP})
    assert outcomes(found, "map >= 0.1", "median_latency_ms > 0", "fallbacks == 0") == [
        "inconclusive", "inconclusive", "failed",
    ]  # fmt: skip


def test_too_few_samples_for_a_tail_leave_the_median() -> None:
    found = INVALID["few"][0]
    assert outcomes(found, "p99_latency_ms < 9", "p90_latency_ms < 9", "speedup > 2") == [
        "inconclusive", "passed", "passed",
    ]  # fmt: skip


def test_a_speedup_over_an_invalid_native_case_is_none() -> None:
    native = NATIVE.model_copy(update={"latency": UNSETTLED})
    valid = record(accuracy=MAP)
    assert outcomes(valid, "speedup > 0", "median_latency_ms < native.median_latency_ms", native=native) == [
        "inconclusive", "inconclusive",
    ]  # fmt: skip
    assert outcomes(valid, "map >= native.map - 0.1", "median_latency_ms > 0", native=native) == ["passed", "passed"]
    (check,) = check_all(["speedup > 0"], [native, valid])
    assert check.explanation.endswith("; not valid: native: warm-up had not settled after 4000 batches and 12.0 s")


def test_a_drift_touches_what_comes_of_its_loop_alone() -> None:
    (latency,), (compute,) = judge(INVALID["latency drifts"][0]), judge(INVALID["compute drifts"][0])
    loop = {"avg", "median", "min", "max", "p90", "p95", "p99"}
    assert set(METRICS) - latency.spares == {f"{name}_latency_ms" for name in loop} | {"avg_throughput_fps", "speedup"}
    assert set(METRICS) - compute.spares == {"compute_ms", "compute_speedup"}


def test_a_drift_spares_only_the_speed_up_that_blocks_gave() -> None:
    """Of a run in two sittings the native case's blocks are of other rounds: the speed-up is then of the loops."""
    turns = (Turn(round=n, place=0, samples=5) for n in range(12))
    blocks = tuple(
        Block(turn=turn, began_ns=0, latency_ns=(10**7,) * 5, compute_ns=(10**7,) * 5, pipelined_ns=5 * 10**7)
        for turn in turns
    )
    drifting = INVALID["latency drifts"][0].model_copy(update={"blocks": blocks, "sitting": 2})
    beside, before = (make_record(blocks=blocks, sitting=sitting) for sitting in (2, 1))
    for native, is_touched in ((beside, False), (before, True)):
        (problem,) = judge(drifting, native)
        assert ("speedup" not in problem.spares) == is_touched
        (check,) = check_all(["speedup > 0"], [native, drifting])
        assert check.outcome == ("inconclusive" if is_touched else "passed")
    throttled = Telemetry(windows=(Window(name="measure", begin_s=0, end_s=9, readings=90, throttled=1.0,
                                          event_reasons={"hw_slowdown": 0.1}),))  # fmt: skip
    for native, is_touched in ((beside, False), (before, True)):
        found = judge(
            native.model_copy(update={"telemetry": throttled, "telemetry_in_turn": Telemetry(readings=9)}), drifting
        )
        assert any("speedup" not in problem.spares for problem in found) == is_touched


def test_the_exit_code_of_an_invalid_run_is_that_of_inconclusive() -> None:
    found = INVALID["unsettled"][0]
    assert verdict([found], check_all(["median_latency_ms > 100"], [found])) == "inconclusive"
    assert exit_code(["inconclusive"]) == 3
    assert verdict([found], check_all([], [found])) == "passed"
    assert all(problem.spares < set(METRICS) for record, _ in INVALID.values() for problem in judge(record))
