"""One case out of one combination of a config: the model, the backend and the data that it names, found and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.case import LABELLED, Case, Dataset, Model, Optimization
from bench.catalog.data_home import resolve_dataset
from bench.catalog.lookup import dataset_card
from bench.errors import ConfigError
from bench.functions import load_function
from bench.load.resolve import resolve_loads
from bench.load.result import Load
from bench.optimizations import resolve_optimization
from bench.own_data import own_dataset, synthetic
from bench.sections.config import CROPPING, PREPROCESSINGS, BenchmarkSection, Config
from bench.sources import Problem, about, resolve_model
from bench.sources import plain as plain

WRAPPER = ("session",)  # what a function that wraps a session is called with
# What a case's id and its comparison's title say without being asked.
SHOWN_IN_ID = {
    "model_config.model_name", "optimization_config.precision_mode", "benchmark_config.batch_size",
}  # fmt: skip


def resolve_case(config: Config, values: Mapping[str, Any], path: Path) -> Case:
    """The case of one combination of the matrix; errors name the file and the key."""

    def problem(key: str, message: str) -> ConfigError:
        return ConfigError(f"{path}: {key}: {message}")

    try:
        model, default_dataset, published_shape = resolve_model(config, problem)
        optimization = resolve_optimization(config.optimization, config.benchmark, problem)
        dataset, calibration = _datasets(config, default_dataset, optimization, problem)
    except ConfigError as error:
        text = str(error)
        raise (error if text.startswith(f"{path}: ") else type(error)(f"{path}: {text}")) from error
    _check_format(model, dataset, problem)
    _check_duration(config.benchmark, problem)
    _check_wrapper(config.benchmark, problem)
    shape = config.benchmark.image_shape or published_shape
    _check_shape(shape, config.benchmark, optimization, dataset, problem)
    load = resolve_loads(config.benchmark, optimization, shape, values, problem)
    return _assemble(config, model, optimization, dataset, calibration, shape, values, load)


def _assemble(
    config: Config,
    model: Model,
    optimization: Optimization,
    dataset: Dataset,
    calibration: Dataset | None,
    shape: tuple[int, int] | None,
    values: Mapping[str, Any],
    load: tuple[Load, ...],
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
        max_corrupt_images=benchmark.max_corrupt_images,
        num_warmup_iterations=benchmark.num_warmup_iterations,
        num_iterations=benchmark.num_iterations,
        min_iterations=benchmark.min_iterations,
        min_duration_s=benchmark.min_duration_s,
        max_duration_s=benchmark.max_duration_s,
        percentile=benchmark.percentile,
        max_warmup_s=benchmark.max_warmup_s,
        settle_tolerance=benchmark.settle_tolerance,
        settle_window=benchmark.settle_window,
        load=load,
        seed=benchmark.seed,
        phase_timeout_s=benchmark.phase_timeout_s,
        display_every=benchmark.display_every,
        interleave_rounds=benchmark.interleave_rounds if benchmark.interleave else 0,
        block_duration_s=benchmark.block_duration_s,
        telemetry=benchmark.telemetry,
        telemetry_period_s=benchmark.telemetry_period_s,
        lock_gpu_clocks=benchmark.lock_gpu_clocks or None,
        keep_profile=benchmark.keep_profile,
        wrap_session=benchmark.wrap_session,
        tf_cpp_vmodule=benchmark.tf_cpp_vmodule,
        output_path=benchmark.output_path,
    )


def _datasets(
    config: Config, default: str | None, optimization: Optimization, problem: Problem
) -> tuple[Dataset, Dataset | None]:
    """What is evaluated, and what calibrates an INT8 conversion."""
    benchmark, section = config.benchmark, config.optimization
    dataset, calibration_name = _evaluated(benchmark, default, problem)
    if not _is_calibrated_here(optimization):
        return dataset, None
    if section.calib_images_dir is not None and section.calib_dataset is not None:
        raise problem("optimization_config.calib_dataset", "calib_images_dir is set too; keep one of them")
    if section.calib_images_dir is not None:
        if not Path(section.calib_images_dir).is_dir():
            raise problem("optimization_config.calib_images_dir", f"{section.calib_images_dir!r}: no such folder")
        return dataset, Dataset(name=section.calib_images_dir, format="images", images_dir=section.calib_images_dir)
    name = section.calib_dataset or calibration_name
    if name is not None:
        with about("optimization_config.calib_dataset"):
            return dataset, resolve_dataset(dataset_card(name))
    if dataset.format == "synthetic":
        return dataset, dataset
    raise problem(
        "optimization_config.calib_images_dir",
        "missing: INT8 is calibrated on images that are not evaluated; set this or calib_dataset",
    )


def _is_calibrated_here(optimization: Optimization) -> bool:
    """Whether images are needed to find INT8 ranges, which neither the graph nor a table gives."""
    asked = optimization.precision_mode == "INT8" and optimization.use_calibration
    return asked and optimization.calibration_tables is None and optimization.backend != "null"


def _evaluated(benchmark: BenchmarkSection, default: str | None, problem: Problem) -> tuple[Dataset, str | None]:
    if benchmark.use_synthetic:
        if benchmark.dataset is not None:
            raise problem(
                "benchmark_config.dataset", f"{benchmark.dataset!r}: use_synthetic is set too; keep one of them"
            )
        return synthetic(benchmark, problem), None
    for key in ("synthetic_mean", "synthetic_deviation"):
        if getattr(benchmark, key) is not None:
            raise problem(f"benchmark_config.{key}", "goes with use_synthetic, which is not set")
    own = own_dataset(benchmark, problem)
    if own is not None:
        return own, None
    name = benchmark.dataset or default
    if name is None:
        raise problem("benchmark_config", "names no data: set dataset, or images_dir, or tfrecords, or use_synthetic")
    with about("benchmark_config.dataset" if benchmark.dataset else "model_config.model_name: dataset, in its card"):
        card = dataset_card(name)
        return resolve_dataset(card), card.calibration


def _check_format(model: Model, dataset: Dataset, problem: Problem) -> None:
    wanted = ("coco",) if model.task == "detection" else LABELLED
    if dataset.format in ("coco", *LABELLED) and dataset.format not in wanted:
        needed = " or ".join(map(repr, wanted))
        message = f"dataset {dataset.name!r} is of format {dataset.format!r}; {model.task} needs {needed}"
        raise problem("benchmark_config", message)
    if dataset.format == "coco" and model.preprocess in CROPPING:
        whole = ", ".join(repr(name) for name in PREPROCESSINGS if name not in CROPPING)
        message = "crops pictures, and what a detector finds in a crop is not mapped back to the picture"
        raise problem("model_config.preprocess", f"{model.preprocess!r} {message}: use one of {whole}")


def _check_duration(benchmark: BenchmarkSection, problem: Problem) -> None:
    low, high = benchmark.min_duration_s, benchmark.max_duration_s
    if benchmark.num_iterations is None and low > high:
        raise problem("benchmark_config.min_duration_s", f"{low:g}: longer than max_duration_s, {high:g}")


def _check_wrapper(benchmark: BenchmarkSection, problem: Problem) -> None:
    if benchmark.wrap_session is None:
        return
    try:
        load_function(benchmark.wrap_session, WRAPPER)
    except ConfigError as error:
        raise problem("benchmark_config.wrap_session", str(error)) from error


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
