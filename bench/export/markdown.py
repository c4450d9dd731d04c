"""Markdown for a pull request or a job summary: the verdict, what is wrong, changed rows, figures; bounded in bytes.

GitHub refuses a comment of more than 65 536 characters and a step's summary of more than 1 MiB. What does not fit is
cut between lines, the least interesting first, and the text says how much is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.compare.comparison import Comparison, Row
from bench.compare.table import HEAD, SYMBOLS, cells, ordered, remarks, title, why
from bench.export.run import ExportedRun
from bench.report.comparison import Comparison as Group
from bench.report.grid import DOUBT, SCREEN, Cell, Line, lay_out
from bench.report.markup import escape, markdown_table
from bench.report.words import clipped, counted

COMMENT, SUMMARY = 65_536, 1 << 20  # characters, bytes: GitHub's limits
LEAST = 1024
LONGEST = 400  # letters of a message
MARKS = {**SYMBOLS, "failed": "!", "misconfigured": "X", "unfinished": "X"}


@dataclass(frozen=True)
class Block:
    """Lines that belong together, of which some may be left out; `head` and `tail` stand around those that stay."""

    head: str
    lines: tuple[str, ...]
    tail: str = ""

    def within(self, room: int) -> str:
        """As much of it as there is room for, in bytes of UTF-8; nothing where not one line fits."""
        whole = self._text(len(self.lines))
        if _size(whole) <= room:
            return whole
        low, high = 0, len(self.lines) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if _size(self._text(middle)) <= room else (low, middle - 1)
        return self._text(low) if low and _size(self._text(low)) <= room else ""

    def _text(self, count: int) -> str:
        left = len(self.lines) - count
        more = f"\n\nand {left} more" if left else ""
        return "\n".join([*([self.head] if self.head else []), *self.lines[:count]]) + more + self.tail


def markdown(run: ExportedRun, limit: int = COMMENT) -> str:
    """At most `limit` bytes of UTF-8, which are at least as many as characters."""
    parts, room, missing = [_heading(run)], limit - LEAST // 2, 0
    room -= _size(parts[0])
    for block in _blocks(run):
        text = block.within(room - 2)
        missing += not text
        if text:
            parts.append(text)
            room -= _size(text) + 2
    if missing:
        parts.append(f"{missing} sections do not fit here; the run's folder has them all: {escape(run.name)}")
    return "\n\n".join(parts) + "\n"


def _size(text: str) -> int:
    return len(text.encode())


def _heading(run: ExportedRun) -> str:
    counts = [f"{sum(case.status == status for case in run.cases)} {status}" for status in _statuses(run)]
    cases = f"{counted(len(run.cases), 'case')}: {', '.join(counts)}" if counts else "no cases"
    passed = sum(check.outcome == "passed" for check in run.checks)
    checks = f" {passed} of {len(run.checks)} assertions passed." if run.checks else ""
    commit = f", commit {run.commit[:12]}" if run.commit else ""
    head = f"## {MARKS.get(run.verdict, '')} {escape(run.verdict)}: {escape(clipped(run.suite, 80))}"
    return f"{head}\n\n{escape(f'{cases}.')}{checks} {escape(f'Run {run.name}{commit}.')}"


def _statuses(run: ExportedRun) -> list[str]:
    return list(dict.fromkeys(case.status for case in run.cases))


def _blocks(run: ExportedRun) -> Iterator[Block]:
    yield from _filled("**Cases without a valid result**\n", [
        f"- {escape(case.id)}: {case.status}: {escape(clipped(case.reason, LONGEST))}"
        for case in sorted(run.cases, key=lambda case: case.status == "not valid") if case.status != "valid"
    ])  # fmt: skip
    yield from _filled("**Assertions that did not pass**\n", [
        f"- {check.outcome}: {escape(check.case_id)}: {escape(check.expression)} ({escape(check.explanation)})"
        for check in sorted(run.checks, key=lambda check: check.outcome) if check.outcome != "passed"
    ])  # fmt: skip
    if run.comparison is not None:
        yield from _comparison(run.comparison)
    yield from map(_figures, run.groups)
    if run.comparison is not None:
        same = [row for row in ordered(run.comparison) if row.outcome == "passed"]
        if same:
            summary = f"<details><summary>{counted(len(same), 'row')} unchanged</summary>\n\n"
            yield Block(summary + _head(HEAD, (2, 3, 4)), _rows(same), "\n\n</details>")


def _comparison(comparison: Comparison) -> Iterator[Block]:
    yield Block(f"**{escape(title(comparison))}**", ())
    changed = [row for row in ordered(comparison) if row.outcome != "passed"]
    if changed:
        yield Block(_head(HEAD, (2, 3, 4)), _rows(changed))
    yield from _filled("", [f"{'  ' * line.startswith(' ')}- {escape(line)}" for line in why(comparison)])
    yield from _filled("", [f"- {escape(line)}" for line in remarks(comparison)])


def _filled(head: str, lines: Sequence[str]) -> Iterator[Block]:
    if lines:
        yield Block(head, tuple(lines))


def _rows(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(_line([escape(clipped(cell, LONGEST)) for cell in cells(row)]) for row in rows)


def _figures(group: Group) -> Block:
    """The main figures of a comparison's cases; what is not valid has its mark, and is said below."""
    grid = lay_out(group, SCREEN)
    wrong = tuple("failed" if each.failed else "broken" if each.broken else "" for each in group.columns)
    labels = (f"{label} ({word})" if word else label for label, word in zip(grid.labels, wrong, strict=True))
    head = ("", "unit", *map(escape, labels))
    said = [*grid.warnings, *grid.doubts, *grid.broken, *grid.failures, *grid.footnotes]
    below = "".join(f"\n- {escape(clipped(line, LONGEST))}" for line in said)
    return Block(
        f"**{escape(group.title)}**\n\n{_head(head, range(2, len(head)))}",
        tuple(_figure(line, wrong) for line in grid.lines),
        f"\n{below}" if below else "",
    )


def _figure(line: Line, wrong: Sequence[str]) -> str:
    return _line([escape(line.name), line.unit, *(_cell(*each) for each in zip(line.cells, wrong, strict=True))])


def _cell(cell: Cell, wrong: str) -> str:
    """A value with its mark, if it is not to be relied on, and its spread."""
    mark = DOUBT if wrong and cell.text[:1].isdigit() else cell.doubt
    return f"{escape(cell.text)}{mark}{f' {cell.spread}' if cell.spread else ''}"


def _head(names: Sequence[str], numbers: Sequence[int]) -> str:
    return markdown_table([names], numbers)


def _line(cells_: Sequence[str]) -> str:
    return f"| {' | '.join(cells_)} |"
