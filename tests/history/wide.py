"""python -m tests.history.wide FOLDER RUNS SERIES: an index of so many runs and series, and how long its page takes.

The runs' files are stubs that are never read: the index is written as if they had been. One series in eight has a
level that changed, one in eight an outlier, and every 200th night another driver. docs/nightly.md has the times.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bench.history.index import INDEX_FILE, Index
from bench.history.measured import Measurement, read_run
from bench.history.rows import runs, utc
from tests.history.nights import FIRST
from tests.history.scale import MEASURED, timed

SUITE = "resnet50"
STEP, OUTLIER = 1.05, 1.4
_RUN = "INSERT INTO run (path, stamp, suite, started, verdict, whole, covariates, config) VALUES (?,?,?,?,?,1,?,'{}')"


def write(results: Path, nights: int, series: int) -> None:
    """A stub of a folder for every run, and the index."""
    results.mkdir()
    Index(results).refresh()  # makes the tables
    names = []
    for number in range(nights):
        moment = FIRST + timedelta(hours=number)
        names.append((moment, f"{SUITE}/{moment:%Y%m%dT%H%M%SZ}-{number:06x}"))
        (results / names[-1][1]).mkdir(parents=True)
        (results / names[-1][1] / "suite.json").touch()
    stamps = dict(runs(results))
    measured = read_run(MEASURED)
    levels = np.exp(0.005 * np.random.default_rng(0).normal(size=(nights, series)))
    levels[nights - 100 :, ::8] *= STEP
    levels[nights - 50, 1::8] *= OUTLIER
    with closing(sqlite3.connect(results / INDEX_FILE)) as db, db:
        for number, (moment, path) in enumerate(names):
            covariates = {**measured.covariates, "driver": f"580.{number // 200}", "commit": f"{number:040x}"}
            verdict = "passed" if number % 7 else "inconclusive"
            row = (path, stamps[path], SUITE, utc(moment), verdict, json.dumps(covariates))
            run = db.execute(_RUN, row).lastrowid
            rows = _measurements(run, measured.measurements, levels[number])
            db.executemany(f"INSERT INTO measurement VALUES ({', '.join('?' * 11)})", rows)


def _measurements(run: int | None, known: tuple[Measurement, ...], levels: Any) -> Iterator[tuple[Any, ...]]:
    for number, level in enumerate(levels):
        each = known[number % len(known)]
        values = {name: [value * float(level) for value in found] for name, found in each.values.items()}
        facts = json.dumps({**each.series.facts, "number": number})
        yield (run, f"{each.name}-{number}", f"{number:012x}", facts, each.segment.id, json.dumps(each.segment.facts),
               each.methodology, json.dumps(values), json.dumps(each.doubts), None, None)  # fmt: skip


def main() -> None:
    """Run as a program."""
    from bench.history.page import history_page

    results, nights, series = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if not results.exists():
        timed(f"write {nights} runs of {series} series", lambda: write(results, nights, series))
    begin = time.perf_counter()
    text = history_page(Index(results).refresh(), (), ("median_latency_ms",), ())
    print(f"page: {time.perf_counter() - begin:.2f} s, {len(text) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
