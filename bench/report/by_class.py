"""A detector's mAP class by class: those that a mode changed most."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.comparison import Column
from bench.report.grid import NO_VALUE, difference, significant
from bench.report.listing import Listing, make_listing

TITLE = "mAP by class"


def class_listings(columns: Sequence[Column], most: int) -> list[Listing]:
    """The `most` classes that lost most against native in any mode, then as many that gained most.

    None where no case is held against a native one, or no class changed.
    """
    shown = [column for column in columns if _figures(column)]
    names = dict.fromkeys(name for column in shown for name in _figures(column))
    changes = {name: [change for column in shown if (change := _change(column, name))] for name in names}
    changed = {name: found for name, found in changes.items() if any(found)}
    lost = sorted((name for name in changed if min(changed[name]) < 0), key=lambda name: min(changed[name]))[:most]
    gained = sorted((name for name in changed if max(changed[name]) > 0), key=lambda name: -max(changed[name]))
    picked = [*lost, *[name for name in gained if name not in lost][:most]]
    gist = (
        f"change against native in brackets; {len(changed)} of {len(names)} classes changed, here those that lost most "
        "in any mode, then those that gained most; no intervals"
    )
    rows = [(name, *(_cell(column, name) for column in shown)) for name in picked]
    return make_listing(TITLE, gist, ("class", *(c.label for c in shown)), rows, tuple(range(1, 1 + len(shown))))


def _figures(column: Column) -> dict[str, float]:
    """The mAP of each class; of a case whose figures are not its own, none."""
    accuracy = column.record.accuracy
    return {} if accuracy is None or column.broken is not None else accuracy.per_class


def _change(column: Column, name: str) -> float | None:
    native = column.native
    if native is None or native.accuracy is None or column.record is native:
        return None
    before, after = native.accuracy.per_class.get(name), _figures(column).get(name)
    return None if before is None or after is None else after - before


def _cell(column: Column, name: str) -> str:
    value, change = _figures(column).get(name), _change(column, name)
    if value is None:
        return NO_VALUE
    return significant(value) if change is None else f"{significant(value)} ({difference(change)})"
