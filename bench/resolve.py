"""One case out of one combination of a config: the model, the backend and the data that it names, found and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from bench.backends.availability import missing_for_tf_trt
from bench.catalog import dataset_card, model_card, model_dir, resolve_dataset, saved_model_in, shown
from bench.config import BenchmarkSection, Config, ModelSection, OptimizationSection
from bench.errors import BackendUnavailable, ConfigError
from bench.record import BackendName, Case, Dataset, Model, Optimization, Task

Problem = Callable[[str, str], ConfigError]  # key, what is wrong -> the error with the file's name

# What a case's id and its comparison's title say without being asked.
SHOWN_IN_ID = {
    "model_config.model_name", "optimization_config.precision_mode", "benchmark_config.batch_size",
}  # fmt: skip


def resolve_case(config: Config, values: Mapping[str, Any], path: Path) -> Case:
    """The case of one combination of the matrix; errors name the file and the key."""

    def problem(key: str, message: str) -> ConfigError:
        return ConfigError(f"{path}: {key}: {message}")

    try:
        model, default_dataset, published_shape = _model(config.model, config.benchmark, problem)
        optimization = _optimization(config.optimization, config.benchmark, problem)
        dataset, calibration = _datasets(config, default_dataset, optimization, problem)
    except ConfigError as error:
        text = str(error)
        raise (error if text.startswith(f"{path}: ") else type(error)(f"{path}: {text}")) from error
    _check_format(model, dataset, problem)
    shape = config.benchmark.image_shape or published_shape
    _check_shape(shape, config.benchmark, optimization, dataset, problem)
    return _assemble(config, model, optimization, dataset, calibration, shape, values)


def _assemble(
    config: Config,
    model: Model,
    optimization: Optimization,
    dataset: Dataset,
    calibration: Dataset | None,
    shape: tuple[int, int] | None,
    values: Mapping[str, Any],
) -> Case:
    benchmark = config.benchmark
    axes = {k: v for k, v in values.items() if k not in SHOWN_IN_ID}
    others = {k: v for k, v in axes.items() if not k.startswith("optimization_config.")}
    extra = "".join(f", {key.partition('.')[2]}={plain(value)}" for key, value in others.items())
    return Case(
        id=f"{model.name}-{optimization.precision_mode}-b{benchmark.batch_size}",
        comparison=f"{model.name}, batch {benchmark.batch_size}{extra}",
        model=model,
        optimization=optimization,
        dataset=dataset,
        calibration=calibration,
        batch_size=benchmark.batch_size,
        image_shape=shape,
        num_images=benchmark.num_images,
        num_warmup_iterations=benchmark.num_warmup_iterations,
        num_iterations=benchmark.num_iterations,
        seed=benchmark.seed,
        phase_timeout_s=benchmark.phase_timeout_s,
        display_every=benchmark.display_every,
        output_path=benchmark.output_path,
    )


def plain(value: Any) -> str:
    """A value as it may stand in an id or a file name."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text).strip("_")


def _model(
    section: ModelSection, benchmark: BenchmarkSection, problem: Problem
) -> tuple[Model, str | None, tuple[int, int] | None]:
    """The model, its default dataset and its default image shape."""
    if (section.model_name is None) == (section.input_saved_model_dir is None):
        raise problem(
            "model_config", "set either model_name (a card) or input_saved_model_dir (a SavedModel of your own)"
        )
    if section.batch_size not in (None, benchmark.batch_size):
        raise problem(
            "model_config.batch_size", f"{section.batch_size}: benchmark_config.batch_size is {benchmark.batch_size}"
        )
    if section.input_saved_model_dir is not None:
        folder = saved_model_in(Path(section.input_saved_model_dir), "model_config.input_saved_model_dir")
        name = plain(Path(section.input_saved_model_dir).resolve().name)
        own = Model(name=name, task=section.task or _task(benchmark, problem), path=shown(folder))
        return own.model_copy(update=_overrides(section)), None, None
    with _about("model_config.model_name"):
        card = model_card(section.model_name or "")
        folder_or_none = model_dir(card, section.output_dir, section.input_dir)
    model = Model(
        name=card.name,
        task=card.task,
        path=None if folder_or_none is None else shown(folder_or_none),
        keras_application=card.source.keras_application if folder_or_none is None else None,
        random_weights=folder_or_none is None,
        image_shape=card.image_shape,
        preprocess=card.preprocess,
        class_offset=card.class_offset,
    )
    return model.model_copy(update=_overrides(section)), card.dataset, card.image_shape


@contextmanager
def _about(key: str) -> Iterator[None]:
    """Errors of the catalog, with the key that led to them."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        raise (error if text.startswith("model_config.") else type(error)(f"{key}: {text}")) from error


def _task(benchmark: BenchmarkSection, problem: Problem) -> Task:
    """What a user's own model does, as far as its data tells."""
    if benchmark.annotation_path is not None:
        return "detection"
    if benchmark.labels_path is not None:
        return "classification"
    raise problem("model_config.task", "missing: say what your own model does, classification or detection")


def _overrides(section: ModelSection) -> dict[str, Any]:
    given = {"task": section.task, "preprocess": section.preprocess, "class_offset": section.class_offset}
    return {key: value for key, value in given.items() if value is not None}


def _optimization(section: OptimizationSection, benchmark: BenchmarkSection, problem: Problem) -> Optimization:
    if section.max_batch_size is not None and benchmark.batch_size > section.max_batch_size:
        raise problem(
            "benchmark_config.batch_size", f"{benchmark.batch_size}: max_batch_size is {section.max_batch_size}"
        )
    if section.minimum_segment_size != -1 and section.minimum_segment_size < 1:
        raise problem("optimization_config.minimum_segment_size", f"{section.minimum_segment_size}: at least 1, or -1")
    backend = _backend(section, problem)
    if section.xla and backend != "tensorflow":
        raise problem("optimization_config.xla", f"true: XLA is for native TensorFlow, not for {backend}")
    # Native is what was asked for, not what "auto" made of it.
    requested = backend if section.precision_mode == "native" else _requested(section, problem)
    fields = section.model_dump(include=set(Optimization.model_fields) - {"backend"})
    if backend == "tensorflow":
        fields["precision_mode"] = "native"
    return Optimization(backend=backend, requested_backend=requested, **fields)


def _requested(section: OptimizationSection, problem: Problem) -> str:
    """The backend that the config asks for, in either spelling."""
    if section.use_trt is None:
        return section.backend
    wanted = "tf-trt" if section.use_trt else "tensorflow"
    if section.backend not in ("auto", wanted):
        raise problem(
            "optimization_config.use_trt", f"{json.dumps(section.use_trt)} contradicts backend {section.backend!r}"
        )
    return wanted


def _backend(section: OptimizationSection, problem: Problem) -> BackendName:
    """What runs the case: native always in TensorFlow, anything else in what was asked for."""
    requested = _requested(section, problem)
    if requested == "null":
        return "null"
    if section.precision_mode == "native" or section.use_trt is False:
        if requested == "litert":
            raise problem(
                "optimization_config.precision_mode", '"native" runs in TensorFlow; litert has FP32, FP16, INT8'
            )
        return "tensorflow"
    if requested == "tensorflow":
        raise problem(
            "optimization_config.precision_mode", f'"{section.precision_mode}": backend tensorflow runs "native" alone'
        )
    if requested == "litert":
        return "litert"
    missing = missing_for_tf_trt()
    if requested == "auto" and missing:
        return "litert"
    if missing:
        raise BackendUnavailable(
            "optimization_config: TF-TRT cannot run on this machine: " + "; ".join(missing)
            + '. Set backend to "auto" to use LiteRT where TF-TRT cannot run.'
        )  # fmt: skip
    return "tf-trt"


def _datasets(
    config: Config, default: str | None, optimization: Optimization, problem: Problem
) -> tuple[Dataset, Dataset | None]:
    """What is evaluated, and what calibrates an INT8 conversion."""
    benchmark, section = config.benchmark, config.optimization
    dataset, calibration_name = _evaluated(benchmark, default, problem)
    needs = optimization.precision_mode == "INT8" and optimization.use_calibration and optimization.backend != "null"
    if not needs:
        return dataset, None
    if section.calib_images_dir is not None and section.calib_dataset is not None:
        raise problem("optimization_config.calib_dataset", "calib_images_dir is set too; keep one of them")
    if section.calib_images_dir is not None:
        if not Path(section.calib_images_dir).is_dir():
            raise problem("optimization_config.calib_images_dir", f"{section.calib_images_dir!r}: no such folder")
        return dataset, Dataset(name=section.calib_images_dir, format="images", images_dir=section.calib_images_dir)
    name = section.calib_dataset or calibration_name
    if name is not None:
        with _about("optimization_config.calib_dataset"):
            return dataset, resolve_dataset(dataset_card(name))
    if dataset.format == "synthetic":
        return dataset, dataset
    raise problem(
        "optimization_config.calib_images_dir",
        "missing: INT8 is calibrated on images that are not evaluated; set this or calib_dataset",
    )


def _evaluated(benchmark: BenchmarkSection, default: str | None, problem: Problem) -> tuple[Dataset, str | None]:
    if benchmark.use_synthetic:
        if benchmark.dataset is not None:
            raise problem(
                "benchmark_config.dataset", f"{benchmark.dataset!r}: use_synthetic is set too; keep one of them"
            )
        return Dataset(name="synthetic", format="synthetic"), None
    if benchmark.images_dir is not None:
        return _own_images(benchmark, problem), None
    for key in ("annotation_path", "labels_path"):
        if getattr(benchmark, key) is not None:
            raise problem(f"benchmark_config.{key}", "images_dir is missing: it says where the images lie")
    name = benchmark.dataset or default
    if name is None:
        raise problem("benchmark_config", "names no data: set dataset, or images_dir, or use_synthetic")
    with _about("benchmark_config.dataset"):
        card = dataset_card(name)
        return resolve_dataset(card), card.calibration


def _own_images(benchmark: BenchmarkSection, problem: Problem) -> Dataset:
    if benchmark.dataset is not None:
        raise problem("benchmark_config.dataset", f"{benchmark.dataset!r}: images_dir is set too; keep one of them")
    for key in ("images_dir", "annotation_path", "labels_path"):
        value = getattr(benchmark, key)
        if value is not None and not (Path(value).is_dir() if key == "images_dir" else Path(value).is_file()):
            raise problem(
                f"benchmark_config.{key}", f"{value!r}: no such {'folder' if key == 'images_dir' else 'file'}"
            )
    if benchmark.annotation_path is not None and benchmark.labels_path is not None:
        raise problem("benchmark_config.labels_path", "annotation_path is set too; keep one of them")
    kind: Literal["coco", "labels", "images"] = "images"
    if benchmark.annotation_path or benchmark.labels_path:
        kind = "coco" if benchmark.annotation_path else "labels"
    return Dataset(
        name=plain(Path(benchmark.images_dir or "").resolve().name),
        format=kind,
        images_dir=benchmark.images_dir,
        annotation_path=benchmark.annotation_path,
        labels_path=benchmark.labels_path,
    )


def _check_format(model: Model, dataset: Dataset, problem: Problem) -> None:
    wanted = "coco" if model.task == "detection" else "labels"
    if dataset.format in ("coco", "labels") and dataset.format != wanted:
        message = f"dataset {dataset.name!r} is of format {dataset.format!r}; {model.task} needs {wanted!r}"
        raise problem("benchmark_config", message)


def _check_shape(
    shape: tuple[int, int] | None,
    benchmark: BenchmarkSection,
    optimization: Optimization,
    dataset: Dataset,
    problem: Problem,
) -> None:
    if shape is not None:
        return
    key = "benchmark_config.image_shape"
    if benchmark.batch_size > 1:
        raise problem(key, f"missing: images of different sizes cannot share a batch of {benchmark.batch_size}")
    if optimization.backend in ("tf-trt", "litert"):
        raise problem(key, f"missing: {optimization.backend} builds for one input shape, not for each image's own")
    if dataset.format == "synthetic":
        raise problem(key, "missing: synthetic images need a shape")
