"""JUnit XML: a test for every case, every assertion about one, and every row of a comparison.

broken is an error, a failed assertion or a regression a failure, and what is not valid or inconclusive is skipped with
its reason: CI servers show all three, and none of them as passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from bench.compare.comparison import Comparison, Row
from bench.compare.table import change, remarks
from bench.export.run import ExportedCase, ExportedRun
from bench.record import Check
from bench.repeats import processes
from bench.report.figures import plain, significant

Kind = Literal["passed", "failure", "error", "skipped"]
OF_CHECKS: dict[str, Kind] = {"passed": "passed", "failed": "failure", "inconclusive": "skipped"}
OF_ROWS: dict[str, Kind] = {
    "passed": "passed", "improved": "passed", "inconclusive": "skipped", "regressed": "failure", "broken": "error",
}  # fmt: skip
HELD = {"": "against the baseline", "golden": "against the golden run", "bound": "within its bounds"}
OF_CASES: dict[str, Kind] = {"valid": "passed", "not valid": "skipped", "failed": "error", "broken": "error"}
_NOT_IN_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Outcome:
    """One test of the suite."""

    case: str
    name: str
    kind: Kind = "passed"
    message: str = ""
    seconds: float = 0.0
    text: str = ""


def junit(run: ExportedRun) -> str:
    """The whole document, with one suite in it."""
    outcomes = [*_cases(run), *_checks(run), *_comparison(run)]
    counts = {
        "tests": str(len(outcomes)),
        "failures": str(sum(each.kind == "failure" for each in outcomes)),
        "errors": str(sum(each.kind == "error" for each in outcomes)),
        "skipped": str(sum(each.kind == "skipped" for each in outcomes)),
        "time": f"{sum(each.seconds for each in outcomes):.3f}",
    }
    root = ElementTree.Element("testsuites", {"name": _xml(run.suite), **counts})
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": _xml(run.suite), "timestamp": f"{run.started:%Y-%m-%dT%H:%M:%S}", **counts}
    )
    if run.environment is not None:
        suite.set("hostname", _xml(run.environment.hostname))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(run):
        ElementTree.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for outcome in outcomes:
        suite.append(_test(run, outcome))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _properties(run: ExportedRun) -> Iterator[tuple[str, str]]:
    yield "run", run.name
    yield "verdict", run.verdict
    yield "commit", run.commit
    if run.comparison is not None:
        yield "baseline", run.comparison.baseline


def _cases(run: ExportedRun) -> Iterator[Outcome]:
    for case in run.cases:
        seconds = sum(each.seconds for each in processes(case.record)) if case.record is not None else 0.0
        told = f"{case.status}: {case.reason}" if case.reason else ""
        yield Outcome(case.id, "measured", OF_CASES[case.status], told, seconds, _figures(case))


def _figures(case: ExportedCase) -> str:
    """Its valid statistics, one a line."""
    valid = [each for each in case.figures if each.is_valid and each.value is not None]
    return "\n".join(
        f"{each.metric.name}: {significant(each.value or 0)} {each.metric.unit}".rstrip() for each in valid
    )


def _checks(run: ExportedRun) -> Iterator[Outcome]:
    return (_check(check) for check in run.checks)


def _check(check: Check) -> Outcome:
    kind = OF_CHECKS[check.outcome]
    return Outcome(check.case_id or "assertions", check.expression, kind, check.explanation)


def _comparison(run: ExportedRun) -> Iterator[Outcome]:
    if run.comparison is None:
        return
    yield from (_row(row, _why(row, run.comparison)) for row in run.comparison.rows)
    for name in run.comparison.vanished:
        yield Outcome(name, "against the baseline", "error", "the baseline has this case, and this run has not")
    if not any(row.metric for row in run.comparison.rows):
        said = "; ".join(remarks(run.comparison)) or "nothing could be compared"
        yield Outcome("comparison", f"against {run.comparison.baseline}", "skipped", said)


def _why(row: Row, comparison: Comparison) -> str:
    """What the change was put down to."""
    found = (cause for cause in comparison.causes if cause.case == row.case and row.metric in cause.metrics)
    return "\n".join(line for cause in found for line in cause.lines)


def _row(row: Row, why: str) -> Outcome:
    """A regression that does not gate is not passed either: it is skipped, with what it says."""
    kind = OF_ROWS[row.outcome]
    if kind in ("failure", "error") and not row.gates:
        kind = "skipped"
    told = [row.outcome, change(row), f"tolerated: {row.threshold} ({row.rule})" if row.threshold else "", row.note]
    told.append("" if row.gates else "does not gate")
    message = ", ".join(part for part in told if part)
    name = f"{row.metric} {HELD.get(row.against, HELD[''])}".lstrip()
    values = "" if row.old is None or row.new is None else f"{row.old!r} -> {row.new!r}"
    return Outcome(row.case, name, kind, message, text="\n".join(filter(None, (message, values, why))))


def _test(run: ExportedRun, outcome: Outcome) -> ElementTree.Element:
    test = ElementTree.Element(
        "testcase",
        {
            "classname": _xml(f"{run.suite}.{outcome.case}"),
            "name": _xml(outcome.name),
            "time": f"{outcome.seconds:.3f}",
        },
    )
    if outcome.kind != "passed":
        message = _xml(outcome.message)
        found = ElementTree.SubElement(test, outcome.kind, {"message": " ".join(message.split())})
        found.text = message
    if outcome.text:
        ElementTree.SubElement(test, "system-out").text = _xml(outcome.text)
    return test


def _xml(text: str) -> str:
    """Text without what XML 1.0 cannot hold."""
    return _NOT_IN_XML.sub("\ufffd", plain(text))
