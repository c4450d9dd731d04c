"""What models, cases and comparisons are called in tables and plots."""

from __future__ import annotations

from collections.abc import Sequence

from bench.case import Case
from bench.record import Record


def model_name(case: Case) -> str:
    """A model as tables and plots call it: a plot has no notes, so weights that mean nothing are told here."""
    return f"{case.model.name} (random weights)" if case.model.random_weights else case.model.name


def untrained(name: str) -> str:
    """What is said of a model with random weights wherever there is room for it."""
    return f"{name} has random weights: its speed is measured, its accuracy is not"


def title(record: Record) -> str:
    """What tables and plots are headed with."""
    case = record.case
    return f"{model_name(case)}, batch size {case.batch_size}, {case.dataset.name}"


def case_label(record: Record) -> str:
    """Only TensorFlow's own native run goes without the name of its backend."""
    optimization = record.case.optimization
    if (optimization.precision_mode, optimization.backend) == ("native", "tensorflow"):
        return "native"
    return f"{optimization.precision_mode} ({optimization.backend})"


def case_labels(records: Sequence[Record]) -> list[str]:
    """Labels of cases that share one get the case's id, or when it began, where one case stands there twice."""
    labels, ids = [case_label(record) for record in records], [record.case.id for record in records]
    twice = {label for label, name in zip(labels, ids, strict=True) if ids.count(name) > 1}
    starts = [record.started.strftime("%Y-%m-%d %H:%M:%S") for record in records]
    names = [start if label in twice else name for label, name, start in zip(labels, ids, starts, strict=True)]
    return distinct(labels, names)


def distinct(labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """Labels that several have, each with its own name behind it."""
    return [f"{label} {name}" if labels.count(label) > 1 else label for label, name in zip(labels, names, strict=True)]
