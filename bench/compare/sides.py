"""The records of the two sides of a comparison, found by series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.errors import ConfigError
from bench.history.measured import Run, measurements
from bench.record import Record
from bench.repeats import merged
from bench.statistics.summary import natives
from bench.store import load_records


@dataclass(frozen=True)
class Side:
    """A case of one run, and the native one that it is held against."""

    record: Record
    native: Record | None


class Sides:
    """The records of the runs that are looked at, by series; each run is read once."""

    def __init__(self, new: Run) -> None:
        self._new = new
        self._known: dict[Path, dict[str, Side]] = {}

    def pair(self, series: str, reference: Path) -> tuple[Side, Side]:
        """The baseline's case and this run's; a ConfigError where there is none."""
        return self.of(series, reference), self.of(series, self._new.path)

    def now(self, series: str) -> Record:
        """This run's record."""
        return self.of(series, self._new.path).record

    def of(self, series: str, path: Path) -> Side:
        """A run's case; a ConfigError where there is none."""
        found = self._read(path).get(series)
        if found is None:
            raise ConfigError(f"{path}: has no record of it")
        return found

    def _read(self, path: Path) -> dict[str, Side]:
        if path not in self._known:
            records = load_records(path)
            variants = merged(records)
            native = natives(variants)
            found = zip(measurements(records), variants, strict=True)
            self._known[path] = {m.series_id: Side(r, native.get(r.case.comparison)) for m, r in found}
        return self._known[path]
