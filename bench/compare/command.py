"""`bench compare`: a run held against another one, the golden one or the history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.program import told

Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Where results are kept.")]
Acknowledged = Annotated[
    Path, typer.Option("--acknowledged", metavar="FILE", help="Changes that were looked at and accepted.")
]
OfSuite = Annotated[str | None, typer.Option("--suite", help="Whose latest or golden run.")]
RESULTS, ACKNOWLEDGED = Path("results"), Path("acknowledged.json")


def compare(
    baseline: Annotated[
        str, typer.Argument(metavar="A", help="A run's folder, SUITE/RUN, `latest`, `golden` or `history`.")
    ],
    candidate: Annotated[
        str, typer.Argument(metavar="B", help="The run that is judged: a folder, SUITE/RUN, `latest` or `golden`.")
    ] = "latest",
    results: Results = RESULTS,
    suite: OfSuite = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Take the rules of this config, not of B's own.")
    ] = None,
    acknowledged: Acknowledged = ACKNOWLEDGED,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown, changed rows first.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also as a page, written there.")] = None,
) -> None:
    """Hold run B against A. Exit codes: 0 passed, 1 regressed, 2 usage, 3 inconclusive, 4 broken."""
    with told():
        raise typer.Exit(_compare(baseline, candidate, results, suite, config, acknowledged, as_markdown, html))


def _compare(
    baseline: str, candidate: str, results: Path, suite: str | None, config: Path | None, acknowledged: Path,
    as_markdown: bool, html: Path | None,
) -> int:  # fmt: skip
    from rich.console import Console

    from bench.compare import baseline as sides
    from bench.compare import table
    from bench.compare.page import comparison_page
    from bench.compare.why import explained
    from bench.config import parse, read_json
    from bench.store import replace_atomic
    from bench.verdict import exit_code

    section = None if config is None else parse(read_json(config), str(config)).compare
    new = sides.find_candidate(candidate, results, suite)
    found = explained(sides.compare(baseline, new, results, acknowledged, section), new)
    if html is not None:
        replace_atomic(html, comparison_page(found).encode())
    if as_markdown:
        print(table.markdown(found), end="")
    else:
        table.show(Console(), found)
    return exit_code([found.verdict])
