"""The worker's protocol: a case on standard input, events as lines of JSON on a descriptor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from bench.case import Case, Dataset, Model
from bench.record import PHASES, Record
from tests.factory import make_case
from tests.faults import ROOT

Event = dict[str, Any]


def work(case: Case, parent: int | None = None) -> tuple[int, list[Event], str]:
    """The exit code, events and output of a worker that this process started."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "bench.worker", "--events", str(write_end)]
    process = subprocess.Popen(
        [*command, "--parent", str(parent or os.getpid())], cwd=ROOT, pass_fds=[write_end], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    os.close(write_end)
    output, _ = process.communicate(case.model_dump_json() + "\n")
    with open(read_end, encoding="utf-8") as events:
        return process.returncode, [json.loads(line) for line in events], output


@pytest.fixture
def case() -> Case:
    return make_case(
        backend="null",
        model=Model(name="nothing", task="classification", path="nothing"),
        dataset=Dataset(name="synthetic", format="synthetic"),
        image_shape=(8, 8),
        num_images=4,
    )


def parts(events: list[Event]) -> Event:
    return {event["name"]: event["value"] for event in events if event["event"] == "part"}


def test_sends_its_phases_in_order_and_parts_that_make_a_record(case: Case) -> None:
    code, events, _ = work(case)
    assert code == 0
    phases = [event["name"] for event in events if event["event"] == "phase"]
    assert phases == ["prepare", "first inference", "warm-up", "measure"]
    assert set(phases) < set(PHASES)
    record = Record.model_validate({"case": case, "started": "2026-01-02T03:04:05Z", **parts(events)})
    assert record.latency is not None and len(record.latency.times_ns) == case.num_iterations


def test_says_what_is_wrong_and_leaves_the_traceback_to_the_log(case: Case) -> None:
    detector = case.model.model_copy(update={"task": "detection"})
    labels = Dataset(name="own", format="labels", labels_path="/nowhere/labels.txt")
    code, events, output = work(case.model_copy(update={"model": detector, "dataset": labels}))
    failure = parts(events)["failure"]
    assert (code, failure["kind"], failure["phase"]) == (2, "config", "prepare")
    assert "/nowhere/labels.txt" in failure["message"]
    assert "Traceback" in output and "DataError" in output


def test_ends_at_once_where_its_parent_is_gone_already(case: Case) -> None:
    code, events, _ = work(case, parent=1 << 22)
    assert (code, events) == (4, [])
