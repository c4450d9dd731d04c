"""The load tests of a case, in the process of its worker: over the session and the images that were timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.backends.base import Arrays, Preparation, Session
from bench.errors import ModelError
from bench.inputs.batches import TimedBatch
from bench.load.loadgen import run_test
from bench.load.result import Load, LoadResult, LoadTest
from bench.load.search import highest_rate
from bench.measure.loop import without_garbage_collection
from bench.record import Samples, Throughput

MOST_QPS = 50_000.0  # what a test is sized for at first: far above it, LoadGen's lists of queries fill the memory
SIZINGS = 3
MARGIN = 1.1
Report = Callable[[str, object], None]  # a part of the record and its value


def run_loads(
    session: Session,
    preparation: Preparation,
    pool: Sequence[TimedBatch],
    latency: Samples,
    throughput: Throughput,
    report: Report,
) -> None:
    """Every load test that the case asks for; each is reported as soon as it is there."""
    case = preparation.case
    images = list(single_images(pool, case.batch_size))
    home = Path(case.load_dir) if case.load_dir else preparation.workdir / "load"
    done: list[LoadResult] = []
    for load in case.load:
        known = next((each.chosen.qps for each in done if each.load.scenario == "offline"), None)
        expected = (
            known if load.scenario == "server" and known else expected_qps(load, case.batch_size, latency, throughput)
        )
        for search in range(1, load.searches + 1):
            run = _Runs(session, images, case.batch_size, home, _folder(load, search))
            mine = load.model_copy(update={"expected_qps": expected, "seed": load.seed + search - 1})
            with preparation.phase(f"load test: {load.scenario}"), without_garbage_collection():
                tests = _search(run, mine) if load.is_search else _sized(run, mine)
            done.append(LoadResult(load=mine, search=search, tests=tests))
            report("load", done)


def single_images(pool: Sequence[TimedBatch], batch_size: int) -> Iterator[Arrays]:
    """The pool's images one by one, padding left out; a ModelError where an input is not a batch of something."""
    for batch in pool:
        for name, array in batch.arrays.items():
            if array.shape[:1] != (batch_size,):
                raise ModelError(
                    f"input {name!r} is {list(array.shape)}, no batch of {batch_size}: a load test puts images "
                    "together as they come; leave benchmark_config.load_scenarios empty"
                )
        for number in range(batch.images):
            yield {name: array[number : number + 1] for name, array in batch.arrays.items()}


def expected_qps(load: Load, batch_size: int, latency: Samples, throughput: Throughput) -> float:
    """Queries a second (offline and server: samples) that the session is likely to do, from what was timed before."""
    batch_s = median(latency.times_ns) / 1e9
    if load.scenario in ("single_stream", "multi_stream"):
        samples = load.samples_per_query if load.scenario == "multi_stream" else 1
        in_turn = math.ceil(math.ceil(samples / batch_size) / load.threads)
        return min(1 / (in_turn * batch_s), MOST_QPS)
    alone = batch_size / batch_s
    block_s = median(throughput.block_ns) / 1e9
    in_flight = throughput.launches_per_block * batch_size / block_s
    return min(alone if load.threads == 1 else min(load.threads * alone, max(alone, in_flight)), MOST_QPS)


class _Runs:
    """Runs LoadGen again and again; the logs of each run lie in a folder of their own."""

    def __init__(self, session: Session, images: Sequence[Arrays], batch_size: int, home: Path, folder: str) -> None:
        self._session, self._images, self._batch_size = session, images, batch_size
        self._home, self._folder, self._count = home, folder, 0

    def __call__(self, load: Load) -> LoadTest:
        self._count += 1
        logs = f"{self._folder}/{self._count}"
        test = run_test(self._session, self._images, self._batch_size, load, self._home / logs)
        return test.model_copy(update={"logs": logs})


def _folder(load: Load, search: int) -> str:
    return load.scenario if load.searches == 1 else f"{load.scenario}-search-{search}"


def _search(run: _Runs, load: Load) -> tuple[LoadTest, ...]:
    assert load.expected_qps is not None and load.latency_bound_ms is not None
    return highest_rate(
        lambda rate: run(load.model_copy(update={"target_qps": rate})), load.expected_qps, load.latency_bound_ms
    )


def _sized(run: _Runs, load: Load) -> tuple[LoadTest, ...]:
    """One run; another where the session was faster than expected, so that LoadGen ran out of queries."""
    tests: list[LoadTest] = []
    while len(tests) < SIZINGS:
        tests.append(run(load))
        rate = _measured_qps(load, tests[-1])
        if tests[-1].details.get("result_min_duration_met", True) or rate is None:
            break
        load = load.model_copy(update={"expected_qps": MARGIN * rate})
    return tuple(tests)


def _measured_qps(load: Load, test: LoadTest) -> float | None:
    if load.scenario == "offline":
        return test.qps
    return 1e3 / test.mean_latency_ms if test.mean_latency_ms else None
