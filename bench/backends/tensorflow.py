"""Native TensorFlow: the baseline that everything else is held against. Also the session of TF-TRT's functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from types import TracebackType
from typing import Any, Literal

import tensorflow as tf

from bench.backends.base import PROFILE, Arrays, Preparation, Signature
from bench.case import Case, Optimization
from bench.conversion import Call, Conversion, Profile
from bench.errors import BackendUnavailable, ModelError
from bench.graphs.events import write_graph
from bench.graphs.savedmodel import model_signature
from bench.measure.profile import STEP, read_profile
from bench.measure.trace import write_chrome_trace

Tensors = Mapping[str, Any]
Function = Callable[..., Tensors]
PROFILED_INFERENCES = 10
TRIED_CALLS = 30  # of each way to call, where the faster is wanted


class TensorFlowBackend:
    """Runs a SavedModel's signature as it is, inside one tf.function."""

    def check(self, optimization: Optimization) -> None:
        """Set the process up: GPU memory on demand, TF32 as asked for."""
        if optimization.precision_mode != "native":
            raise BackendUnavailable(f"backend tensorflow runs native alone, not {optimization.precision_mode}")
        set_up(optimization)

    def signature(self, case: Case, model_dir: Path) -> Signature:
        """The SavedModel's serving signature."""
        return model_signature(case.model, model_dir)

    def open(self, preparation: Preparation) -> TensorFlowSession:
        """Load the SavedModel and trace its signature for the case's batches."""
        with preparation.phase("load"):
            signature = preparation.signature
            loaded = load(preparation.model_dir, signature.tags)
            function, call = choose_call(loaded.signatures[signature.key], preparation)
        return TensorFlowSession(function, loaded, preparation, call=call)

    def environment(self) -> dict[str, Any]:
        """TensorFlow's build and modes."""
        build = tf.sysconfig.get_build_info()
        return {
            "tensorflow": tf.__version__,
            "device": "GPU" if tf.config.list_physical_devices("GPU") else "CPU",
            "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "gpus": len(tf.config.list_physical_devices("GPU")),
            "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
            "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
            **{key: str(build[key]) for key in ("cuda_version", "cudnn_version") if key in build},
        }


class TensorFlowSession:
    """A concrete function with its weights."""

    def __init__(
        self,
        function: Callable[..., Tensors],
        keep: Any,
        preparation: Preparation,
        conversion: Conversion | None = None,
        call: Call | None = None,
        converted_dir: Path | None = None,
    ) -> None:
        self.conversion = conversion
        self.call = call
        self._preparation = preparation
        self._converted_dir = converted_dir
        self._function = function
        self._keep = keep  # a signature holds its variables weakly
        self.on_device = self._has_gpu = bool(tf.config.list_logical_devices("GPU"))
        self._device = "GPU:0" if self._has_gpu else "CPU:0"
        if self._has_gpu:  # what building engines took is not what running them takes
            tf.config.experimental.reset_memory_stats("GPU:0")

    def infer(self, batch: Arrays) -> Arrays:
        """Host arrays in, host arrays out; fetching them waits for the device."""
        return self.fetch(self._function(**{name: tf.constant(array) for name, array in batch.items()}))

    def stage(self, batch: Arrays) -> Tensors:
        """Copy a batch to the GPU, or into TensorFlow's own memory on a CPU."""
        with tf.device(self._device):
            staged = {name: tf.identity(tf.constant(array)) for name, array in batch.items()}
        self.wait(staged)
        return staged

    def launch(self, staged: Tensors) -> Tensors:
        """Start one inference; its outputs stay on the device."""
        return self._function(**staged)

    def wait(self, pending: Tensors) -> None:
        """Return when the GPU has finished all that was launched; on a CPU a call returns when it is done."""
        if self._has_gpu:
            tf.test.experimental.sync_devices()

    def prove(self, batch: Arrays) -> Profile | None:
        """Where the time of a few inferences goes, and what ran; None without a GPU, whose work it is about."""
        if not self._has_gpu:
            return None
        with self._preparation.phase("profile"):
            return self._profile(batch, self._preparation.workdir / PROFILE)

    def fetch(self, pending: Tensors) -> Arrays:
        """The outputs on the host."""
        return {name: tensor.numpy() for name, tensor in pending.items()}

    def _profile(self, batch: Arrays, folder: Path) -> Profile:
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
        with tf.profiler.experimental.Profile(str(folder), options):
            for number in range(PROFILED_INFERENCES):
                with tf.profiler.experimental.Trace(STEP, step_num=number):
                    self.infer(batch)
        if self._preparation.case.keep_profile:
            write_chrome_trace(folder, folder / "trace.json.gz")
            self._write_graphs(folder)
        return read_profile(folder, PROFILED_INFERENCES)

    def _write_graphs(self, folder: Path) -> None:
        """The graph before, and after conversion where there was one, for TensorBoard."""
        tags = self._preparation.signature.tags
        write_graph(self._preparation.model_dir, tags, folder / "graph_before")
        if self._converted_dir is not None:
            write_graph(self._converted_dir, ("serve",), folder / "graph_after")

    def peak_gpu_bytes(self) -> int | None:
        """The peak of TensorFlow's GPU allocator."""
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"]) if self._has_gpu else None

    def __enter__(self) -> TensorFlowSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._keep = None


def set_up(optimization: Optimization) -> None:
    """What must be set before TensorFlow touches the GPU."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_tensor_float_32_execution(optimization.tf32)


def load(model_dir: Path, tags: Sequence[str] = ("serve",)) -> Any:
    """A loaded SavedModel; a ModelError where TensorFlow cannot read it."""
    try:
        return tf.saved_model.load(str(model_dir), tags=list(tags))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise ModelError(f"{model_dir}: TensorFlow cannot load it: {error}") from error


def choose_call(signature: Any, preparation: Preparation) -> tuple[Function, Call]:
    """The signature as it is to be called; with `auto`, the faster way, and what each took."""
    wanted = preparation.optimization.call
    makers: dict[str, Callable[[Any, Preparation], Function]] = {"function": wrap, "eager": call_eagerly}
    if wanted != "auto":
        return makers[wanted](signature, preparation), Call(kind=wanted)
    made = {kind: make(signature, preparation) for kind, make in makers.items()}
    took = {kind: _median_ms(function, preparation.sample) for kind, function in made.items()}
    best: Literal["function", "eager"] = "eager" if took["eager"] < took["function"] else "function"
    return made[best], Call(kind=best, median_ms=took)


def _median_ms(function: Function, sample: Arrays) -> float:
    """Of a few inferences on inputs that are on the device already, after as many that are not counted."""
    staged = {name: tf.identity(tf.constant(array)) for name, array in sample.items()}
    times = []
    for _ in range(2 * TRIED_CALLS):
        start = perf_counter()
        function(**staged)
        if tf.config.list_logical_devices("GPU"):
            tf.test.experimental.sync_devices()
        times.append(1e3 * (perf_counter() - start))
    return median(times[TRIED_CALLS:])


def call_eagerly(signature: Any, preparation: Preparation) -> Function:
    """The loaded signature as it is: each call goes through Python and TensorFlow's eager runtime."""
    names = [spec.name for spec in preparation.signature.outputs]
    return lambda **inputs: _with_names(signature(**inputs), names)


def wrap(signature: Any, preparation: Preparation) -> Callable[..., Tensors]:
    """The signature inside a tf.function for the case's shapes.

    An eager call of a loaded signature costs more than a small model itself, so native and converted models are both
    called this way.
    """
    names = [spec.name for spec in preparation.signature.outputs]

    def call(**inputs: Any) -> Tensors:
        return _with_names(signature(**inputs), names)

    specs = {name: _spec(array, preparation) for name, array in preparation.sample.items()}
    function = tf.function(call, jit_compile=preparation.optimization.xla or None, autograph=False)
    concrete: Callable[..., Tensors] = function.get_concrete_function(**specs)
    return concrete


def _with_names(outputs: Tensors, names: Sequence[str]) -> Tensors:
    """The outputs by their own names.

    Where engines must not be built at run time, TF-TRT saves a function whose outputs are output_0, output_1, ... in
    the order of the original names (seen in TensorFlow 2.14.1).
    """
    numbered = [f"output_{i}" for i in range(len(names))]
    if set(outputs) == set(names) or set(outputs) != set(numbered):
        return outputs
    return {name: outputs[number] for name, number in zip(sorted(names), numbered, strict=True)}


def _spec(array: Any, preparation: Preparation) -> Any:
    fixed = preparation.case.image_shape is not None
    shape = array.shape if fixed else (array.shape[0], *(None,) * (array.ndim - 2), array.shape[-1])
    return tf.TensorSpec(shape, array.dtype)
