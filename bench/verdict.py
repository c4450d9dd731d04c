"""What a run comes to: its assertions' outcomes, its verdict, its exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.assertions import check_assertion, statistics_of
from bench.record import Check, Record
from bench.repeats import merged, processes
from bench.statistics.metrics import RELATIVE
from bench.statistics.summary import natives
from bench.validity import judge

# Verdicts from best to worst.
EXIT_CODES: Mapping[str, int] = {
    "passed": 0, "improved": 0, "inconclusive": 3, "failed": 1, "regressed": 1, "misconfigured": 2, "unfinished": 4,
    "broken": 4,
}  # fmt: skip


def check_all(assertions: Sequence[str], records: Sequence[Record], whole: bool = True) -> tuple[Check, ...]:
    """Every assertion for every case that it can be about; in a whole suite, one that is about none has failed."""
    records = merged(records)
    native = natives(records)
    checks = []
    for expression in assertions:
        found = [_check(expression, r, native.get(r.case.comparison)) for r in records if r.failure is None]
        applied = [check for check in found if check is not None]
        nothing = Check(case_id="", expression=expression, outcome="failed", explanation=_about_none(records))
        checks.extend(applied or ([nothing] if whole else []))
    return tuple(checks)


def _about_none(records: Sequence[Record]) -> str:
    """Why an assertion is about no case: perhaps it is about one of those that failed."""
    failed = sum(record.failure is not None for record in records)
    if not failed:
        return "is about no case of this suite"
    return f"is about no case that was measured; {failed} of {len(records)} failed"


def _check(expression: str, record: Record, native: Record | None) -> Check | None:
    """An assertion's outcome; inconclusive where it is about statistics that are not valid."""
    check = check_assertion(expression, record, native)
    if check is None or check.outcome == "inconclusive":
        return check
    why = _doubt(statistics_of(expression), record, native)
    if why is None:
        return check
    return check.model_copy(update={"outcome": "inconclusive", "explanation": f"{check.explanation}; not valid: {why}"})


def _doubt(names: set[str], record: Record, native: Record | None) -> str | None:
    """The first problem, of the case or of the native one, that touches a statistic of these."""
    own = {name for name in names if not name.startswith("native.")}
    others = {name.removeprefix("native.") for name in names - own} | own & RELATIVE
    for problem in judge(record, native):
        if own - problem.spares:
            return problem.reason
    for problem in () if native is None or not others else judge(native, record):
        if others - problem.spares:
            return f"native: {problem.reason}"
    return None


def verdict(records: Sequence[Record], checks: Sequence[Check]) -> str:
    """broken if a case failed or fell back, misconfigured if its input was at fault; else what the assertions say.

    One that someone stopped leaves the run unfinished.
    """
    failures = {record.failure.kind for record in records if record.failure is not None}
    if failures - {"config", "interrupted"} or any(map(broken_because, records)):
        return "broken"
    if "interrupted" in failures:
        return "unfinished"
    if failures:
        return "misconfigured"
    outcomes = {check.outcome for check in checks}
    return next((outcome for outcome in ("failed", "inconclusive") if outcome in outcomes), "passed")


def broken_because(record: Record) -> str | None:
    """Why figures are not TensorRT's alone, in a case that is said to be; None where they are, or it is not strict."""
    return next(filter(None, map(_broken_because, processes(record))), None)


def _broken_because(record: Record) -> str | None:
    conversion, optimization = record.conversion, record.case.optimization
    if conversion is None or optimization.backend != "tf-trt" or not optimization.strict:
        return None
    if conversion.native_executions:
        ran = conversion.native_executions + (conversion.engine_executions or 0)
        return f"{conversion.native_executions} of {ran} engine executions fell back to TensorFlow{_log(record)}"
    if conversion.engine_executions == 0:
        return f"no engine ran{_log(record)}"
    if conversion.fallback_warnings_while_timed:
        count = conversion.fallback_warnings_while_timed
        return f"TF-TRT's warnings while timed that TensorFlow ran in an engine's place: {count}{_log(record)}"
    if conversion.engine_builds_while_timed:
        return f"{conversion.engine_builds_while_timed} engines were built while timed: build_batch_sizes builds before"
    return None


def _log(record: Record) -> str:
    """What TF-TRT said of it, without the log's prefix."""
    said = next((note.partition("TF-TRT Warning: ")[2] for note in record.notes if "TF-TRT Warning: " in note), "")
    return f": {said}" if said else ""


def worst(verdicts: Iterable[str]) -> str:
    """The worst of some verdicts; passed, if there is none."""
    return max(verdicts, key=list(EXIT_CODES).index, default="passed")


def exit_code(verdicts: Iterable[str]) -> int:
    """The exit code of the worst verdict."""
    return EXIT_CODES[worst(verdicts)]
