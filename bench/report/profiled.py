"""Where the time of the profiled inferences went, as facts and tables. An inference is one batch."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.conversion import Call, Kernel, Profile
from bench.record import Record
from bench.report.facts import Facts
from bench.report.figures import plain, significant
from bench.report.grid import NO_VALUE
from bench.report.listing import Listing, make_listing
from bench.report.words import clipped, milliseconds, percent, size

OTHERS = "others"  # the name under which a profile sums what it keeps no names of
CALLS = {"function": "inside a tf.function", "eager": "eagerly"}


def profile_facts(record: Record) -> Facts:
    """Shares, counts and the profiler's own cost; how the function was called."""
    facts: list[tuple[str, str]] = []
    profile = record.profile
    if profile is not None:
        facts += [("inferences under the profiler, after all timing", str(profile.inferences))]
        facts += [(f"kernels' time {name}", percent(share)) for name, share in kernel_shares(record)]
        facts += _engine_facts(record, profile)
        facts += [("profiled against timed", cost) for cost in [profiler_cost(record)] if cost]
    if record.call is not None:
        facts.append(("called", how_called(record.call)))
    return tuple((plain(name), plain(text)) for name, text in facts)


def profile_listings(record: Record, kernels: int = 10, longest: int | None = None) -> list[Listing]:
    """An inference's parts, its copies, what its kernels are, and the longest of them, their names of such a length."""
    profile = record.profile
    if profile is None or not profile.inferences or not profile.wall_ns:
        return []
    listings = [*_parts(profile), *_copies(profile)]
    if profile.all_kernels_ns:
        listings += [*_sorts(record, profile), *_kernels(profile, kernels, longest)]
    return listings


def kernel_shares(record: Record) -> list[tuple[str, float]]:
    """Of the kernels' time, in TensorRT and on Tensor Cores."""
    profile = record.profile
    if profile is None or profile.trt_share is None or profile.tensor_core_share is None:
        return []
    of_engines = [("in TensorRT", profile.trt_share)] if record.case.optimization.backend == "tf-trt" else []
    return [*of_engines, ("on Tensor Cores", profile.tensor_core_share)]


def parts(profile: Profile) -> list[tuple[str, int]]:
    """The names and times of what makes up the wall time."""
    return [("kernels", profile.kernel_ns), ("copies", profile.copy_ns), ("dispatch", profile.dispatch_ns)]


def profiler_cost(record: Record) -> str:
    """How long an inference took under the profiler, and how much longer than without; "" where not known."""
    profile = record.profile
    if profile is None or not profile.inferences or record.latency is None or not record.latency.times_ns:
        return ""
    profiled, timed = profile.wall_ns / profile.inferences, median(record.latency.times_ns)
    if not timed:
        return ""
    return f"{profiled / timed:.2f} times the timed median of {significant(timed / 1e6)} ms"


def how_called(call: Call) -> str:
    """In what way, and what each took where several were tried."""
    others = [
        f"{CALLS.get(kind, kind)} {significant(ms)} ms" for kind, ms in call.median_ms.items() if kind != call.kind
    ]
    own = call.median_ms.get(call.kind)
    took = [] if own is None else [f"{significant(own)} ms", *others]
    return CALLS[call.kind] + (f" ({'; '.join(took)})" if took else "")


def _engine_facts(record: Record, profile: Profile) -> list[tuple[str, str]]:
    if record.case.optimization.backend != "tf-trt":
        return []
    return [
        ("engine executions under the profiler", str(profile.engine_executions)),
        ("of engines that fell back to TensorFlow", str(profile.native_executions)),
        ("engines built under the profiler", str(profile.engine_builds)),
    ]


def _parts(profile: Profile) -> list[Listing]:
    names = ("kernels", "copies without a kernel", "dispatch: the GPU does nothing", "from host arrays to host arrays")
    times = [*(ns for _, ns in parts(profile)), profile.wall_ns]
    return make_listing(
        "Where an inference's time goes",
        f"{_each(profile, times)[-1]} ms under the profiler",
        ("part", "ms", "share"),
        _rows(profile, list(zip(names, times, strict=True)), profile.wall_ns),
        numbers=(1, 2),
    )


def _copies(profile: Profile) -> list[Listing]:
    times = _each(profile, list(profile.copies_ns.values()))
    moved = {kind: round(profile.copies_bytes.get(kind, 0) / profile.inferences) for kind in profile.copies_ns}
    return make_listing(
        "Copies in an inference",
        size(sum(moved.values()))
        + (", partly while kernels ran" if sum(profile.copies_ns.values()) > profile.copy_ns else ""),
        ("kind", "ms", "size"),
        [(kind, time, size(count)) for (kind, count), time in zip(moved.items(), times, strict=True)],
        numbers=(1, 2),
    )


def _sorts(record: Record, profile: Profile) -> list[Listing]:
    sums = [("on Tensor Cores", profile.tensor_core_ns)]
    if record.case.optimization.backend == "tf-trt":
        sums += [("by TensorRT", profile.trt_kernel_ns), ("by TensorFlow", profile.tensorflow_kernel_ns)]
    sums += [(_computing(precision), ns) for precision, ns in profile.precision_ns.items()]
    return make_listing(
        "What the kernels are",
        "shares of the kernels' time",
        ("kernels", "ms", "share"),
        _rows(profile, sums, profile.all_kernels_ns),
        numbers=(1, 2),
    )


def _computing(precision: str) -> str:
    return "whose names tell no precision" if precision == "other" else f"computing in {precision}"


def _kernels(profile: Profile, most: int, longest: int | None) -> list[Listing]:
    shown = [kernel for kernel in profile.kernels if kernel.name != OTHERS][:most]
    times = _each(profile, [kernel.ns for kernel in shown])
    share = sum(kernel.ns for kernel in shown) / profile.all_kernels_ns
    return make_listing(
        "The longest kernels",
        f"{percent(share)} of the kernels' time",
        ("kernel", "of", "Tensor Cores", "precision", "launches an inference", "ms", "share"),
        [_kernel(kernel, profile, time, longest) for kernel, time in zip(shown, times, strict=True)],
        numbers=(4, 5, 6),
    )


def _kernel(kernel: Kernel, profile: Profile, time: str, longest: int | None) -> tuple[str, ...]:
    return (
        kernel.name if longest is None else clipped(kernel.name, longest),
        kernel.owner,
        "yes" if kernel.tensor_core else "no",
        kernel.precision or NO_VALUE,
        f"{kernel.launches / profile.inferences:.4g}",
        time,
        percent(kernel.ns / profile.all_kernels_ns),
    )


def _rows(profile: Profile, times: Sequence[tuple[str, int]], whole: int) -> list[tuple[str, ...]]:
    each = _each(profile, [ns for _, ns in times])
    return [(name, ms, percent(ns / whole)) for (name, ns), ms in zip(times, each, strict=True)]


def _each(profile: Profile, times: Sequence[int]) -> list[str]:
    return milliseconds(ns / profile.inferences for ns in times)
