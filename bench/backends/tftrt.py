"""TF-TRT: TrtGraphConverterV2, engines built before anything is timed, saved, and loaded again from what was saved."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.compiler.tensorrt import trt_convert

from bench.backends.availability import missing_for_tf_trt
from bench.backends.base import Arrays, Preparation
from bench.backends.tensorflow import TensorFlowBackend, TensorFlowSession, load, set_up, wrap
from bench.errors import BackendUnavailable, ConversionError
from bench.graphs.engines import count_engines
from bench.graphs.savedmodel import SERVING_SIGNATURE, folder_bytes
from bench.measure.profile import count_host_events
from bench.record import Conversion, Optimization

EXECUTED = "TRTEngineOp::ExecuteTrtEngine"
FELL_BACK = "TRTEngineOp::ExecuteNativeSegment"
PROFILED_INFERENCES = 3


class TfTrtBackend(TensorFlowBackend):
    """Converts with TF-TRT; the converted SavedModel then runs as a native one does."""

    def check(self, optimization: Optimization) -> None:
        """Raise BackendUnavailable where TensorFlow, TensorRT or the GPU is not what TF-TRT needs."""
        missing = missing_for_tf_trt()  # first: asking TensorFlow for a TensorRT that is not there aborts the process
        if missing:
            raise BackendUnavailable("TF-TRT cannot run on this machine: " + "; ".join(missing))
        if not tf.config.list_physical_devices("GPU"):
            raise BackendUnavailable(
                "TensorFlow sees no GPU: see the worker's log for the CUDA library that is missing"
            )
        linked, loaded = versions()
        if loaded[0] != linked[0]:
            raise BackendUnavailable(f"TensorFlow is linked against TensorRT {_dotted(linked)}, not {_dotted(loaded)}")
        set_up(optimization)

    def open(self, preparation: Preparation) -> TfTrtSession:
        """Convert, calibrate, build, save, reload."""
        saved = preparation.workdir / "converted"
        try:
            _convert(preparation, saved)
        except (RuntimeError, ValueError, NotImplementedError, tf.errors.OpError) as error:
            raise ConversionError(f"TF-TRT could not convert the model: {error}") from error
        conversion = describe(preparation, saved)
        if preparation.optimization.output_path:
            _keep(saved, Path(preparation.optimization.output_path))
        with preparation.phase("reload"):
            loaded = load(saved)
            function = wrap(loaded.signatures[SERVING_SIGNATURE], preparation)
        return TfTrtSession(function, loaded, conversion, preparation.workdir / "profile")

    def environment(self) -> dict[str, Any]:
        """TensorFlow's, and which TensorRT is linked and loaded."""
        linked, loaded = versions()
        trt = {"tensorrt_linked": _dotted(linked), "tensorrt_loaded": _dotted(loaded)}
        return {**super().environment(), **trt}


class TfTrtSession(TensorFlowSession):
    """A converted function that can prove what ran."""

    def __init__(self, function: Callable[..., Any], keep: Any, conversion: Conversion, profile_dir: Path) -> None:
        super().__init__(function, keep, conversion)
        self._profile_dir = profile_dir

    def prove(self, batch: Arrays) -> Conversion | None:
        """Count the engines that ran, and those that fell back to TensorFlow, in a few profiled inferences."""
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
        with tf.profiler.experimental.Profile(str(self._profile_dir), options):
            for _ in range(PROFILED_INFERENCES):
                self.infer(batch)
        counts = count_host_events(self._profile_dir, (EXECUTED, FELL_BACK))
        if self.conversion is None:
            return None
        return self.conversion.model_copy(
            update={"engine_executions": counts[EXECUTED], "native_executions": counts[FELL_BACK]}
        )


def versions() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The TensorRT that TensorFlow is linked against, and the one that is loaded."""
    library = trt_convert._pywrap_py_utils
    return tuple(library.get_linked_tensorrt_version()), tuple(library.get_loaded_tensorrt_version())


def describe(preparation: Preparation, saved: Path) -> Conversion:
    """What was built, read out of the saved model."""
    counts = count_engines(saved)
    if counts.engines == 0:
        raise ConversionError("TF-TRT made no engine: no segment reaches minimum_segment_size, or no op is supported")
    return Conversion(
        converter=f"TF-TRT {_dotted(versions()[1])}",
        engines=counts.engines,
        nodes_before=counts.nodes_before,
        nodes_after=counts.nodes_after,
        share_converted=counts.share_converted,
        bytes_before=folder_bytes(preparation.model_dir),
        bytes_after=folder_bytes(saved),
    )


def _keep(saved: Path, target: Path) -> None:
    """Copy the converted model; one that lies there already gives way."""
    if (target / "saved_model.pb").is_file():
        shutil.rmtree(target)
    shutil.copytree(saved, target, dirs_exist_ok=True)


def _convert(preparation: Preparation, saved: Path) -> None:
    optimization = preparation.optimization
    calibrated = optimization.precision_mode == "INT8" and optimization.use_calibration
    converter = trt_convert.TrtGraphConverterV2(
        input_saved_model_dir=str(preparation.model_dir),
        input_saved_model_signature_key=SERVING_SIGNATURE,
        precision_mode=optimization.precision_mode,
        max_workspace_size_bytes=optimization.max_workspace_size_bytes,
        minimum_segment_size=optimization.minimum_segment_size,
        maximum_cached_engines=optimization.maximum_cached_engines,
        use_calibration=calibrated,
        allow_build_at_runtime=False,
    )
    with ExitStack() as phases:
        phases.enter_context(preparation.phase("convert"))
        converter.convert(calibration_input_fn=_calibration(preparation, phases) if calibrated else None)
    with preparation.phase("build"):
        converter.build(input_fn=lambda: iter([_tensors(preparation.sample)]))
    with preparation.phase("save"):
        converter.save(str(saved))


def _calibration(preparation: Preparation, phases: ExitStack) -> Callable[[], Iterator[dict[str, Any]]]:
    """The calibration batches; taking the first one ends the phase "convert" and begins "calibrate"."""
    batches = preparation.calibration
    if batches is None:
        raise ConversionError(
            "INT8 needs calibration images: set optimization_config.calib_dataset or calib_images_dir"
        )

    def generate() -> Iterator[dict[str, Any]]:
        phases.close()
        phases.enter_context(preparation.phase("calibrate"))
        for batch in batches():
            yield _tensors(batch)

    return generate


def _tensors(batch: Arrays) -> dict[str, Any]:
    return {name: tf.constant(array) for name, array in batch.items()}


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
