"""TF-TRT's converter, driven by a case: its parameters, calibration and its tables, engines built before any timing."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2tensorrt.ops import gen_trt_ops
from tensorflow.python.compiler.tensorrt import trt_convert

from bench.backends.base import Arrays, Preparation
from bench.backends.tftrt_report import refuse_lowered_precision, refuse_unread_weights
from bench.case import Optimization
from bench.errors import BackendUnavailable, ConversionError
from bench.graphs.report import calibration_failures
from bench.ownlog import OwnLog

Tables = Mapping[str, bytes]  # name of an engine -> TensorRT's calibration table
TABLE_SUFFIX = ".calibration"
FAILURES = (RuntimeError, ValueError, NotImplementedError, AssertionError, tf.errors.OpError)


class Converter(trt_convert.TrtGraphConverterV2):  # type: ignore[misc]
    """TF-TRT's own converter, whose calibration tables can be read, and given instead of calibrating."""

    def __init__(self, given: Tables | None, nms_on_cpu: bool = False, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._given, self._nms_on_cpu = given, nms_on_cpu

    def _run_conversion(self, meta_graph_def: Any) -> Any:
        """Convert; nodes that an edit put on the CPU go there again, since TF-TRT clears all devices before."""
        for node in meta_graph_def.graph_def.node if self._nms_on_cpu else ():
            if "NonMaxSuppression" in node.name or "NonMaxSuppression" in node.op:
                node.device = "/device:CPU:0"
        return super()._run_conversion(meta_graph_def)

    def put_given_tables(self) -> None:
        """Use the given tables now: with dynamic shapes, build() would take calibrating to have built the engines."""
        if self._given is not None and not self._calibrated:
            self._execute_calibration(lambda: iter(()))

    def drop_engines(self) -> None:
        """Forget what was built while calibrating, for batches of another size than those to build for."""
        with tempfile.TemporaryDirectory() as folder:
            for name in self.tables():
                with contextlib.suppress(tf.errors.NotFoundError):  # none was built
                    gen_trt_ops.serialize_trt_resource(
                        resource_name=name,
                        filename=f"{folder}/{name}",
                        delete_resource=True,
                        save_gpu_specific_engines=False,
                    )

    def tables(self) -> dict[str, bytes]:
        """The calibration table of each engine; an empty one where calibration failed."""
        found: dict[str, bytes] = {}

        def read(node: Any) -> None:
            found[node.name.rpartition("/")[2]] = bytes(node.attr["calibration_data"].s)

        self._for_each_trt_node(self._converted_graph_def, read)
        return found

    def _execute_calibration(self, calibration_input_fn: Callable[[], Iterator[Any]]) -> None:
        """Calibrate, or put the given tables where calibration would have."""
        if self._given is None:
            super()._execute_calibration(calibration_input_fn)
            return
        self._for_each_trt_node(self._converted_graph_def, self._put_table)
        rebuild = trt_convert._construct_function_from_graph_def
        self._converted_func: Any = rebuild(self._converted_func, self._converted_graph_def)
        self._calibrated = True

    def _put_table(self, node: Any) -> None:
        name = node.name.rpartition("/")[2]
        if self._given is None or name not in self._given:
            raise ConversionError(f"there is no calibration table for {name}: these are of another model or conversion")
        node.attr["calibration_data"].s = self._given[name]


class Steps:
    """The phases of a conversion, one after the other, with the seconds that each took."""

    def __init__(self, preparation: Preparation) -> None:
        self._phase = preparation.phase
        self._open = ExitStack()
        self._current: str | None = None
        self._start = 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, name: str | None) -> None:
        """End the current phase and begin another; None begins none."""
        self._open.close()
        if self._current is not None:
            self.seconds[self._current] = self.seconds.get(self._current, 0.0) + perf_counter() - self._start
        self._current, self._start = name, perf_counter()
        if name is not None:
            self._open.enter_context(self._phase(name))


def convert_and_build(preparation: Preparation, given: Tables | None, steps: Steps) -> Converter:
    """A converter that has converted, calibrated and built; raises ConversionError."""
    log = OwnLog()
    start = log.position()
    refuse_unread_weights(preparation)
    try:
        converter = Converter(given, preparation.case.model.edits.force_nms_cpu, **_parameters(preparation))
        steps.begin("convert")
        converter.convert(calibration_input_fn=_calibration(preparation, given, steps))
        refuse_lowered_precision(preparation, log.lines(start) or ())
        converter.put_given_tables()
        if given is None and _calibrated_at_another_size(preparation):
            converter.drop_engines()
        steps.begin("build")
        converter.build(input_fn=lambda: map(_tensors, batches_to_build(preparation)))
    except FAILURES as error:
        raise ConversionError(f"TF-TRT could not convert the model: {error}") from error
    finally:
        steps.begin(None)
    if is_calibrated(preparation.optimization):
        refuse_empty(converter.tables(), log.lines(start) or ())
    return converter


def save(converter: Converter, folder: Path, steps: Steps) -> None:
    """Write the converted model with its engines."""
    steps.begin("save")
    try:
        converter.save(str(folder))
    except FAILURES as error:
        raise ConversionError(f"TF-TRT could not save the converted model: {error}") from error
    finally:
        steps.begin(None)


def is_calibrated(optimization: Optimization) -> bool:
    """Whether ranges come from calibration, now or earlier."""
    return optimization.precision_mode == "INT8" and optimization.use_calibration


def _calibrated_at_another_size(preparation: Preparation) -> bool:
    """Whether calibration left engines behind that would serve batches in place of those that are to be built.

    With an implicit batch dimension an engine serves its own batch size and smaller ones.
    """
    optimization = preparation.optimization
    sizes = set(optimization.build_batch_sizes or (preparation.case.batch_size,))
    return (
        is_calibrated(optimization) and not optimization.use_dynamic_shape and sizes != {optimization.calib_batch_size}
    )


def refuse_empty(tables: Tables, lines: Sequence[str]) -> None:
    """A calibration that gave nothing: TF-TRT then builds engines that are not INT8, and says so in its log alone."""
    empty = sorted(name for name, table in tables.items() if not table.strip())
    if empty:
        why = "; ".join(words for words in calibration_failures(lines) if words not in tables)
        raise ConversionError(
            f"INT8 calibration gave no ranges for {', '.join(empty)}: {why or 'see the log'}; TF-TRT would have run "
            "these in another precision"
        )


def batches_to_build(preparation: Preparation) -> Iterator[Arrays]:
    """One batch of each size to build for; the sample's images over and over."""
    for size in sorted(preparation.optimization.build_batch_sizes or (preparation.case.batch_size,)):
        yield {name: np.resize(array, (size, *array.shape[1:])) for name, array in preparation.sample.items()}


def write_tables(tables: Tables, folder: Path) -> None:
    """One file an engine."""
    for name, table in tables.items():
        (folder / f"{name}{TABLE_SUFFIX}").write_bytes(table)


def read_tables(folder: Path) -> Tables:
    """The tables that lie in a folder; raises ConversionError where there are none."""
    tables = {file.name.removesuffix(TABLE_SUFFIX): file.read_bytes() for file in folder.glob(f"*{TABLE_SUFFIX}")}
    if not tables:
        raise ConversionError(f"{folder}: no calibration tables, <engine>{TABLE_SUFFIX}, in it")
    return tables


def _parameters(preparation: Preparation) -> dict[str, Any]:
    """The converter's parameters; one that this TensorFlow does not have is an error."""
    optimization = preparation.optimization
    parameters: dict[str, Any] = {
        "input_saved_model_dir": str(preparation.model_dir),
        "input_saved_model_tags": list(preparation.signature.tags),
        "input_saved_model_signature_key": preparation.signature.key,
        "precision_mode": optimization.precision_mode,
        "max_workspace_size_bytes": optimization.max_workspace_size_bytes,
        "minimum_segment_size": optimization.minimum_segment_size,
        "maximum_cached_engines": optimization.maximum_cached_engines,
        "use_calibration": is_calibrated(optimization),
        "allow_build_at_runtime": optimization.allow_build_at_runtime,
    }
    if optimization.use_dynamic_shape:
        parameters["use_dynamic_shape"] = True
        parameters["dynamic_shape_profile_strategy"] = optimization.dynamic_shape_profile_strategy
    known = inspect.signature(trt_convert.TrtGraphConverterV2.__init__).parameters
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise BackendUnavailable(f"TF-TRT of TensorFlow {tf.__version__} has no parameter {', '.join(unknown)}")
    return parameters


def _calibration(
    preparation: Preparation, given: Tables | None, steps: Steps
) -> Callable[[], Iterator[dict[str, Any]]] | None:
    """The calibration batches; taking the first one begins the phase "calibrate"."""
    if not is_calibrated(preparation.optimization):
        return None
    batches = preparation.calibration
    if given is None and batches is None:
        raise ConversionError(
            "INT8 needs calibration images: set optimization_config.calib_dataset or calib_images_dir"
        )

    def generate() -> Iterator[dict[str, Any]]:
        steps.begin("calibrate")
        for batch in batches() if batches is not None else ():
            yield _tensors(batch)

    return generate


def _tensors(batch: Arrays) -> dict[str, Any]:
    return {name: tf.constant(array) for name, array in batch.items()}
