"""Profiles: those of an H200 against brute force, and made ones for what those do not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bench.conversion import Kernel, Profile
from bench.errors import ConversionError
from bench.measure import xplane
from bench.measure.profile import BEGUN, BUILT, EXECUTED, FELL_BACK, KERNELS_KEPT, OTHERS, STEP, analyse, read_profile
from tests.measure.spaces import COMPUTE, GPU, HOST, INFERENCES, RECORDED, Made, recorded

EXECUTIONS = {"fp16": 10, "fp16_eager": 10, "int8": 10, "uncalibrated": 10, "dynamic": 5, "fallback": 0}
LAUNCHES = {"fp16": 165, "fp16_eager": 165, "int8": 160, "uncalibrated": 165, "dynamic": 170, "fallback": 465}
GEMM = "sm80_xmma_gemm_f16f16_f16f16_f16_tn_n_tilesize32x32x64_tensor16x8x16_execute_kernel_trt"


@pytest.fixture(scope="module")
def profiles() -> dict[str, Profile]:
    return {name: analyse(recorded(name), INFERENCES) for name in RECORDED}


def raw_events(space: Any, gpu: bool) -> list[tuple[str, str, int, int]]:
    """Line, name, start and end in ns, without the code under test."""
    return [
        (
            line.name,
            plane.event_metadata[event.metadata_id].name,
            line.timestamp_ns + event.offset_ps // 1000,
            line.timestamp_ns + (event.offset_ps + event.duration_ps) // 1000,
        )
        for plane in space.planes
        for line in plane.lines
        for event in line.events
        if plane.name.startswith("/device:GPU:") == gpu
    ]


def busy(events: list[tuple[str, str, int, int]], first: int, last: int) -> int:
    """In how many of all nanoseconds something ran, counted one by one."""
    timeline = np.zeros(last - first, dtype=bool)
    for *_, start, end in events:
        timeline[start - first : end - first] = True
    return int(timeline.sum())


@pytest.mark.parametrize("name", RECORDED)
def test_times_are_those_of_brute_force(profiles: dict[str, Profile], name: str) -> None:
    on_gpu = raw_events(recorded(name), gpu=True)
    python = [event for event in raw_events(recorded(name), gpu=False) if event[0].startswith("python")]
    first = min(start for *_, start, _ in on_gpu + python)
    last = max(end for *_, end in on_gpu + python)
    kernels = [event for event in on_gpu if not event[1].startswith("Mem")]
    profile = profiles[name]
    assert profile.wall_ns == last - first
    assert profile.gpu_ns == busy(on_gpu, first, last)
    assert profile.kernel_ns == busy(kernels, first, last)
    assert profile.copy_ns == profile.gpu_ns - profile.kernel_ns
    assert profile.all_kernels_ns == sum(end - start for *_, start, end in kernels)
    copies_ns = sum(end - start for *_, start, end in on_gpu) - profile.all_kernels_ns
    assert profile.copies_ns == {"device to host": copies_ns}


@pytest.mark.parametrize("name", RECORDED)
def test_executions_and_launches_are_counted(profiles: dict[str, Profile], name: str) -> None:
    profile = profiles[name]
    assert profile.engine_executions == EXECUTIONS[name]
    assert profile.native_executions == (INFERENCES if name == "fallback" else 0)
    assert profile.engine_builds == 0
    assert sum(kernel.launches for kernel in profile.kernels) == LAUNCHES[name]


@pytest.mark.parametrize("name", RECORDED)
def test_all_kernels_are_one_owners(profiles: dict[str, Profile], name: str) -> None:
    owners = {kernel.owner for kernel in profiles[name].kernels}
    assert owners == ({"TensorFlow"} if name == "fallback" else {"TensorRT"})
    assert profiles[name].trt_share == (0 if name == "fallback" else 1)


@pytest.mark.parametrize("name", RECORDED)
def test_sums_over_kernels_are_the_totals(profiles: dict[str, Profile], name: str) -> None:
    check_sums(profiles[name])


def check_sums(profile: Profile) -> None:
    kernels = profile.kernels
    assert sum(kernel.ns for kernel in kernels if kernel.owner == "TensorRT") == profile.trt_kernel_ns
    assert sum(kernel.ns for kernel in kernels if kernel.owner == "TensorFlow") == profile.tensorflow_kernel_ns
    assert sum(kernel.ns for kernel in kernels if kernel.tensor_core) == profile.tensor_core_ns
    assert sum(profile.precision_ns.values()) == profile.all_kernels_ns
    for precision, ns in profile.precision_ns.items():
        assert sum(kernel.ns for kernel in kernels if (kernel.precision or "other") == precision) == ns
    assert profile.dispatch_ns + profile.kernel_ns + profile.copy_ns == profile.wall_ns


@pytest.mark.parametrize(
    ("name", "most", "tensor_core", "least"),
    [
        ("fp16", "FP16", 0.86, 0.81),
        ("fp16_eager", "FP16", 0.863, 0.82),
        ("dynamic", "FP16", 0.844, 0.90),
        ("int8", "INT8", 0.606, 0.81),
        ("uncalibrated", "INT8", 0.573, 0.77),
        ("fallback", "FP32", 0.018, 0.95),
    ],
)
def test_shares(profiles: dict[str, Profile], name: str, most: str, tensor_core: float, least: float) -> None:
    profile = profiles[name]
    assert next(iter(profile.precision_ns)) == most
    assert least < profile.precision_shares[most] < least + 0.02
    assert profile.tensor_core_share == pytest.approx(tensor_core, abs=0.001)


def test_all_copies_are_of_what_was_fetched(profiles: dict[str, Profile]) -> None:
    assert profiles["fp16"].copies_bytes == {"device to host": INFERENCES * 8 * 1000 * 4}
    assert profiles["dynamic"].copies_bytes == {"device to host": INFERENCES * 4 * 1000 * 4}


def test_the_longest_kernels_come_first(profiles: dict[str, Profile]) -> None:
    times = [kernel.ns for kernel in profiles["fallback"].kernels]
    assert times == sorted(times, reverse=True)


def test_only_what_begins_in_a_step_counts() -> None:
    made = Made(origin=10**18).step(100, 200).step(300, 400)
    made.kernel("before", (50, 110)).kernel("first", (110, 130)).kernel("between", (220, 230))
    made.kernel("over", (390, 420)).copy("MemcpyH2D", (240, 250), 8)
    made.host(EXECUTED, (210, 220)).host(FELL_BACK, (310, 311))
    profile = analyse(made.space, 2)
    assert profile.wall_ns == 200
    assert [(kernel.name, kernel.ns) for kernel in profile.kernels] == [("over", 30), ("first", 20)]
    assert profile.kernel_ns == profile.gpu_ns == 30  # over is cut where its step ends
    assert (profile.engine_executions, profile.native_executions, profile.copies_ns) == (0, 1, {})


def test_an_engine_that_fails_and_is_then_run_natively_counts_as_that_alone() -> None:
    made = Made().step(0, 1000).kernel("any", (10, 20))
    made.host(BEGUN, (100, 200)).host(EXECUTED, (110, 120)).host(FELL_BACK, (130, 190))
    made.host(BEGUN, (300, 400)).host(EXECUTED, (310, 390))
    made.host(BEGUN, (500, 600)).host(FELL_BACK, (510, 590))
    made.host(BEGUN, (100, 200), thread=3).host(EXECUTED, (110, 190), thread=3)
    profile = analyse(made.space, 1)
    assert (profile.engine_executions, profile.native_executions) == (2, 2)


def test_what_overlaps_on_streams_counts_once() -> None:
    made = Made().step(0, 100).kernel("one", (10, 30), 1).kernel("two", (20, 40), 2).copy("MemcpyD2H", (35, 60), 5)
    profile = analyse(made.space, 1)
    assert (profile.kernel_ns, profile.copy_ns, profile.gpu_ns, profile.dispatch_ns) == (30, 20, 50, 50)
    assert (profile.all_kernels_ns, profile.copies_ns) == (40, {"device to host": 25})
    assert profile.gpu_share == 0.5


def test_gpus_count_together() -> None:
    made = Made().step(0, 100).kernel("one", (10, 30)).event("/device:GPU:1", 7, "two", (20, 40))
    made.space.planes[-1].lines[0].name = "Stream #7"
    assert analyse(made.space, 1).gpu_ns == 30


def test_lines_that_the_profiler_derives_do_not_count() -> None:
    made = Made().step(0, 100).kernel("one", (10, 30)).event(GPU, 99, "Steps", (0, 90))
    made.space.planes[-1].lines[-1].name = "Steps"
    assert [kernel.name for kernel in analyse(made.space, 1).kernels] == ["one"]


def test_copies_by_kind() -> None:
    made = Made().step(0, 100)
    made.copy("MemcpyH2D", (0, 1), 10, "kind_src:pageable kind_dst:device").copy("MemcpyD2D", (1, 3), 20)
    made.copy("MemcpyP2P", (3, 4), 30).copy("Memset", (4, 5), 40, "kind:device").copy("MemcpyH2D", (5, 6), 10)
    made.copy("MemcpyOther", (6, 7), 7, "kind_src:device kind_dst:pinned").copy("MemcpyOther", (7, 8), 5)
    made.event(GPU, 7, "MemoryAlloc", (0, 90), memalloc_details="num_bytes:1")
    profile = analyse(made.space, 1)
    assert profile.copies_ns == {
        "device to device": 3,
        "host to device": 2,
        "memset": 1,
        "device to host": 1,
        "other copies": 1,
    }
    assert profile.copies_bytes == {
        "device to device": 50,
        "host to device": 20,
        "memset": 40,
        "device to host": 7,
        "other copies": 5,
    }
    assert (profile.gpu_ns, profile.copy_ns, profile.kernels) == (8, 8, ())
    assert (profile.trt_share, profile.tensor_core_share, profile.precision_shares) == (None, None, {})


def owners(made: Made) -> dict[str, str]:
    return {kernel.name: kernel.owner for kernel in analyse(made.space, 1).kernels}


def test_a_kernel_is_tensorrts_where_its_launch_lies_in_an_execution_on_the_same_thread() -> None:
    made = Made().step(0, 100).host(EXECUTED, (10, 20), COMPUTE)
    made.launch(15, COMPUTE, "engine", (30, 31)).launch(16, COMPUTE, "by driver", (31, 32), "cuLaunchKernelEx")
    made.launch(15, 3, "other thread", (32, 33)).launch(20, COMPUTE, "after", (33, 34)).launch(5, COMPUTE, "x", (6, 7))
    found = owners(made)
    assert {name for name, owner in found.items() if owner == "TensorRT"} == {"engine", "by driver"}
    assert len(found) == 5


def test_the_kernels_of_a_cuda_graph_belong_to_the_one_who_launched_it() -> None:
    made = Made().step(0, 100).host(EXECUTED, (10, 20)).host("cuGraphLaunch", (12, 13), correlation_id=5)
    made.kernel("one", (30, 31), correlation_id=5).kernel("two", (31, 32), correlation_id=5)
    assert owners(made) == {"one": "TensorRT", "two": "TensorRT"}


def test_a_thread_is_the_same_in_all_planes_of_the_host() -> None:
    made = Made().step(0, 100).host(EXECUTED, (10, 20), COMPUTE)
    made.event("/host:CUPTI", COMPUTE, "cuLaunchKernel", (12, 13), correlation_id=5)
    assert owners(made.kernel("one", (30, 31), correlation_id=5)) == {"one": "TensorRT"}


def test_the_op_decides_where_the_launch_is_unknown() -> None:
    made = Made().step(0, 100).kernel("engine", (1, 2), tf_op="a/TRTEngineOp_000_000:TRTEngineOp", correlation_id=9)
    made.kernel("op", (2, 3), tf_op="a/TRTEngineOp_000_000/Conv2D:Conv2D").kernel("none", (3, 4))
    assert owners(made) == {"engine": "TensorRT", "op": "TensorFlow", "none": "TensorFlow"}


def test_the_op_does_not_decide_where_an_engine_fell_back() -> None:
    made = Made().step(0, 100).kernel("engine", (1, 2), tf_op="a/TRTEngineOp_000_000:TRTEngineOp")
    assert owners(made.host(FELL_BACK, (0, 1))) == {"engine": "TensorFlow"}


@pytest.mark.parametrize("name", ["fp16", "dynamic"])
def test_recordings_without_launches_tell_the_same_by_the_op(name: str) -> None:
    space = recorded(name)
    for plane in space.planes:
        events = [event for line in plane.lines for event in line.events if plane.name == HOST]
        for event in events:
            del event.stats[:]
    assert analyse(space, INFERENCES).trt_share == 1


def test_a_name_with_two_owners_is_two_kernels() -> None:
    made = Made().step(0, 100).host(EXECUTED, (10, 20))
    made.launch(15, COMPUTE, "k", (30, 35)).launch(25, COMPUTE, "k", (40, 41))
    found = {(kernel.owner, kernel.ns) for kernel in analyse(made.space, 1).kernels}
    assert found == {("TensorRT", 5), ("TensorFlow", 1)}


def test_engines_built_in_the_pass_are_counted() -> None:
    made = Made().step(0, 100).kernel("k", (1, 2)).host(BUILT, (3, 4)).host(f"{EXECUTED}#id=1#", (5, 6))
    profile = analyse(made.space, 1)
    assert (profile.engine_builds, profile.engine_executions) == (1, 1)


def test_the_rest_of_many_kernels_is_summed_by_sort() -> None:
    made = Made().step(0, 10_000)
    for number in range(KERNELS_KEPT + 10):
        name = f"{GEMM}_{number}" if number % 2 else f"plain_{number}"
        made.kernel(name, (100 * number, 100 * number + 99 - number))
    profile = analyse(made.space, 1)
    others = [kernel for kernel in profile.kernels if kernel.name == OTHERS]
    assert len(profile.kernels) == KERNELS_KEPT + 2
    assert {(kernel.tensor_core, kernel.precision, kernel.launches) for kernel in others} == {
        (True, "FP16", 5),
        (False, None, 5),
    }
    assert profile.kernels[-2:] == tuple(others)
    check_sums(profile)


def test_a_profile_without_a_gpu_is_refused_with_the_profilers_words() -> None:
    made = Made().step(0, 100)
    made.space.errors.append("CUPTI_ERROR_INSUFFICIENT_PRIVILEGES")
    with pytest.raises(ConversionError, match=r"nothing of a GPU.*CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"):
        analyse(made.space, 1)


def test_lost_steps_are_an_error() -> None:
    with pytest.raises(ConversionError, match="holds 1 of 3 inferences"):
        analyse(Made().step(0, 100).kernel("k", (1, 2)).space, 3)


def test_sessions_in_a_folder_are_added_up(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        folder = tmp_path / "plugins" / "profile" / name
        folder.mkdir(parents=True)
        made = Made(origin=number).step(0, 100).kernel("k", (10, 20)).kernel(name, (30, 31))
        (folder / "host.xplane.pb").write_bytes(made.space.SerializeToString())
    profile = read_profile(tmp_path, 2)
    assert (profile.wall_ns, profile.gpu_ns, profile.inferences) == (200, 22, 2)
    assert profile.kernels[0] == Kernel(name="k", owner="TensorFlow", launches=2, ns=20, tensor_core=False)


def test_a_folder_without_profiles_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"left no \*\.xplane\.pb there"):
        read_profile(tmp_path, 1)


def test_a_version_without_the_protocol_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xplane, "MODULES", ("tensorflow.no_such_module",))
    with pytest.raises(ConversionError, match="cannot read its own profiles"):
        xplane.parse_space(b"")


def test_a_profile_of_this_version_has_its_steps_and_no_gpu(tmp_path: Path) -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
    with tf.profiler.experimental.Profile(str(tmp_path), options):
        for number in range(2):
            with tf.profiler.experimental.Trace(STEP, step_num=number):
                tf.add(1, 2).numpy()
    lines = [line for space in xplane.load_spaces(tmp_path) for line in xplane.read_lines(space) if line.of_host]
    steps = [event for line in lines for event in line.events if event.name == STEP]
    assert [step.stats["step_num"] for step in steps] == [0, 1]
    with pytest.raises(ConversionError, match="nothing of a GPU"):
        read_profile(tmp_path, 2)


def test_a_profile_survives_json(profiles: dict[str, Profile]) -> None:
    assert Profile.model_validate_json(profiles["int8"].model_dump_json()) == profiles["int8"]
