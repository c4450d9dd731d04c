"""One case, in this process: its phases in order. Parts of the record are sent as soon as they are there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, Protocol

from pydantic import BaseModel

from bench.accuracy.classification import TopK
from bench.accuracy.detection import BoxMap
from bench.accuracy.outputs import detection_outputs
from bench.accuracy.postprocessed import Metric, Postprocessed
from bench.backends.base import PROFILE, Backend, Preparation, Session, Signature, load_backend, session_members
from bench.blocks import Turn
from bench.case import LABELLED, Case
from bench.conversion import Conversion
from bench.declared import refuse_another
from bench.environment import collect
from bench.errors import ConfigError, ConversionError, ModelError
from bench.functions import load_function
from bench.inputs.cases import (
    accuracy_batches,
    calibration_batches,
    calibration_items,
    evaluated_batches,
    items_sha256,
)
from bench.inputs.feeds import check_shapes, feed
from bench.inputs.labelled import classes_by_folder
from bench.load.phase import run_loads
from bench.making import saved_model
from bench.measure.loop import without_garbage_collection
from bench.measure.observe import differences
from bench.measure.turn import take_turn
from bench.postprocess.apply import judged_signature, processing
from bench.record import Phase
from bench.timing import Timed, measure

WRAPPER_KEY = "benchmark_config.wrap_session"
POSTPROCESSED = 100  # batches whose time is kept


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


def run_case(case: Case, report: Reporter, turns: Iterable[Turn] = ()) -> None:
    """Run a case; everything that it finds goes to `report`. At its end, it measures a block for each of `turns`."""
    phase = Phases(report)
    with _scratch(case) as workdir:
        with phase("prepare"):
            backend = load_backend(case.optimization.backend)
            backend.check(case.optimization)
            report.part("environment", collect(backend.environment()))
            preparation = _prepare(case, backend, workdir, phase, report)
            metric = _metric(case, preparation.signature)
        with _opened(backend, preparation) as session:
            conversion = _with_calibration(session.conversion, preparation)
            report.part("conversion", conversion)
            report.part("call", session.call)
            timed = measure(session, preparation, report.part)
            if case.load:
                run_loads(session, preparation, timed.batches, timed.latency, timed.throughput, report.part)
            if metric is not None:
                _evaluate(case, session, preparation.signature, metric, timed, phase, report)
            _prove(session, preparation, conversion, timed, report)
            with without_garbage_collection():
                report.part("blocks", [take_turn(session, timed.batches, turn) for turn in turns])
            report.part("peak_gpu_bytes", session.peak_gpu_bytes())
    report.part("peak_host_bytes", _peak_host_bytes())


def _opened(backend: Backend, preparation: Preparation) -> Session:
    """The backend's session, or what the user's own function gives in its place."""
    session, wrapper = backend.open(preparation), preparation.case.wrap_session
    return session if wrapper is None else _wrapped(session, wrapper)


def _wrapped(session: Session, wrapper: str) -> Session:
    """What the function gives; a ConfigError says what is wrong with it, or with what it gave."""
    function = load_function(wrapper, ("session",))
    try:
        wrapped: Session = function(session)
    except Exception as error:  # a user's function may fail in any way
        raise ConfigError(f"{WRAPPER_KEY}: {wrapper!r} raised {type(error).__name__}: {error}") from error
    missing = [name for name in session_members() if not hasattr(wrapped, name)]
    if missing:
        given = type(wrapped).__name__
        raise ConfigError(f"{WRAPPER_KEY}: {wrapper!r} gave no session but {given}, without {', '.join(missing)}")
    return wrapped


def _prepare(
    case: Case,
    backend: Backend,
    workdir: Path,
    phase: Callable[[str], AbstractContextManager[None]],
    report: Reporter,
) -> Preparation:
    model_dir, edits = saved_model(case)
    if edits is not None:
        report.part("edits", edits)
    signature = backend.signature(case, model_dir)
    if case.optimization.backend != "null":  # which looks at no model
        refuse_another(case.model, signature, case.model.path)
    _check_inputs(case, signature, model_dir)
    first = next(evaluated_batches(case, signature, case.batch_size))
    sample = feed(first, signature, case.seed)
    check_shapes(sample, signature, "benchmark_config.image_shape", "benchmark_config.batch_size")
    items = calibration_items(case)
    return Preparation(
        case=case,
        model_dir=model_dir,
        signature=signature,
        sample=sample,
        calibration=calibration_batches(case, signature),
        calibration_images=len(items) or None,
        calibration_sha256=items_sha256(items),
        workdir=workdir,
        phase=phase,
    )


def _check_inputs(case: Case, signature: Signature, model_dir: Path) -> None:
    """Real images fill one input; random values fill as many as there are."""
    real = any(data is not None and data.format != "synthetic" for data in (case.dataset, case.calibration))
    if not signature.inputs or (len(signature.inputs) != 1 and real):
        names = ", ".join(spec.name for spec in signature.inputs)
        raise ModelError(
            f"{model_dir}: a model that is fed images has one input, not {len(signature.inputs)}: {names}; "
            "benchmark_config.use_synthetic fills several with random values"
        )


def _with_calibration(conversion: Conversion | None, preparation: Preparation) -> Conversion | None:
    """The conversion with the number and the hash of the images that it was calibrated on, where it does not say."""
    if conversion is None or preparation.calibration is None or conversion.calibration_table_sha256 is not None:
        return conversion
    images = conversion.calibration_images or preparation.calibration_images
    known = {"calibration_images": images, "calibration_sha256": preparation.calibration_sha256}
    return conversion.model_copy(update=known)


def _prove(
    session: Session, preparation: Preparation, conversion: Conversion | None, timed: Timed, report: Reporter
) -> None:
    """What ran, from a pass of its own after all timing."""
    try:
        profile = session.prove(preparation.sample)
    except ConversionError as error:
        if conversion is not None:  # nothing else would prove that it is what ran
            raise
        report.part("profile_absent", str(error))
        return
    report.part("profile", profile)
    if profile is None and preparation.case.keep_profile:
        report.part("profile_absent", "it is of a GPU's work, and there is none; keep_profile kept nothing")
    folder = preparation.workdir / PROFILE
    if preparation.case.artifacts_dir and folder.is_dir():
        shutil.copytree(folder, preparation.case.artifacts_dir, dirs_exist_ok=True)
    if conversion is None or profile is None:
        return
    proof = {
        "engine_executions": profile.engine_executions,
        "native_executions": profile.native_executions,
        "engine_builds_while_timed": timed.built,
        "fallback_warnings_while_timed": timed.fell_back,
    }
    report.part("conversion", conversion.model_copy(update=proof))


def _evaluate(
    case: Case,
    session: Session,
    signature: Signature,
    metric: Metric,
    timed: Timed,
    phase: Phases,
    report: Reporter,
) -> None:
    """The accuracy pass; its first batch is the first timed one, whose outputs are held against these."""
    with phase("accuracy"):
        done, postprocess_ns = 0, []
        for number, batch in enumerate(accuracy_batches(case, signature), start=1):
            outputs = session.infer(feed(batch, signature, case.seed))
            start = perf_counter_ns()
            metric.add(batch, outputs)
            postprocess_ns.append(perf_counter_ns() - start)
            if number == 1:
                found = {"output_differences": differences(timed.outputs, outputs)}
                report.part("observed", timed.observed.model_copy(update=found))
            done += batch.count
            if number % case.display_every == 0:
                report.progress(done, case.num_images)
        report.part("stages", timed.stages.model_copy(update={"postprocess_ns": tuple(postprocess_ns[:POSTPROCESSED])}))
        report.part("accuracy", metric.result())


def _metric(case: Case, signature: Signature) -> Metric | None:
    """What judges the outputs; None where there are no weights, or no labels, to speak of accuracy."""
    seen = judged_signature(case.model, signature)
    judge = _judge(case, seen)
    if judge is None:
        return None
    process = processing(case.model, detection_outputs(seen) if case.model.task == "detection" else {})
    return judge if process is None else Postprocessed(judge, process)


def _judge(case: Case, signature: Signature) -> Metric | None:
    if case.model.random_weights or case.dataset.format in ("synthetic", "images"):
        return None
    wanted = ("coco",) if case.model.task == "detection" else LABELLED
    if case.dataset.format not in wanted:
        needed = " or ".join(map(repr, wanted))
        raise ModelError(
            f"model {case.model.name!r} does {case.model.task}, which needs a dataset of format {needed}; "
            f"{case.dataset.name!r} is of format {case.dataset.format!r}"
        )
    if case.model.task == "detection":
        return BoxMap(signature, case.dataset.annotation_path or "", case.model.class_offset, case.model.preprocess)
    return TopK(signature, case.model.class_offset, classes_by_folder(case.dataset))


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
