"""Profiles for tests: those recorded on an H200, and made ones."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from bench.measure.profile import STEP
from bench.measure.xplane import XSpace, parse_space

RECORDED = ("fp16", "fp16_eager", "int8", "uncalibrated", "dynamic", "fallback")
INFERENCES = 5  # in each of them
FOLDER = Path(__file__).parent / "recorded"

GPU = "/device:GPU:0"
HOST = "/host:CPU"
PYTHON = 1
COMPUTE = 2


def recorded(name: str) -> XSpace:
    """A session of TensorFlow 2.14.1 with TensorRT 8.5.3 on an H200."""
    return parse_space(gzip.decompress((FOLDER / f"mobilenet_{name}.xplane.pb.gz").read_bytes()))


class Made:
    """An XSpace that is made event by event, in nanoseconds."""

    def __init__(self, origin: int = 0) -> None:
        self.space = parse_space(b"")
        self._origin = origin
        self._correlation = 0

    def event(self, plane: str, line: int, name: str, span: tuple[int, int], **stats: int | str) -> Made:
        """Add an event; lines of a GPU are its streams, those of the host its threads."""
        owner = self._plane(plane)
        event = self._line(owner, line).events.add()
        event.metadata_id = _key(owner.event_metadata, name)
        event.offset_ps, event.duration_ps = span[0] * 1000, (span[1] - span[0]) * 1000
        for key, value in stats.items():
            stat = event.stats.add()
            stat.metadata_id = _key(owner.stat_metadata, key)
            if isinstance(value, int):
                stat.int64_value = value
            else:
                stat.ref_value = _key(owner.stat_metadata, value)
        return self

    def host(self, name: str, span: tuple[int, int], thread: int = COMPUTE, **stats: int | str) -> Made:
        """Add an event of the host."""
        return self.event(HOST, thread, name, span, **stats)

    def step(self, start: int, end: int) -> Made:
        """Add an inference, as the harness marks it."""
        return self.host(STEP, (start, end), PYTHON, step_num=0)

    def kernel(self, name: str, span: tuple[int, int], stream: int = 7, **stats: int | str) -> Made:
        """Add a kernel whose launch is not recorded."""
        return self.event(GPU, stream, name, span, **{"kernel_details": "regs:1", **stats})

    def launch(self, at: int, thread: int, name: str, span: tuple[int, int], driver_call: str = "") -> Made:
        """Add a kernel and its launch."""
        self._correlation += 1
        self.host(driver_call or name, (at, at + 1), thread, correlation_id=self._correlation)
        return self.kernel(name, span, correlation_id=self._correlation)

    def copy(self, name: str, span: tuple[int, int], size: int, details: str = "", stream: int = 8) -> Made:
        """Add a copy, or Memset."""
        key = "memset_details" if name == "Memset" else "memcpy_details"
        return self.event(GPU, stream, name, span, **{key: f"{details} size:{size} dest:0 async:1"})

    def _plane(self, name: str) -> Any:
        found = [plane for plane in self.space.planes if plane.name == name]
        return found[0] if found else self.space.planes.add(name=name)

    def _line(self, plane: Any, number: int) -> Any:
        found = [line for line in plane.lines if line.id == number]
        name = f"Stream #{number}" if plane.name == GPU else "python" if number == PYTHON else f"tf_Compute/{number}"
        return found[0] if found else plane.lines.add(id=number, name=name, timestamp_ns=self._origin)


def _key(metadata: Any, name: str) -> int:
    key = next((key for key, value in metadata.items() if value.name == name), len(metadata) + 1)
    metadata[key].id, metadata[key].name = key, name
    return int(key)
