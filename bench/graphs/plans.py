"""Read the files in which TF-TRT keeps the engines it built, without TensorFlow and without TensorRT.

A saved model has one such file for each TRTEngineOp: a TFRecord file with a record for each engine that was built. A
record is a protobuf message, tensorflow.tensorrt.TRTEngineInstance: the shapes of the inputs that the engine was built
for (field 1), and the engine as TensorRT serialized it, its plan (field 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import ModelError

ASSET_PREFIX = "trt-serialized-engine."
CRC_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected
CRC_MASK = 0xA282EAD8
HEADER_BYTES, FOOTER_BYTES = 12, 4  # length and its checksum; the data's checksum
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
Field = tuple[int, "int | memoryview"]


@dataclass(frozen=True)
class Instance:
    """One engine that was built.

    With optimization profiles, the shapes are those of the batch that it was built with: TF-TRT's cache is keyed by
    them. The profiles themselves are in the plan, which TensorRT alone can read.
    """

    shapes: tuple[tuple[int, ...], ...]
    plan: bytes


def asset_path(model_dir: Path, engine: str) -> Path:
    """Where a saved model keeps the engines of a TRTEngineOp."""
    return model_dir / "assets" / f"{ASSET_PREFIX}{engine}"


def read_instances(path: Path) -> tuple[Instance, ...]:
    """The engines in a file; none where there is no file, as for an engine that was not built before saving."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return tuple(_instance(record) for record in records(content))
    except ValueError as error:
        raise ModelError(f"{path}: not a file of TF-TRT's engines, or damaged: {error}") from error


def records(content: bytes) -> Iterator[memoryview]:
    """The records of a TFRecord file. The checksum of a record's length is verified, that of its data is not."""
    view, at = memoryview(content), 0
    while at < len(view):
        header = view[at : at + HEADER_BYTES]
        if len(header) < HEADER_BYTES:
            raise ValueError(f"it ends within the header of the record at byte {at}")
        length, checksum = struct.unpack("<QI", header)
        if masked_crc(bytes(header[:8])) != checksum:
            raise ValueError(f"the checksum of the length at byte {at} is wrong")
        begin, at = at + HEADER_BYTES, at + HEADER_BYTES + length + FOOTER_BYTES
        if at > len(view):
            raise ValueError(f"it ends within the record at byte {begin - HEADER_BYTES}, of {length} bytes")
        yield view[begin : begin + length]


def masked_crc(data: bytes) -> int:
    """The checksum of a TFRecord file: CRC-32C, rotated and shifted. Slow: for lengths, not for plans."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (CRC_POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + CRC_MASK) & 0xFFFFFFFF


def _instance(record: memoryview) -> Instance:
    fields = list(_fields(record))
    shapes = tuple(_shape(value) for number, value in fields if number == 1 and isinstance(value, memoryview))
    plans = [bytes(value) for number, value in fields if number == 2 and isinstance(value, memoryview)]
    if not plans or not plans[-1]:
        raise ValueError("a record has no serialized engine in it")
    return Instance(shapes, plans[-1])


def _shape(message: memoryview) -> tuple[int, ...]:
    """A TensorShapeProto: dimensions in field 2, whose size is field 1; a size of 0 is left out."""
    dimensions = [value for number, value in _fields(message) if number == 2 and isinstance(value, memoryview)]
    return tuple(_size(dimension) for dimension in dimensions)


def _size(message: memoryview) -> int:
    sizes = [value for number, value in _fields(message) if number == 1 and isinstance(value, int)]
    return sizes[-1] if sizes else 0


def _fields(message: memoryview) -> Iterator[Field]:
    """A message's fields in the wire format: numbers, varints as signed 64 bits, and what is delimited."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value - (1 << 64) if value >> 63 else value
            continue
        if kind == DELIMITED:
            length, at = _varint(message, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"a field of wire type {kind} in a record")
        if at + length > len(message):
            raise ValueError("a field reaches beyond its record")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A variable-length number, and where the next thing begins."""
    value = 0
    for place in range(10):
        if at + place >= len(message):
            raise ValueError("a number reaches beyond its record")
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number of more than ten bytes")
