"""What makes two measurements comparable, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from bench.case import Dataset, Model, PublishedAccuracy
from bench.history.measured import measurements
from bench.history.series import covariates, segment_key, series_key
from bench.record import Failure, Gpu, Record
from bench.telemetry import ClockLock, ClockPolicy, GpuState, Telemetry
from tests.factory import make_case, make_environment, make_optimization, make_record, make_samples
from tests.history.nights import night_record, repeated

PUBLISHED = PublishedAccuracy(source="a paper", figures={"native": {"map": 0.3}})


def record_on(policy: ClockPolicy = "floating", lock: ClockLock | None = None, **changes: Any) -> Record:
    telemetry = Telemetry(
        gpu=GpuState(index=0, chosen_by="test", power_limit_w=700.0, clock_policy=policy), clock_lock=lock
    )
    return make_record("FP16", environment=make_environment(**changes), telemetry=telemetry)


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 8},
        {"image_shape": (224, 224)},
        {"num_images": 64},
        {"model": Model(name="resnet50", task="detection")},
        {"model": Model(name="ssd_mobilenet_v1_coco", task="detection", random_weights=True)},
        {"dataset": Dataset(name="other", format="coco")},
        {"dataset": Dataset(name="coco-val2017", format="coco", mean=(1.0, 2.0, 3.0))},
        {"calibration": Dataset(name="other", format="coco")},
        {"optimization": make_optimization("FP16", minimum_segment_size=5)},
        {"optimization": make_optimization("FP16", tf32=False)},
        {"optimization": make_optimization("INT8")},
        {"optimization": make_optimization("FP16", backend="litert")},
    ],
)
def test_what_is_measured_makes_a_series(changes: dict[str, Any]) -> None:
    assert series_key(make_case("FP16")).id != series_key(make_case("FP16", **changes)).id


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "another"},
        {"num_iterations": 7},
        {"repeat": 2},
        {"build": 2},
        {"output_path": "elsewhere.json"},
        {"scratch_dir": "/elsewhere"},
        {"model": Model(name="ssd_mobilenet_v1_coco", task="detection", path="/elsewhere")},
        {"model": Model(name="ssd_mobilenet_v1_coco", task="detection", published=PUBLISHED)},
        {"dataset": Dataset(name="coco-val2017", format="coco", images_dir="/elsewhere")},
        {"optimization": make_optimization("FP16", requested_backend="auto", strict=False)},
    ],
)
def test_where_things_lie_and_how_long_it_took_makes_none(changes: dict[str, Any]) -> None:
    assert series_key(make_case("FP16")).id == series_key(make_case("FP16", **changes)).id


def test_keys_say_what_differs() -> None:
    small, large = series_key(make_case("FP16")), series_key(make_case("FP16", batch_size=8))
    assert small.differences(large) == ("batch_size: 1 -> 8",)
    assert small.differences(small) == ()


def test_another_gpu_cpu_power_limit_or_lock_is_another_segment() -> None:
    usual = segment_key(record_on())
    held = ClockLock(asked_mhz=(1200, 1200))
    others = [
        record_on("locked"),
        record_on(lock=held),
        record_on(cpu="Another CPU"),
        make_record("FP16", environment=make_environment()),
        make_record("FP16", environment=make_environment(gpus=(Gpu(name="Other", memory_bytes=1),))),
    ]
    assert len({usual.id, *(segment_key(record).id for record in others)}) == 1 + len(others)


def test_a_clock_that_nobody_holds_is_one_policy() -> None:
    """A clock that stood at its maximum is "unknown" in one night and "floating" in the next."""
    refused = ClockLock(asked_mhz=None, refused="no permission")
    found = {segment_key(record_on(policy, lock)).id for policy in ("floating", "unknown") for lock in (None, refused)}
    assert len(found) == 1


def test_a_cpu_case_does_not_depend_on_the_gpu_beside_it() -> None:
    with_gpu = make_record(environment=make_environment(details={"device": "CPU"}))
    without = make_record(environment=make_environment(gpus=()))
    assert segment_key(with_gpu).id == segment_key(without).id


def test_versions_and_hosts_are_covariates_alone() -> None:
    old, new = make_environment(), make_environment(driver="590.00", hostname="b", packages={"tensorflow": "2.17.0"})
    assert segment_key(make_record(environment=old)).id == segment_key(make_record(environment=new)).id
    assert {name for name, value in covariates(old).items() if covariates(new).get(name) != value} == {
        "driver", "host", "tensorflow", "tensorrt",
    }  # fmt: skip


def test_cases_that_share_a_key_are_told_apart_by_name() -> None:
    records = [make_record(case=make_case("FP16", id=name, num_iterations=n)) for name, n in (("a", 5), ("b", 9))]
    assert len({each.series_id for each in measurements(records)}) == 2


def test_processes_of_a_case_are_one_measurement() -> None:
    case = make_case("FP16")
    repeat = case.model_copy(update={"id": f"{case.id}-repeat2", "repeat": 2})
    (found,) = measurements([make_record(case=case), make_record(case=repeat)])
    assert found.values["median_latency_ms"] == (14.5, 14.5) and found.value("median_latency_ms") == 14.5


def test_a_statistic_that_some_processes_lack_is_none() -> None:
    """A p99 of those that had the samples for it may be that of the fast ones; that of a failed case is not judged."""
    many, few = (make_samples([10.0] * count) for count in (700, 600))
    records = [
        each.model_copy(update={"latency": times})
        for each, times in zip(repeated([0.0] * 3), (many, few, few), strict=True)
    ]
    (found,) = measurements(records)
    assert found.value("p99_latency_ms") is None and len(found.values["median_latency_ms"]) == 3
    assert found.doubts == {"p99_latency_ms": "600 samples of the 662 that p99 needs, in 2 of 3 processes"}
    failed = records[1].model_copy(update={"failure": Failure(kind="crash", phase="accuracy", message="x")})
    assert len(measurements([records[0], failed, records[2]])[0].values["p99_latency_ms"]) == 1


def test_another_methodology_is_another_series() -> None:
    (new,), (old,) = (measurements([make_record(methodology_version=version)]) for version in (2, 1))
    assert new.series == old.series and new.series_id != old.series_id


def test_processes_on_different_hardware_are_no_measurement() -> None:
    first, second = repeated([10.0, 10.0])
    assert measurements([first, second])[0].doubts == {}
    (pooled,) = measurements([first, second.model_copy(update={"environment": make_environment(cpu="another")})])
    assert pooled.doubts["median_latency_ms"] == "its processes ran on different hardware"


def test_a_speedup_over_a_native_case_that_is_not_valid_is_not_valid() -> None:
    native, fp16 = night_record(20.0, "native"), night_record(10.0)
    assert "speedup" not in measurements([native, fp16])[1].doubts
    assert native.latency is not None
    unsettled = native.model_copy(update={"latency": native.latency.model_copy(update={"settled": False})})
    doubts = measurements([unsettled, fp16])[1].doubts
    assert doubts["speedup"].startswith("native: ") and "median_latency_ms" not in doubts
