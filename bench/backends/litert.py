"""LiteRT, once TensorFlow Lite: models converted for the CPU, in FP32, FP16 or INT8.

The model is converted at the batch's shape. FP16 stores weights in 16 bits; on most CPUs its arithmetic stays 32-bit.
INT8 quantizes weights and activations up to the last convolutions; what follows (softmax, box decoding, NMS) stays
float, see litert_quantize.py. Ops that TFLite's builtin set lacks are an error: Flex, which would run them in
TensorFlow, is never enabled.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf

from bench.backends import litert_quantize
from bench.backends.base import Arrays, Pending, Preparation, Signature
from bench.case import Case, Optimization
from bench.conversion import Call, Conversion, Profile
from bench.environment import usable_cores
from bench.errors import BackendUnavailable, BenchError, ConversionError
from bench.graphs.savedmodel import SERVING_SIGNATURE, folder_bytes, model_signature

PRECISIONS = ("FP32", "FP16", "INT8")
CONVERTER = f"LiteRT {tf.__version__}"


@dataclass(frozen=True)
class Converted:
    """A .tflite file's content, and how it came to be."""

    content: bytes
    calibration_images: int | None = None


class LiteRtBackend:
    """Converts with tf.lite and runs on the CPU."""

    def check(self, optimization: Optimization) -> None:
        """Raise BackendUnavailable with what is missing and how to get it."""
        if optimization.precision_mode not in PRECISIONS:
            raise BackendUnavailable(
                f"litert runs {', '.join(PRECISIONS)}, not {optimization.precision_mode}: that is backend 'tensorflow'"
            )
        if getattr(tf, "lite", None) is None:
            raise BackendUnavailable(f"TensorFlow {tf.__version__} has no tf.lite: install TensorFlow 2.14 to 2.21")

    def signature(self, case: Case, model_dir: Path) -> Signature:
        """What the model takes and gives; raises ModelError where it cannot be read."""
        return model_signature(case.model, model_dir)

    def open(self, preparation: Preparation) -> LiteRtSession:
        """Convert at the sample's shapes, save and reload; raises ConversionError."""
        converted = _convert(preparation)
        path = preparation.workdir / "model.tflite"
        with preparation.phase("save"):
            path.write_bytes(converted.content)
            _copy_out(path, preparation)
        with preparation.phase("reload"), _conversion_errors(preparation.case):
            interpreter = _interpreter(path)
            return LiteRtSession(interpreter, preparation.signature, _conversion(preparation, converted))

    def environment(self) -> dict[str, Any]:
        """What only the loaded libraries know: versions linked and loaded, devices, modes."""
        return {
            "converter": f"tf.lite {tf.__version__}",
            "tensorflow": tf.__version__,
            "device": "CPU",
            "threads": usable_cores(),
        }


@dataclass(frozen=True, eq=False)
class Batch:
    """A staged batch."""

    arrays: Arrays


class LiteRtSession:
    """A .tflite model in an interpreter. One thread at a time: inference is synchronous."""

    on_device = False

    def __init__(self, interpreter: Any, signature: Signature, conversion: Conversion) -> None:
        self.conversion: Conversion | None = conversion
        self.call: Call | None = None
        self._interpreter = interpreter
        self._loaded: Batch | None = None  # the batch that the input tensors hold
        # Setting tensors by index saves the signature runner's overhead at each call; the runner knows their names.
        runner = interpreter.get_signature_runner(SERVING_SIGNATURE)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        self._inputs = _indices(inputs, [spec.name for spec in signature.inputs])
        self._outputs = _indices(outputs, [spec.name for spec in signature.outputs])

    def infer(self, batch: Arrays) -> Arrays:
        """Host arrays in, host arrays out; returns when they are there."""
        self._set(batch)
        self._loaded = None
        self._interpreter.invoke()
        return self.fetch(None)

    def stage(self, batch: Arrays) -> Batch:
        """Put a batch into the input tensors."""
        staged = Batch(batch)
        self._load(staged)
        return staged

    def launch(self, staged: Batch) -> Pending:
        """Run one inference on it."""
        if staged is not self._loaded:
            self._load(staged)
        self._interpreter.invoke()
        return None

    def fetch(self, pending: Pending) -> Arrays:
        """The output tensors of the last inference."""
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def wait(self, pending: Pending) -> None:
        """Nothing to wait for: launch has finished the work."""

    def peak_gpu_bytes(self) -> int | None:
        """LiteRT runs on the CPU here."""
        return None

    def prove(self, batch: Arrays) -> Profile | None:
        """Nothing to prove: the interpreter has no other path than the converted model."""
        return None

    def __enter__(self) -> LiteRtSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._interpreter = None
        self._loaded = None

    def _load(self, staged: Batch) -> None:
        self._set(staged.arrays)
        self._loaded = staged

    def _set(self, batch: Arrays) -> None:
        for name, index in self._inputs.items():
            self._interpreter.set_tensor(index, batch[name])


def _convert(preparation: Preparation) -> Converted:
    precision = preparation.optimization.precision_mode
    if precision == "INT8":
        return _convert_int8(preparation)
    with preparation.phase("convert"), _conversion_errors(preparation.case):
        return Converted(_convert_float(preparation, half=precision == "FP16"))


def _convert_int8(preparation: Preparation) -> Converted:
    if preparation.calibration is None:
        raise ConversionError(
            "litert needs images to calibrate INT8: set optimization_config.calib_dataset or calib_images_dir, and "
            "leave use_calibration on"
        )
    inputs = {spec.name: preparation.sample[spec.name] for spec in preparation.signature.inputs}
    with preparation.phase("convert"), _conversion_errors(preparation.case):
        cut = litert_quantize.cut(_convert_float(preparation))
    with preparation.phase("calibrate"), _conversion_errors(preparation.case):
        calibrated, images = litert_quantize.calibrate(cut, preparation.calibration(), inputs)
    with preparation.phase("build"), _conversion_errors(preparation.case):
        return Converted(litert_quantize.quantize(cut, calibrated), images)


def _convert_float(preparation: Preparation, half: bool = False) -> bytes:
    loaded = tf.saved_model.load(str(preparation.model_dir), tags=list(preparation.signature.tags))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_at_fixed_shape(loaded, preparation)], loaded)
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def _at_fixed_shape(loaded: Any, preparation: Preparation) -> Any:
    """The model's signature as a concrete function of the sample's shapes, with the names kept."""
    serving = loaded.signatures[preparation.signature.key]
    names = [spec.name for spec in preparation.signature.inputs]

    def model(*tensors: Any) -> Any:
        return serving(**dict(zip(names, tensors, strict=True)))

    specs = [
        tf.TensorSpec(preparation.sample[spec.name].shape, tf.as_dtype(spec.dtype), name=spec.name)
        for spec in preparation.signature.inputs
    ]
    return tf.function(model, autograph=False).get_concrete_function(*specs)


@contextmanager
def _conversion_errors(case: Case) -> Iterator[None]:
    """Turn whatever TensorFlow raises into a ConversionError of one line."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        raise ConversionError(f"LiteRT cannot convert {case.model.name}: {_reason(str(error))}") from error


def _reason(message: str) -> str:
    """What matters in the converter's message, which can be the whole graph."""
    found = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", message, re.MULTILINE)
    names = {name.strip() for line in found for name in line.split(",")}
    names |= set(re.findall(r"error: 'tf\.(\w+)' op is neither", message))
    if names:
        return f"TFLite has no builtin for {', '.join(sorted(names))}, and Flex is not used"
    errors = re.findall(r"error: (.+)", message)
    lines = [line.strip() for line in (*errors, *message.splitlines()) if line.strip()]
    return lines[0][:500] if lines else "no reason given"


def _copy_out(path: Path, preparation: Preparation) -> None:
    if preparation.optimization.output_path is None:
        return
    target = Path(preparation.optimization.output_path)
    if target.suffix != ".tflite":
        target = target / f"{preparation.case.id}.tflite"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _conversion(preparation: Preparation, converted: Converted) -> Conversion:
    return Conversion(
        converter=CONVERTER,
        bytes_before=folder_bytes(preparation.model_dir),
        bytes_after=len(converted.content),
        calibration_images=converted.calibration_images,
        details={**litert_quantize.count_ops(converted.content), "threads": usable_cores()},
    )


def _interpreter(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        interpreter = tf.lite.Interpreter(model_path=str(path), num_threads=usable_cores())
    interpreter.allocate_tensors()
    return interpreter


def _indices(details: dict[str, Any], names: list[str]) -> dict[str, int]:
    missing = sorted(set(names) - set(details))
    if missing:
        known = ", ".join(sorted(details))
        raise ConversionError(f"the converted model has lost the names {', '.join(missing)}; it has: {known}")
    return {name: int(details[name]["index"]) for name in names}
