"""What a comparison says of turns and repeats: how its speed-ups were measured, and how processes differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.record import Record
from bench.repeats import processes
from bench.report.sittings import by_sitting
from bench.statistics.between import Spread, spread
from bench.statistics.rounds import rounds_in_common
from bench.statistics.summary import summarize

SPREAD_OF = "median_latency_ms"


def measured_how(records: Sequence[Record], labels: Sequence[str], native: Record | None) -> Iterator[str]:
    """A line on turns, and one on the processes of each variant that has several."""
    yield from _turns(records, labels, native)
    yield from by_sitting(records, labels)
    for record, label in zip(records, labels, strict=True):
        if record.repeats:
            yield f"{label}: means over {_spread(record)}"


def _turns(records: Sequence[Record], labels: Sequence[str], native: Record | None) -> Iterator[str]:
    rounds = {
        len(rounds_in_common(record, native)) for record in records if native is not None and record is not native
    }
    if counts := rounds - {0}:
        shown = " or ".join(map(str, sorted(counts)))
        yield f"speed-ups are of pairs of blocks, in {shown} rounds in which the variants were measured in turn"
    for record, label in zip(records, labels, strict=True):
        if record.not_interleaved is not None:
            yield f"{label}: not measured in turn: {record.not_interleaved}"
        elif native is not None and record.case.interleave_rounds and record.sitting != native.sitting:
            yield f"{label}: not measured in turn with the native case, which was measured in another sitting"


def _spread(record: Record) -> str:
    values = [
        (each.case, summary.values[SPREAD_OF])
        for each in processes(record)
        if SPREAD_OF in (summary := summarize(each)).values
    ]
    count = 1 + len(record.repeats)
    return f"{count} processes" + (f"; {_shown(spread(values))}" if len(values) > 1 else "")


def _shown(found: Spread) -> str:
    builds = f" of {found.builds} builds" if found.builds > 1 else ""
    parts = (("run to run", found.run_to_run), ("build to build", found.build_to_build))
    shown = [f"{100 * value:.2g} % {what}" for what, value in parts if value is not None]
    return f"{SPREAD_OF}{builds} differs by {' and '.join(shown)} (standard deviation)" if shown else SPREAD_OF + builds
