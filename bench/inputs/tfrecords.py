"""TFRecord files of encoded images with labels, as the usual preparation of ImageNet writes them; without TensorFlow.

A file is a row of records: length (8 bytes), its checksum (4), data, the data's checksum (4). The data is a
`tf.train.Example`, of which no more is read than `image/encoded` and `image/class/label`. Images are not kept: an item
says where in the file its bytes lie. Lengths are held against their checksums; whether an image is whole is seen when
it is decoded.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.case import Dataset
from bench.errors import DataError
from bench.inputs.item import Item, label_from

ENCODED, LABEL = "image/encoded", "image/class/label"
SHARD = re.compile(r"(.*-)(\d+)(-of-\d+)(.*)", re.DOTALL)
GZIP = b"\x1f\x8b"  # begins what it has compressed
Span = tuple[int, int]


def record_items(dataset: Dataset) -> Iterator[Item]:
    """All images, file by file in the order of their names."""
    files = sorted(glob.glob(dataset.pattern or ""))
    if not files:
        raise DataError(f"dataset {dataset.name!r}: no file is called like {dataset.pattern!r}")
    if missing_files := sorted(_shards(files, dataset.pattern or "") - set(files)):
        raise DataError(
            f"dataset {dataset.name!r}: {len(missing_files)} files are not there, such as {missing_files[0]}; to do "
            "without them, give a pattern that they do not fit"
        )
    number = 0
    for file in map(Path, files):
        for start, data in read_records(file):
            where = f"{file}: record at byte {start}"
            features = _features(data, where)
            missing = [key for key in (ENCODED, LABEL) if key not in features]
            if missing:
                raise DataError(
                    f"{where}: no {' and no '.join(missing)}; it has {', '.join(sorted(features)) or 'none'}"
                )
            begin, end = _bytes_value(data, features[ENCODED], where)
            label = label_from(_number(data, features[LABEL], where), dataset, where)
            yield Item(number, file, label, span=(start + begin, start + end))
            number += 1


def _shards(files: Sequence[str], pattern: str) -> set[str]:
    """All files that the numbers in these names promise, and that the pattern is of."""
    numbered = [match for file in files if (match := SHARD.fullmatch(file))]
    series = {(match[1], len(match[2]), match[3], match[4]) for match in numbered}
    names = {f"{a}{n:0{width}}{of}{end}" for a, width, of, end in series for n in range(int(of[4:]))}
    # folders are those of the files that were found, however the pattern writes them
    called = os.path.basename(pattern)
    return {name for name in names if fnmatch.fnmatch(os.path.basename(name), called)}


def read_records(file: Path) -> Iterator[tuple[int, bytes]]:
    """Each record's data, and where in the file it begins."""
    with file.open("rb") as stream:
        while head := stream.read(12):
            start = stream.tell()
            if len(head) < 12:
                raise DataError(f"{file}: ends within a record, at byte {start}")
            length, checksum = struct.unpack("<QI", head)
            if masked_crc32c(head[:8]) != checksum:
                if start == len(head) and head.startswith(GZIP):
                    told = "compressed by gzip, and images are read where they lie: unpack it"
                    raise DataError(f"{file}: {told}, as in `gzip -dc FILE > ANOTHER`")
                raise DataError(f"{file}: not a TFRecord file, or damaged: at byte {start - 12}, the length's checksum")
            data = stream.read(length)
            if len(data) < length or len(stream.read(4)) < 4:
                raise DataError(f"{file}: ends within a record, which begins at byte {start}")
            yield start, data


def masked_crc32c(data: bytes) -> int:
    """The Castagnoli checksum of a few bytes, rotated and shifted as TFRecords have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _features(data: bytes, where: str) -> dict[str, Span]:
    """Where each feature's value lies, by its name: Example.features.feature, a map."""
    found: dict[str, Span] = {}
    for features in _children(data, (0, len(data)), 1, where):
        for entry in _children(data, features, 1, where):
            names = list(_children(data, entry, 1, where))
            values = list(_children(data, entry, 2, where))
            if names and values:
                found[data[slice(*names[0])].decode(errors="replace")] = values[0]
    return found


def _bytes_value(data: bytes, feature: Span, where: str) -> Span:
    """Of Feature.bytes_list.value, the first."""
    for values in _children(data, feature, 1, where):
        for value in _children(data, values, 1, where):
            return value
    raise DataError(f"{where}: {ENCODED} holds no bytes")


def _number(data: bytes, feature: Span, where: str) -> int:
    """Of Feature.int64_list.value, the first; packed or not."""
    for begin, end in _children(data, feature, 3, where):
        for number, kind, value in _fields(data, (begin, end), where):
            if number == 1:
                whole = value[0] if kind == 0 else _varint(data, value[0], value[1], where)[0]
                return whole - (whole >> 63 << 64)  # int64, in two's complement
    raise DataError(f"{where}: {LABEL} holds no whole number")


def _children(data: bytes, span: Span, wanted: int, where: str) -> Iterator[Span]:
    """Where the fields of that number lie that have a length."""
    return (value for number, kind, value in _fields(data, span, where) if number == wanted and kind == 2)


def _fields(data: bytes, span: Span, where: str) -> Iterator[tuple[int, int, Span]]:
    """Fields of a protocol buffer: number, wire type, and begin and end; of a varint, its value twice."""
    at, end = span
    while at < end:
        tag, at = _varint(data, at, end, where)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at, end, where)
            yield number, kind, (value, value)
            continue
        if kind == 2:
            length, at = _varint(data, at, end, where)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise DataError(f"{where}: not a tf.train.Example")
        if at + length > end:
            raise DataError(f"{where}: not a tf.train.Example")
        yield number, kind, (at, at + length)
        at += length


def _varint(data: bytes, at: int, end: int, where: str) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends; negative ones are out of a label's range."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise DataError(f"{where}: not a tf.train.Example")
