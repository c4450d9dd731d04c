"""What is kept of a conversion: what was built, what was left out and why, and the proof of what ran."""

from __future__ import annotations

from typing import Any, Literal

from bench.part import Part

Owner = Literal["TensorRT", "TensorFlow"]


class Tensor(Part):
    """A tensor that enters or leaves an engine; unknown dimensions are None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None = None  # None: the graph does not say


class Engine(Part):
    """A segment of the graph that TensorRT runs."""

    name: str  # TRTEngineOp_000_000
    precision: str  # that TF-TRT gave it: the one asked for, or lower where it says so
    nodes: int  # TensorFlow's, that it replaced
    ops: dict[str, int]  # their kinds, the most frequent first
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    built_for: tuple[tuple[tuple[int, ...], ...], ...] = ()  # for each engine built: the shapes of its inputs
    bytes: int | None = None  # of all that was built, serialized


class LeftOut(Part):
    """Nodes of one kind that stay in TensorFlow for one reason, in TF-TRT's words."""

    op: str
    count: int
    reason: str


class Dropped(Part):
    """A segment that could have been an engine, and is none."""

    nodes: int
    reason: str


class Kernel(Part):
    """All launches of one GPU kernel in the profiled pass."""

    name: str
    owner: Owner
    launches: int
    ns: int
    tensor_core: bool
    precision: str | None = None  # that it computes in, as far as its name says: INT8, FP16, BF16, TF32, FP32


class Profile(Part):
    """Where the time of a few profiled inferences went, host arrays in to host arrays out. Never the timed ones.

    Times are of all inferences together. `gpu_ns` is the time in which the GPU ran any kernel or copy; what is left of
    `wall_ns` is dispatch: Python's, TensorFlow's and the driver's work, and waiting, while the GPU did nothing.
    """

    inferences: int
    wall_ns: int
    gpu_ns: int
    kernel_ns: int  # in which at least one kernel ran
    copy_ns: int  # in which a copy, and no kernel, ran
    trt_kernel_ns: int  # sums over launches, as are the next two
    tensorflow_kernel_ns: int
    tensor_core_ns: int
    copies_ns: dict[str, int] = {}  # by kind: host to device, device to host, ...; sums
    copies_bytes: dict[str, int] = {}
    engine_executions: int = 0  # to their end
    native_executions: int = 0  # engines that fell back to TensorFlow
    engine_builds: int = 0
    precision_ns: dict[str, int] = {}  # kernel time by the precision in the kernels' names; "other" where it has none
    kernels: tuple[Kernel, ...] = ()  # the longest first; what is left of each sort is summed as "others"

    @property
    def dispatch_ns(self) -> int:
        """In which the GPU did nothing."""
        return self.wall_ns - self.gpu_ns

    @property
    def gpu_share(self) -> float | None:
        """Of the wall time, in kernels or copies."""
        return _share(self.gpu_ns, self.wall_ns)

    @property
    def all_kernels_ns(self) -> int:
        """The sum over all launches."""
        return self.trt_kernel_ns + self.tensorflow_kernel_ns

    @property
    def trt_share(self) -> float | None:
        """Of all kernels' time; None where there was no kernel."""
        return _share(self.trt_kernel_ns, self.all_kernels_ns)

    @property
    def tensor_core_share(self) -> float | None:
        """Of all kernels' time; None where there was no kernel."""
        return _share(self.tensor_core_ns, self.all_kernels_ns)

    def computes_in(self, precision: str) -> bool:
        """Whether a lowered precision is in the name of any kernel; of others, always."""
        return precision not in ("FP16", "INT8") or self.precision_ns.get(precision, 0) > 0

    @property
    def precision_shares(self) -> dict[str, float]:
        """Of all kernels' time."""
        return {name: ns / self.all_kernels_ns for name, ns in self.precision_ns.items() if self.all_kernels_ns}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


class Call(Part):
    """How the converted function is called, and what other ways took where they were tried."""

    kind: Literal["function", "eager"]
    median_ms: dict[str, float] = {}


class Conversion(Part):
    """What was built, and the proof of what ran."""

    converter: str  # "TF-TRT 8.5.3", "LiteRT 2.21.0"
    engines: int | None = None  # TRTEngineOps in the converted graph
    nodes_before: int | None = None
    nodes_after: int | None = None
    share_converted: float | None = None  # of the nodes before conversion
    bytes_before: int | None = None
    bytes_after: int | None = None
    calibration_images: int | None = None
    calibration_sha256: str | None = None  # of the images, in order
    calibration_table_sha256: str | None = None
    calibration_reused: bool = False  # the table came from an earlier calibration
    engine_executions: int | None = None  # seen in a separate, profiled pass
    native_executions: int | None = None  # TRTEngineOps that fell back to TensorFlow in that pass
    engine_list: tuple[Engine, ...] = ()
    left_out: tuple[LeftOut, ...] = ()  # nodes that stay in TensorFlow
    dropped: tuple[Dropped, ...] = ()  # segments that did not become engines
    engine_builds_while_timed: int | None = None
    fallback_warnings_while_timed: int | None = None  # in the log; TF-TRT repeats each kind a few times at most
    cached: bool | None = None  # True: converted and built earlier; None: not from a cache
    cache_reason: str = ""  # why there was nothing in the cache
    cache_entry: str | None = None  # its name there; None: not kept, or a record of an earlier version
    seconds: dict[str, float] = {}  # of convert, calibrate, build and save, when it was made
    warnings: tuple[str, ...] = ()
    build_warnings: tuple[str, ...] = ()  # lines of the log, when it was made: engines that did not come to be
    details: dict[str, Any] = {}
