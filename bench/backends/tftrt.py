"""TF-TRT: converted, built and saved before anything is timed, or taken from the cache; then loaded as saved."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.compiler.tensorrt import trt_convert

from bench.backends.availability import missing_for_tf_trt
from bench.backends.base import Preparation
from bench.backends.cache import KIND, MODEL, ConversionCache, Entry
from bench.backends.manifest import content_sha256
from bench.backends.tensorflow import TensorFlowBackend, TensorFlowSession, choose_call, load, set_up
from bench.backends.tftrt_convert import (
    Converter,
    Steps,
    Tables,
    batches_to_build,
    convert_and_build,
    is_calibrated,
    read_tables,
    save,
    write_tables,
)
from bench.backends.tftrt_report import describe
from bench.case import Optimization
from bench.catalog.lookup import conversions_dir
from bench.conversion import Call, Conversion
from bench.environment import gpus_and_driver, packages
from bench.errors import BackendUnavailable, ConversionError
from bench.functions import is_function, source_sha256
from bench.graphs.support import refuse_unknown_ops
from bench.ownlog import OwnLog

SAVED, TABLES = "saved", "tables"  # folders of a conversion
KEPT = "kept-by-tf-bench"  # a file that marks a folder as one that may be replaced
STEERING = ("TF_TRT_", "NVIDIA_TF32_OVERRIDE")
REPORTING = ("TF_TRT_SHOW_", "TF_TRT_EXPORT_", "TF_TRT_ALLOW_ENGINE_NATIVE_")
LIBRARIES = ("nvidia-", "tensorrt")
# What decides how a conversion turns out, beside the model, its input and the versions.
SEGMENTS = ("precision_mode", "minimum_segment_size", "use_calibration", "use_dynamic_shape", "nodes_blacklist")
ENGINES = (
    "max_workspace_size_bytes", "maximum_cached_engines", "allow_build_at_runtime", "dynamic_shape_profile_strategy",
    "tf32",
)  # fmt: skip


class TfTrtBackend(TensorFlowBackend):
    """Converts with TF-TRT; the converted SavedModel then runs as a native one does."""

    def check(self, optimization: Optimization) -> None:
        """Raise BackendUnavailable where TensorFlow, TensorRT or the GPU is not what TF-TRT needs, a ConfigError where
        it would take no notice of what is asked for."""
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
        refuse_unknown_ops(optimization.nodes_blacklist)
        set_up(optimization)

    def open(self, preparation: Preparation) -> TfTrtSession:
        """Convert, calibrate, build and save, unless that has been done; then reload."""
        optimization = preparation.optimization
        from_cache = optimization.use_conversion_cache or optimization.kept_conversion is not None
        cache = ConversionCache(conversions_dir()) if from_cache else None
        folder, conversion = _converted(preparation, cache)
        if optimization.output_path:
            _keep(folder / SAVED, Path(optimization.output_path))
        with preparation.phase("reload"):
            loaded = load(folder / SAVED)
            function, call = choose_call(loaded.signatures[preparation.signature.key], preparation)
        return TfTrtSession(function, loaded, preparation, conversion, call, folder / SAVED, cache)

    def environment(self) -> dict[str, Any]:
        """TensorFlow's, and which TensorRT is linked and loaded."""
        linked, loaded = versions()
        trt = {"tensorrt_linked": _dotted(linked), "tensorrt_loaded": _dotted(loaded)}
        return {**super().environment(), **trt}


class TfTrtSession(TensorFlowSession):
    """A converted function; keeps what it was loaded from in the cache while it lives."""

    def __init__(
        self,
        function: Callable[..., Any],
        keep: Any,
        preparation: Preparation,
        conversion: Conversion,
        call: Call,
        saved: Path,
        cache: ConversionCache | None,
    ) -> None:
        super().__init__(function, keep, preparation, conversion, call, converted_dir=saved)
        self._cache = cache

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        if self._cache is not None:
            self._cache.close()


def versions() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The TensorRT that TensorFlow is linked against, and the one that is loaded."""
    library = trt_convert._pywrap_py_utils
    return tuple(library.get_linked_tensorrt_version()), tuple(library.get_loaded_tensorrt_version())


def _converted(preparation: Preparation, cache: ConversionCache | None) -> tuple[Path, Conversion]:
    """The folder of the conversion, and what is known of it."""
    if cache is None:
        notes = _make(preparation, None, preparation.workdir)
        return preparation.workdir, Conversion.model_validate(notes)
    if preparation.optimization.kept_conversion is not None:
        return _kept(cache, preparation.optimization.kept_conversion)
    with preparation.phase("load"):
        key = _key(preparation)
    return _known(cache.get(key, lambda folder: _make(preparation, cache, folder)))


def _kept(cache: ConversionCache, name: str) -> tuple[Path, Conversion]:
    entry = cache.find(name)
    if isinstance(entry, str):
        raise ConversionError(f"{cache.folder}: conversion {name}: {entry}")
    return _known(entry)


def _known(entry: Entry) -> tuple[Path, Conversion]:
    found = {"cached": entry.hit, "cache_reason": entry.reason, "cache_entry": entry.name}
    return entry.folder, Conversion.model_validate(entry.notes).model_copy(update=found)


def _make(preparation: Preparation, cache: ConversionCache | None, folder: Path) -> dict[str, Any]:
    """Convert into a folder; returns the conversion as JSON."""
    log = OwnLog()
    start, steps = log.position(), Steps(preparation)
    converter, reused = _with_tables(preparation, cache, steps)
    save(converter, folder / SAVED, steps)
    tables = converter.tables() if is_calibrated(preparation.optimization) else {}
    if tables:
        (folder / TABLES).mkdir()
        write_tables(tables, folder / TABLES)
    found = describe(f"TF-TRT {_dotted(versions()[1])}", preparation, folder / SAVED, log.lines(start) or ())
    more = {
        "seconds": steps.seconds,
        "calibration_table_sha256": content_sha256(folder / TABLES) if tables else None,
        "calibration_reused": reused,
        "calibration_images": preparation.calibration_images if tables and not _given(preparation) else None,
        "calibration_sha256": preparation.calibration_sha256 if tables and not _given(preparation) else None,
    }
    return found.model_copy(update=more).model_dump(mode="json")


def _with_tables(preparation: Preparation, cache: ConversionCache | None, steps: Steps) -> tuple[Converter, bool]:
    """The built converter, and whether its calibration table was there before."""
    if not is_calibrated(preparation.optimization):
        return convert_and_build(preparation, None, steps), False
    if given := _given(preparation):
        return convert_and_build(preparation, read_tables(given), steps), True
    if cache is None:
        return convert_and_build(preparation, None, steps), False
    made: list[Converter] = []

    def calibrate(folder: Path) -> dict[str, Any]:
        made.append(convert_and_build(preparation, None, steps))
        write_tables(made[0].tables(), folder)
        return {}

    entry = cache.get({**_segments_key(preparation), KIND: "calibration tables"}, calibrate)
    if made:
        return made[0], False
    tables: Tables = read_tables(entry.folder)
    return convert_and_build(preparation, tables, steps), True


def _given(preparation: Preparation) -> Path | None:
    tables = preparation.optimization.calibration_tables
    return None if tables is None else Path(tables)


def _key(preparation: Preparation) -> dict[str, str]:
    """All that a conversion depends on."""
    optimization = preparation.optimization
    settings = {name: json.dumps(getattr(optimization, name)) for name in ENGINES}
    build = {"build": str(preparation.case.build)} if preparation.case.build > 1 else {}
    return {**_segments_key(preparation), **settings, "shapes": _shapes(preparation), **build, **_machine()}


def _segments_key(preparation: Preparation) -> dict[str, str]:
    """What calibration tables depend on: neither the GPU nor the driver."""
    optimization = preparation.optimization
    linked, loaded = versions()
    key = {
        MODEL: content_sha256(preparation.model_dir),
        "signature": f"{','.join(preparation.signature.tags)}:{preparation.signature.key}",
        **{name: json.dumps(getattr(optimization, name)) for name in SEGMENTS},
        "edits": preparation.case.model.edits.model_dump_json(),
        "variables": json.dumps(_steering_variables()),
        "TensorFlow": tf.__version__,
        "TensorRT": f"{_dotted(loaded)}, linked {_dotted(linked)}",
    }
    return {**key, "calibration": _calibration_key(preparation)} if is_calibrated(optimization) else key


def _steering_variables() -> dict[str, str]:
    """Environment variables that change what TF-TRT converts and TensorRT builds."""
    names = sorted(name for name in os.environ if name.startswith(STEERING) and not name.startswith(REPORTING))
    return {name: os.environ[name] for name in names}


def _calibration_key(preparation: Preparation) -> str:
    """A hash of what an engine is calibrated on: given tables, or images and how they are fed."""
    given = _given(preparation)
    if given is not None:
        return content_sha256(given)
    case, optimization = preparation.case, preparation.optimization
    shape = optimization.calib_image_shape or case.image_shape
    preprocess = case.model.preprocess
    own = source_sha256(preprocess) if is_function(preprocess) else None
    fed = (preparation.calibration_sha256, optimization.calib_batch_size, shape, preprocess, own, case.seed)
    return hashlib.sha256(json.dumps(fed).encode()).hexdigest()


def _shapes(preparation: Preparation) -> str:
    built = [{name: list(array.shape) for name, array in batch.items()} for batch in batches_to_build(preparation)]
    return json.dumps(built)


def _machine() -> dict[str, str]:
    gpus, driver, cuda_driver = gpus_and_driver()
    build = tf.sysconfig.get_build_info()
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return {
        "GPU": str(details.get("device_name", gpus[0].name if gpus else "unknown")),
        "compute capability": ".".join(map(str, details.get("compute_capability", ()))),
        "driver": driver or "unknown",
        "CUDA driver": cuda_driver or "unknown",
        "CUDA": str(build.get("cuda_version", "unknown")),
        "cuDNN": str(build.get("cudnn_version", "unknown")),
        "packages": json.dumps({name: version for name, version in packages().items() if name.startswith(LIBRARIES)}),
    }


def _keep(saved: Path, target: Path) -> None:
    """Copy the converted model; one that was kept there before gives way, and nothing else does."""
    if target.exists() and any(target.iterdir()):
        if not (target / KEPT).is_file():
            raise ConversionError(
                f"optimization_config.output_path: {str(target)!r} holds something else than a model that was "
                "kept there before; name another folder, or empty it"
            )
        shutil.rmtree(target)
    shutil.copytree(saved, target, dirs_exist_ok=True)
    (target / KEPT).write_text("Written by tf-bench, which replaces this folder.\n", encoding="utf-8")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
