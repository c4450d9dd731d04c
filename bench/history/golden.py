"""The golden run of each suite: pinned by hand, a fixed point against which slow drift shows."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from pydantic import ValidationError

from bench.errors import ConfigError
from bench.history.measured import Run, read_run
from bench.part import Part
from bench.store import replace_atomic

GOLDEN_FILE = "golden.json"


class Golden(Part):
    """Which run is pinned, since when and why."""

    run: str  # suite/folder, in the results folder
    pinned: datetime
    reason: str = ""


def read_golden(results: Path) -> dict[str, Golden]:
    """The golden runs by suite; none where nothing was pinned."""
    path = results / GOLDEN_FILE
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {suite: Golden.model_validate(each) for suite, each in found.items()}
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; `bench history golden RUN` writes it") from error


def golden_run(results: Path, suite: str) -> Run | None:
    """A suite's golden run, or None where there is none."""
    golden = read_golden(results).get(suite)
    return None if golden is None else read_run(results / golden.run)


def pin(results: Path, run: Run, reason: str) -> Golden:
    """Make a run its suite's golden one."""
    if (results / run.name).resolve() != run.path.resolve():
        raise ConfigError(f"{run.path}: not in {results}; name its results folder with --results")
    golden = Golden(run=run.name, pinned=datetime.now(timezone.utc), reason=reason)
    known = {**read_golden(results), run.suite: golden}
    text = json.dumps({suite: each.model_dump(mode="json") for suite, each in sorted(known.items())}, indent=1)
    replace_atomic(results / GOLDEN_FILE, f"{text}\n".encode())
    return golden
