"""The XPlane files that tf.profiler writes, as plain events on one clock."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import ConversionError

XSpace = Any  # a protocol buffer's class, which has no types
MODULES = (
    "tensorflow.tsl.profiler.protobuf.xplane_pb2",  # 2.12 and later
    "tensorflow.core.profiler.protobuf.xplane_pb2",
    "tsl.profiler.protobuf.xplane_pb2",
    "xprof.protobuf.xplane_pb2",
)
GPU_PLANE = re.compile(r"/device:GPU:\d+")


class Event(NamedTuple):
    """Something that took from start to end, in nanoseconds since the profile began."""

    name: str
    start: int
    end: int
    stats: dict[str, Any]


class Line(NamedTuple):
    """The events of one thread of the host, or of one stream of a GPU."""

    plane: str
    id: int  # of a thread: the same in all planes of the host
    name: str
    events: tuple[Event, ...]

    @property
    def of_gpu(self) -> bool:
        """Whether these are what a GPU did: not what a later version of the profiler derives from it."""
        return GPU_PLANE.fullmatch(self.plane) is not None and self.name.startswith("Stream")

    @property
    def of_host(self) -> bool:
        """Whether this is a thread of the host."""
        return self.plane.startswith("/host:")


def parse_space(data: bytes) -> XSpace:
    """An XSpace from a file's content."""
    space = _protocol().XSpace()
    space.ParseFromString(data)
    return space


def load_spaces(folder: Path) -> list[XSpace]:
    """The XSpace of each session that was profiled into a folder; a ConversionError where there is none."""
    files = sorted(folder.rglob("*.xplane.pb"))
    if not files:
        raise ConversionError(f"{folder}: tf.profiler left no *.xplane.pb there")
    return [parse_space(file.read_bytes()) for file in files]


def read_lines(space: XSpace) -> tuple[Line, ...]:
    """All events of a session."""
    return tuple(
        Line(plane.name, line.id, line.display_name or line.name, _events(plane, line))
        for plane in space.planes
        for line in plane.lines
    )


def _events(plane: Any, line: Any) -> tuple[Event, ...]:
    names = {key: metadata.name.partition("#")[0] for key, metadata in plane.event_metadata.items()}
    keys = {key: metadata.name for key, metadata in plane.stat_metadata.items()}
    origin = line.timestamp_ns * 1000
    return tuple(
        Event(
            names.get(event.metadata_id, ""),
            (origin + event.offset_ps) // 1000,
            (origin + event.offset_ps + event.duration_ps) // 1000,
            {keys.get(stat.metadata_id, ""): _value(stat, keys) for stat in event.stats},
        )
        for event in line.events
    )


def _value(stat: Any, keys: dict[int, str]) -> Any:
    kind = stat.WhichOneof("value")
    if kind is None:
        return None
    value = getattr(stat, kind)
    return keys.get(value, "") if kind == "ref_value" else value


def _protocol() -> Any:
    """The module of XSpace, which has moved from version to version."""
    for name in MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ConversionError(f"this TensorFlow cannot read its own profiles: it has none of {', '.join(MODULES)}")
