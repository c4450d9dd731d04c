"""All cases of a suite: which run alone and which together, a record kept of each as soon as it is there."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence

from bench.case import Case
from bench.errors import StoreError
from bench.interleave import run_alone, run_together
from bench.launch import Worker, uses_gpu
from bench.machine.lock import clocks_as_asked
from bench.machine.observe import Observer, observer_of
from bench.progress import Progress
from bench.record import Record
from bench.sitting import Sitting
from bench.store import save_record
from bench.suite import Suite
from bench.telemetry import ClockLock

NATIVE_EARLIER = "the native case was measured in an earlier sitting"
OTHERS_EARLIER = "the other variants were measured in an earlier sitting"


def run_cases(suite: Suite, sitting: Sitting, progress: Progress) -> list[Record]:
    """A record for every case, in the suite's order; Ctrl-C ends the list."""
    with _scratch(suite) as scratch, progress, contextlib.suppress(KeyboardInterrupt):
        running = Running(sitting, scratch, progress)
        for cases in groups(suite.cases):
            running.run(cases)
            if running.is_interrupted:
                break
    return [running.records[case.id] for case in suite.cases if case.id in running.records]


def groups(cases: Sequence[Case]) -> list[list[Case]]:
    """What is compared with each other runs together; repeats come after all cases have run once."""
    found: dict[tuple[int, int, str], list[Case]] = {}
    for case in cases:
        found.setdefault(_group(case), []).append(case)
    return [found[key] for key in sorted(found, key=lambda key: key[:2])]


def _group(case: Case) -> tuple[int, int, str]:
    alone = "" if case.interleave_rounds else case.id
    return case.build, case.repeat, f"{case.comparison}\n{alone}"


def why_alone(cases: Sequence[Case], earlier: Iterable[Case]) -> str | None:
    """Why a group is not measured in turn: blocks are pairs within a sitting alone, and another one has the rest."""
    rest = [case for case in earlier if _group(case) == _group(cases[0])]
    if any(case.optimization.precision_mode == "native" for case in rest):
        return NATIVE_EARLIER
    return OTHERS_EARLIER if rest and len(cases) == 1 else None


class Running:
    """One run: where its records go, and who is told of it."""

    def __init__(self, sitting: Sitting, scratch: str, progress: Progress) -> None:
        self._sitting, self._run, self._scratch, self._progress = sitting, sitting.run, scratch, progress
        self.records: dict[str, Record] = {}  # by case
        self._lock: ClockLock | None = None  # of the GPU's clocks, while a comparison is measured
        self._pids: set[int] = set()  # its workers, on the GPU

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C ended a case."""
        return any(record.is_interrupted for record in self.records.values())

    def run(self, cases: Sequence[Case]) -> None:
        """Cases of one comparison, measured in turn where there are several."""
        on_gpu = any(uses_gpu(case) for case in cases)
        why = why_alone(cases, (record.case for record in self._sitting.kept.values()))
        for case in cases:
            self._sitting.put_aside(case.id)
        with clocks_as_asked(cases[0].lock_gpu_clocks, on_gpu, os.environ) as lock:
            self._lock, self._pids = lock, set()
            if len(cases) > 1 and why is None:
                return run_together(cases, self._start, self._keep, self._progress.turns, lambda: self._watch(cases))
            for case in cases:
                run_alone(case, self._start, self._keep, why)
                if self.is_interrupted:
                    return

    def _start(self, case: Case) -> Worker:
        """A worker that has run the case's own phases."""
        self._progress.begin(case)
        artifacts = str((self._run / f"{case.id}.profile").resolve()) if case.keep_profile else ""
        logs = str((self._run / f"{case.id}.load").resolve()) if case.load else ""
        here = case.model_copy(update={"scratch_dir": self._scratch, "artifacts_dir": artifacts, "load_dir": logs})
        worker = Worker(here, self._run / f"{case.id}.log", self._progress.listen, self._pids, self._lock)
        worker.run()
        self._pids |= worker.gpu_pids
        self._progress.end(worker.record())
        return worker

    def _watch(self, cases: Sequence[Case]) -> Observer:
        """Of the machine while cases are measured in turn; their workers are no strangers on the GPU."""
        on_gpu = any(uses_gpu(case) for case in cases)
        return observer_of(cases[0], on_gpu, os.environ, self._pids, self._lock)

    def _keep(self, record: Record) -> None:
        """A record as it was asked for, without this machine's folders; in place of what was known of it before."""
        asked = {"scratch_dir": "", "artifacts_dir": "", "load_dir": ""}
        notes = (*self._sitting.failures(record.case.id), *record.notes)
        case = record.case.model_copy(update=asked)
        record = record.model_copy(update={"case": case, "notes": notes, "sitting": self._sitting.number})
        save_record(self._run, record, again=record.case.id in self.records)
        self.records[record.case.id] = record


@contextlib.contextmanager
def _scratch(suite: Suite) -> Iterator[str]:
    """A folder for scratch files, removed at the end unless the config keeps it."""
    try:
        folder = tempfile.mkdtemp(prefix="bench-", dir=suite.benchmark.tmp_dir)
    except OSError as error:
        raise StoreError(f"no scratch folder can be made: {error}; set benchmark_config.tmp_dir") from error
    try:
        yield folder
    finally:
        if suite.benchmark.remove_tmp_dir:
            shutil.rmtree(folder, ignore_errors=True)
