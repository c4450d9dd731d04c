"""python -m tests.history.scale FOLDER RUNS: a history of so many runs, from a measured one, and how long it takes.

The times of docs/nightly.md come from it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from bench.history.index import Index
from tests.configs import bench
from tests.history.nights import FIRST

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "results/reference/resnet50/20261122T023047Z-da1ea1"  # four cases, 700 samples each


def write(results: Path, runs: int) -> None:
    """Copies of the measured run, one a night."""
    records = {path.name: path.read_text(encoding="utf-8") for path in MEASURED.glob("resnet50-*.json")}
    started = {name: json.loads(text)["started"] for name, text in records.items()}
    suite = (MEASURED / "suite.json").read_bytes()
    for number in range(runs):
        moment = FIRST + timedelta(days=number)
        run = results / "resnet50" / f"{moment:%Y%m%dT%H%M%SZ}-{number:06x}"
        run.mkdir(parents=True)
        for name, text in records.items():
            (run / name).write_text(text.replace(started[name], moment.isoformat(), 1), encoding="utf-8")
        (run / "suite.json").write_bytes(suite)


def timed(what: str, action: Callable[[], object]) -> None:
    """Does it and says how long it took, how much of the processors, and what else they had to do."""
    begin, used = time.perf_counter(), sum(os.times()[:4])
    action()
    seconds, used = time.perf_counter() - begin, sum(os.times()[:4]) - used
    print(f"{what}: {seconds:.2f} s, {used:.2f} s of CPU, load average {os.getloadavg()[0]:.1f}", flush=True)


def main() -> None:
    """Run as a program."""
    results, runs = Path(sys.argv[1]), int(sys.argv[2])
    if not results.exists():
        timed(f"write {runs} runs", lambda: write(results, runs))
    index = Index(results)
    timed("rebuild", index.rebuild)
    timed("refresh, nothing new", index.refresh)
    series = index.series()[0]
    timed("series", index.series)
    timed("latest", lambda: index.latest("resnet50"))
    timed("last 60 nights", lambda: index.nights(series.id, series.segment, last=60))
    timed("all nights of a series", lambda: index.nights(series.id, series.segment))
    for baseline in ("latest", "history"):
        compare = partial(bench, "compare", baseline, "--results", str(results))
        timed(f"bench compare {baseline}, the first time", compare)
        timed(f"bench compare {baseline}", compare)
    print(index.count(), len(index.series()), f"{index.path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
