"""Reading the files of TF-TRT's engines; TensorFlow's own writer and protobuf's own message are the reference."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import ModelError
from bench.graphs.plans import Instance, masked_crc, read_instances, records
from tests.graphs.converted import instance_message, write_instances

REAL_START = b"\n\x12\x12\x02\x08\x01\x12\x03\x08\xe0\x01\x12\x03\x08\xe0\x01\x12\x02\x08\x03\x12\x06ptrt\x00\x01"
SHAPES = st.lists(st.lists(st.integers(-1, 1 << 40), max_size=5).map(tuple), max_size=3).map(tuple)
QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBER = itertools.count()


def written(folder: Path, *messages: bytes) -> Path:
    """A file of records, written by TensorFlow."""
    path = folder / f"records{next(NUMBER)}"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for message in messages:
            writer.write(message)
    return path


@QUICK
@given(messages=st.lists(st.binary(max_size=300), max_size=4))
def test_records_are_those_that_tensorflow_wrote(messages: list[bytes], tmp_path: Path) -> None:
    content = written(tmp_path, *messages).read_bytes()
    assert [bytes(record) for record in records(content)] == messages


@QUICK
@given(instances=st.lists(st.tuples(SHAPES, st.binary(min_size=1, max_size=300)), max_size=3))
def test_instances_are_those_that_were_serialized(
    instances: Sequence[tuple[tuple[tuple[int, ...], ...], bytes]], tmp_path: Path
) -> None:
    path = tmp_path / "engines"
    write_instances(path, instances)
    assert read_instances(path) == tuple(Instance(shapes, plan) for shapes, plan in instances)


def test_the_start_of_a_real_record(tmp_path: Path) -> None:
    """As recorded on an H200, but for the length of the plan."""
    assert read_instances(written(tmp_path, REAL_START)) == (Instance(((1, 224, 224, 3),), b"ptrt\x00\x01"),)
    assert instance_message([(1, 224, 224, 3)], b"ptrt\x00\x01") == REAL_START


def test_the_checksum_of_the_specification() -> None:
    """CRC-32C's check value, e3069283, masked."""
    assert masked_crc(b"123456789") == (((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def test_engines_that_were_never_built(tmp_path: Path) -> None:
    assert read_instances(tmp_path / "none") == ()
    assert read_instances(written(tmp_path)) == ()


@pytest.mark.parametrize("left", range(1, len(REAL_START) + 16))
def test_a_file_cut_off_is_an_error(left: int, tmp_path: Path) -> None:
    path = written(tmp_path, REAL_START)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ModelError, match="damaged: it ends within"):
        read_instances(path)


def test_a_second_record_cut_off_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, REAL_START, REAL_START)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="it ends within the record at byte 44, of 28 bytes"):
        read_instances(path)


def test_another_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(b"ptrt\x00 a plan, not a file of records")
    with pytest.raises(ModelError, match="not a file of TF-TRT's engines, or damaged: the checksum of the length"):
        read_instances(path)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "no serialized engine"),
        (b"\n\x02\x12\x00", "no serialized engine"),
        (b"\x12\x00", "no serialized engine"),
        (b"\x12\x05abc", "beyond its record"),
        (b"\x12", "a number reaches beyond its record"),
        (b"\xff" * 12, "more than ten bytes"),
        (b"\x0b", "wire type 3"),
        (b"\n\x03\x12\x05\x08", "beyond its record"),
    ],
)
def test_a_record_of_something_else_is_an_error(record: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=reason):
        read_instances(written(tmp_path, record))


def test_fields_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    later = b"\x18\x01" + b"\x21" + bytes(8) + b"\x2d" + bytes(4) + b"\x32\x01x"
    (found,) = read_instances(written(tmp_path, later + REAL_START + later))
    assert found.plan == b"ptrt\x00\x01"


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        read_instances(tmp_path)
