"""Load tests of a comparison's cases: a table, and what is to be said below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from bench.load.result import LoadResult, LoadTest
from bench.load.search import RESOLUTION
from bench.load.statistics import SPREAD, why_not
from bench.repeats import processes
from bench.report.comparison import Column
from bench.report.figures import plain, significant
from bench.report.grid import NO_VALUE
from bench.report.listing import Listing, make_listing
from bench.report.words import counted, percent
from bench.statistics.percentiles import samples_needed

VALID = "valid"
TITLE = "Load tests"
GIST = "MLCommons LoadGen; latency from the scheduled arrival"
HEAD = (
    "case", "scenario", "threads", "scheduled queries/s", "completed images/s", "p50 ms", "p90 ms", "p99 ms",
    "LoadGen's verdict",
)  # fmt: skip
PERCENTILES = (50, 90, 99)
ON_SCREEN = ("scenario", "scheduled\n/s", "completed\n/s", "p50\nms", "p99\nms", "valid")
NUMBERS = tuple(range(2, 8))


def load_listings(columns: Sequence[Column]) -> list[Listing]:
    """All load tests of all cases; none where there was none."""
    rows = [_row(label, result) for column in columns for label, result in _results(column)]
    return make_listing(TITLE, GIST, HEAD, rows, NUMBERS)


def load_remarks(columns: Sequence[Column]) -> list[str]:
    """How each rate was found, how well searches agree, and why a result is none."""
    return [plain(text) for column in columns for text in _remarks(column)]


def load_table(listing: Listing) -> Table:
    """The main columns for an 80-column screen, where the last one says yes or no; the remarks say why."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"{listing.title}: {listing.gist}")
    table.title_justify, table.title_style = "left", ""
    table.add_column(Text("case"), overflow="fold")
    for name in ON_SCREEN:
        table.add_column(Text(name), justify="left" if name in ("scenario", "valid") else "right", no_wrap=True)
    before = ""
    for case, scenario, threads, scheduled, completed, p50, _, p99, verdict in listing.rows:
        what = scenario.replace(", ", "\n") + (f"\n{threads} threads" if threads != "1" else "")
        cells = (
            "" if case == before else case,
            what,
            scheduled,
            completed,
            p50,
            p99,
            "yes" if verdict == VALID else "NO",
        )
        table.add_row(*map(Text, cells))
        before = case
    return table


def _results(column: Column) -> Iterator[tuple[str, LoadResult]]:
    """Of all processes that measured a variant."""
    for record in processes(column.record):
        which = record.case.id.removeprefix(record.case.variant).lstrip("-")
        yield from ((f"{column.label} {which}".strip(), result) for result in record.load)


def _row(label: str, result: LoadResult) -> tuple[str, ...]:
    test, load = result.chosen, result.load
    return (
        label,
        f"{load.scenario}, search {result.search}" if load.searches > 1 else load.scenario,
        str(load.threads),
        _number(test.scheduled_qps),
        _number(test.qps),
        *(_number(_percentile(result, percent)) for percent in PERCENTILES),
        _verdict(test),
    )


def _percentile(result: LoadResult, percent: int) -> float | None:
    """None where there are too few queries; and offline, where all are due at once: one's latency says nothing."""
    test = result.chosen
    supported = test.queries is None or test.queries >= samples_needed(percent)
    return test.latency_ms.get(f"{percent:.2f}") if supported and result.load.scenario != "offline" else None


def _number(value: float | None) -> str:
    return NO_VALUE if value is None else significant(value)


def _verdict(test: LoadTest) -> str:
    return VALID if test.valid else f"not valid: {'; '.join(test.problems)}"


def _remarks(column: Column) -> Iterator[str]:
    for label, result in _results(column):
        reason = why_not(result)
        if result.load.is_search:
            yield f"{label}: {_name(result)}: {_found(result)}"
        elif reason is not None:
            yield f"{label}: {_name(result)}: {reason}"
    spread = column.summary.values.get(SPREAD)
    if spread is not None:
        searches = column.record.load[-1].load.searches
        yield f"{column.label}: server: the rates found by {searches} searches are {percent(spread)} apart"


def _name(result: LoadResult) -> str:
    return result.load.scenario + (f", search {result.search}" if result.load.searches > 1 else "")


def _found(result: LoadResult) -> str:
    load, tests = result.load, counted(len(result.tests), "test")
    bound = f"p{load.percentile:g} within {load.latency_bound_ms:g} ms"
    reason, higher = why_not(result), result.next_higher
    if reason is not None or higher is None:
        return f"no rate found that keeps {bound}, in {tests}: {reason}"
    known = significant(higher.target_qps or 0.0)
    found = significant(result.chosen.target_qps or 0.0)
    ended = "" if (higher.target_qps or 0.0) <= (1 + RESOLUTION) * (result.chosen.target_qps or 0.0) else ", no nearer"
    return f"highest rate that keeps {bound}: {found} queries/s does, {known} does not{ended} ({tests})"
