"""Where the time of profiled inferences went, out of the XPlane files that tf.profiler writes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from bench.conversion import Kernel, Owner, Profile
from bench.errors import ConversionError
from bench.measure.intervals import Interval, clip, contains, total, union
from bench.measure.kernels import precision_of, uses_tensor_cores
from bench.measure.xplane import Event, Line, XSpace, load_spaces, read_lines

STEP = "bench_step"
BEGUN = "TRTEngineOp::ComputeAsync"
EXECUTED = "TRTEngineOp::ExecuteTrtEngine"
FELL_BACK = "TRTEngineOp::ExecuteNativeSegment"
BUILT = "TRTEngineOp::BuildEngine"
KERNELS_KEPT = 40
OTHERS = "others"

ALWAYS: list[Interval] = [(-(2**63), 2**63)]
COPIES = {
    "MemcpyH2D": "host to device",
    "MemcpyD2H": "device to host",
    "MemcpyD2D": "device to device",
    "MemcpyP2P": "device to device",  # from one GPU to another
    "Memset": "memset",
}
ALLOCATIONS = ("memalloc_details", "memfree_details", "memory_residency_details")


def read_profile(folder: Path, inferences: int) -> Profile:
    """What was profiled into a folder; several sessions are added up. For what raises, see `analyse`."""
    return _profile(load_spaces(folder), inferences)


def analyse(space: XSpace, inferences: int) -> Profile:
    """What one session holds of its STEPs: each inference is one, from host arrays in to host arrays out.

    An event belongs to the step in which it starts. A profile without steps counts as a whole, from the first to the
    last event of the GPU and of Python's threads. A ConversionError where no GPU was traced, for then nothing is known
    of where the time went, and where there are not as many steps as inferences.
    """
    return _profile([space], inferences)


class _Owners:
    """To whom a kernel belongs: TensorRT where the thread that launched it was just then executing an engine.

    Where the launch was not recorded, the op that the profiler names decides, but only if no engine fell back: the
    kernels of a fallback might bear the name of the same op.
    """

    def __init__(self, host: Iterable[Line]) -> None:
        self._launches: dict[int, tuple[int, int]] = {}
        self._fell_back = False
        executions: dict[int, list[Interval]] = defaultdict(list)
        for line in host:
            for event in line.events:
                self._fell_back |= event.name == FELL_BACK
                if event.name == EXECUTED:
                    executions[line.id].append((event.start, event.end))
                if "correlation_id" in event.stats:
                    self._launches.setdefault(event.stats["correlation_id"], (line.id, event.start))
        self._executions = {thread: union(intervals) for thread, intervals in executions.items()}

    def of(self, kernel: Event) -> Owner:
        launch = self._launches.get(kernel.stats.get("correlation_id", -1))
        if launch is None:
            of_engine = str(kernel.stats.get("tf_op", "")).endswith(":TRTEngineOp") and not self._fell_back
        else:
            of_engine = contains(self._executions.get(launch[0], ()), launch[1])
        return "TensorRT" if of_engine else "TensorFlow"


class _Sums:
    """What the sessions add up to."""

    def __init__(self) -> None:
        self.steps = self.wall = self.gpu = self.kernel = self.retried = 0
        self.events: Counter[str] = Counter()
        self.launches: Counter[tuple[str, Owner]] = Counter()
        self.kernel_ns: Counter[tuple[str, Owner]] = Counter()
        self.copies_ns: Counter[str] = Counter()
        self.copies_bytes: Counter[str] = Counter()

    def add(self, space: XSpace) -> None:
        lines = read_lines(space)
        host = [line for line in lines if line.of_host]
        on_gpu = [event for line in lines if line.of_gpu for event in line.events]
        if not on_gpu:
            raise ConversionError(_untraced(space))
        marks = [event for line in host for event in line.events if event.name == STEP]
        steps = union((event.start, event.end) for event in marks)
        self.steps += len(marks)
        self.wall += total(steps) if marks else _span(lines)
        within = steps if marks else ALWAYS
        self.events.update(e.name for line in host for e in line.events if contains(within, e.start))
        self.retried += sum(contains(within, start) for line in host for start in _retried(line))
        self._add_gpu([event for event in on_gpu if contains(within, event.start)], within, _Owners(host))

    def _add_gpu(self, events: Iterable[Event], within: list[Interval], owners: _Owners) -> None:
        kernels: list[Interval] = []
        copies: list[Interval] = []
        for event in events:
            kind = _kind(event)
            if kind is None:
                continue
            if kind == "kernel":
                kernels.append((event.start, event.end))
                self._add_kernel(event, owners.of(event))
            else:
                copies.append((event.start, event.end))
                self._add_copy(event, kind)
        self.kernel += total(clip(union(kernels), within))
        self.gpu += total(clip(union(kernels + copies), within))

    def _add_kernel(self, event: Event, owner: Owner) -> None:
        self.launches[event.name, owner] += 1
        self.kernel_ns[event.name, owner] += event.end - event.start

    def _add_copy(self, event: Event, kind: str) -> None:
        self.copies_ns[kind] += event.end - event.start
        self.copies_bytes[kind] += _bytes(event)

    def kernels(self) -> list[Kernel]:
        """The longest first."""
        kernels = [
            Kernel(
                name=name,
                owner=owner,
                launches=self.launches[name, owner],
                ns=ns,
                tensor_core=uses_tensor_cores(name),
                precision=precision_of(name),
            )
            for (name, owner), ns in self.kernel_ns.items()
        ]
        return sorted(kernels, key=lambda kernel: (-kernel.ns, kernel.name, kernel.owner))


def _profile(spaces: Iterable[XSpace], inferences: int) -> Profile:
    sums = _Sums()
    for space in spaces:
        sums.add(space)
    if sums.steps not in (0, inferences):
        raise ConversionError(f"the profile holds {sums.steps} of {inferences} inferences: the profiler lost events")
    kernels = sums.kernels()
    precisions: Counter[str] = Counter()
    for kernel in kernels:
        precisions[kernel.precision or "other"] += kernel.ns
    return Profile(
        inferences=inferences,
        wall_ns=sums.wall,
        gpu_ns=sums.gpu,
        kernel_ns=sums.kernel,
        copy_ns=sums.gpu - sums.kernel,
        trt_kernel_ns=sum(kernel.ns for kernel in kernels if kernel.owner == "TensorRT"),
        tensorflow_kernel_ns=sum(kernel.ns for kernel in kernels if kernel.owner == "TensorFlow"),
        tensor_core_ns=sum(kernel.ns for kernel in kernels if kernel.tensor_core),
        copies_ns=dict(sums.copies_ns.most_common()),
        copies_bytes={kind: sums.copies_bytes[kind] for kind, _ in sums.copies_ns.most_common()},
        engine_executions=sums.events[EXECUTED] - sums.retried,
        native_executions=sums.events[FELL_BACK],
        engine_builds=sums.events[BUILT],
        precision_ns=dict(precisions.most_common()),
        kernels=(*kernels[:KERNELS_KEPT], *_others(kernels[KERNELS_KEPT:])),
    )


def _retried(thread: Line) -> list[int]:
    """When engines were executed that failed: the same call of the op then ran the native segment."""
    marks = sorted((e.start, e.name) for e in thread.events if e.name in (BEGUN, EXECUTED, FELL_BACK))
    if not any(name == BEGUN for _, name in marks):  # calls are not told apart
        return []
    return [start for (start, first), (_, second) in pairwise(marks) if (first, second) == (EXECUTED, FELL_BACK)]


def _others(kernels: Iterable[Kernel]) -> list[Kernel]:
    """Kernels summed into one of each sort, so that the sums over each sort stay what they are."""
    sorts: dict[tuple[Owner, bool, str | None], Kernel] = {}
    for kernel in kernels:
        sort = (kernel.owner, kernel.tensor_core, kernel.precision)
        so_far = sorts.get(sort)
        launches, ns = (so_far.launches, so_far.ns) if so_far else (0, 0)
        sums = {"name": OTHERS, "launches": launches + kernel.launches, "ns": ns + kernel.ns}
        sorts[sort] = kernel.model_copy(update=sums)
    return sorted(sorts.values(), key=lambda kernel: -kernel.ns)


def _kind(event: Event) -> str | None:
    """What a GPU did: "kernel" or a kind of copy; None for what takes no time of it."""
    if any(details in event.stats for details in ALLOCATIONS):
        return None
    if event.name in COPIES:
        return COPIES[event.name]
    if "memset_details" in event.stats:
        return "memset"
    return _direction(str(event.stats["memcpy_details"])) if "memcpy_details" in event.stats else "kernel"


def _direction(details: str) -> str:
    """From kind_src:pageable kind_dst:device size:...; what is neither pageable nor pinned is on the GPU."""
    kinds = re.findall(r"kind_(?:src|dst):(\w+)", details)
    return " to ".join("host" if kind in ("pageable", "pinned") else "device" for kind in kinds) or "other copies"


def _bytes(event: Event) -> int:
    details = f"{event.stats.get('memcpy_details', '')} {event.stats.get('memset_details', '')}"
    size = re.search(r"\bsize:(\d+)", details)
    return int(size[1]) if size else 0


def _span(lines: Iterable[Line]) -> int:
    events = [event for line in lines if line.of_gpu or line.name.startswith("python") for event in line.events]
    return max(event.end for event in events) - min(event.start for event in events)


def _untraced(space: XSpace) -> str:
    why = "; ".join([*space.errors, *space.warnings])
    return "the profile holds nothing of a GPU, so what ran there is not known" + (f": {why}" if why else "")
