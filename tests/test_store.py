"""Results are written whole or not at all, never overwritten, and read back as they were."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.conversion import Conversion
from bench.errors import ConfigError, StoreError
from bench.record import (
    FORMAT_VERSION,
    Accuracy,
    Check,
    Failure,
    Phase,
    Record,
    Samples,
    Throughput,
    read_record,
)
from bench.store import (
    create_run,
    load_checks,
    load_records,
    read_suite,
    replace_atomic,
    save_record,
    save_suite,
    write_atomic,
)
from tests.factory import make_case, make_environment, make_record

ENDING = {"verdict": "passed", "assertions": []}
FULL = make_record(
    "FP16",
    environment=make_environment(details={"devices": ["GPU:0"]}),
    phases=(Phase(name="load", seconds=1.5),),
    conversion=Conversion(converter="TF-TRT 8.5.3", engines=1, warnings=("slow",), details={"a": 1}),
    first_inference_ns=1,
    throughput=Throughput(block_ns=(1, 2), launches_per_block=3, images_per_launch=4),
    accuracy=Accuracy(metrics={"map": 0.1}, num_images=5),
    notes=("a note",),
    failure=Failure(kind="crash", phase="accuracy", message="gone", log_tail="the end"),
)


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_run_is_a_new_folder_every_time(tmp_path: Path) -> None:
    runs = {create_run(tmp_path / "results", "suite") for _ in range(5)}
    assert len(runs) == 5
    assert {run.parent for run in runs} == {tmp_path / "results" / "suite"}
    assert all(list(run.iterdir()) == [] for run in runs)


def test_a_run_whose_name_is_taken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
    monkeypatch.setattr("bench.store.datetime", SimpleNamespace(now=lambda zone: noon))
    monkeypatch.setattr("bench.store.secrets.token_hex", lambda size: "abcdef")
    run = create_run(tmp_path, "suite")
    assert run.name == "20260102T120000Z-abcdef"
    with pytest.raises(ConfigError, match="results cannot be written there"):
        create_run(tmp_path, "suite")


def test_a_run_whose_folder_went_is_not_begun_anew(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"run: it is gone, with what was kept in it, and .* cannot be kept"):
        save_record(tmp_path / "run", make_record())
    assert not (tmp_path / "run").exists()


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"first")
    with pytest.raises(StoreError, match=r"a.json: exists already"):
        write_atomic(path, b"second")
    assert path.read_bytes() == b"first"


def test_a_record_is_kept_once(tmp_path: Path) -> None:
    save_record(tmp_path, make_record())
    with pytest.raises(StoreError, match="never overwritten"):
        save_record(tmp_path, make_record(seconds=2))


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("write", [write_atomic, replace_atomic])
def test_a_write_that_fails_leaves_nothing(
    step: str, write: Callable[[Path, bytes], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"bench.store.os.{step}", no_space)
    with pytest.raises(StoreError, match=r"a.json: cannot be written: No space left on device"):
        write(tmp_path / "a.json", b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_replacement_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    replace_atomic(path, b"first")
    with monkeypatch.context() as patch:
        patch.setattr("bench.store.os.replace", no_space)
        with pytest.raises(StoreError):
            replace_atomic(path, b"second")
    assert path.read_bytes() == b"first"
    replace_atomic(path, b"third")
    assert path.read_bytes() == b"third"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_as_needed(tmp_path: Path) -> None:
    replace_atomic(tmp_path / "a" / "b.json", b"data")
    assert (tmp_path / "a" / "b.json").read_bytes() == b"data"


def test_results_under_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"results cannot be written there: .*choose another with --results"):
        create_run(tmp_path / "file", "suite")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomic(tmp_path / "file" / "a.json", b"data")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**63), st.integers(1, 512))), st.lists(st.integers(0, 2**63)))
def test_samples_are_read_as_they_were(timed: list[tuple[int, int]], warmup: list[int]) -> None:
    samples = Samples(
        times_ns=tuple(time for time, _ in timed), images=tuple(images for _, images in timed), warmup_ns=tuple(warmup)
    )
    record = make_record(latency=samples)
    assert read_record(record.model_dump_json(), "a.json") == record


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_read_as_it_was(value: float) -> None:
    """mAP of a resample of the images in which no object is, say; JSON has no NaN, and other tools read records."""
    accuracy = Accuracy(metrics={"map": 0.5}, num_images=30, resampled={"map": (0.25, value)})
    text = make_record(accuracy=accuracy).model_dump_json()
    json.loads(text, parse_constant=pytest.fail)
    for read in (read_record(text, "a.json"), Record.model_validate_json(text)):
        assert read.accuracy is not None and repr(read.accuracy.resampled["map"]) == repr((0.25, value))


@pytest.mark.parametrize("record", [make_record(), FULL], ids=["least", "full"])
def test_a_record_is_read_as_it_was(record: Record, tmp_path: Path) -> None:
    save_record(tmp_path, record)
    save_suite(tmp_path, "suite", {}, [record.case.id], ENDING)
    assert load_records(tmp_path) == (record,)


def test_records_come_in_the_order_of_the_cases(tmp_path: Path) -> None:
    records = [make_record(case=make_case(id=name)) for name in ("b", "c", "a")]
    for record in reversed(records):
        save_record(tmp_path, record)
    save_suite(tmp_path, "suite", {}, ["b", "c", "gone", "a"], ENDING)
    assert list(load_records(tmp_path)) == records


def test_a_suite_is_read_as_it_was(tmp_path: Path) -> None:
    check = Check(case_id="a", expression="map > 0", outcome="passed", explanation="map = 1")
    config = {"model_config": {"model_name": "a"}}
    save_suite(tmp_path, "suite", config, ["a"], {"verdict": "failed", "assertions": [check.model_dump()]})
    suite = read_suite(tmp_path)
    assert (suite["name"], suite["config"], suite["cases"], suite["verdict"]) == ("suite", config, ["a"], "failed")
    assert load_checks(tmp_path) == (check,)


@pytest.mark.parametrize("version", [FORMAT_VERSION - 1, FORMAT_VERSION + 1, "1", None])
def test_another_format_is_refused(version: object, tmp_path: Path) -> None:
    data = {**json.loads(make_record().model_dump_json()), "format_version": version}
    with pytest.raises(ConfigError, match=f"^a.json: format version {version!r} is not {FORMAT_VERSION}"):
        read_record(json.dumps(data), "a.json")
    (tmp_path / "suite.json").write_text(json.dumps({"format_version": version}), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"suite.json: format version {version!r} is not {FORMAT_VERSION}"):
        read_suite(tmp_path)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(make_record().model_dump_json()).items() if name != key}


NO_RECORDS = {
    "nothing": ("", "not a record: no JSON object with a format_version"),
    "malformed": ("{", "not a record: no JSON object with a format_version"),
    "an array": ("[]", "not a record: no JSON object with a format_version"),
    "no version": (json.dumps(without("format_version")), "not a record: no JSON object with a format_version"),
    "no case": (json.dumps(without("case")), "not a record of this program: case: "),
    "unknown key": (json.dumps({**without(""), "speed": 1}), "not a record of this program: speed: "),
}


@pytest.mark.parametrize(("text", "words"), NO_RECORDS.values(), ids=NO_RECORDS)
def test_what_is_no_record_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^a.json: {words}"):
        read_record(text, "a.json")


@pytest.mark.parametrize("text", [None, "", "{", "[]"], ids=["missing", "empty", "malformed", "an array"])
def test_what_is_no_run_is_refused(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "suite.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"suite.json"):
        load_records(tmp_path)
