"""Where a change of time came from: the stages, profiled inferences, kernels and phases of two records.

Every list of changes adds up to the change of what it is a part of. Times are in ms, of one inference of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.conversion import Profile
from bench.record import Record
from bench.repeats import processes
from bench.stages import Stages

OTHERS = "others"  # under which a profile sums the kernels that it keeps no names of
REST = "the rest of it"


@dataclass(frozen=True)
class Change:
    """One part's time on either side; 0 where a side does not have it."""

    name: str
    old: float
    new: float

    @property
    def by(self) -> float:
        """Above 0 where it takes longer now."""
        return self.new - self.old


@dataclass(frozen=True)
class Parts:
    """A whole and its parts: their changes add up to its own."""

    whole: Change
    changes: tuple[Change, ...]

    def ordered(self) -> list[Change]:
        """What moved the whole first: the greatest change in its direction."""
        sign = -1 if self.whole.by < 0 else 1
        return sorted(self.changes, key=lambda change: -sign * change.by)


def stage_parts(old: Record, new: Record) -> Parts | None:
    """The stages in an inference, and what is left of it; None where either side lacks them."""
    sides = [_stage_times(each) for each in (old, new)]
    if sides[0] is None or sides[1] is None:
        return None
    return _parts("an inference", sides[0], sides[1])


def compute_parts(old: Record, new: Record) -> Parts | None:
    """The computing in an inference, without copies: until the call has returned, and after; None as above."""
    sides = [_compute_times(each) for each in (old, new)]
    if sides[0] is None or sides[1] is None:
        return None
    return _parts("compute", sides[0], sides[1])


def profile_parts(old: Record, new: Record) -> Parts | None:
    """A profiled inference: kernels, copies, and the time in which the GPU did nothing."""
    sides = [_profile_times(each.profile) for each in (old, new)]
    if sides[0] is None or sides[1] is None:
        return None
    return _parts("a profiled inference", sides[0], sides[1])


def kernel_parts(old: Record, new: Record) -> Parts | None:
    """The kernels by name; those that a profile keeps no names of are one part."""
    sides = [_kernel_times(each.profile) for each in (old, new)]
    if not sides[0] or not sides[1]:
        return None
    return _parts("all kernels", sides[0], sides[1])


def phase_parts(old: Record, new: Record, names: Sequence[str]) -> Parts | None:
    """The phases of these names; of a conversion from a cache, what they took when it was made."""
    sides = [_phase_times(each, names) for each in (old, new)]
    if not sides[0] or not sides[1]:
        return None
    return _parts("the conversion", sides[0], sides[1])


def launches(record: Record, kernel: str) -> float | None:
    """Of a kernel in an inference; None where the profile does not name it."""
    profile = record.profile
    found = [each for each in profile.kernels if each.name == kernel] if profile is not None else []
    return sum(each.launches for each in found) / profile.inferences if profile is not None and found else None


def names_all_kernels(record: Record) -> bool:
    """Whether a kernel that is not in the profile did not run."""
    return record.profile is not None and all(kernel.name != OTHERS for kernel in record.profile.kernels)


def _parts(whole: str, old: dict[str, float], new: dict[str, float]) -> Parts:
    names = dict.fromkeys((*old, *new))
    changes = tuple(Change(name, old.get(name, 0.0), new.get(name, 0.0)) for name in names)
    return Parts(Change(whole, sum(old.values()), sum(new.values())), changes)


def _stage_times(record: Record) -> dict[str, float] | None:
    """Medians over the processes; with what an inference as a whole takes beyond its three stages."""
    found = _stages(record)
    if not found:
        return None
    stages = {
        "host to device": _over(found, lambda each: each.host_to_device_ns),
        "compute": _over(found, lambda each: each.compute_ns),
        "device to host": _over(found, lambda each: each.device_to_host_ns),
    }
    if all(each.whole_ns for each in found):
        stages[REST] = _over(found, lambda each: each.whole_ns) - sum(stages.values())
    return stages


def _compute_times(record: Record) -> dict[str, float] | None:
    found = _stages(record)
    if not found:
        return None
    dispatch = _over(found, lambda each: each.dispatch_ns)
    return {"dispatch": dispatch, REST: _over(found, lambda each: each.compute_ns) - dispatch}


def _stages(record: Record) -> list[Stages]:
    """Of each process that took any."""
    return [each.stages for each in processes(record) if each.stages is not None and each.stages.compute_ns]


def _over(stages: Sequence[Stages], times: Callable[[Stages], Sequence[int]]) -> float:
    return median(median(times(each)) for each in stages) / 1e6


def _profile_times(profile: Profile | None) -> dict[str, float] | None:
    if profile is None or not profile.inferences or not profile.wall_ns:
        return None
    scale = 1e6 * profile.inferences
    return {
        "kernels": profile.kernel_ns / scale,
        "copies without a kernel": profile.copy_ns / scale,
        "time in which the GPU did nothing": profile.dispatch_ns / scale,
    }


def _kernel_times(profile: Profile | None) -> dict[str, float]:
    times: dict[str, float] = {}
    for kernel in profile.kernels if profile is not None and profile.inferences else ():
        assert profile is not None
        times[kernel.name] = times.get(kernel.name, 0.0) + kernel.ns / 1e6 / profile.inferences
    return times


def _phase_times(record: Record, names: Sequence[str]) -> dict[str, float]:
    spent = {phase.name: 1e3 * phase.seconds for phase in record.phases if phase.name in names}
    if record.conversion is None or not record.conversion.cached:
        return spent
    return {**{name: 1e3 * seconds for name, seconds in record.conversion.seconds.items()}, **spent}
