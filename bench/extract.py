"""`bench engine extract`: the engines of a converted SavedModel as plans that TensorRT runs without TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bench.conversion import Engine, Tensor
from bench.errors import ConfigError, ModelError
from bench.graphs.plans import asset_path, read_instances
from bench.part import Part
from bench.report.figures import plain
from bench.report.words import counted, listed, shape, size
from bench.store import replace_atomic

INPUT, OUTPUT = "TensorRTInputPH_", "TensorRTOutputPH_"  # TF-TRT's names of an engine's bindings
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
NEVER_BUILT = (
    "has no built engine in the model's assets: convert again and build before saving, as a run with "
    "optimization_config.output_path does; where that was done, its log says why the engine could not be built"
)
Row = tuple[str, str]


class PlanFile(Part):
    """One engine that was built, as it was serialized."""

    path: Path
    bytes: int
    built_for: tuple[tuple[int, ...], ...]


class Extracted(Part):
    """A TRTEngineOp and the files that were made of it."""

    engine: Engine
    implicit_batch: bool  # the bindings' shapes lack the first dimension
    plans: tuple[PlanFile, ...]
    calibration: Path | None


class Extraction(Part):
    """All that was extracted from a model, and why it is not the whole model."""

    model: Path
    engines: tuple[Extracted, ...]
    left_in_tensorflow: dict[str, int]
    obstacles: tuple[str, ...]  # to running without TensorFlow; none: the plan stands alone


def extract(model_dir: Path, output: Path, force: bool = False, parts: bool = False) -> Extraction:
    """Write each engine and calibration table to a file; nothing is written where anything is refused.

    Engines that are but parts of the model are refused, unless `parts`: a plan of them cannot stand alone.
    """
    answer = _describe(model_dir)
    tables = {item["engine"]["name"]: item["calibration"] for item in answer["engines"]}
    obstacles = tuple(_obstacles(len(tables), answer["left"]))
    engines = tuple(_planned(item, model_dir, output) for item in answer["engines"])
    if obstacles and not parts:
        raise ModelError(
            f"{model_dir}: no plan of it stands alone: {'; '.join(obstacles)}; --parts writes its engines all the same"
        )
    if not force:
        _refuse_existing(engines)
    for extracted in engines:
        _write(extracted, model_dir, tables[extracted.engine.name])
    return Extraction(model=model_dir, engines=engines, left_in_tensorflow=answer["left"], obstacles=obstacles)


def screen(extraction: Extraction) -> Group:
    """What was written, what each engine takes and gives, and whether that is the whole model."""
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for extracted in extraction.engines:
        for name, words in _rows(extracted):
            table.add_row(Text(plain(name)), Text(plain(words)))
    left = listed(extraction.left_in_tensorflow) or "nothing"
    verdict = "no: " + "; ".join(extraction.obstacles) if extraction.obstacles else "yes"
    return Group(table, Text(f"\nStays in TensorFlow: {plain(left)}"), Text(f"Stands alone: {plain(verdict)}"))


def _rows(extracted: Extracted) -> Iterator[Row]:
    engine = extracted.engine
    yield engine.name, f"{engine.precision}, in place of {counted(engine.nodes, 'node')}"
    for plan in extracted.plans:
        shapes = ", ".join(map(shape, plan.built_for))
        yield "  plan", f"{plan.path}, {size(plan.bytes)}, built for {shapes}"
    yield from _bindings("  input", INPUT, engine.inputs)
    yield from _bindings("  output", OUTPUT, engine.outputs)
    if extracted.implicit_batch:
        yield "  batch", "implicit: the plan's bindings lack the first dimension"
    if extracted.calibration is not None:
        yield "  calibration", str(extracted.calibration)


def _bindings(label: str, prefix: str, tensors: Iterable[Tensor]) -> Iterator[Row]:
    for place, tensor in enumerate(tensors):
        yield label, f"{prefix}{place}, {tensor.dtype} {shape(tensor.shape)}: {tensor.name}"


def _obstacles(engines: int, left: Mapping[str, int]) -> Iterator[str]:
    if engines > 1:
        yield f"it has {engines} engines, and a plan is one of them"
    if left:
        yield f"{counted(sum(left.values()), 'node')} left in TensorFlow: {listed(left)}"


def _planned(item: Mapping[str, Any], model_dir: Path, output: Path) -> Extracted:
    """An engine with the files that it will be written to."""
    engine = Engine.model_validate(item["engine"])
    instances = read_instances(asset_path(model_dir, engine.name))
    if not instances:
        raise ModelError(f"{model_dir}: {engine.name} {NEVER_BUILT}")
    names = [engine.name if len(instances) == 1 else f"{engine.name}-{place}" for place in range(len(instances))]
    plans = tuple(
        PlanFile(path=output / f"{name}.plan", bytes=len(instance.plan), built_for=instance.shapes)
        for name, instance in zip(names, instances, strict=True)
    )
    calibration = output / f"{engine.name}.calibration" if item["calibration"] else None
    return Extracted(engine=engine, implicit_batch=item["implicit_batch"], plans=plans, calibration=calibration)


def _refuse_existing(engines: Iterable[Extracted]) -> None:
    paths = [path for extracted in engines for path in (*(p.path for p in extracted.plans), extracted.calibration)]
    existing = [str(path) for path in paths if path is not None and path.exists()]
    if existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise ConfigError(f"{existing[0]}{more}: exists already; --force replaces it")


def _write(extracted: Extracted, model_dir: Path, table: str) -> None:
    instances = read_instances(asset_path(model_dir, extracted.engine.name))
    for plan, instance in zip(extracted.plans, instances, strict=True):
        replace_atomic(plan.path, instance.plan)
    if extracted.calibration is not None:
        replace_atomic(extracted.calibration, table.encode("latin-1"))


def _describe(model_dir: Path) -> dict[str, Any]:
    """Ask bench.graphs.describe, which needs TensorFlow to read a graph."""
    if not (model_dir / "saved_model.pb").is_file():
        raise ModelError(f"{model_dir}: not a SavedModel: no saved_model.pb in it")
    command = [sys.executable, "-m", "bench.graphs.describe", str(model_dir)]
    done = subprocess.run(command, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError as error:
        words = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise ModelError(f"{model_dir}: its graph cannot be read: {words}") from error
    if "error" in answer:
        raise ModelError(answer["error"])
    if not answer["engines"]:
        raise ModelError(f"{model_dir}: no TRTEngineOp in it: it is no model that TF-TRT converted")
    return answer
