"""python -m bench.sampler: reads GPU and CPU again and again while a case runs, in a process of its own.

Its argument is bench.machine.reading.Task as JSON. Orders come on standard input, one a line: "worker PID" tells whom
to watch, "now" asks for a reading at once; its end is the order to finish. Readings go to the task's output, as
bench.machine.reading encodes them. On standard output comes one word when all is open: "gpu" or "cpu".

It must not disturb what is timed. It gives way to everything (nice 19, SCHED_BATCH), leaves the core that the worker's
main thread was last on, and reads less often where a reading costs more than the cores that there are allow. It loads
nothing but the standard library and pynvml, and makes no CUDA context. The kernel ends it with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.machine.cpu import Cpu
from bench.machine.nvml import Gpu, NoGpuError, Owners, choose, name_of
from bench.machine.reading import Reading, Task, encode
from bench.parent import end_with_parent

SLOW_EVERY = 5  # readings; the others leave out what takes longer to find out
SHARE, MAX_SHARE = 0.0075, 0.1  # of one core: for each core that there is, and at most
# After an hour of readings one a second is enough, and its memory and its parent's stay small.
MANY_READINGS, LATER_PERIOD_S = 36_000, 1.0


@dataclass
class Sampler:
    """What is read, and where it goes."""

    output: int
    cpu: Cpu
    gpu: Gpu | None = None
    period_s: float = 0.1
    share: float = MAX_SHARE  # of one core, at most
    owners: Owners = field(default_factory=Owners)
    taken: int = 0
    _refused: dict[str, str] = field(default_factory=dict)

    def send(self, item: dict[str, Any]) -> None:
        os.write(self.output, json.dumps(item).encode() + b"\n")

    def read(self, whole: bool = False) -> None:
        """Take one reading; a `whole` one holds the slow fields too."""
        slow = whole or self.taken % SLOW_EVERY == 0
        values = self.gpu.values() if self.gpu else {}
        now = time.monotonic_ns()  # after the quick fields of the GPU, of which the energy counter is the last
        values.update(self.cpu.values())
        if slow:
            values.update(self.cpu.slow_values())
            values.update(self._processes())
        os.write(self.output, encode(Reading(time_ns=now, **values)))
        self.taken += 1
        self._tell_refusals()

    def _processes(self) -> dict[str, Any]:
        processes = self.gpu.processes() if self.gpu else None
        if processes is None:
            return {}
        own, others = self.owners.split(processes)
        known = [used for used in own.values() if used is not None]
        return {
            "worker_memory_bytes": sum(known) if known else None,
            "foreign": tuple((pid, used, name_of(pid)) for pid, used in others.items()),
        }

    def _tell_refusals(self) -> None:
        """Each once, so that they are known even if this process is killed."""
        refused = {**self.cpu.refused, **(self.gpu.refused if self.gpu else {})}
        if fresh := {name: reason for name, reason in refused.items() if name not in self._refused}:
            self._refused.update(fresh)
            self.send({"refused": fresh})

    def obey(self, order: str) -> None:
        """Carry one order out; any of them asks for a reading."""
        if order.startswith("worker "):
            self.cpu.worker = self.owners.worker = int(order.split()[1])
        self.read(whole=True)

    def run(self, orders: int) -> None:
        """Read until the orders end: a period is from reading to reading, however long one takes."""
        due = time.monotonic()
        while True:
            ready, _, _ = select.select([orders], [], [], max(0.0, due - time.monotonic()))
            begin, spent = time.monotonic(), time.thread_time()
            if ready:
                text = os.read(orders, 4096)
                if not text:
                    return
                for order in text.decode().splitlines():
                    self.obey(order)
            else:
                leave_core(self.cpu.core)
                self.read()
            period = self._period(time.thread_time() - spent)
            due = max(begin + period, time.monotonic() + period / 2)  # a driver that is slow to answer gets its rest

    def _period(self, spent_s: float) -> float:
        """Until the next reading, after one that cost so much processor time."""
        period = self.period_s if self.taken < MANY_READINGS else max(self.period_s, LATER_PERIOD_S)
        return max(period, spent_s / self.share)


def allowed_share(cores: int) -> float:
    """Of one core, for a sampler beside a worker that may use so many."""
    return min(MAX_SHARE, SHARE * cores)


def leave_core(core: int | None, usable: frozenset[int] = frozenset(os.sched_getaffinity(0))) -> None:
    """Run on one core, not `core`, where there is another."""
    if core is None or len(usable) < 2 or core not in os.sched_getaffinity(0):
        return
    others = sorted(usable - {core})
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {others[-1]})


def give_way() -> None:
    """Let everything else run first. A session has a weight of its own where the kernel groups by session."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 19)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")


def open_sampler(task: Task) -> Sampler:
    """A sampler with the GPU that the worker will use, where there is one; says in the output why there is none."""
    cpu = Cpu(frozenset(os.sched_getaffinity(0)))
    owners = Owners(ours=frozenset(task.ours))
    sampler = Sampler(task.output, cpu, period_s=task.period_s, share=allowed_share(len(cpu.cores)), owners=owners)
    sampler.send({"facts": {"period_s": task.period_s, "mhz_source": cpu.mhz_source()}})
    if not task.gpu:
        sampler.send({"refused": {"gpu": "the backend computes on the CPU"}})
        return sampler
    try:
        import pynvml

        choice = choose(pynvml, os.environ)
    except (ImportError, NoGpuError) as error:
        sampler.send({"refused": {"gpu": str(error)}})
        return sampler
    sampler.gpu = Gpu(pynvml, choice.handle)
    sampler.send({"facts": {"gpu": sampler.gpu.facts(choice)}})
    return sampler


def main(task: Task) -> int:
    """Sample until standard input ends."""
    end_with_parent(task.parent)
    give_way()
    try:
        sampler = open_sampler(task)
        print("gpu" if sampler.gpu else "cpu", flush=True)
        begin = time.process_time()
        sampler.run(sys.stdin.fileno())
        owners = sampler.owners
        ending = {
            "identified_by": owners.identified_by,
            "worker_pids": sorted(owners.found),
            "waiting_workers": owners.waiting,
        }
        sampler.send({"facts": ending, "cpu_s": time.process_time() - begin})
    except Exception as error:  # the process boundary: the record says why there is no more
        os.write(task.output, json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Task(**json.loads(sys.argv[1]))))
