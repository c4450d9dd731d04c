"""Which of a TensorFlow build's GPU code a GPU can run: machine code, or PTX that the driver compiles at first use.

`sm_80` in a build's list is machine code for 8.0 and later minors of 8. `compute_80` is PTX, which the driver compiles
for any GPU of 8.0 or later. (TensorFlow's documents say that `compute_80` brings machine code too; of 2.14.1's own
kernels, counted in libtensorflow_cc.so.2, one in six has it.) A letter at the end, `sm_90a`, ties either to that GPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.doctor.diagnosis import NativeCode

_ENTRY = re.compile(r"(sm|compute)_(\d+)(\d)([a-z]?)$")
KEEP_KERNELS = "set CUDA_CACHE_PATH to a folder that stays, and CUDA_CACHE_MAXSIZE=4294967296, to keep them"


@dataclass(frozen=True)
class Match:
    """The best that a build has for a GPU."""

    kind: NativeCode
    entry: str | None = None  # of the build's list


def match(capability: str, built_for: Iterable[str]) -> Match:
    """What a GPU of a compute capability such as "9.0" finds in a list such as ["sm_75", "compute_80"]."""
    major, _, minor = capability.partition(".")
    own = int(major), int(minor or 0)
    entries = [entry for entry in built_for if _ENTRY.match(entry)]
    machine_code = [entry for entry in entries if entry.startswith("sm_") and _serves(entry, own)]
    if machine_code:
        return Match("machine code", max(machine_code, key=_parse))
    ptx = [entry for entry in entries if entry.startswith("compute_") and _serves(entry, own)]
    return Match("PTX", max(ptx, key=_parse)) if ptx else Match("none")


def explain(capability: str | None, built_for: Sequence[str], cache: str | None) -> tuple[NativeCode | None, str]:
    """The kind of code for a GPU, and a sentence about it; `cache` is CUDA_CACHE_PATH."""
    if capability is None:
        return None, "its compute capability is unknown: the driver does not tell it"
    if not built_for:
        return None, "it is unknown which GPUs TensorFlow was built for: it names none, or is not installed"
    found = match(capability, built_for)
    if found.kind == "machine code":
        return found.kind, f"TensorFlow has machine code for it ({found.entry})"
    if found.kind == "PTX":
        keeping = f"CUDA_CACHE_PATH keeps them in {cache}" if cache else KEEP_KERNELS
        return found.kind, (
            f"no machine code for sm_{capability.replace('.', '')} in TensorFlow: its native kernels are compiled from "
            f"PTX ({found.entry}) at first use; {keeping}"
        )
    return found.kind, (
        f"TensorFlow cannot run on it: its kernels are for {', '.join(built_for)}; install a TensorFlow that was built "
        f"for compute capability {capability}"
    )


def _serves(entry: str, own: tuple[int, int]) -> bool:
    built, tied = _parse(entry), entry[-1].isalpha()
    if tied:
        return built == own
    return built <= own and (entry.startswith("compute_") or built[0] == own[0])


def _parse(entry: str) -> tuple[int, int]:
    _, major, minor, _ = _ENTRY.match(entry).groups()  # type: ignore[union-attr]
    return int(major), int(minor)
