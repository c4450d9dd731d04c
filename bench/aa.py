"""`bench aa`: one case against itself, pair by pair in fresh processes: what differs is the harness and the machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from pydantic import Field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from bench.case import Case
from bench.errors import ConfigError
from bench.part import Part
from bench.preflight import make_ready
from bench.progress import Progress
from bench.record import Record
from bench.running import run_cases
from bench.sitting import Sitting
from bench.statistics.bounds import LEVEL, Interval, student
from bench.statistics.paired import PairedSpeedup, pairs_needed
from bench.statistics.turns import MEASURES, paired_speedups
from bench.store import create_run, replace_atomic, save_suite
from bench.suite import Suite, load_suite
from bench.validity import judge

REPEATS = (3, 5, 10)
HEAD = ("measure", "false alarms", "a pair's interval", "one process each", *(f"{n} repeats" for n in REPEATS))


class Pair(Part):
    """The ratio of two processes that measured the same in turn; the bounds are those of its rounds."""

    ratio: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """A false alarm: nothing differs but the process."""
        return not self.low <= 1 <= self.high


class Resolution(Part):
    """What one measure of a case told of itself."""

    measure: str  # latency, compute or throughput
    pairs: tuple[Pair, ...]
    false_alarms: int
    false_alarm_rate: tuple[float, float]  # 95 % bounds (Clopper and Pearson)
    within_pair: float  # half the width of a pair's interval, relative, median
    single: float  # relative: what ratios of single processes show, and what a pair's interval leaves open
    repeated: dict[int, float]  # half the width of an interval over so many repeats, relative


class AA(Part):
    """An A/A run, as aa.json holds it."""

    case_id: str
    rounds: int
    measures: tuple[Resolution, ...]
    failed: int = 0  # pairs without a result
    # By case, why its blocks are not valid; their pairs count all the same.
    doubts: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def run_aa(config: Path, settings: Sequence[str], select: Sequence[str], pairs: int, results: Path) -> int:
    """Measure, store and show; the exit code: 0, or 4 where pairs have no result."""
    suite = of_pairs(load_suite(config, settings, select), pairs)
    ready, console = make_ready(suite), Console()
    run = create_run(results, suite.name)
    records = run_cases(ready, Sitting(run), Progress(console, len(ready.cases)))
    found = summarize(records, pairs)
    save_suite(run, ready.name, ready.config, [case.id for case in ready.cases], _ending(records, found))
    replace_atomic(run / "aa.json", found.model_dump_json(indent=1).encode())
    replace_atomic(run / "aa.md", as_markdown(found).encode())
    _show(console, found)
    console.print(f"Results: {run}", markup=False, highlight=False, soft_wrap=True)
    return 4 if found.failed else 0


def of_pairs(suite: Suite, pairs: int) -> Suite:
    """A suite of one case, twice for every pair."""
    if len(suite.cases) != 1:
        ids = ", ".join(case.id for case in suite.cases)
        raise ConfigError(
            f"{suite.source}: {len(suite.cases)} cases, and A/A is about one: choose with --select: {ids}"
        )
    (case,) = suite.cases
    if not suite.benchmark.interleave:
        raise ConfigError(
            f"{suite.source}: benchmark_config.interleave: false: A/A is measured in turn; set it to true"
        )
    if case.interleave_rounds < pairs_needed():
        raise ConfigError(
            f"{suite.source}: benchmark_config.interleave_rounds: {case.interleave_rounds}: an interval needs "
            f"{pairs_needed()} rounds"
        )
    copies = tuple(_copy(case, number, which) for number in range(1, pairs + 1) for which in "ab")
    return Suite(f"{suite.name}-aa", suite.source, suite.config, copies, (), suite.benchmark)


def _copy(case: Case, number: int, which: str) -> Case:
    changes = {"id": f"{case.id}-{number}{which}", "comparison": f"{case.comparison}, pair {number}", "repeat": number}
    return case.model_copy(update={**changes, "output_path": None, "load": ()})  # a load test tells nothing of pairs


def summarize(records: Sequence[Record], pairs: int) -> AA:
    """What the pairs of an A/A run say; a pair of which one failed says nothing."""
    by_pair: dict[str, list[Record]] = {}
    for record in records:
        by_pair.setdefault(record.case.comparison, []).append(record)
    compared = [paired_speedups(b, a) for a, b in (pair for pair in by_pair.values() if len(pair) == 2)]
    compared = [found for found in compared if found and _are_bounded(found)]
    case = records[0].case
    return AA(
        case_id=case.id.rpartition("-")[0],
        rounds=case.interleave_rounds,
        measures=tuple(_resolution(name, [found[name] for found in compared]) for name in MEASURES) if compared else (),
        failed=pairs - len(compared),
        doubts={record.case.id: why for record in records if (why := _doubts(record))},
    )


def _are_bounded(found: Mapping[str, PairedSpeedup]) -> bool:
    """Whether there are intervals; a pair of which one process ended early may have too few rounds."""
    return all(isinstance(each.interval, Interval) for each in found.values())


def _doubts(record: Record) -> tuple[str, ...]:
    """What speaks against ratios of a record's blocks; a drift of its own loops, before them, does not."""
    return tuple(problem.reason for problem in judge(record) if not problem.spares >= set(MEASURES))


def _resolution(name: str, found: Sequence[PairedSpeedup]) -> Resolution:
    pairs = tuple(
        Pair(ratio=each.value, low=each.interval.low, high=each.interval.high)
        for each in found
        if isinstance(each.interval, Interval)
    )
    alarms = sum(pair.differs for pair in pairs)
    # Around 0, which the mean is known to be: nothing differs. So there are as many degrees of freedom as pairs.
    deviation = math.sqrt(sum(math.log(pair.ratio) ** 2 for pair in pairs) / len(pairs))
    within = median(math.sqrt(pair.high / pair.low) - 1 for pair in pairs)
    return Resolution(
        measure=MEASURES[name],
        pairs=pairs,
        false_alarms=alarms,
        false_alarm_rate=_rate(alarms, len(pairs)),
        within_pair=within,
        single=max(within, math.expm1(student(len(pairs)) * deviation)),
        repeated={n: math.expm1(student(n - 1) * deviation / math.sqrt(n)) for n in REPEATS},
    )


def _rate(alarms: int, pairs: int) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail = (1 - LEVEL) / 2
    low = float(betaincinv(alarms, pairs - alarms + 1, tail)) if alarms else 0.0
    return low, float(betaincinv(alarms + 1, pairs - alarms, 1 - tail)) if alarms < pairs else 1.0


def _ending(records: Sequence[Record], found: AA) -> dict[str, object]:
    environment = next((r.environment.model_dump(mode="json") for r in records if r.environment is not None), None)
    return {"environment": environment, "verdict": "broken" if found.failed else "passed", "assertions": []}


def as_markdown(found: AA) -> str:
    """A table of the measures, and what it means in words."""
    if not found.measures:
        return _title(found)
    lines = ["| " + " | ".join(row) + " |" for row in (HEAD, ("---",) * len(HEAD), *_rows(found))]
    return "\n".join([_title(found), "", *lines, "", *_words(found)])


def _show(console: Console, found: AA) -> None:
    """The same on the screen."""
    console.print(_title(found), markup=False, highlight=False, soft_wrap=True)
    if not found.measures:
        return
    table = Table(*(Column(name, no_wrap=name == HEAD[0]) for name in HEAD), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in _rows(found):
        table.add_row(*row)
    console.print(table)
    for line in _words(found):
        console.print(line, markup=False, highlight=False)


def _title(found: AA) -> str:
    if not found.measures:
        return f"{found.case_id} against itself: no pair has a result; the records say why."
    return f"{found.case_id} against itself, {len(found.measures[0].pairs)} pairs of {found.rounds} rounds"


def _rows(found: AA) -> list[list[str]]:
    return [
        [
            each.measure,
            f"{each.false_alarms} of {len(each.pairs)} ({100 * each.false_alarm_rate[0]:.0f} to "
            f"{100 * each.false_alarm_rate[1]:.0f} %)",
            f"±{_percent(each.within_pair)}",
            _percent(each.single),
            *(_percent(each.repeated[n]) for n in REPEATS),
        ]
        for each in found.measures
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _words(found: AA) -> list[str]:
    words = [
        "False alarms: pairs whose 95 % interval leaves out 1, though nothing differs but the process.",
        "Smaller differences than those of the last columns are not resolved here: between single processes, "
        "or with benchmark_config.repeats.",
    ]
    if any(each.false_alarm_rate[0] > 1 - LEVEL for each in found.measures):
        words.append("Processes differ by more than a pair's interval tells: compare with repeats.")
    words += [f"Not valid: {case}: {why}." for case, reasons in found.doubts.items() for why in reasons]
    if found.failed:
        words.append(f"{found.failed} pairs have no result; the records say why.")
    return words
