"""A comparison as text: the screen's table and Markdown, the worst first."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from bench.compare.comparison import ORDER, Comparison, Row
from bench.report.figures import byte_scale, plain, significant
from bench.report.grid import NO_VALUE
from bench.report.markup import escape, markdown_table
from bench.statistics.metrics import METRICS

HEAD = ("case", "statistic", "baseline", "now", "change", "tolerated", "verdict")
SYMBOLS = {"passed": "=", "improved": "+", "inconclusive": "?", "regressed": "!", "broken": "X"}
STYLES = {"improved": "green", "inconclusive": "yellow", "regressed": "bold red", "broken": "bold red"}
MOST_REMARKS = 20  # of a kind


def show(console: Console, comparison: Comparison) -> None:
    """A table for each case, what differs besides, and the verdict."""
    console.print(title(comparison), markup=False, highlight=False, soft_wrap=True)
    for case, rows in _by_case(comparison).items():
        console.print(_screen_table(case, rows))
        for row in rows:
            if row.note:
                text = f"{row.metric}: {row.note}" if row.metric else row.note
                console.print(Padding(Text(plain(text)), (0, 0, 0, 2)))
        console.print()
    for line in (*remarks(comparison), *why(comparison)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Verdict of the comparison: {comparison.verdict}", style="bold", markup=False)


def _by_case(comparison: Comparison) -> dict[str, list[Row]]:
    """The case with the worst row first."""
    found: dict[str, list[Row]] = {}
    for row in ordered(comparison):
        found.setdefault(row.case, []).append(row)
    return found


def _screen_table(case: str, rows: Sequence[Row]) -> Table:
    """Statistics without units, which their names and values tell; verdicts without their notes, which need room."""
    values = (Column(name, no_wrap=True, justify="right") for name in HEAD[2:4])
    words = (Column(name, overflow="fold", min_width=least) for name, least in zip(HEAD[5:], (9, 14), strict=True))
    table = Table(
        Column(HEAD[1], no_wrap=True), *values, Column(HEAD[4], overflow="fold", justify="right"), *words,
        title=Text(plain(case)), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for row in rows:
        shown = (row.metric, *cells(row)[2:-1], verdict(row))
        table.add_row(*map(Text, shown), style=STYLES.get(row.outcome, ""))
    return table


def markdown(comparison: Comparison) -> str:
    """The same in Markdown: rows that say nothing new are folded away."""
    rows = ordered(comparison)
    changed, same = [r for r in rows if r.outcome != "passed"], [r for r in rows if r.outcome == "passed"]
    parts = [f"## {SYMBOLS[comparison.verdict]} {comparison.verdict}", escape(title(comparison))]
    if changed:
        parts.append(_table(changed))
    if comparison.causes:
        parts.append("### Why\n\n" + "\n".join(map(_bullet, why(comparison))))
    parts += [f"- {escape(line)}" for line in remarks(comparison)]
    if same:
        parts.append(f"<details><summary>{len(same)} unchanged</summary>\n\n{_table(same)}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def title(comparison: Comparison) -> str:
    """What is held against what, and how it came out."""
    return plain(f"{comparison.candidate} against {comparison.baseline}: {summary(comparison)}")


def summary(comparison: Comparison) -> str:
    """How many rows came out how."""
    rows = comparison.rows
    counts = ", ".join(
        f"{number} {outcome}" for outcome in reversed(ORDER) if (number := sum(r.outcome == outcome for r in rows))
    )
    return counts or "nothing to compare"


def ordered(comparison: Comparison) -> list[Row]:
    """What gates and is worst first."""
    return sorted(comparison.rows, key=lambda row: (not row.gates, -ORDER.index(row.outcome), -abs(row.change or 0)))


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    unit = METRICS[row.metric].unit if row.metric else ""
    name = f"{row.metric}, {unit}" if unit not in ("", "bytes") else row.metric
    noted = f"{verdict(row)}: {row.note}" if row.note else verdict(row)
    tolerated = f"{row.threshold} ({row.rule})" if row.threshold else ""
    return tuple(map(plain, (row.case, name, *_values(row), change(row), tolerated, noted)))


def verdict(row: Row) -> str:
    """With a sign that needs no colour."""
    return f"{SYMBOLS[row.outcome]} {row.outcome}" + ("" if row.gates else " (does not gate)")


def change(row: Row) -> str:
    """In percent, with the interval where there is one; a difference where the old value is 0."""
    if row.old is None or row.new is None:
        return ""
    if row.change is None:
        return f"{row.new - row.old:+g}"
    text = f"{_percent(row.change)} %"
    return text if row.interval is None else f"{text} [{', '.join(map(_percent, row.interval))}]"


def _percent(share: float) -> str:
    """Signed; nothing is never less than nothing."""
    return f"{round(100 * share, 2) + 0.0:+.2f}"


def remarks(comparison: Comparison) -> list[str]:
    """What is said below the table."""
    kinds = sorted({row.interval_of for row in comparison.rows if row.interval is not None})
    lines = [f"Intervals in brackets: {'; '.join(kinds)}."] if kinds else []
    lines += [f"Vanished: {name}" for name in comparison.vanished]
    lines += [f"Appeared: {name}" for name in comparison.appeared]
    differing = [f"{name}: {old} -> {new}" for name, old, new in comparison.environment]
    if len(differing) > MOST_REMARKS:
        differing = [*differing[:MOST_REMARKS], f"and {len(differing) - MOST_REMARKS} more"]
    lines += [f"Environment differs: {line}" for line in differing]
    return [plain(line) for line in (*lines, *comparison.remarks)]


def why(comparison: Comparison) -> list[str]:
    """The causes of what changed, a line for each case and, indented, for each contributor."""
    lines = []
    for cause in comparison.causes:
        lines.append(f"Why {cause.case} changed in {', '.join(cause.metrics)}, held against {cause.reference}:")
        lines += [f"  {line}" for line in cause.lines]
    if comparison.unexplained:
        lines.append(f"Not looked into: {comparison.unexplained} more cases that changed")
    return [plain(line) for line in lines]


def _bullet(line: str) -> str:
    text = line.lstrip()
    return f"{' ' * (len(line) - len(text))}- {escape(text)}"


def _values(row: Row) -> tuple[str, str]:
    """The old and the new value, bytes in one unit."""
    if not row.metric:
        return "", ""
    pair = (row.old, row.new)
    divisor, unit = byte_scale(pair) if METRICS[row.metric].unit == "bytes" else (1.0, "")
    old, new = (NO_VALUE if value is None else f"{_number(value / divisor, unit)} {unit}".rstrip() for value in pair)
    return old, new


def _number(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit == "bytes" else significant(value)


def _table(rows: Sequence[Row]) -> str:
    return markdown_table([HEAD, *(tuple(map(escape, cells(row))) for row in rows)], (2, 3, 4))
