"""Count what ran in a profiled pass, out of the XPlane files that tf.profiler writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorflow.tsl.profiler.protobuf import xplane_pb2


def count_host_events(folder: Path, names: Sequence[str]) -> dict[str, int]:
    """How often each named event occurred; an event's name may go on with #attributes#."""
    counts = dict.fromkeys(names, 0)
    for file in folder.rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(file.read_bytes())
        for plane in space.planes:
            _count(plane, counts)
    return counts


def _count(plane: Any, counts: dict[str, int]) -> None:
    wanted = {key: value.name.partition("#")[0] for key, value in plane.event_metadata.items()}
    for line in plane.lines:
        for event in line.events:
            name = wanted.get(event.metadata_id, "")
            if name in counts:
                counts[name] += 1
