"""One case, in this process: its phases in order. Parts of the record are sent as soon as they are there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel

from bench.accuracy.classification import TopK
from bench.accuracy.detection import BoxMap
from bench.backends.base import Array, Arrays, Backend, Preparation, Session, Signature, load_backend
from bench.catalog import cache_dir
from bench.environment import collect
from bench.errors import ConversionError, ModelError
from bench.inputs.batches import Batch, iterate_batches
from bench.inputs.images import load_image
from bench.inputs.items import Item, list_items
from bench.measure.loop import TimedBatch, time_compute, time_latency, time_throughput, without_garbage_collection
from bench.record import Case, Dataset, Phase

POOL_BYTES = 128 << 20  # of preprocessed batches that the timed loop goes round
POOL_BATCHES = 32


class Reporter(Protocol):
    """Where a case's phases, progress and parts go."""

    def phase(self, name: str) -> None: ...

    def progress(self, done: int, total: int) -> None: ...

    def part(self, name: str, value: object) -> None: ...


class Phases:
    """Announces phases and keeps how long each took."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._done: list[Phase] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._report.phase(name)
        start = perf_counter()
        yield
        self._done.append(Phase(name=name, seconds=perf_counter() - start))
        self._report.part("phases", self._done)


def run_case(case: Case, report: Reporter) -> None:
    """Run a case; everything that it finds goes to `report`."""
    phase = Phases(report)
    with _scratch(case) as workdir:
        with phase("prepare"):
            backend = load_backend(case.optimization.backend)
            backend.check(case.optimization)
            report.part("environment", collect(backend.environment()))
            preparation = _prepare(case, backend, workdir, phase)
            metric = _metric(case, preparation.signature)
        with backend.open(preparation) as session:
            report.part("conversion", _with_calibration(session.conversion, preparation))
            _measure(case, session, preparation, phase, report)
            if metric is not None:
                _evaluate(case, session, preparation.signature, metric, phase, report)
            if session.conversion is not None:
                with phase("profile"):
                    report.part("conversion", _with_calibration(session.prove(preparation.sample), preparation))
            report.part("peak_gpu_bytes", session.peak_gpu_bytes())
    report.part("peak_host_bytes", _peak_host_bytes())


def _prepare(
    case: Case, backend: Backend, workdir: Path, phase: Callable[[str], AbstractContextManager[None]]
) -> Preparation:
    model_dir = _model_dir(case)
    signature = backend.signature(case, model_dir)
    if len(signature.inputs) != 1:
        names = ", ".join(spec.name for spec in signature.inputs)
        raise ModelError(f"{model_dir}: a model of images has one input, not {len(signature.inputs)}: {names}")
    first = next(_batches(case, case.dataset, signature, limit=case.batch_size))
    return Preparation(
        case=case,
        model_dir=model_dir,
        signature=signature,
        sample=_arrays(first, signature),
        calibration=_calibration(case, signature),
        workdir=workdir,
        phase=phase,
    )


def _model_dir(case: Case) -> Path:
    """The SavedModel's folder; an architecture without weights is built once and kept in the cache."""
    if case.model.path is not None or case.optimization.backend == "null":
        return Path(case.model.path or "")
    shape = case.image_shape or case.model.image_shape
    if case.model.keras_application is None or shape is None:
        raise ModelError(f"model {case.model.name!r}: an architecture needs keras_application and image_shape")
    return _export(case.model.keras_application, shape, case.seed)


def _export(application: str, shape: tuple[int, int], seed: int) -> Path:
    """Build an architecture in a process of its own, on the CPU: it is not part of what is measured here."""
    command = [
        sys.executable,
        "-m",
        "bench.graphs.keras",
        application,
        *map(str, (*shape, seed, cache_dir() / "models")),
    ]
    done = subprocess.run(
        command, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}, stdout=subprocess.PIPE, text=True, check=False
    )
    answer = done.stdout.strip().splitlines()[-1:] or ["no word; see the log"]
    if done.returncode != 0:
        raise ModelError(f"keras_application {application!r} cannot be built: {answer[0]}")
    return Path(answer[0])


def _batches(
    case: Case,
    dataset: Dataset,
    signature: Signature,
    limit: int | None,
    batch_size: int | None = None,
    image_shape: tuple[int, int] | None = None,
) -> Iterator[Batch]:
    dtype = signature.inputs[0].dtype
    shape = image_shape or case.image_shape

    def load(item: Item) -> Array:
        return load_image(item, shape, case.model.preprocess, dtype, case.seed)

    return iterate_batches(list_items(dataset, limit), batch_size or case.batch_size, load)


def _arrays(batch: Batch, signature: Signature) -> Arrays:
    return {signature.inputs[0].name: batch.images}


def _calibration(case: Case, signature: Signature) -> Callable[[], Iterable[Arrays]] | None:
    """Batches of the calibration split; like the original, an incomplete last batch is left out."""
    calibration, optimization = case.calibration, case.optimization
    if calibration is None:
        return None
    size = optimization.calib_batch_size
    limit = _calibration_limit(case)

    def generate() -> Iterator[Arrays]:
        shape = optimization.calib_image_shape
        for batch in _batches(case, calibration, signature, limit, size, shape):
            if batch.count == size:
                yield _arrays(batch, signature)

    return generate


def _calibration_limit(case: Case) -> int | None:
    if case.calibration is not None and case.calibration.format == "synthetic":
        return case.optimization.num_calib_images or 8 * case.optimization.calib_batch_size
    return case.optimization.num_calib_images


def _with_calibration(conversion: Any, preparation: Preparation) -> Any:
    """The conversion with the number and the hash of the images that it was calibrated on."""
    calibration = preparation.case.calibration
    if conversion is None or calibration is None or conversion.calibration_sha256 is not None:
        return conversion
    items = list_items(calibration, _calibration_limit(preparation.case))
    used = items[: len(items) - len(items) % preparation.optimization.calib_batch_size]
    digest = hashlib.sha256()
    for item in used:
        digest.update(item.path.read_bytes() if item.path is not None else str(item.id).encode())
    count = len(used) if conversion.calibration_images is None else conversion.calibration_images
    return conversion.model_copy(update={"calibration_images": count, "calibration_sha256": digest.hexdigest()})


def _measure(case: Case, session: Session, preparation: Preparation, phase: Phases, report: Reporter) -> None:
    pool = _pool(case, preparation.signature)
    with phase("first inference"):
        start = perf_counter_ns()
        outputs = session.infer(pool[0].arrays)
        report.part("first_inference_ns", perf_counter_ns() - start)
        _refuse_nan(outputs)
    with without_garbage_collection():
        with phase("warm-up"):
            warmup = time_latency(session, pool, case.num_warmup_iterations)
        with phase("measure"):
            iterations = case.num_iterations or -(-case.num_images // case.batch_size)
            latency = time_latency(session, pool, iterations)
            report.part("latency", latency.model_copy(update={"warmup_ns": warmup.times_ns}))
            compute = time_compute(session, pool, iterations)
            report.part("compute", compute)
            report.part("throughput", time_throughput(session, pool, compute))


def _refuse_nan(outputs: Arrays) -> None:
    """A model that overflows in a lower precision is fast, and useless."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ConversionError(f"output {name!r} holds NaN: this model does not survive this precision")


def _pool(case: Case, signature: Signature) -> Sequence[TimedBatch]:
    """The batches that the timed loop goes round: the dataset's first ones, held in bounded memory."""
    pool: list[TimedBatch] = []
    size = 0
    for batch in _batches(case, case.dataset, signature, min(case.num_images, POOL_BATCHES * case.batch_size)):
        size += batch.images.nbytes
        if pool and (size > POOL_BYTES or batch.count < case.batch_size):
            break
        pool.append(TimedBatch(_arrays(batch, signature), batch.count))
    return pool


def _evaluate(
    case: Case, session: Session, signature: Signature, metric: TopK | BoxMap, phase: Phases, report: Reporter
) -> None:
    """The accuracy pass."""
    with phase("accuracy"):
        done = 0
        for number, batch in enumerate(_batches(case, case.dataset, signature, case.num_images), start=1):
            metric.add(batch, session.infer(_arrays(batch, signature)))
            done += batch.count
            if number % case.display_every == 0:
                report.progress(done, case.num_images)
        report.part("accuracy", metric.result())


def _metric(case: Case, signature: Signature) -> TopK | BoxMap | None:
    """What judges the outputs; None where there are no weights, or no labels, to speak of accuracy."""
    if case.model.random_weights or case.dataset.format in ("synthetic", "images"):
        return None
    wanted = "coco" if case.model.task == "detection" else "labels"
    if case.dataset.format != wanted:
        raise ModelError(
            f"model {case.model.name!r} does {case.model.task}, which needs a dataset of format {wanted!r}; "
            f"{case.dataset.name!r} is of format {case.dataset.format!r}"
        )
    if case.model.task == "detection":
        return BoxMap(signature, case.dataset.annotation_path or "", case.model.class_offset)
    return TopK(signature, case.model.class_offset)


def _peak_host_bytes() -> int:
    """Not getrusage's peak, which outlives exec and so begins with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextmanager
def _scratch(case: Case) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"{case.id}-", dir=case.scratch_dir or None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_json(value: object) -> Any:
    """A part of a record as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value
