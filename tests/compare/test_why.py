"""Why something changed: what is named, in which order, with which figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.compare.comparison import Row
from bench.compare.contributions import kernel_parts, profile_parts, stage_parts
from bench.compare.rules import rules
from bench.compare.runs import compare_runs
from bench.compare.sides import Side
from bench.compare.table import markdown, why
from bench.compare.why import LONGEST_LINE, MOST_CASES, MOST_LINES, explained
from bench.compare.why import reasons as why_it_changed
from bench.conversion import Conversion, Engine, Kernel, Profile
from bench.history.measured import read_run
from bench.record import Phase, Record
from bench.sections.compare import CompareSection
from bench.stages import Stages
from bench.telemetry import Summary, Telemetry, Window
from tests.configs import bench
from tests.factory import make_case, make_environment, make_record
from tests.history.nights import night_record, repeated, write_night, write_nights

TIMES = st.integers(0, 10**9)


def stages(to_device: float = 0.1, compute: float = 2.0, to_host: float = 0.1, rest: float = 0.2) -> Stages:
    """Five inferences alike; times in ms."""
    ns = [round(1e6 * ms) for ms in (to_device, compute, to_host, to_device + compute + to_host + rest)]
    return Stages(
        host_to_device_ns=(ns[0],) * 5, compute_ns=(ns[1],) * 5, dispatch_ns=(1,) * 5, device_to_host_ns=(ns[2],) * 5,
        whole_ns=(ns[3],) * 5, on_device=True,
    )  # fmt: skip


def profile(idle: float = 0.2, **kernels: float) -> Profile:
    """Ten inferences; times in ms of each."""
    ns = {name: round(1e7 * ms) for name, ms in kernels.items()}
    spent = sum(ns.values())
    found = tuple(Kernel(name=n, owner="TensorRT", launches=10, ns=t, tensor_core=False) for n, t in ns.items())
    return Profile(
        inferences=10, wall_ns=spent + round(1e7 * idle), gpu_ns=spent, kernel_ns=spent, copy_ns=0,
        trt_kernel_ns=spent, tensorflow_kernel_ns=0, tensor_core_ns=0, kernels=found,
    )  # fmt: skip


def telemetry(clock: float = 1980, power: float = 400, **window: Any) -> Telemetry:
    fields = {
        name: Summary(min=value, median=value, max=value, n=9)
        for name, value in (("sm_clock_mhz", clock), ("power_w", power))
    }
    return Telemetry(windows=(Window(name="measure", begin_s=0, end_s=10, readings=9, fields=fields, **window),))


def reasons(tmp_path: Path, old: Sequence[Record], new: Sequence[Record]) -> list[str]:
    before, after = write_night(tmp_path, 0, old), write_night(tmp_path, 1, new)
    found = compare_runs(read_run(before), read_run(after), rules(CompareSection()))
    causes = explained(found, read_run(after)).causes
    return [line for cause in causes for line in cause.lines]


def pair(tmp_path: Path, old: dict[str, Any], new: dict[str, Any], slower: float = 1.15) -> list[str]:
    return reasons(tmp_path, [night_record(2.4, **old)], [night_record(2.4 * slower, **new)])


def test_stages_are_named_with_their_part_of_the_change(tmp_path: Path) -> None:
    found = pair(tmp_path, {"stages": stages()}, {"stages": stages(to_device=0.41, compute=2.04)})
    assert found[0] == "stages: host to device +0.310 ms of +0.350 ms; compute +0.040 ms"


def test_what_became_faster_meanwhile_is_not_hidden(tmp_path: Path) -> None:
    found = pair(tmp_path, {"stages": stages()}, {"stages": stages(compute=2.5, to_host=0.05)})
    assert found[0] == "stages: compute +0.500 ms of +0.450 ms; device to host -0.050 ms"


def test_stages_that_do_not_show_it_are_said_not_to(tmp_path: Path) -> None:
    found = pair(tmp_path, {"stages": stages()}, {"stages": stages(compute=1.9)})
    assert found[0] == "stages: do not show it, an inference changed by -0.100 ms"


def test_stages_that_hardly_moved_are_said_not_to_show_it(tmp_path: Path) -> None:
    found = pair(tmp_path, {"stages": stages()}, {"stages": stages(compute=2.01)})
    assert found[0] == "stages: do not show it, an inference changed by +0.010 ms"


def test_an_improvement_is_explained_as_well(tmp_path: Path) -> None:
    found = pair(tmp_path, {"stages": stages()}, {"stages": stages(compute=1.6)}, slower=0.8)
    assert found[0] == "stages: compute -0.400 ms of -0.400 ms"


def test_kernels_are_named_the_one_that_cost_most_first(tmp_path: Path) -> None:
    found = pair(
        tmp_path,
        {"profile": profile(conv=1.0, gemm=0.5, relu=0.1)},
        {"profile": profile(conv=1.2, gemm=0.5, nms=0.15, relu=0.1)},
    )
    assert found[:3] == [
        "under the profiler: kernels +0.350 ms of +0.350 ms",
        "kernel conv: 1.20 times as long, +0.200 ms of +0.350 ms",
        "kernel nms: new, +0.150 ms of +0.350 ms",
    ]


def test_a_kernel_that_the_other_profile_may_have_summed_up_is_not_called_new(tmp_path: Path) -> None:
    found = pair(
        tmp_path, {"profile": profile(conv=1.0, others=0.3)}, {"profile": profile(conv=1.0, nms=0.4, others=0.3)}
    )
    assert "kernel nms: was not among the longest, +0.400 ms of +0.400 ms" in found


def test_a_gpu_that_waits_for_the_host_is_told_from_slower_kernels(tmp_path: Path) -> None:
    found = pair(tmp_path, {"profile": profile(conv=1.0)}, {"profile": profile(idle=0.6, conv=1.0)})
    assert found[0] == "under the profiler: time in which the GPU did nothing +0.400 ms of +0.400 ms"
    assert not any(line.startswith("kernel ") for line in found)


def of_compute(old: dict[str, Any], new: dict[str, Any], worse: float = 0.1) -> list[str]:
    """What is said of a compute time, the latency staying within what is tolerated."""
    sides = [Side(night_record(2.4, **each), None) for each in (old, new)]
    row = Row("case", "series", "compute_ms", "regressed", old=2.0, new=2.0 * (1 + worse))
    return why_it_changed(sides[0], sides[1], [row], worse)


def test_copies_have_no_part_in_a_compute_time() -> None:
    found = of_compute(
        {"stages": stages(), "profile": profile(idle=0.2, conv=1.0)},
        {"stages": stages(to_device=3.0, compute=2.2), "profile": profile(idle=5.0, conv=1.2)},
    )
    assert found[:2] == ["stages: compute +0.200 ms", "kernel conv: 1.20 times as long, +0.200 ms of +0.200 ms"]
    assert not any("host to device" in line or "GPU did nothing" in line for line in found)


def test_of_a_compute_time_it_is_said_what_does_not_show_it_and_what_dispatch_took() -> None:
    waits = stages(compute=2.2).model_copy(update={"dispatch_ns": (200_001,) * 5})
    found = of_compute(
        {"stages": stages(), "profile": profile(conv=1.0)}, {"stages": waits, "profile": profile(conv=1.0)}
    )
    assert found[:2] == [
        "stages: compute +0.200 ms, of which dispatch +0.200 ms",
        "under the profiler: do not show it, the kernels changed by +0.000 ms",
    ]
    assert of_compute({"stages": stages()}, {"stages": stages(to_device=3.0)})[0] == (
        "stages: do not show it, compute changed by +0.000 ms"
    )


def test_versions_and_variables_are_said_on_both_sides(tmp_path: Path) -> None:
    found = pair(
        tmp_path,
        {"environment": make_environment(driver="580.00")},
        {"environment": make_environment(driver="590.10", packages={"tensorflow": "2.15.0", "tensorrt": "8.5.3.1"},
                                         variables={"TF_GPU_THREAD_MODE": "gpu_private"})},
    )  # fmt: skip
    assert {"driver 580.00 -> 590.10", "tensorflow 2.14.1 -> 2.15.0", "$TF_GPU_THREAD_MODE none -> gpu_private"} <= set(
        found
    )
    assert not any("tensorrt" in line for line in found)


def test_clocks_power_and_throttling(tmp_path: Path) -> None:
    found = pair(
        tmp_path, {"telemetry": telemetry()}, slower=1.5, new=
        {"telemetry": telemetry(clock=1755, power=300, event_reasons={"sw_power_cap": 0.03, "gpu_idle": 0.5})},
    )  # fmt: skip
    assert "the GPU's clock 1980 -> 1755 MHz (-11.4 %): work that follows it takes +12.8 %" in found
    assert "power 400 -> 300 W" in found
    assert "throttled by sw_power_cap for 0 % -> 3.0 % of the measured time" in found
    assert not any("gpu_idle" in line for line in found)


EXPLAINED = "the GPU's clock accounts for most of it: 1980 -> 1755 MHz (-11.4 %), so that work which follows it takes"


@pytest.mark.parametrize(
    ("slower", "said"),
    [(1.15, "takes +12.8 %, and this takes +15.0 %"), (1.08, "takes +12.8 %, and this takes +8.0 %")],
)
def test_a_clock_that_changed_by_about_as_much_is_named_first(tmp_path: Path, slower: float, said: str) -> None:
    found = pair(
        tmp_path, {"telemetry": telemetry(), "stages": stages()},
        {"telemetry": telemetry(clock=1755, event_reasons={"sw_power_cap": 0.03}), "stages": stages(compute=2.5),
         "environment": make_environment(driver="590.10")},
        slower,
    )  # fmt: skip
    assert found[0].startswith(EXPLAINED) and found[0].endswith(said)
    assert found[1] == "throttled by sw_power_cap for 0 % -> 3.0 % of the measured time"
    assert found[2].startswith("stages: compute +0.500 ms") and found[3] == "driver 580.00 -> 590.10"
    assert sum("the GPU's clock" in line for line in found) == 1


@pytest.mark.parametrize(("clock", "slower"), [(1755, 1.5), (1100, 1.1), (1755, 0.85), (1975, 1.05)])
def test_a_clock_that_changed_by_much_less_or_more_or_the_other_way_is_not_made_the_reason(
    tmp_path: Path, clock: float, slower: float
) -> None:
    found = pair(tmp_path, {"telemetry": telemetry()}, {"telemetry": telemetry(clock=clock)}, slower)
    assert found and not any("accounts for" in line for line in found)
    assert any(line.startswith("the GPU's clock 1980 -> ") for line in found) == (clock != 1975)


def test_a_higher_clock_accounts_for_an_improvement(tmp_path: Path) -> None:
    found = pair(tmp_path, {"telemetry": telemetry(clock=1755)}, {"telemetry": telemetry()}, slower=0.88)
    assert "1755 -> 1980 MHz (+12.8 %)" in found[0] and "takes -11.4 %, and this takes -12.0 %" in found[0]


def test_the_clock_is_that_of_all_processes(tmp_path: Path) -> None:
    """Of five, one alone ran at a lower clock, and it is the first."""
    copies = repeated([2.4] * 5)
    old = [each.model_copy(update={"telemetry": telemetry()}) for each in copies]
    clocks = [1755, 1980, 1980, 1980, 1980]
    new = [
        each.model_copy(update={"telemetry": telemetry(clock=mhz)})
        for mhz, each in zip(clocks, repeated([2.7] * 5), strict=True)
    ]
    assert not any("accounts for" in line for line in reasons(tmp_path, old, new))


def test_a_speed_up_is_not_laid_on_a_clock_that_native_had_too(tmp_path: Path) -> None:
    slow: dict[str, Any] = {"telemetry": telemetry(clock=1755)}
    old = [night_record(20.0, "native", telemetry=telemetry()), night_record(10.0, telemetry=telemetry())]
    new = [night_record(20.0, "native", **slow), night_record(11.4, **slow)]
    before, after = write_night(tmp_path, 0, old), write_night(tmp_path, 1, new)
    rule = {"speedup": {"relative": 0.1}, "median_latency_ms": {"relative": 0.5}}
    section = CompareSection.model_validate({"rules": rule})
    found = explained(compare_runs(read_run(before), read_run(after), rules(section)), read_run(after))
    (cause,) = found.causes
    assert cause.metrics == ("speedup",) and not any("accounts for" in line for line in cause.lines)


def test_the_host_is_looked_at(tmp_path: Path) -> None:
    quiet, busy = {"busy_cores": 1.0, "worker_cores": 1.0}, {"busy_cores": 7.5, "worker_cores": 1.0}
    found = pair(
        tmp_path,
        {"telemetry": telemetry(stolen_share=0.0, **quiet)},
        {"telemetry": telemetry(stolen_share=0.2, **busy)},
    )
    assert "the hypervisor took 0 % -> 20.0 % of the CPU time" in found
    assert "cores kept busy by other processes 0.0 -> 6.5" in found


def engine(precision: str, number: int = 0) -> Engine:
    return Engine(
        name=f"TRTEngineOp_{number}", precision=precision, nodes=50, ops={"Conv2D": 50}, inputs=(), outputs=()
    )


def test_engines_and_their_precision(tmp_path: Path) -> None:
    def made(precision: str, engines: int, share: float) -> Conversion:
        listed = tuple(engine(precision, number) for number in range(engines))
        return Conversion(converter="TF-TRT 8.5.3", engines=engines, share_converted=share, engine_list=listed)

    found = pair(tmp_path, {"conversion": made("FP16", 1, 0.98)}, {"conversion": made("FP32", 3, 0.6)})
    assert {"engines 1 -> 3", "nodes converted 98.0 % -> 60.0 %", "engines by precision: 1 FP16 -> 3 FP32"} <= set(
        found
    )


def test_nothing_that_differs_is_said_too(tmp_path: Path) -> None:
    same = {"stages": stages(), "environment": make_environment(), "telemetry": telemetry()}
    assert pair(tmp_path, same, {**same, "stages": stages(compute=2.4)})[-1] == "nothing else that was recorded differs"


def test_a_longer_conversion_is_laid_on_its_phases(tmp_path: Path) -> None:
    def record(build: float) -> Record:
        return night_record(10.0, phases=(Phase(name="convert", seconds=20), Phase(name="build", seconds=build)))

    assert reasons(tmp_path, [record(40)], [record(80)])[0] == "phases: build +40.00 s of +40.00 s"


def test_a_speed_up_that_native_alone_brought_down_is_laid_on_native(tmp_path: Path) -> None:
    old = [night_record(20.0, "native"), night_record(10.0)]
    new = [night_record(15.0, "native"), night_record(10.0)]
    before, after = write_night(tmp_path, 0, old), write_night(tmp_path, 1, new)
    section = CompareSection.model_validate({"rules": {"speedup": {"relative": 0.1}}})
    found = explained(compare_runs(read_run(before), read_run(after), rules(section)), read_run(after))
    (cause,) = (each for each in found.causes if "speedup" in each.metrics)
    assert cause.lines[0] == "native's median_latency_ms 20 -> 15 (-25.00 %)"


def test_what_is_said_is_bounded(tmp_path: Path) -> None:
    def many(version: str) -> list[Record]:
        packages = {f"package{n}" + "x" * 300: version * 300 for n in range(100)}
        cases = [make_case("FP16", batch_size=n) for n in range(1, MOST_CASES + 6)]
        return [
            night_record(5.0 + 5 * (version == "2"), case=c, environment=make_environment(packages=packages))
            for c in cases
        ]

    before, after = write_night(tmp_path, 0, many("1")), write_night(tmp_path, 1, many("2"))
    found = explained(compare_runs(read_run(before), read_run(after), rules(CompareSection())), read_run(after))
    assert len(found.causes) == MOST_CASES and found.unexplained == 5
    assert all(len(cause.lines) == MOST_LINES for cause in found.causes)
    assert all(len(line) <= LONGEST_LINE for cause in found.causes for line in cause.lines)
    assert "Not looked into: 5 more cases that changed" in why(found)


def test_the_screen_and_markdown_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    new = make_environment(driver="590.10", packages={"a|b": "<script>"})
    runs = [
        write_night(Path("results"), 0, [night_record(10.0)]),
        write_night(Path("results"), 1, [night_record(12.0, environment=new)]),
    ]
    shown = bench("compare", *map(str, runs))
    assert "Why ssd_mobilenet_v1_coco-coco-val2017-b1-fp16-tf-trt changed in median_latency_ms" in shown.stdout
    assert "  driver 580.00 -> 590.10\n" in shown.stdout
    lines = bench("compare", *map(str, runs), "--markdown").stdout.splitlines()
    assert "### Why" in lines and any(line.startswith("  - driver 580.00 ") for line in lines)
    assert not any("<script>" in line for line in lines)


def test_against_the_history_the_last_usual_night_stands_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_nights(Path("results"), [10.0] * 12)
    write_night(Path("results"), 12, [night_record(12.0, environment=make_environment(driver="590.10"))])
    shown = bench("compare", "history", "latest").stdout
    assert "held against nightly/20260112T020000Z-00000b" in shown and "driver 580.00 -> 590.10" in shown


def test_a_baseline_whose_records_are_gone_is_said(tmp_path: Path) -> None:
    before, after = write_nights(tmp_path, [10.0, 12.0])
    found = compare_runs(read_run(before), read_run(after), rules(CompareSection()))
    for file in before.glob("*.json"):
        file.unlink()
    (cause,) = explained(found, read_run(after)).causes
    assert cause.lines[0].startswith("the records cannot be held against each other: ")


def test_markdown_without_a_change_says_nothing_of_why(tmp_path: Path) -> None:
    before, after = write_nights(tmp_path, [10.0, 10.0])
    found = explained(compare_runs(read_run(before), read_run(after), rules(CompareSection())), read_run(after))
    assert not found.causes and "Why" not in markdown(found)


@given(*[st.lists(st.tuples(TIMES, TIMES, TIMES, TIMES), min_size=1, max_size=5)] * 2)
def test_the_stages_changes_add_up_to_an_inferences(old: list[tuple[int, ...]], new: list[tuple[int, ...]]) -> None:
    def record(rows: list[tuple[int, ...]]) -> Record:
        to_device, compute, to_host, whole = zip(*rows, strict=True)
        return make_record(stages=Stages(
            host_to_device_ns=to_device, compute_ns=compute, dispatch_ns=compute, device_to_host_ns=to_host,
            whole_ns=whole, on_device=True,
        ))  # fmt: skip

    parts = stage_parts(record(old), record(new))
    assert parts is not None
    assert sum(each.by for each in parts.changes) == pytest.approx(parts.whole.by, abs=1e-6)
    moved = [each.by for each in parts.ordered()]
    assert moved == sorted(moved, reverse=parts.whole.by >= 0)


@given(*[st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 9), min_size=1), st.floats(0, 9)] * 2)
def test_what_the_profile_says_adds_up(old: dict[str, float], idle: float, new: dict[str, float], later: float) -> None:
    sides = make_record(profile=profile(idle, **old)), make_record(profile=profile(later, **new))
    for parts in (profile_parts(*sides), kernel_parts(*sides)):
        assert parts is not None
        assert sum(each.by for each in parts.changes) == pytest.approx(parts.whole.by, abs=1e-6)
