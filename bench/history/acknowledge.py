"""A change accepted by hand: found in the history, then written into the reviewed file."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from bench.errors import ConfigError, nearest
from bench.history.acknowledged import EVERY, Acknowledged, add_acknowledged
from bench.history.index import Index
from bench.history.trend import chosen
from bench.statistics.metrics import METRICS


def acknowledge(
    index: Index, series: str, run: Path, metric: str, reason: str, by: str, path: Path
) -> tuple[Acknowledged, ...]:
    """Entries for all series of that name, or one for every series there is; the run must be one of theirs."""
    if metric not in (*METRICS, EVERY):
        raise ConfigError(f"--metric {metric}: unknown statistic{nearest(metric, METRICS)}; '*' for all")
    if not reason.strip():
        raise ConfigError("--reason is empty: say why the change is accepted")
    place = run.resolve()
    known = index.run(f"{place.parent.name}/{place.name}")
    if known is None or known.path.resolve() != place:
        raise ConfigError(f"{run}: not in {index.results}; name its results folder with --results")
    measured = {each.series_id for each in known.measurements}
    named = {} if series == EVERY else {each.id: each.name for each in chosen(index, [series]) if each.id in measured}
    if series != EVERY and not named:
        raise ConfigError(f"{run}: did not measure {series}")
    today = datetime.now(timezone.utc).date()
    entries = tuple(
        Acknowledged(series=each, name=name, metric=metric, run=known.name, reason=reason, by=by, on=today)
        for each, name in (named or {EVERY: ""}).items()
    )
    add_acknowledged(path, entries)
    return entries
