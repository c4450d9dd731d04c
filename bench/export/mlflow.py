"""A run in MLflow: valid statistics as metrics, verdict and statuses as tags, summary and table as artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from bench.errors import ConfigError
from bench.export.markdown import SUMMARY, markdown
from bench.export.run import ExportedRun
from bench.export.tidy import tidy_csv
from bench.report.words import clipped
from bench.verdict import EXIT_CODES

MISSING = "--format mlflow needs MLflow: pip install 'tf-bench[mlflow]'"
REFUSED = "MLflow refused the run"
WHERE = "MLFLOW_TRACKING_URI says where it is logged, such as http://localhost:5000"
MOST_METRICS, MOST_TAGS, LONGEST_KEY, LONGEST_TAG = 1000, 100, 250, 5000  # of a request, and of MLflow's servers
INCONCLUSIVE = EXIT_CODES["inconclusive"]
_NOT_IN_KEYS = re.compile(r"[^\w./: -]", re.ASCII)
T = TypeVar("T")


def log_run(run: ExportedRun) -> str:
    """Log to the experiment of the suite's name, where MLFLOW_TRACKING_URI says; gives what MLflow calls the run."""
    try:
        from mlflow.entities import Metric, RunTag
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise ConfigError(MISSING) from error
    moment = int(run.started.timestamp() * 1000)
    metrics = [Metric(key, value, moment, 0) for key, value in _metrics(run)]
    tags = [RunTag(key, value) for key, value in _tags(run).items()]
    try:
        client, logged = MlflowClient(), ""
    except MlflowException as error:
        raise ConfigError(f"{REFUSED}: {error}; {WHERE}") from error
    try:
        logged = str(client.create_run(_experiment(client, run.suite), moment, run_name=run.name).info.run_id)
        for measured in _chunks(metrics, MOST_METRICS):
            client.log_batch(logged, metrics=measured)
        for told in _chunks(tags, MOST_TAGS):
            client.log_batch(logged, tags=told)
        client.log_text(logged, markdown(run, SUMMARY), "summary.md")
        client.log_text(logged, tidy_csv(run), "run.csv")
        client.set_terminated(logged, "FINISHED" if EXIT_CODES[run.verdict] in (0, INCONCLUSIVE) else "FAILED")
    except (MlflowException, OSError) as error:
        with suppress(MlflowException, OSError):
            client.set_terminated(logged, "FAILED")
        raise ConfigError(f"{REFUSED}: {error}; {WHERE}") from error
    return logged


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


def _metrics(run: ExportedRun) -> Iterator[tuple[str, float]]:
    for case in run.cases:
        for figure in case.figures:
            if figure.is_valid and figure.value is not None:
                yield _key(f"{case.id}/{figure.metric.name}"), float(figure.value)


def _tags(run: ExportedRun) -> Mapping[str, str]:
    tags = {"bench.run": f"{run.suite}/{run.name}", "bench.verdict": run.verdict}
    if run.commit:
        tags["mlflow.source.git.commit"] = run.commit
    if run.comparison is not None:
        tags["bench.baseline"] = run.comparison.baseline
    for case in run.cases:
        told = f"{case.status}: {case.reason}" if case.reason else case.status
        tags[_key(f"bench.case.{case.id}")] = clipped(told, LONGEST_TAG)
    return tags


def _key(name: str) -> str:
    return _NOT_IN_KEYS.sub("_", name)[:LONGEST_KEY]


def _chunks(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (items[start : start + most] for start in range(0, len(items), most))
