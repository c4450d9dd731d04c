"""Runs as a nightly job leaves them, made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from bench.record import Record
from tests.factory import make_case, make_environment, make_record, make_samples

FIRST = datetime(2026, 1, 1, 2, tzinfo=timezone.utc)
SUITE = "nightly"


def night_record(latency_ms: float, precision: str = "FP16", **changes: Any) -> Record:
    """A case whose median is this, in nine samples around it."""
    times = [latency_ms * (1 + 0.001 * step) for step in range(-4, 5)]
    fields = {"latency": make_samples(times), "environment": make_environment(), **changes}
    if "case" not in fields:
        fields["case"] = make_case(precision)
    return make_record(**fields)


def repeated(latencies_ms: Sequence[float], precision: str = "FP16", **changes: Any) -> list[Record]:
    """The same in several processes."""
    case = make_case(precision)
    copies = [case, *(
        case.model_copy(update={"id": f"{case.id}-repeat{n}", "repeat": n}) for n in range(2, len(latencies_ms) + 1)
    )]  # fmt: skip
    return [night_record(ms, case=copy, **changes) for ms, copy in zip(latencies_ms, copies, strict=True)]


def with_random_weights(record: Record) -> Record:
    model = record.case.model.model_copy(update={"random_weights": True})
    return record.model_copy(update={"case": record.case.model_copy(update={"model": model})})


def write_night(
    results: Path,
    number: float,
    records: Iterable[Record],
    config: Mapping[str, Any] | None = None,
    suite: str = SUITE,
    **ending: Any,
) -> Path:
    """The folder of one night's run, written without waiting for the disk."""
    started = FIRST + timedelta(days=number)
    run = results / suite / f"{started:%Y%m%dT%H%M%SZ}-{round(number):06x}"
    run.mkdir(parents=True)
    records = [record.model_copy(update={"started": started}) for record in records]
    for record in records:
        (run / f"{record.case.id}.json").write_text(record.model_dump_json(), encoding="utf-8")
    document = {
        "format_version": 1,
        "methodology_version": 2,
        "name": suite,
        "config": dict(config or {}),
        "cases": [record.case.id for record in records],
        "verdict": "passed",
        **ending,
    }
    (run / "suite.json").write_text(json.dumps(document), encoding="utf-8")
    return run


def write_nights(results: Path, latencies_ms: Sequence[float], first: int = 0, **changes: Any) -> list[Path]:
    """A night for each latency."""
    return [write_night(results, first + n, [night_record(ms, **changes)]) for n, ms in enumerate(latencies_ms)]
