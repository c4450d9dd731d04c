"""Readings joined with phases by time, and what is said against a machine."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine.clocks import policy
from bench.machine.energy import seconds_per_image
from bench.machine.reading import Reading, Sampled, decode, encode
from bench.machine.summaries import TRACE_POINTS, summarize, summary, thin, trace
from bench.machine.timeline import EDGE_NS, Span, Timeline, change
from bench.record import Record, read_record
from bench.telemetry import (
    EVENT_REASONS,
    NO_THROTTLING,
    SEVERE,
    ForeignProcess,
    Summary,
    Telemetry,
    Window,
    problems,
    reasons_of,
)
from tests.factory import make_record

S = 1_000_000_000
GPU = {"index": 0, "chosen_by": "the first", "max_sm_clock_mhz": 1980.0}
FLOATS = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=300)


def at(seconds: float, **values: Any) -> Reading:
    return Reading(time_ns=round(seconds * S), **values)


def ten_hertz(begin: float, end: float, **values: Any) -> list[Reading]:
    """Readings every 100 ms; a callable value is given the time in seconds."""
    times = [begin + i / 10 for i in range(round((end - begin) * 10) + 1)]
    return [at(t, **{name: v(t) if callable(v) else v for name, v in values.items()}) for t in times]


def spans(**named: tuple[float, float]) -> list[Span]:
    """By names in which _ stands for a blank."""
    return [Span(name.replace("_", " "), round(b * S), round(e * S)) for name, (b, e) in named.items()]


def measured(**changes: Any) -> Telemetry:
    fields = {"name": "measure", "begin_s": 1.0, "end_s": 11.0, "readings": 100, **changes}
    return Telemetry(windows=(Window.model_validate(fields),))


@given(st.lists(st.integers(), max_size=700), st.integers(2, 250))
def test_thinning_keeps_order_ends_and_an_even_spread(items: list[int], limit: int) -> None:
    kept = thin(list(enumerate(items)), limit)
    assert len(kept) == min(len(items), limit)
    places = [place for place, _ in kept]
    assert places == sorted(set(places))
    assert all(items[place] == item for place, item in kept)
    if len(items) <= limit:
        assert places == list(range(len(items)))
    else:
        gaps = [b - a for a, b in itertools.pairwise(places)]
        assert (places[0], places[-1]) == (0, len(items) - 1) and max(gaps) - min(gaps) <= 1


@given(FLOATS)
def test_a_summary_is_between_its_ends_and_of_all_values(values: list[float]) -> None:
    found = summary(values)
    assert found is not None and found.n == len(values)
    assert found.min == min(values) and found.max == max(values)
    assert found.min <= found.median <= found.max
    assert 2 * sum(value <= found.median for value in values) >= len(values)
    assert 2 * sum(value >= found.median for value in values) >= len(values)


@given(FLOATS)
def test_a_summary_does_not_depend_on_the_order(values: list[float]) -> None:
    assert summary(values) == summary(values[::-1]) == summary(sorted(values))


def test_no_values_have_no_summary() -> None:
    assert summary([]) is None


PROCESSES = st.lists(st.tuples(st.integers(1), st.none() | st.integers(0), st.text())).map(tuple)


@given(st.integers(0, 2**62), st.none() | st.floats(0, 1e4), st.none() | st.integers(0, 0x7FF), st.none() | PROCESSES)
def test_a_reading_comes_back_from_its_line(time_ns: int, power: Any, reasons: Any, foreign: Any) -> None:
    reading = Reading(time_ns=time_ns, power_w=power, event_reasons=reasons, foreign=foreign)
    line = encode(reading)
    assert line.count(b"\n") == 1
    assert decode([line]).readings == [reading]


def test_a_line_that_was_cut_off_ends_what_is_read() -> None:
    lines = [b'{"facts": {"period_s": 0.1}}\n', encode(at(1)), encode(at(2))[:-9]]
    sampled = decode(lines)
    assert sampled.readings == [at(1)] and sampled.facts == {"period_s": 0.1} and not sampled.ended


def test_phases_and_loops_have_the_times_at_which_their_events_came() -> None:
    timeline = Timeline()
    events = (("phase", "warm-up", 1), ("part", "phases", 3), ("phase", "measure", 4), ("part", "latency", 6),
              ("part", "compute", 9), ("part", "phases", 10), ("part", "profile", 12))  # fmt: skip
    told = [getattr(timeline, kind)(name, now) for kind, name, now in events]
    assert told[1:] == [True, None, True, True, True, False]
    assert timeline.spans == [
        Span("warm-up", 1, 3),
        Span("measure: latency", 4, 6),
        Span("measure: compute", 6, 9),
        Span("measure", 4, 10),
    ]


def test_a_phase_that_was_cut_off_ends_when_the_worker_does() -> None:
    timeline = Timeline()
    timeline.phase("prepare", 1)
    timeline.phase("measure", 5)
    timeline.end(8)
    timeline.end(9)
    assert timeline.spans == [Span("prepare", 1, 5), Span("measure", 5, 8)]


def test_readings_belong_to_the_phase_in_which_they_were_taken() -> None:
    readings = ten_hertz(0, 10, sm_clock_mhz=lambda t: 1000 if t < 5 else 2000 + t, temperature_c=40)
    telemetry = summarize(Sampled(readings), spans(warm_up=(1, 4.95), measure=(5, 9.96)), 1 * S, {})
    warm_up, measure = telemetry.windows
    assert warm_up.fields["sm_clock_mhz"] == Summary(min=1000, median=1000, max=1000, n=40)
    assert (measure.begin_s, measure.end_s) == (4.0, 8.96)
    assert measure.fields["sm_clock_mhz"].min == 2005 and measure.fields["sm_clock_mhz"].max == pytest.approx(2009.9)
    assert measure.fields["sm_clock_mhz"].n == measure.readings == 50
    assert "power_w" not in measure.fields


@given(st.lists(st.integers(0, 0x7FF), min_size=1, max_size=50))
def test_shares_of_reasons_count_readings(masks: list[int]) -> None:
    readings = [at(1 + i / 10, event_reasons=mask) for i, mask in enumerate(masks)]
    (window,) = summarize(Sampled(readings), spans(measure=(1, 100)), 0, {}).windows
    for name, share in window.event_reasons.items():
        assert share == pytest.approx(sum(name in reasons_of(mask) for mask in masks) / len(masks), abs=1e-4)
    throttled = sum(bool(set(reasons_of(mask)) - set(NO_THROTTLING)) for mask in masks)
    assert window.throttled == pytest.approx(throttled / len(masks), abs=1e-4)


def test_every_bit_has_a_name() -> None:
    assert reasons_of(0x7FF) == tuple(EVENT_REASONS.values())
    assert reasons_of(0) == () and reasons_of(0x48) == ("hw_slowdown", "hw_thermal_slowdown")


def test_counters_grow_from_the_first_reading_of_a_phase_to_the_one_that_ends_it() -> None:
    (span,) = spans(measure=(1.0, 2.0))
    readings = [at(0.9, energy_mj=1), at(1.0, energy_mj=10), at(1.5), at(1.9, energy_mj=50)]
    assert change("energy_mj", readings, span) == pytest.approx((40, 0.9))
    closing = [*readings, at(2.001, energy_mj=60), at(2.05, energy_mj=99)]
    assert change("energy_mj", closing, span) == pytest.approx((50, 1.001))
    late = [*readings, at(2 + 1.1 * EDGE_NS / S, energy_mj=60)]
    assert change("energy_mj", late, span) == pytest.approx((40, 0.9))
    assert change("energy_mj", [readings[1]], span) is None
    assert change("energy_mj", closing[-2:], span) is None
    assert change("worker_cpu_s", readings, span) is None


def test_times_of_the_cpu_in_a_phase() -> None:
    readings = ten_hertz(
        0, 20, worker_cpu_s=lambda t: 0.9 * t, cpu_busy_s=lambda t: 3 * t, cpu_steal_s=lambda t: t, cpu_total_s=8.0
    )
    (window,) = summarize(Sampled(readings), spans(measure=(5, 15)), 0, {}).windows
    assert window.worker_cores == pytest.approx(0.9) and window.busy_cores == pytest.approx(3)
    assert window.stolen_share == pytest.approx(0.25) and window.stolen_s == pytest.approx(10, rel=0.02)
    assert window.worker_cpu_s == pytest.approx(9, rel=0.02)


def test_the_trace_has_rates_in_place_of_counters() -> None:
    """Since the reading before that knew it, unless that was just now: counters of the CPU go by steps of 10 ms."""
    every_half = [at(t, worker_cpu_s=0.9 * t, cpu_busy_s=2 * t, cpu_steal_s=0.1 * t) for t in (1, 1.5, 2)]
    between = [at(1.2, worker_cpu_s=1.08), at(1.501, worker_cpu_s=1.35)]
    columns = trace(sorted([*every_half, *between], key=lambda r: r.time_ns), spans(measure=(1, 2)), 0).columns
    assert columns["worker_cores"] == (None, 0.9, 0.9, None, 0.9)
    assert columns["busy_cores"] == (None, None, 2.0, None, 2.0)
    assert columns["stolen_cores"] == (None, None, 0.1, None, 0.1)


LATENCY = {"times_ns": [10_000_000] * 400, "images": [8] * 400}
THROUGHPUT = {"block_ns": [500_000_000] * 5, "launches_per_block": 100, "images_per_launch": 8}


def with_energy(watts: float, loop_s: float = 4.0, update_s: float = 0.1, idle_w: float | None = 80.0) -> Telemetry:
    """A second of idle GPU at 80 W, then a loop at `watts`; the counter is brought up to date now and then."""

    def counter(t: float) -> int:
        now = math.floor(t / update_s + 1e-9) * update_s
        return round(1000 * (80 * min(now, 10) + watts * max(0.0, now - 10)))

    readings = ten_hertz(9, 10, power_w=idle_w, energy_mj=counter)
    readings += ten_hertz(10.1, 12 + loop_s, power_w=watts, energy_mj=counter)
    sampled = Sampled(readings, {"gpu": GPU})
    return summarize(
        sampled, [Span("measure: latency", 11 * S, round((11 + loop_s) * S))], 10 * S, {"latency": LATENCY}
    )


@pytest.mark.parametrize("update_s", [0.02, 0.1])
@pytest.mark.parametrize("watts", [90.0, 300.0, 700.0])
def test_energy_for_an_image_is_what_was_put_in(watts: float, update_s: float) -> None:
    (energy,) = with_energy(watts, update_s=update_s).energy
    assert energy.absent is None and energy.net_absent is None and energy.error_share is not None
    image_s = 0.010 / 8
    assert energy.mean_power_w == pytest.approx(watts, rel=energy.error_share)
    assert energy.joules_per_image == pytest.approx(watts * image_s, rel=energy.error_share)
    assert energy.net_joules_per_image == pytest.approx(
        (watts - 80) * image_s, abs=watts * image_s * energy.error_share
    )


def test_a_short_window_has_no_energy_but_a_reason() -> None:
    (energy,) = with_energy(300, loop_s=1.5).energy
    assert energy.joules_per_image is None and energy.net_joules_per_image is None
    assert energy.absent == "the loop took 1.5 s, and the counter needs 2 s"


def test_a_loop_that_was_read_in_part_is_not_said_to_be_short() -> None:
    """A driver that stops answering, a sampler that ended: it is not the loop that has to be longer."""
    readings = ten_hertz(1, 1.5, energy_mj=lambda t: round(1e5 * t))
    sampled = Sampled(readings, {"gpu": GPU})
    (energy,) = summarize(sampled, [Span("measure: latency", S, 9 * S)], 0, {"latency": LATENCY}).energy
    assert energy.absent == "the counter was read over 0.5 s of the loop's 8.0 s, and needs 2 s"


def test_without_idle_power_there_is_no_net_energy() -> None:
    (energy,) = with_energy(300, idle_w=None).energy
    assert energy.joules_per_image is not None and energy.net_joules_per_image is None
    assert energy.net_absent == "the idle GPU's power is not known"


def test_an_energy_counter_that_stands_still_or_is_refused_says_so() -> None:
    (still,) = with_energy(0, update_s=1000).energy
    assert still.absent == "the energy counter did not grow"
    refused = Sampled(ten_hertz(0, 10), {"gpu": GPU}, {"energy_mj": "Not Supported"})
    (none,) = summarize(refused, [Span("measure: latency", S, 9 * S)], 0, {"latency": LATENCY}).energy
    assert none.absent == "no energy counter: Not Supported"


def test_the_time_for_an_image() -> None:
    assert seconds_per_image(LATENCY) == pytest.approx(0.00125)
    assert seconds_per_image(THROUGHPUT) == pytest.approx(0.000625)
    assert seconds_per_image({}) is None


def test_idle_power_comes_from_before_the_worker() -> None:
    gpu = with_energy(300).gpu
    assert gpu is not None and gpu.idle_power_w == 80 and gpu.idle_s == pytest.approx(1.0)
    readings = ten_hertz(9.8, 12, power_w=80.0)
    short = summarize(Sampled(readings, {"gpu": GPU}), [], 10 * S, {}).gpu
    assert short is not None and short.idle_power_w is None


def test_a_long_run_is_thinned_with_the_measured_part_in_detail() -> None:
    readings = ten_hertz(0, 600, power_w=100.0, load_1min=lambda t: 1.0 if round(t * 10) % 5 == 0 else None)
    found = trace(readings, spans(build=(1, 500), measure=(510, 520)), 1 * S)
    assert len(found.times_s) <= TRACE_POINTS
    assert list(found.times_s) == sorted(set(found.times_s)) and found.times_s[0] == -1.0
    assert sum(509 <= time <= 519 for time in found.times_s) == TRACE_POINTS // 2
    assert all(len(column) == len(found.times_s) for column in found.columns.values())
    assert set(found.columns["load_1min"]) == {1.0} and "sm_clock_mhz" not in found.columns


def test_no_readings_make_a_telemetry_without_any() -> None:
    telemetry = summarize(Sampled(failed="killed"), spans(measure=(1, 2)), 0, {})
    assert telemetry.failed == "killed" and telemetry.readings == 0
    window = telemetry.window()
    assert window is not None and window.readings == 0 and problems(telemetry) == ()


def test_what_is_absent_has_its_reason() -> None:
    readings = [at(1, power_w=100.0), at(2)]
    sampled = Sampled(readings, {"gpu": GPU}, {"power_w": "Unknown Error", "energy_mj": "Not Supported"})
    absent = summarize(sampled, [], 0, {}).absent
    assert absent["power_w"] == "at times: Unknown Error" and absent["energy_mj"] == "Not Supported"
    assert "worker_memory_bytes" in absent


def test_others_on_the_gpu_are_listed_with_their_times() -> None:
    before, during = (4, 2**30, "python3"), (5, None, "")
    readings = [at(1, foreign=(before,)), at(3, foreign=((4, 2**31, ""), during)), at(5, foreign=(during,))]
    found = summarize(Sampled(readings), spans(measure=(4, 6)), S, {}).foreign
    assert found == (
        ForeignProcess(pid=4, name="python3", bytes=2**31, first_s=0, last_s=2, while_measuring=False),
        ForeignProcess(pid=5, first_s=2, last_s=4, while_measuring=True),
    )
    assert problems(measured().model_copy(update={"foreign": found})) == ("another process on the GPU: pid 5",)
    in_turn = summarize(Sampled(readings), spans(interleave=(4, 6)), S, {})
    assert problems(in_turn) == ("another process on the GPU: pid 5",)


def busy(clocks: list[float], reasons: int = 0, idle: float | None = None) -> list[Reading]:
    before = [] if idle is None else [at(0, sm_clock_mhz=idle, event_reasons=0x1)]
    return before + [at(1 + i, sm_clock_mhz=clock, event_reasons=reasons) for i, clock in enumerate(clocks)]


@pytest.mark.parametrize(
    ("gpu", "readings", "expected"),
    [
        ({"application_sm_clock_mhz": 1200.0, "default_sm_clock_mhz": 1980.0}, [], "application"),
        ({}, busy([1200.0] * 9, reasons=0x2), "application"),
        ({}, busy([1980.0] * 4), "unknown"),
        ({}, busy([1980.0] * 9, idle=345), "floating"),
        ({}, busy([1980.0, 1965.0] * 5), "floating"),
        ({}, busy([1500.0] * 9), "locked"),
        ({}, busy([1500.0] * 9, reasons=0x4), "unknown"),
        ({}, busy([1980.0] * 9), "unknown"),
        ({"max_sm_clock_mhz": None}, busy([1500.0] * 9), "unknown"),
        ({}, [at(i, sm_clock_mhz=345.0, event_reasons=0x1) for i in range(9)], "unknown"),
        ({}, [], "unknown"),
    ],
)
def test_clock_policy_as_far_as_nvml_tells(gpu: dict[str, Any], readings: list[Reading], expected: str) -> None:
    found, reason = policy({**GPU, **gpu}, readings)
    assert found == expected and reason


def test_a_good_machine_has_no_problems() -> None:
    reasons = {"gpu_idle": 0.5, "applications_clocks_setting": 1.0, "sw_power_cap": 0.05}
    good = measured(
        event_reasons=reasons, power_violation_ns=400_000_000, thermal_violation_ns=0, stolen_s=0.04, stolen_share=0.3,
        worker_cores=0.5, fields={"cpu_mhz": Summary(min=800, median=800, max=4000, n=9)},
    )  # fmt: skip
    assert problems(good) == () == problems(None) == problems(Telemetry())


@pytest.mark.parametrize("name", sorted(set(EVENT_REASONS.values()) - set(NO_THROTTLING)))
def test_throttling_is_named_with_its_share(name: str) -> None:
    assert problems(measured(event_reasons={name: 0.37})) == (f"throttled: {name} for 37% of the measured time",)
    assert bool(problems(measured(event_reasons={name: 0.01}))) == (name in SEVERE)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"power_violation_ns": 700_000_000}, "throttled: the power violation counter grew by 7.0%"),
        ({"thermal_violation_ns": 20_000_000}, "throttled: the thermal violation counter grew by 0.2%"),
        ({"stolen_s": 0.5, "stolen_share": 0.041}, "the hypervisor took 4.1% of the CPU time"),
        (
            {"worker_cores": 1.0, "fields": {"cpu_mhz": Summary(min=1500, median=2900, max=3000, n=9)}},
            "the busy core's clock went from 1500 to 3000 MHz",
        ),
    ],
)
def test_problems(changes: dict[str, Any], expected: str) -> None:
    (problem,) = problems(measured(**changes))
    assert problem.startswith(expected)


def test_a_counter_and_its_reason_are_one_problem() -> None:
    both = measured(event_reasons={"sw_power_cap": 0.4}, power_violation_ns=4_000_000_000)
    assert problems(both) == ("throttled: sw_power_cap for 40% of the measured time",)


def test_telemetry_is_kept_in_the_record() -> None:
    record = make_record(telemetry=with_energy(300))
    again = read_record(record.model_dump_json(), "here")
    assert isinstance(again, Record) and again == record
