"""The file for Perfetto and chrome://tracing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ConversionError
from bench.measure.profile import analyse
from bench.measure.trace import write_chrome_trace
from tests.measure.spaces import GPU, HOST, INFERENCES, RECORDED, Made, recorded


def read(file: Path) -> Any:
    return json.loads(gzip.decompress(file.read_bytes()))


def named(trace: Any, kind: str) -> dict[tuple[int, int], str]:
    events = [event for event in trace["traceEvents"] if event["ph"] == "M" and event["name"] == kind]
    return {(event["pid"], event["tid"]): event["args"]["name"] for event in events}


def complete(trace: Any) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == "X"]


@pytest.mark.parametrize("name", RECORDED)
def test_all_kernels_are_there(tmp_path: Path, name: str) -> None:
    space, target = recorded(name), tmp_path / "deep" / "trace.json.gz"
    write_chrome_trace(space, target)
    trace, profile = read(target), analyse(space, INFERENCES)
    kernels = [event for event in complete(trace) if "kernel_details" in event["args"]]
    assert len(kernels) == sum(kernel.launches for kernel in profile.kernels)
    assert round(sum(event["dur"] for event in kernels) * 1000) == profile.all_kernels_ns
    assert len(complete(trace)) == sum(len(line.events) for plane in space.planes for line in plane.lines)
    assert [file.name for file in target.parent.iterdir()] == ["trace.json.gz"]


def test_planes_and_lines_are_named(tmp_path: Path) -> None:
    write_chrome_trace(recorded("fp16"), tmp_path / "trace.json.gz")
    trace = read(tmp_path / "trace.json.gz")
    processes, threads = named(trace, "process_name"), named(trace, "thread_name")
    assert set(processes.values()) == {GPU, HOST}
    assert {"Stream #13(Compute)", "Stream #15(MemcpyD2H)", "python3.10"} <= set(threads.values())
    assert {(event["pid"], event["tid"]) for event in complete(trace)} == set(threads)


def test_times_are_microseconds_since_the_first_event(tmp_path: Path) -> None:
    made = Made(origin=1_700_000_000 * 10**9).step(1000, 9000).kernel("k", (2001, 2004))
    write_chrome_trace(made.space, tmp_path / "trace.json.gz")
    times = {event["name"]: (event["ts"], event["dur"]) for event in complete(read(tmp_path / "trace.json.gz"))}
    assert times == {"bench_step": (0, 8), "k": (1.001, 0.003)}


def test_of_too_many_events_those_of_the_gpu_are_kept_then_the_longest(tmp_path: Path) -> None:
    made = Made().step(0, 1000).kernel("k", (10, 11))
    for number in range(20):
        made.host(f"h{number}", (number, 2 * number))
    write_chrome_trace(made.space, tmp_path / "trace.json.gz", limit=3)
    trace = read(tmp_path / "trace.json.gz")
    assert {event["name"] for event in complete(trace)} == {"k", "bench_step", "h19"}
    assert trace["otherData"] == {"events": 22, "events_kept": 3}


def test_a_folders_sessions_are_processes_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.xplane.pb").write_bytes(Made().kernel(name, (5, 6)).space.SerializeToString())
    write_chrome_trace(tmp_path, tmp_path / "trace.json.gz")
    events = complete(read(tmp_path / "trace.json.gz"))
    assert {(event["pid"], event["name"], event["ts"]) for event in events} == {(1, "a", 0), (2, "b", 0)}


def test_a_folder_without_profiles_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConversionError):
        write_chrome_trace(tmp_path, tmp_path / "trace.json.gz")
    assert list(tmp_path.iterdir()) == []
