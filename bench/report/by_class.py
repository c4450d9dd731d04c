"""A detector's mAP class by class: all of them, or those that a mode changed most."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.comparison import Column
from bench.report.figures import difference, significant
from bench.report.grid import NO_VALUE
from bench.report.listing import Listing, make_listing

TITLE = "mAP by class"


def changed_classes(columns: Sequence[Column], most: int) -> list[Listing]:
    """The `most` classes that lost most against native in any mode, then as many that gained most.

    None where no case is held against a native one, or no class changed.
    """
    shown = _shown(columns)
    changed = {name: found for name, found in _changes(shown).items() if any(found)}
    lost = sorted((name for name in changed if min(changed[name]) < 0), key=lambda name: min(changed[name]))[:most]
    gained = sorted((name for name in changed if max(changed[name]) > 0), key=lambda name: -max(changed[name]))
    picked = [*lost, *[name for name in gained if name not in lost][:most]]
    gist = (
        f"change against native in brackets; {len(changed)} of {len(_changes(shown))} classes changed, here those that "
        "lost most in any mode, then those that gained most; no intervals"
    )
    return _listing(shown, gist, picked)


def all_classes(columns: Sequence[Column]) -> list[Listing]:
    """Every class: those first that lost most against native in any mode, then the others from the lowest mAP on."""
    shown = _shown(columns)
    changes = _changes(shown)
    lowest = {name: min(_figures(column).get(name, 1.0) for column in shown) for name in changes}
    ordered = sorted(changes, key=lambda name: (min([*changes[name], 0.0]), lowest[name]))
    changed = sum(map(any, changes.values()))
    compared = f"change against native in brackets, {changed} of {len(changes)} changed, those that lost most first; "
    gist = f"{len(changes)} classes; {compared if any(changes.values()) else 'the lowest first; '}no intervals"
    return _listing(shown, gist, ordered)


def _listing(shown: Sequence[Column], gist: str, names: Sequence[str]) -> list[Listing]:
    rows = [(name, *(_cell(column, name) for column in shown)) for name in names]
    return make_listing(TITLE, gist, ("class", *(c.label for c in shown)), rows, tuple(range(1, 1 + len(shown))))


def _shown(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if _figures(column)]


def _changes(shown: Sequence[Column]) -> dict[str, list[float]]:
    """Of each class, by how much each mode that is held against native changed it."""
    names = dict.fromkeys(name for column in shown for name in _figures(column))
    return {name: [change for column in shown if (change := _change(column, name)) is not None] for name in names}


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
