"""`bench history`: series over all nights, their changes, and what people said of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import ConfigError
from bench.program import told

if TYPE_CHECKING:
    from bench.history.index import Index

app = typer.Typer(help="Series over all runs: shown, plotted, searched for changes.", no_args_is_help=True)

Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Where results are kept.")]
Patterns = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SERIES...]", help="Names of series, such as '*-FP16-*', or their ids. Default: all."),
]
MetricOption = Annotated[str, typer.Option("--metric", help="Which statistic.")]
Accepted = Annotated[
    Path, typer.Option("--acknowledged", metavar="FILE", help="Changes that were looked at and accepted.")
]
OfSuite = Annotated[str | None, typer.Option("--suite", help="Whose latest or golden run.")]
WORDS = "a folder, SUITE/RUN, `latest` or `golden`"
RESULTS, ACKNOWLEDGED, METRIC = Path("results"), Path("acknowledged.json"), "median_latency_ms"


@app.command()
def rebuild(results: Results = RESULTS) -> None:
    """Make the index anew from the runs' files."""
    with told():
        from bench.history.index import Index

        index = Index(results).rebuild()
        _skipped(index)
        print(f"{index.path}: {index.count()} runs, {len(index.series())} series")


@app.command()
def show(
    series: Patterns = None,
    metric: MetricOption = METRIC,
    nights: Annotated[int, typer.Option("--nights", min=0, help="Also list the last so many nights.")] = 0,
    results: Results = RESULTS,
) -> None:
    """List series: their last value, their usual one, how far nights differ."""
    with told():
        from bench.history.listing import show_trends
        from bench.history.trend import trends

        show_trends(trends(_index(results), series or (), metric), nights)


@app.command()
def changepoints(
    series: Patterns = None,
    metric: MetricOption = METRIC,
    acknowledged: Accepted = ACKNOWLEDGED,
    fail: Annotated[bool, typer.Option("--fail", help="Exit code 1 if one for the worse is not acknowledged.")] = False,
    results: Results = RESULTS,
) -> None:
    """When levels changed: the first night, both levels, and which versions and commits lie on either side."""
    with told():
        from bench.history.acknowledged import read_acknowledged
        from bench.history.listing import show_changes
        from bench.history.trend import trends

        known = read_acknowledged(acknowledged)
        if show_changes(trends(_index(results), series or (), metric), known) and fail:
            raise typer.Exit(1)


@app.command()
def plot(
    series: Patterns = None,
    metric: MetricOption = METRIC,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the pictures go.")] = Path("history"),
    acknowledged: Accepted = ACKNOWLEDGED,
    results: Results = RESULTS,
) -> None:
    """A picture of every series: nights, what was expected of them, changes, versions."""
    with told():
        from bench.history.acknowledged import read_acknowledged
        from bench.history.plot import picture
        from bench.history.trend import trends
        from bench.store import replace_atomic

        known = read_acknowledged(acknowledged)
        for trend in trends(_index(results), series or (), metric):
            path = output / f"{trend.series.name}-{trend.series.id}-{trend.series.segment}-{metric}.png"
            replace_atomic(path, picture(trend, known))
            print(path)


@app.command()
def page(
    series: Patterns = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Which statistic; may be given again.")] = None,
    nights: Annotated[int, typer.Option("--nights", min=1, help="The last so many of each series.")] = 365,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Where it goes.")] = Path("history.html"),
    acknowledged: Accepted = ACKNOWLEDGED,
    results: Results = RESULTS,
) -> None:
    """One HTML page: how the newest night ended, then every series with its picture, changes and environments."""
    with told():
        from bench.history.acknowledged import read_acknowledged
        from bench.history.page import history_page
        from bench.store import replace_atomic

        known = read_acknowledged(acknowledged)
        text = history_page(_index(results), series or (), metric or (METRIC,), known, nights)
        replace_atomic(output, text.encode())
        print(output)


@app.command()
def ack(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="A series' name or id, or '*'.")],
    run: Annotated[str, typer.Argument(metavar="RUN", help=f"The first night of the new level: {WORDS}.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is accepted.", show_default=False)],
    metric: Annotated[str, typer.Option("--metric", help="Which statistic; '*' for all.")] = METRIC,
    by: Annotated[str, typer.Option("--by", help="Who says so.")] = "",
    acknowledged: Accepted = ACKNOWLEDGED,
    results: Results = RESULTS,
    suite: OfSuite = None,
) -> None:
    """Accept a change: from that night on the new level is what is expected. Commit the file, for review."""
    with told():
        from bench.history.acknowledge import acknowledge
        from bench.history.runs import find_run

        folder = find_run(run, results, suite)
        for entry in acknowledge(_index(results), series, folder, metric, reason, by, acknowledged):
            print(f"{acknowledged}: {entry.name or entry.series}, {entry.metric}: accepted from {entry.run} on")


@app.command()
def golden(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help=f"The run to pin: {WORDS}. Default: show them.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why this one.")] = "",
    results: Results = RESULTS,
    suite: OfSuite = None,
) -> None:
    """Pin a run, against which slow drift shows; without a run, tell which are pinned."""
    with told():
        from bench.history.golden import pin, read_golden
        from bench.history.measured import read_run
        from bench.history.runs import find_run

        if run is not None:
            pin(results, read_run(find_run(run, results, suite)), reason)
        if not results.is_dir():
            raise ConfigError(f"{results}: no such folder")
        pinned = read_golden(results)
        if not pinned:
            print("No golden run is pinned; `bench history golden RUN` pins one.")
        for suite, each in pinned.items():
            print(f"{suite}: {each.run}, pinned {each.pinned:%Y-%m-%d}{f': {each.reason}' if each.reason else ''}")


@app.command("export")
def export_series(
    series: Patterns = None,
    metric: Annotated[str, typer.Option("--metric", help="Which statistic; '*' for all.")] = METRIC,
    format: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where it goes. Default: standard output.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Every night of the series as tidy CSV, a row a night and statistic, or as JSON with versions."""
    with told():
        from bench.history.exchange import series_text
        from bench.store import replace_atomic

        text = series_text(_index(results), series or (), metric, format)
        if output is None:
            sys.stdout.write(text)
        else:
            replace_atomic(output, text.encode())


@app.command("import")
def import_from(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A results folder, a run's, or an archive of either.")
    ],
    results: Results = RESULTS,
) -> None:
    """Take in runs from elsewhere: checked, whole or not at all, and nothing that is there is overwritten."""
    with told():
        from bench.history.exchange import import_runs

        found = import_runs(source, results)
        if found.taken or found.known:
            _index(results)
        print(f"{results}: {len(found.taken)} runs taken in, {len(found.known)} were there already")
        if found.refused:
            raise ConfigError("\n".join(f"refused: {each}" for each in found.refused))


def _index(results: Path) -> Index:
    from bench.history.index import Index

    index = Index(results).refresh()
    _skipped(index)
    if not index.count():
        raise ConfigError(f"{results}: no run there")
    return index


def _skipped(index: Index) -> None:
    for each in index.skipped():
        print(f"skipped: {each.path}: {each.reason}", file=sys.stderr)
