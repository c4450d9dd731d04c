"""Where an inference's time goes, from decoded file to judged output: the record, and what it says."""

from __future__ import annotations

from statistics import fmean, median, pstdev

from bench.part import Part

DISPATCH_BOUND = 0.8  # of the compute time; this and the next are trtexec's own bounds
UNSTABLE = 0.025  # coefficient of variation of the compute time
STEADY_CLOCK = 0.98  # least over greatest; clocks come in steps of 15 MHz
EXCESS = 0.05  # by which stages, with a wait after each, may exceed the inference that they make up
RESOLUTION_MS = 0.02  # what waits and clocks cost is no excess


class Stages(Part):
    """Times of single steps, each waited for, in nanoseconds; one a batch unless said otherwise.

    `dispatch` is the part of `compute` in which the call that starts the inference had not returned yet.
    """

    preprocess_ns: tuple[int, ...] = ()  # decode, resize and normalise, of one batch by one thread
    host_to_device_ns: tuple[int, ...]
    compute_ns: tuple[int, ...]
    dispatch_ns: tuple[int, ...]
    device_to_host_ns: tuple[int, ...]
    on_device: bool  # whether there is a device that copies go to
    whole_ns: tuple[int, ...] = ()  # of the same batches, host to host, between the others
    postprocess_ns: tuple[int, ...] = ()  # outputs judged: detections made of raw ones, labels compared, boxes scaled

    def median_ms(self) -> dict[str, float]:
        """The median of each stage, in ms; stages that were not taken are left out."""
        found = {
            "preprocess": self.preprocess_ns,
            "host to device": self.host_to_device_ns,
            "compute": self.compute_ns,
            "device to host": self.device_to_host_ns,
            "postprocess": self.postprocess_ns,
        }
        return {name: median(times) / 1e6 for name, times in found.items() if times}

    def remainder_ms(self) -> float | None:
        """An inference as a whole, host to host, less the three stages in it; below 0 where they overlap in it."""
        if not self.whole_ns:
            return None
        inside = (self.host_to_device_ns, self.compute_ns, self.device_to_host_ns)
        return (median(self.whole_ns) - sum(median(times) for times in inside)) / 1e6

    def excess(self) -> float | None:
        """The share of an inference by which its stages exceed it, where that is more than waits explain."""
        left = self.remainder_ms()
        if left is None:
            return None
        whole = median(self.whole_ns) / 1e6
        return -left / whole if -left > max(EXCESS * whole, RESOLUTION_MS) else None

    def diagnoses(self, sm_clock_mhz: tuple[float, float] | None = None) -> tuple[str, ...]:
        """Whether the stages add up; what bounds an inference on a device, by trtexec's rules.

        `sm_clock_mhz` is the least and the greatest that was read meanwhile: trtexec blames the clock unseen.
        Source: TensorRT, samples/common/sampleReporting.cpp.
        """
        compute, dispatch, excess = median(self.compute_ns), median(self.dispatch_ns), self.excess()
        found = [] if excess is None else [f"stages one by one take {100 * excess:.0f} % longer than an inference"]
        if not self.on_device:
            return tuple(found)
        if dispatch > DISPATCH_BOUND * compute:
            share = 100 * dispatch / compute
            found.append(f"bound by dispatch: starting an inference takes {share:.0f} % of its compute time")
        for name, times in (("host to device", self.host_to_device_ns), ("device to host", self.device_to_host_ns)):
            if median(times) >= compute:
                found.append(f"bound by transfers: {name} takes {median(times) / compute:.1f} times the compute time")
        variation = pstdev(self.compute_ns) / fmean(self.compute_ns)
        if variation > UNSTABLE:
            found.append(_unstable(variation, sm_clock_mhz))
        return tuple(found)


def _unstable(variation: float, sm_clock_mhz: tuple[float, float] | None) -> str:
    varies = f"compute time varies by {100 * variation:.1f} % (coefficient of variation)"
    if sm_clock_mhz is None:
        return f"unstable: {varies}"
    low, high = sm_clock_mhz
    if low < STEADY_CLOCK * high:
        return f"unstable clocks: {varies}, the GPU's clock went from {low:.0f} to {high:.0f} MHz"
    return f"unstable host: {varies}, while the GPU's clock stood at {high:.0f} MHz"
