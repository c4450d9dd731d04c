"""MLCommons LoadGen over a session: it schedules and times the queries, we answer them in batches.

LoadGen keeps its state in the process: one test at a time.
"""

from __future__ import annotations

import importlib
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.backends.base import Arrays, Session
from bench.errors import BackendUnavailable
from bench.load.result import Load, LoadTest, read_test

EMPTY = ("mlperf_log_accuracy.json", "mlperf_log_trace.json")  # without accuracy mode and trace
NAMES = {
    "single_stream": "SingleStream",
    "multi_stream": "MultiStream",
    "offline": "Offline",
    "server": "Server",
}


def load_loadgen() -> Any:
    """The extension module; BackendUnavailable where the extra is not installed."""
    try:
        return importlib.import_module("mlperf_loadgen")
    except ImportError as error:
        raise BackendUnavailable(f"load tests need MLCommons LoadGen: install the extra load ({error})") from error


def run_test(session: Session, images: Sequence[Arrays], batch_size: int, load: Load, folder: Path) -> LoadTest:
    """Run LoadGen once; `images` are single images with a batch dimension of 1. The logs are left in `folder`.

    In the server scenario at the rate `target_qps`, in the others sized by `expected_qps`; neither may be None there.
    """
    loadgen = load_loadgen()
    folder.mkdir(parents=True, exist_ok=True)
    with Answers(loadgen, session, images, batch_size, load.threads) as answers:
        system = loadgen.ConstructSUT(answers.issue, answers.flush)
        library = loadgen.ConstructQSL(len(images), len(images), answers.ignore, answers.ignore)
        try:
            loadgen.StartTestWithLogSettings(system, library, _settings(loadgen, load), _logs(loadgen, folder), "none")
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(system)
    answers.raise_failure()
    for name in EMPTY:
        (folder / name).unlink(missing_ok=True)
    return read_test(load, folder)


class Answers:
    """Threads that take waiting samples, at most a batch at a time, infer and tell LoadGen."""

    def __init__(self, loadgen: Any, session: Session, images: Sequence[Arrays], batch_size: int, threads: int) -> None:
        self._loadgen, self._session, self._images, self._batch_size = loadgen, session, images, batch_size
        self._waiting: deque[tuple[int, int]] = deque()  # LoadGen's id of a sample, which image
        self._change = threading.Condition()
        self._closed = False
        self._failure: Exception | None = None
        self._ready = threading.Barrier(threads + 1)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def issue(self, samples: Sequence[Any]) -> None:
        """LoadGen's call: these samples are due now."""
        with self._change:
            self._waiting.extend((sample.id, sample.index) for sample in samples)
            self._change.notify(len(samples))

    def flush(self) -> None:
        """Nothing is held back."""

    def ignore(self, indices: Sequence[int]) -> None:
        """All images are in memory already."""

    def raise_failure(self) -> None:
        """Raise what stopped a thread; its samples were completed all the same, for LoadGen would wait for ever."""
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Answers:
        for thread in self._threads:
            thread.start()
        self._ready.wait()
        if self._failure is not None:
            self.__exit__()
            self.raise_failure()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        self._infer([0])  # a thread's first inference sets up what belongs to the thread
        self._ready.wait()
        while taken := self._take():
            self._infer([index for _, index in taken])
            responses = [self._loadgen.QuerySampleResponse(number, 0, 0) for number, _ in taken]
            self._loadgen.QuerySamplesComplete(responses)

    def _infer(self, indices: Sequence[int]) -> None:
        if self._failure is not None:
            return
        try:
            self._session.infer(self._batch(indices))
        except Exception as error:  # whatever it is, LoadGen's thread must not wait for this batch
            self._failure = error

    def _take(self) -> list[tuple[int, int]]:
        """The samples that wait, as many as a batch holds; none at the end."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            return [self._waiting.popleft() for _ in range(min(self._batch_size, len(self._waiting)))]

    def _batch(self, indices: Sequence[int]) -> Arrays:
        """Images side by side; the last one fills a batch up."""
        chosen = [self._images[index] for index in indices]
        if self._batch_size == 1:
            return chosen[0]
        chosen += [chosen[-1]] * (self._batch_size - len(chosen))
        return {name: np.concatenate([image[name] for image in chosen]) for name in chosen[0]}


def _settings(loadgen: Any, load: Load) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, NAMES[load.scenario])
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = round(1e3 * load.min_duration_s)
    settings.min_query_count = load.min_queries
    settings.multi_stream_samples_per_query = load.samples_per_query
    if load.scenario == "server":
        settings.server_target_qps = load.target_qps
        settings.server_target_latency_ns = round(1e6 * (load.latency_bound_ms or 0.0))
        settings.server_target_latency_percentile = load.percentile / 100
    elif load.expected_qps is not None:
        settings.offline_expected_qps = load.expected_qps
        settings.single_stream_expected_latency_ns = round(1e9 / load.expected_qps)
        settings.multi_stream_expected_latency_ns = round(1e9 / load.expected_qps)
    for name in ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed"):
        setattr(settings, name, load.seed + 1)
    return settings


def _logs(loadgen: Any, folder: Path) -> Any:
    logs = loadgen.LogSettings()
    logs.log_output.outdir = str(folder)
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = False
    return logs
