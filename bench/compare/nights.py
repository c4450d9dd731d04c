"""A run against the history: Gate A over all series of the night, and the golden run against slow drift."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import median

from bench.compare.comparison import (
    Comparison,
    Outcome,
    Row,
    bounds,
    broken_row,
    case_row,
    outcome_of,
)
from bench.compare.gate import Prediction, holm, predict
from bench.compare.rules import Judged, adverse
from bench.compare.runs import compare_runs
from bench.history.acknowledged import Acknowledged
from bench.history.answers import Night
from bench.history.index import Index
from bench.history.measured import Measurement, Run
from bench.history.series import WRAPPED, covariate_differences
from bench.report.words import counted
from bench.sections.compare import CompareSection

FEWEST = 3  # nights that have a spread
LOOKED_AT = 3  # times `nights`: so far back, for nights that are sound


@dataclass(frozen=True)
class Candidate:
    """One statistic of one case tonight, and what its last nights let expect."""

    measurement: Measurement
    judged: Judged
    value: float
    prediction: Prediction
    before: float | None = None  # the night before's value
    earlier: Prediction | None = None  # of tonight and the night before, from those before both
    reference: Path | None = None  # the last of the nights that it is held against

    def chance(self, sign: int = 1) -> float:
        """Of what was seen or worse, if nothing changed; with a sign of -1, of what was seen or better."""
        alone = self.prediction.chance(sign * self._worse(self.prediction, self.value))
        if self.before is None or self.earlier is None:
            return alone
        pair = self.earlier.chance(sign * self._pair(self.before, self.earlier), together=2)
        return min(1.0, 2 * min(alone, pair))

    def moved(self, sign: int, least: float) -> bool:
        """Whether tonight is that much worse (better, with a sign of -1), by a share of the usual value."""
        change = self.value / self.prediction.level - 1
        return sign * self._worse(self.prediction, self.value) > 0 and abs(change) > least

    def _pair(self, before: float, earlier: Prediction) -> float:
        return (self._worse(earlier, self.value) + self._worse(earlier, before)) / 2

    def _worse(self, prediction: Prediction, value: float) -> float:
        """In logarithms."""
        return math.copysign(1.0, adverse(self.judged.metric, 0.0, 1.0)) * (math.log(value) - prediction.centre)


@dataclass(frozen=True)
class History:
    """The nights of one series before tonight's run, and what was said of them."""

    series: str
    nights: Sequence[Night]
    flagged: Collection[tuple[str, str]]  # runs and statistics that a comparison found worse
    acknowledged: Sequence[Acknowledged]
    tonight: str  # the run

    def sound(self, metric: str) -> list[Night]:
        """Nights with a valid value, from the last change on which someone acknowledged."""
        since = self._start(self._about(metric))
        return [n for n in self.nights[since:] if n.is_sound and metric in n.values and metric not in n.doubts]

    def usual(self, metric: str) -> list[Night]:
        """Those that are a baseline; one that was found worse is if the new level was accepted that day or later."""
        until = max((each.on for each in self._about(metric) if each.on is not None), default=date.min)
        return [
            night
            for night in self.sound(metric)
            if (night.run, metric) not in self.flagged or night.started.date() <= until
        ]

    def _about(self, metric: str) -> list[Acknowledged]:
        runs = {self.tonight, *(night.run for night in self.nights)}
        return [each for each in self.acknowledged if each.is_about(self.series, metric) and each.run in runs]

    def _start(self, accepted: Sequence[Acknowledged]) -> int:
        runs = {each.run for each in accepted}
        if self.tonight in runs:
            return len(self.nights)
        return max((index for index, night in enumerate(self.nights) if night.run in runs), default=0)


def compare_history(
    new: Run,
    index: Index,
    judged: Sequence[Judged],
    section: CompareSection,
    acknowledged: Sequence[Acknowledged] = (),
    golden: Run | None = None,
) -> Comparison:
    """`new` against the nights before it, and against the golden run if there is one."""
    before = index.latest(new.suite, before=new)
    found = [
        each
        for measurement in new.measurements
        for each in _of_case(measurement, index, new, before, judged, section, acknowledged)
    ]
    candidates = [each for each in found if isinstance(each, Candidate)]
    rows = [each for each in found if isinstance(each, Row)]
    rows += gate(candidates, section.false_alarms)
    gone = _gone(before, new)
    comparison = Comparison(
        baseline=f"the last {section.nights} sound nights",
        candidate=new.name,
        rows=tuple(rows),
        vanished=gone if new.whole else (),
        environment=() if before is None else covariate_differences(before.covariates, new.covariates),
        remarks=(f"Versions are held against {before.name}.",) if before is not None else (),
    )
    return comparison if golden is None else _with_golden(comparison, golden, new, judged, candidates, section)


def _of_case(
    measurement: Measurement, index: Index, new: Run, before: Run | None, judged: Sequence[Judged],
    section: CompareSection, acknowledged: Sequence[Acknowledged],
) -> list[Row | Candidate]:  # fmt: skip
    """What can be said of a case at once, and what is to be judged with all others."""
    broken = broken_row(measurement)
    if broken is not None:
        return [broken]
    limits: list[Row | Candidate] = [*bounds(measurement, judged)]
    nights = index.nights(measurement.series_id, measurement.segment.id, new, LOOKED_AT * section.nights)
    if WRAPPED not in new.covariates:  # what a session of the user's own did is no measure of the backend's
        nights = [night for night in nights if not night.is_wrapped]
    if not nights:
        return [*limits, _no_nights(measurement, before)]
    flagged = index.flagged(measurement.series_id)
    history = History(measurement.series_id, nights, flagged, acknowledged, new.name)
    found = (_against_nights(measurement, each, history, section, index.results) for each in judged)
    return [*limits, *(each for each in found if each is not None)]


def _no_nights(measurement: Measurement, before: Run | None) -> Row:
    same = next((each for each in before.measurements if each.series == measurement.series), None) if before else None
    why = "no night before this one measured it"
    if same is not None and same.segment != measurement.segment:
        told = ", ".join(same.segment.differences(measurement.segment))
        why = f"no night on this hardware; the last differs in {told}"
    elif same is not None and same.methodology != measurement.methodology:
        why = "no night measured it in this way: another methodology"
    return case_row(measurement, "inconclusive", why)


def _against_nights(
    measurement: Measurement, judged: Judged, history: History, section: CompareSection, results: Path
) -> Candidate | Row | None:
    """What is to be judged with all others; a row of what is judged alone; None of what no rule is about."""
    metric, value = judged.metric, measurement.value(judged.metric)
    if not judged.text("history"):
        return None
    usual = history.usual(metric)[-section.nights :]
    values = [night.value(metric) for night in usual]
    if value is None and not values and metric not in measurement.doubts:
        return None
    row = Row(measurement.name, measurement.series_id, metric, "inconclusive", new=value, rule=judged.source,
              threshold=judged.text("history"), gates=judged.gates, against="history")  # fmt: skip
    if value is None:
        told = measurement.lacks(metric, "this run")
        return replace(row, note=f"{told}; the nights before do" if values else told)
    if metric in measurement.doubts:
        return replace(row, note=f"not valid: {measurement.doubts[metric]}")
    if len(values) < section.least_nights:
        return replace(row, note=f"{len(values)} sound nights of the {section.least_nights} that are needed")
    if judged.rule.history is not None and min(*values, value) > 0:
        last = history.sound(metric)[-1]
        before = last.value(metric) if last is history.nights[-1] else None
        found = candidate(measurement, judged, value, values, before)
        return replace(found, reference=results / usual[-1].run)
    middle = median(values)
    outcome = outcome_of(judged, middle, value, "history")
    return replace(row, outcome=outcome, old=middle, reference=results / usual[-1].run)


def candidate(
    measurement: Measurement, judged: Judged, value: float, values: Sequence[float], before: float | None
) -> Candidate:
    """Tonight's value with the nights' values, the oldest first, and that of the night before."""
    prediction = predict(values)
    rest = values[:-1] if values[-1] == before else values
    if before is None or before <= 0 or len(rest) < FEWEST:
        return Candidate(measurement, judged, value, prediction)
    return Candidate(measurement, judged, value, prediction, before, predict(rest))


def gate(candidates: Sequence[Candidate], false_alarms: float) -> list[Row]:
    """Rows of all candidates of a night, with Holm's correction over them."""
    worse = holm([each.chance() for each in candidates])
    better = holm([each.chance(-1) for each in candidates])
    share = false_alarms / max(len(candidates), 1)
    return [
        _gated(each, down <= false_alarms, up <= false_alarms, share)
        for each, down, up in zip(candidates, worse, better, strict=True)
    ]


def _gated(candidate: Candidate, is_worse: bool, is_better: bool, share: float) -> Row:
    judged, prediction = candidate.judged, candidate.prediction
    least = judged.threshold(prediction.level, "history") / prediction.level
    reach = math.expm1(prediction.reach(share / 2))
    worse, better = is_worse and candidate.moved(1, least), is_better and candidate.moved(-1, least)
    outcome: Outcome = "regressed" if worse else "improved" if better else "passed"
    usual = f"{100 * reach:.2g} %: the spread of {prediction.nights} nights"
    return Row(
        case=candidate.measurement.name,
        series=candidate.measurement.series_id,
        metric=judged.metric,
        outcome=outcome,
        old=prediction.level,
        new=candidate.value,
        interval=(math.expm1(-prediction.reach(share / 2)), reach),
        interval_of="expected of one night, all series together",
        threshold=usual if reach > least else f"{judged.text('history')}: the least that matters",
        rule=judged.source,
        gates=judged.gates,
        reference=candidate.reference,
        against="history",
    )


def _gone(before: Run | None, new: Run) -> tuple[str, ...]:
    if before is None:
        return ()
    series, names = {each.series.id for each in new.measurements}, {each.name for each in new.measurements}
    return tuple(e.name for e in before.measurements if e.series.id not in series and e.name not in names)


def _with_golden(
    comparison: Comparison, golden: Run, new: Run, judged: Sequence[Judged], candidates: Sequence[Candidate],
    section: CompareSection,
) -> Comparison:  # fmt: skip
    """The rows of the golden run that are worse: what no night showed, and all nights together do."""
    found = compare_runs(golden, new, judged, "golden").rows
    against = [row for row in found if row.against != "bound"]  # which the comparison has already
    known = {(each.measurement.series_id, each.judged.metric): each.prediction for each in candidates}
    share = section.false_alarms / max(len(candidates), 1)
    within = noise_of(known, share)
    drifted = [
        replace(row, note=f"against the golden run {golden.name}") for row in against
        if row.outcome == "regressed" and row.old is not None and not within(row)
    ]  # fmt: skip
    untold = [row for row in against if row.outcome == "inconclusive"]
    compared = sum(1 for row in against if row.metric and row not in untold)
    remark = f"Golden run: {golden.name}, {compared} statistics compared, {len(drifted)} worse."
    if untold:
        remark += f" Not to be told: {counted(len(untold), 'row', 'rows')}; the first: {untold[0].note}."
    return replace(
        comparison, rows=(*comparison.rows, *drifted), remarks=(*comparison.remarks, remark),
        baseline=f"{comparison.baseline}, and the golden run",
    )  # fmt: skip


def noise_of(known: dict[tuple[str, str], Prediction], share: float) -> Callable[[Row], bool]:
    """Whether a row's change is within what two single nights of its series differ by."""

    def within(row: Row) -> bool:
        prediction, change = known.get((row.series, row.metric)), row.change
        if prediction is None or change is None:
            return False
        return abs(math.log1p(change)) <= math.sqrt(2) * prediction.reach(share)

    return within
