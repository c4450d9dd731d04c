"""What is read of a GPU, by a stand-in for NVML: units, refusals, which GPU, whose processes."""

from __future__ import annotations

import os
import subprocess

import pynvml
import pytest

from bench.machine.nvml import Gpu, NoGpuError, Owners, choose
from bench.machine.reading import Reading
from tests.fake_nvml import GIB, FakeGpu, FakeNvml, process

NOBODY = 2**22 - 1  # a pid beyond those in use here
QUICK = {
    "sm_clock_mhz": ("ClockInfo", 1755),
    "memory_clock_mhz": ("ClockInfo", 3201),
    "power_w": ("PowerUsage", 351.5),
    "temperature_c": ("Temperature", 61),
    "utilization_pct": ("UtilizationRates", 87),
    "memory_used_bytes": ("MemoryInfo", 9 * GIB),
    "event_reasons": ("CurrentClocksEventReasons", 4),
    "power_violation_ns": ("ViolationStatus", 123_000_000),
    "thermal_violation_ns": ("ViolationStatus", 7),
    "energy_mj": ("TotalEnergyConsumption", 9_876_543),
}


def gpu_of(nvml: FakeNvml) -> Gpu:
    return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(0))


def test_every_field_in_its_unit() -> None:
    gpu = gpu_of(FakeNvml(FakeGpu()))
    assert gpu.values() == {name: value for name, (_, value) in QUICK.items()}
    assert gpu.refused == {}
    assert set(QUICK) < set(Reading._fields)


@pytest.mark.parametrize("name", QUICK)
def test_a_field_that_is_not_supported_is_none_and_is_not_asked_for_again(name: str) -> None:
    function = QUICK[name][0]
    fake = FakeGpu(refused={function: pynvml.NVML_ERROR_NOT_SUPPORTED})
    gpu = gpu_of(FakeNvml(fake))
    values = gpu.values()
    refused = {field for field, (asked, _) in QUICK.items() if asked == function}
    assert {field for field, value in values.items() if value is None} == refused
    assert gpu.refused == dict.fromkeys(refused, "Not Supported")
    gpu.values()
    assert fake.asked.count(function) == len(refused)


def test_a_field_that_fails_once_is_asked_for_again() -> None:
    fake = FakeGpu(refused={"PowerUsage": pynvml.NVML_ERROR_UNKNOWN})
    gpu = gpu_of(FakeNvml(fake))
    assert gpu.values()["power_w"] is None
    fake.refused.clear()
    assert gpu.values()["power_w"] == 351.5 and gpu.refused == {"power_w": "Unknown Error"}


def test_a_gpu_that_is_lost_leaves_nothing_but_reasons() -> None:
    fake = FakeGpu(refused={function: pynvml.NVML_ERROR_GPU_IS_LOST for function, _ in QUICK.values()})
    gpu = gpu_of(FakeNvml(fake))
    assert set(gpu.values().values()) == {None} and set(gpu.refused.values()) == {"GPU is lost"}


def test_reasons_by_their_older_name() -> None:
    older_driver = FakeGpu(refused={"CurrentClocksEventReasons": pynvml.NVML_ERROR_FUNCTION_NOT_FOUND})
    assert gpu_of(FakeNvml(older_driver)).values()["event_reasons"] == 4
    event, throttle = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
    assert gpu_of(FakeNvml(FakeGpu(), missing=[event])).values()["event_reasons"] == 4
    neither = gpu_of(FakeNvml(FakeGpu(), missing=[event, throttle]))
    assert neither.values()["event_reasons"] is None
    assert neither.refused["event_reasons"] == f"this nvidia-ml-py is too old: {throttle}"


def test_facts_and_their_refusals() -> None:
    fake = FakeGpu(refused={"ApplicationsClock": pynvml.NVML_ERROR_NOT_SUPPORTED})
    nvml = FakeNvml(fake)
    gpu = gpu_of(nvml)
    facts = gpu.facts(choose(nvml, {}))
    assert facts["name"] == "NVIDIA H200" and facts["uuid"] == "GPU-aaaa1111" and facts["index"] == 0
    assert facts["power_limit_w"] == 700 and facts["max_sm_clock_mhz"] == 1980
    assert facts["application_sm_clock_mhz"] is None
    assert gpu.refused == {"application_sm_clock_mhz": "Not Supported"}


TWO = (FakeGpu("GPU-aaaa1111"), FakeGpu("GPU-aabb2222"))
OTHER_KIND = FakeGpu("GPU-cccc3333", values={"Name": b"NVIDIA T4"})


@pytest.mark.parametrize(
    ("variables", "uuid"),
    [
        ({}, "GPU-aaaa1111"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "GPU-aabb2222"),
        ({"CUDA_VISIBLE_DEVICES": " 1, 0"}, "GPU-aabb2222"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aabb2222,0"}, "GPU-aabb2222"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aab"}, "GPU-aabb2222"),
    ],
)
def test_the_gpu_that_the_worker_computes_on(variables: dict[str, str], uuid: str) -> None:
    choice = choose(FakeNvml(*TWO), variables)
    assert choice.handle.uuid == uuid and choice.index == int(uuid == "GPU-aabb2222") and choice.how


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "CUDA_VISIBLE_DEVICES hides all GPUs"),
        ("-1", "CUDA_VISIBLE_DEVICES hides all GPUs"),
        ("2", "CUDA_VISIBLE_DEVICES begins with 2, and there are 2 GPUs"),
        ("GPU-aa", "CUDA_VISIBLE_DEVICES begins with GPU-aa, which names 2 of 2 GPUs"),
        ("GPU-ff", "CUDA_VISIBLE_DEVICES begins with GPU-ff, which names 0 of 2 GPUs"),
        ("MIG-1234", "NVML: Not Found"),
    ],
)
def test_no_gpu_and_why(value: str, reason: str) -> None:
    with pytest.raises(NoGpuError) as error:
        choose(FakeNvml(*TWO), {"CUDA_VISIBLE_DEVICES": value})
    assert str(error.value) == reason


def test_numbers_are_taken_only_where_cudas_are_nvmls() -> None:
    nvml = FakeNvml(OTHER_KIND, *TWO)
    with pytest.raises(NoGpuError, match="set CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        choose(nvml, {"CUDA_VISIBLE_DEVICES": "0"})
    assert choose(nvml, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).handle is OTHER_KIND
    assert choose(nvml, {"CUDA_VISIBLE_DEVICES": "GPU-aabb"}).index == 2


def test_no_nvml_no_gpus_and_a_mig_instance() -> None:
    with pytest.raises(NoGpuError, match="NVML: NVML Shared Library Not Found"):
        choose(FakeNvml(init=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), {})
    with pytest.raises(NoGpuError, match="NVML sees no GPU"):
        choose(FakeNvml(), {})
    mig = choose(FakeNvml(FakeGpu("MIG-1234")), {"CUDA_VISIBLE_DEVICES": "MIG-1234"})
    assert mig.index is None and mig.handle.uuid == "MIG-1234"


def test_a_process_that_is_listed_twice_counts_once() -> None:
    fake = FakeGpu()
    fake.values["ComputeRunningProcesses"] = [process(7, GIB), process(8, None)]
    fake.values["GraphicsRunningProcesses"] = [process(7, GIB), process(9, 5)]
    assert gpu_of(FakeNvml(fake)).processes() == {7: GIB, 8: None, 9: 5}
    fake.refused["ComputeRunningProcesses"] = pynvml.NVML_ERROR_NO_PERMISSION
    refused = gpu_of(FakeNvml(fake))
    assert refused.processes() is None and refused.refused == {"foreign": "Insufficient Permissions"}


def test_the_workers_processes_are_those_of_its_session() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as worker:
        owners = Owners(worker.pid)
        own, others = owners.split({worker.pid: 5, os.getpid(): 6, NOBODY: 7})
        worker.kill()
    assert own == {worker.pid: 5} and others == {os.getpid(): 6, NOBODY: 7}
    assert owners.identified_by == "its process id"


def test_before_there_is_a_worker_all_are_others() -> None:
    owners = Owners()
    assert owners.split({NOBODY: 7}) == ({}, {NOBODY: 7})
    owners.worker = os.getpid()
    assert owners.split({NOBODY: 7}) == ({}, {NOBODY: 7})
    assert owners.split({NOBODY: 7, NOBODY - 1: 8}) == ({NOBODY - 1: 8}, {NOBODY: 7})
    assert owners.split({NOBODY - 1: 8, NOBODY - 2: 9}) == ({NOBODY - 1: 8}, {NOBODY - 2: 9})
    assert owners.identified_by is not None and "namespace" in owners.identified_by


def test_other_workers_of_the_same_run_are_no_strangers() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as waiting:
        owners = Owners(ours=frozenset({waiting.pid, NOBODY}))
        found = {waiting.pid: 5, NOBODY: 6, NOBODY - 1: 7}
        assert owners.split(found) == ({}, {NOBODY - 1: 7})
        owners.worker = os.getpid()
        found[NOBODY - 2] = 8
        assert owners.split(found) == ({NOBODY - 2: 8}, {NOBODY - 1: 7})
        assert owners.split({NOBODY: 6}) == ({}, {})
        waiting.kill()
    assert owners.waiting == 2 and owners.found == {NOBODY - 2}


def test_two_unknown_processes_are_not_guessed_at() -> None:
    owners = Owners(os.getpid())
    both = {NOBODY: 7, NOBODY - 1: 8}
    assert owners.split(both) == ({}, both) and owners.identified_by is None
